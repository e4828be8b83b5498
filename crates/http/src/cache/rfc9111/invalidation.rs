//! Invalidation (RFC 9111 section 4.4): after a request that may have changed its target, nothing
//! that is kept of it is used any more. The same goes for `Location` and `Content-Location`, if
//! they are on the same origin.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::cache::consult;
use crate::cache::key::Digest;
use crate::cache::purge;
use crate::cache::settings::Caching;
use crate::cache::volume::Volume;
use crate::pass::course::Pass;
use crate::pass::keep::{Keep, Keeping};
use crate::pass::protocol::UpstreamHead;
use crate::request::Request;

/// The methods by whose responses the target may be kept.
const READ_BY: [Method; 2] = [Method::Get, Method::Head];

/// The invalidation after one request.
pub(crate) struct Invalidation<'a> {
    caching: &'a Caching,
    volume: &'a Arc<Volume>,
}

/// Whether requests with this method may change their targets (RFC 9110 section 9.2.1). Unknown
/// methods may.
pub(in crate::cache) fn is_unsafe(method: Method) -> bool {
    !matches!(method, Method::Get | Method::Head | Method::Options | Method::Trace)
}

impl<'a> Invalidation<'a> {
    pub(in crate::cache) fn new(caching: &'a Caching, volume: &'a Arc<Volume>) -> Self {
        Self { caching, volume }
    }

    /// The keys under which the target may be kept.
    fn keys(&self, request: &mut Request, pass: &Pass<'_>) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let method = request.method;
        for read_by in READ_BY {
            request.method = read_by;
            let mut key = Vec::new();
            consult::write_key(request, pass, self.caching, &mut key);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        request.method = method;
        keys
    }

    fn remove(&self, key: &[u8]) {
        purge::remove_in_background(self.volume, Digest::of(key));
    }
}

impl<'a> Keep<'a> for Invalidation<'a> {
    fn outlasts_client(&self, _: &Request) -> bool {
        false
    }

    fn wants(&mut self, request: &mut Request, pass: &Pass<'_>, head: &UpstreamHead) -> bool {
        if !(200..400).contains(&head.status) {
            return false;
        }
        let keys = self.keys(request, pass);
        let fields = Rc::clone(&request.attempts.headers);
        let this = request.head.unparsed_uri().into_owned();
        // Location as received, and as it is sent (`proxy_redirect`).
        let received = [Known::Location, Known::ContentLocation].map(|known| fields.get(known));
        let response = &request.response;
        let sent = [response.location.as_deref(), response.headers.get(Known::Location)];
        let named = received.into_iter().chain(sent).flatten();
        let others: Vec<_> =
            named.filter_map(|reference| target(request, &this, reference)).collect();
        for key in keys {
            for other in others.iter().filter(|other| **other != this) {
                if let Some(key) = replaced(&key, &this, other) {
                    self.remove(&key);
                }
            }
            self.remove(&key);
        }
        false
    }

    fn begin(&mut self, _: &mut Request, _: &Pass<'a>) -> Box<dyn Keeping + 'a> {
        unreachable!("nothing is wanted")
    }
}

/// A key with another URI in the place of the request's; None if it is not in the key.
pub(super) fn replaced(key: &[u8], this: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memmem::rfind(key, this)?;
    Some([&key[..at], other, &key[at + this.len()..]].concat())
}

/// The path and arguments of a reference, if it is on the request's origin.
fn target(request: &Request, this: &[u8], reference: &[u8]) -> Option<Vec<u8>> {
    let scheme: &[u8] = if request.info.tls.is_some() { b"https" } else { b"http" };
    let host = request.head.get(Known::Host).unwrap_or_default();
    let resolved = resolved(scheme, host, this, reference)?;
    Some(resolved.into_owned())
}

/// A reference resolved against the request's target (RFC 3986 section 5.2), without scheme and
/// host; None on another origin. Dots in paths are left as they are.
pub(super) fn resolved<'r>(
    scheme: &[u8],
    host: &[u8],
    this: &[u8],
    reference: &'r [u8],
) -> Option<Cow<'r, [u8]>> {
    let end = reference.iter().position(|&byte| byte == b'#').unwrap_or(reference.len());
    let mut reference = &reference[..end];
    let colon = reference.iter().position(|byte| matches!(byte, b':' | b'/' | b'?'));
    if let Some(colon) = colon.filter(|&at| reference[at] == b':') {
        if !reference[..colon].eq_ignore_ascii_case(scheme) {
            return None;
        }
        reference = reference[colon + 1..].strip_prefix(b"//").map(|_| &reference[colon + 1..])?;
    }
    if let Some(rest) = reference.strip_prefix(b"//") {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        if !rest[..end].eq_ignore_ascii_case(host) {
            return None;
        }
        return Some(match rest.get(end) {
            Some(b'/') => Cow::Borrowed(&rest[end..]),
            _ => Cow::Owned([b"/", &rest[end..]].concat()),
        });
    }
    let path_end = this.iter().position(|&byte| byte == b'?').unwrap_or(this.len());
    let path = &this[..path_end];
    match reference.first() {
        None => Some(Cow::Owned(this.to_vec())),
        Some(b'/') => Some(Cow::Borrowed(reference)),
        Some(b'?') => Some(Cow::Owned([path, reference].concat())),
        Some(_) => {
            let folder = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
            Some(Cow::Owned([&path[..folder], reference].concat()))
        }
    }
}

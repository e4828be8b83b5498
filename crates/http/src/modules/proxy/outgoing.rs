//! What requests to HTTP servers have in common, whatever the version: method, target and body.

use weir_engine::error_log::Level;
use weir_script::Template;
use weir_wire::h1::{LAST_CHUNK, Method, chunk_head};
use weir_wire::uri::{self, Escape};

use crate::body::Outlook;
use crate::pass::fields::BodyPlan;
use crate::pass::protocol::{Frames, OutgoingBody};
use crate::pass::target::Target;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;

/// The framing of a chunked request body (RFC 9112, section 7.1).
static CHUNKS: Frames = Frames {
    most: u64::MAX,
    head: |length| Piece::copy(&chunk_head(length as usize)),
    tail: |_| b"\r\n",
    end: LAST_CHUNK,
};

/// Writes the request target. Returns whether it is the client's own, which the parser has
/// checked for blanks and control bytes.
pub(super) fn write_uri(request: &Request, target: &Target, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    match (&target.place.uri, target.place.replaces) {
        (Some(uri), None) => out.extend_from_slice(uri),
        (None, _) if request.uri_intact => {
            out.extend_from_slice(&request.head.unparsed_uri());
            return out.len() > start;
        }
        (uri, replaces) => {
            let replaced = match (uri, replaces) {
                (Some(uri), Some(length)) if request.location_valid => {
                    out.extend_from_slice(uri);
                    length.min(request.uri.len())
                }
                _ => 0,
            };
            let path = &request.uri[replaced..];
            match request.internal || is_escaped(&request.head.unparsed_uri()) {
                true => uri::escape(Escape::Uri, path, out),
                // Unescaped, as in the client's URI.
                false => out.extend_from_slice(path),
            }
            if !request.args.is_empty() {
                out.push(b'?');
                out.extend_from_slice(&request.args);
            }
        }
    }
    if out.len() == start {
        out.push(b'/');
    }
    false
}

/// Decides on the framing of the body, before the fields announce it.
pub(super) fn plan_body(
    location: &Location,
    request: &mut Request,
    set_body: Option<&[u8]>,
) -> (BodyPlan, OutgoingBody) {
    let outlook = match (set_body, super::transfer(location).pass_request_body) {
        (Some(body), _) => Outlook::Here(body.len() as u64),
        (None, true) => request.body.outlook(),
        (None, false) => Outlook::Nothing,
    };
    let body = &request.body;
    let is_asking = matches!(request.method, Method::Get | Method::Head);
    let plan = match outlook {
        Outlook::Here(length) => {
            let told = set_body.is_some() || length > 0 || body.content_length.is_some();
            BodyPlan { length: told.then_some(length), chunked: false }
        }
        Outlook::Coming if body.chunked => BodyPlan { length: None, chunked: true },
        Outlook::Coming => BodyPlan { length: body.content_length, chunked: false },
        // An empty body is announced if the client announced it, a dropped one as empty.
        Outlook::Nothing | Outlook::Gone => {
            let told = body.content_length == Some(0) || body.is_announced() && !is_asking;
            BodyPlan { length: told.then_some(0), chunked: false }
        }
    };
    let sends = set_body.is_none() && matches!(outlook, Outlook::Here(_) | Outlook::Coming);
    let outgoing = match (sends, plan.chunked) {
        (false, _) => OutgoingBody::None,
        (true, false) => OutgoingBody::Plain,
        (true, true) => OutgoingBody::Framed(&CHUNKS),
    };
    let shown = &mut request.attempts.shown;
    shown.chunked = plan.chunked;
    shown.body_length = plan.length;
    (plan, outgoing)
}

/// The framing of a body that is followed by trailers.
pub(super) fn in_chunks(request: &mut Request) -> (BodyPlan, OutgoingBody) {
    let shown = &mut request.attempts.shown;
    (shown.chunked, shown.body_length) = (true, None);
    (BodyPlan { length: None, chunked: true }, OutgoingBody::Framed(&CHUNKS))
}

/// Writes the method: GET for a HEAD that the cache fetches with it, else `proxy_method`, or
/// the client's. A method that would break the request line is refused.
pub(super) fn write_method(
    request: &mut Request,
    method: Option<&Template>,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let start = out.len();
    if request.attempts.cache.converts {
        out.extend_from_slice(b"GET");
    } else if let Some(template) = method {
        template.eval(request, out);
        if !out[start..].iter().all(u8::is_ascii_graphic) {
            request.log(Level::Error, "method for upstream contains blanks or control characters");
            return Err(Rejection::BAD_REQUEST);
        }
    }
    if out.len() == start {
        out.extend_from_slice(request.method_name());
    }
    Ok(())
}

/// Whether the path of a client's URI has escapes (nginx: `quoted_uri`).
fn is_escaped(uri: &[u8]) -> bool {
    uri.iter().take_while(|&&byte| byte != b'?').any(|&byte| byte == b'%')
}

/// Escapes the blanks of a URI built from decoded text, which would end it in the request line.
/// Returns whether it has a control byte, which makes it unusable.
pub(super) fn escape_blanks(out: &mut Vec<u8>, start: usize) -> bool {
    if out[start..].contains(&b' ') {
        let uri = out.split_off(start);
        for byte in uri {
            match byte {
                b' ' => out.extend_from_slice(b"%20"),
                _ => out.push(byte),
            }
        }
    }
    out[start..].iter().any(u8::is_ascii_control)
}

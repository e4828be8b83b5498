//! Keys of requests, and the variants of their responses.

use weir_engine::error_log::Level;

use crate::cache::key::Digest;
use crate::cache::settings::Caching;
use crate::pass::course::Pass;
use crate::request::Request;

/// The size of nginx's head of a file without the key, and its reserve for the response's head. A
/// key that leaves no room for them in `buffer_size` is not used.
const NGINX_HEAD: usize = 336 + 7;
const NGINX_RESERVE: usize = 256;

/// Writes the key.
pub(in crate::cache) fn write_key(
    request: &mut Request,
    pass: &Pass<'_>,
    caching: &Caching,
    key: &mut Vec<u8>,
) {
    match &caching.key {
        Some(template) => template.eval(request, key),
        None => pass.protocol.default_key(request, pass.target, key),
    }
}

/// Writes the key of the request. None if it is too long, which has been logged.
pub(super) fn key(request: &mut Request, pass: &Pass<'_>, caching: &Caching) -> Option<Digest> {
    let mut key = std::mem::take(&mut request.attempts.cache.key);
    key.clear();
    write_key(request, pass, caching, &mut key);
    let digest = Digest::of(&key);
    let needed = NGINX_HEAD + key.len() + NGINX_RESERVE;
    request.attempts.cache.key = key;
    let size = pass.settings.buffer_size.0 as usize;
    if needed > size {
        let prefix = &caching.prefix;
        let most = needed.next_multiple_of(1024);
        let message = format!(
            "{prefix}buffer_size {size} is not enough for cache key, it should be increased to at \
             least {most}"
        );
        request.log(Level::Error, &message);
        return None;
    }
    Some(digest)
}

/// The digest of the request's variant.
pub(in crate::cache) fn variant(request: &Request, main: &Digest, vary: &[u8]) -> Digest {
    let by_meaning = request.attempts.cache.demands.is_some();
    main.variant(vary, by_meaning, |name: &[u8]| {
        let name = name.to_vec();
        let same = request.head.iter().filter(move |(other, ..)| other.eq_ignore_ascii_case(&name));
        same.map(|(_, value, _)| value)
    })
}

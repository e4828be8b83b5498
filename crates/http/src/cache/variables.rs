//! `$upstream_cache_…` (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html#variables>).

use super::shown::Conditions;
use crate::request::Request;
use crate::variables::VariableRow as Row;

/// `$upstream_cache_status`: how the cache was used.
pub(crate) const STATUS: Row = Row::new(
    "upstream_cache_status",
    "How the cache was used: `MISS`, `BYPASS`, `EXPIRED`, `STALE`, `UPDATING`, `REVALIDATED` or \
     `HIT`.",
    status,
);

/// `$upstream_cache_key`: the key.
pub(crate) const KEY: Row = Row::new("upstream_cache_key", "The key of the cached response.", key);

/// `$upstream_cache_last_modified`: the date with which a response is revalidated.
pub(crate) const LAST_MODIFIED: Row = Row::new(
    "upstream_cache_last_modified",
    "The date with which a cached response is revalidated.",
    |request, _, out| condition(request, |conditions| conditions.modified.as_deref(), out),
);

/// `$upstream_cache_etag`: the ETag with which a response is revalidated.
pub(crate) const ETAG: Row = Row::new(
    "upstream_cache_etag",
    "The ETag with which a cached response is revalidated.",
    |request, _, out| condition(request, |conditions| conditions.etag.as_deref(), out),
);

fn status(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(status) = request.attempts.cache.status else { return false };
    out.extend_from_slice(status.name().as_bytes());
    true
}

fn key(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let key = &request.attempts.cache.key;
    out.extend_from_slice(key);
    !key.is_empty()
}

fn condition(
    request: &Request,
    which: impl Fn(&Conditions) -> Option<&[u8]>,
    out: &mut Vec<u8>,
) -> bool {
    let conditions = request.attempts.cache.conditions.as_ref();
    let Some(value) = conditions.and_then(which) else { return false };
    out.extend_from_slice(value);
    true
}

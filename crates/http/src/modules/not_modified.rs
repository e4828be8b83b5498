//! Conditional requests: 304 and 412 (RFC 9110 section 13; nginx:
//! `ngx_http_not_modified_filter_module`).

use weir_wire::header::Known;

use crate::core::FILES;
use crate::core::files::IfModifiedSince;
use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) const MODULE: Module =
    Module { name: "not_modified", header_filter: Some((|_| true, filter)), ..Module::NONE };

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let response = &request.response;
    if response.status != 200 || request.is_subrequest() || response.disable_not_modified {
        return Ok(());
    }
    let head = &request.head;
    let unchanged_since = head.get(Known::IfUnmodifiedSince);
    let must_match = head.get(Known::IfMatch);
    let failed = unchanged_since.is_some_and(|date| !is_unmodified(request, date))
        || must_match.is_some_and(|list| !is_listed(request, list, false));
    if failed {
        request.forget_response_body();
        return Err(Rejection::PRECONDITION_FAILED);
    }
    let since = head.get(Known::IfModifiedSince);
    let none_match = head.get(Known::IfNoneMatch);
    // Without nginx's rule that all conditions must hold, one precedes (RFC 9110 section 13.2.2).
    let since = since.filter(|_| !response.by_rfc9111 || none_match.is_none());
    if since.is_none() && none_match.is_none()
        || since.is_some_and(|date| is_modified(request, date))
        || none_match.is_some_and(|list| !is_listed(request, list, true))
    {
        return Ok(());
    }
    let response = &mut request.response;
    response.status = 304;
    response.status_line = None;
    response.content_type.clear();
    response.clear_length();
    response.clear_ranges();
    response.headers.remove(Known::ContentEncoding);
    Ok(())
}

/// Whether the `If-Unmodified-Since` condition holds.
fn is_unmodified(request: &Request, date: &[u8]) -> bool {
    let Some(modified) = request.response.last_modified else { return false };
    weir_wire::date::parse(date).is_some_and(|date| date >= modified)
}

/// Whether the `If-Modified-Since` condition holds, so that the response is sent in full.
fn is_modified(request: &Request, date: &[u8]) -> bool {
    if request.response.by_rfc9111 {
        return is_later(request, date);
    }
    let Some(modified) = request.response.last_modified else { return true };
    let date = weir_wire::date::parse(date);
    match request.get(&FILES).if_modified_since {
        IfModifiedSince::Off => true,
        IfModifiedSince::Exact => date != Some(modified),
        IfModifiedSince::Before => date.is_none_or(|date| date < modified),
    }
}

/// Whether a response from a cache that follows RFC 9111 (section 4.3.2) was modified after a date,
/// or received after it if that is not known.
#[cold]
fn is_later(request: &Request, date: &[u8]) -> bool {
    let received = || request.response.headers.get(Known::Date).and_then(weir_wire::date::parse);
    let modified = request.response.last_modified.or_else(received);
    let date = weir_wire::date::parse_strictly(date);
    modified.zip(date).is_none_or(|(modified, date)| modified > date)
}

/// Whether a list of ETags has the response's, or is `*`.
fn is_listed(request: &Request, list: &[u8], weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(etag) = request.response.headers.get(Known::ETag) else { return false };
    list_has(list, etag, weak)
}

/// Looks for an ETag in a list. A weak comparison ignores `W/`.
fn list_has(mut list: &[u8], etag: &[u8], weak: bool) -> bool {
    let etag = bare(etag, weak);
    while !list.is_empty() {
        list = bare(list, weak);
        if etag.len() > list.len() {
            return false;
        }
        if let Some(rest) = list.strip_prefix(etag) {
            list = rest.trim_ascii_start();
            if list.is_empty() || list[0] == b',' {
                return true;
            }
        }
        let comma = list.iter().position(|&b| b == b',').unwrap_or(list.len());
        let next = list[comma..].iter().position(|b| !matches!(b, b' ' | b'\t' | b','));
        list = next.map_or(&[][..], |next| &list[comma + next..]);
    }
    false
}

/// An ETag, for a weak comparison without its `W/`.
fn bare(tag: &[u8], weak: bool) -> &[u8] {
    match tag {
        [b'W', b'/', rest @ ..] if weak && !rest.is_empty() => rest,
        tag => tag,
    }
}

#[cfg(test)]
mod tests {
    use super::list_has;

    #[test]
    fn lists_of_etags() {
        for (list, etag, weak, has) in [
            (&br#""a""#[..], &br#""a""#[..], false, true),
            (br#""b", "a""#, br#""a""#, false, true),
            (br#""b" , "a" ,"c""#, br#""a""#, false, true),
            (br#""ab""#, br#""a""#, false, false),
            (br#"W/"a""#, br#""a""#, false, false),
            (br#"W/"a""#, br#""a""#, true, true),
            (br#""a""#, br#"W/"a""#, true, true),
            (br#""b", W/"a""#, br#"W/"a""#, true, true),
            (br#""a" x"#, br#""a""#, true, false),
            (b",,,", br#""a""#, true, false),
            (b"", br#""a""#, true, false),
        ] {
            let shown = weir_wire::shown(list);
            assert_eq!(list_has(list, etag, weak), has, "{shown}");
        }
    }
}

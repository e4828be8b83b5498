//! Changes by other sites: a browser sends a POST with a plain body wherever a page tells it to,
//! with the user's password and from the user's address.

use weir_wire::h1::Method;
use weir_wire::header::Known;

use super::failure::Failure;
use crate::request::Request;

/// Refuses a change that a page of another site makes. Programs other than browsers send no fields
/// that tell of a page.
///
/// # Errors
/// The refusal.
pub(super) fn check(request: &Request) -> Result<(), Failure> {
    let reads = matches!(request.method, Method::Get | Method::Head);
    let field = |name: &[u8]| request.head.get_name(name);
    let host = request.head.get(Known::Host).unwrap_or_default();
    match reads || is_own(field(b"sec-fetch-site"), field(b"origin"), host) {
        true => Ok(()),
        false => Err(Failure::new(
            403,
            "CrossSite",
            "changes by pages of other sites are refused; a proxy has to pass the field Host",
        )),
    }
}

/// Whether a request comes from a page of this site, or from no page. The browser's own judgement
/// precedes: a proxy before this server may have changed the host.
fn is_own(site: Option<&[u8]>, origin: Option<&[u8]>, host: &[u8]) -> bool {
    if let Some(site) = site {
        return matches!(site, b"same-origin" | b"none");
    }
    let Some(origin) = origin else { return true };
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let mut authorities = schemes.iter().filter_map(|scheme| origin.strip_prefix(*scheme));
    authorities.any(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sites_change_nothing() {
        let host = b"lb.example:8080";
        for (site, origin, own) in [
            (None, None, true),
            (Some("none"), None, true),
            (Some("same-origin"), Some("https://else.where"), true),
            (Some("same-site"), Some("http://lb.example:8080"), false),
            (Some("cross-site"), None, false),
            (None, Some("http://lb.example:8080"), true),
            (None, Some("https://LB.example:8080"), true),
            (None, Some("http://lb.example"), false),
            (None, Some("http://evil.example"), false),
            (None, Some("null"), false),
        ] {
            let of = |text: Option<&'static str>| text.map(str::as_bytes);
            assert_eq!(is_own(of(site), of(origin), host), own, "{site:?} {origin:?}");
        }
    }
}

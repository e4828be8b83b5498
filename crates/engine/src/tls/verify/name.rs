//! Whether a certificate is for a name: its alternative names, or its common name if it has no
//! alternative of the kind.

use std::net::IpAddr;

use x509_parser::prelude::{GeneralName, X509Certificate};

/// As OpenSSL's `X509_check_host`, and `X509_check_ip` if `wanted` is an address.
pub(super) fn matches(certificate: &X509Certificate<'_>, wanted: &str) -> bool {
    let alternatives = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let address = wanted.parse::<IpAddr>().ok();
    if let Some(address) = address
        && alternatives.iter().any(|name| is_address(name, address))
    {
        return true;
    }
    let mut names = alternatives
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
        .peekable();
    if names.peek().is_some() {
        return names.any(|name| fits(name, wanted));
    }
    certificate
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
        .any(|name| fits(name, wanted))
}

fn is_address(name: &GeneralName<'_>, address: IpAddr) -> bool {
    let GeneralName::IPAddress(bytes) = name else { return false };
    match address {
        IpAddr::V4(address) => *bytes == address.octets(),
        IpAddr::V6(address) => *bytes == address.octets(),
    }
}

/// Whether a name of a certificate covers the wanted one. A star stands in the first label, above
/// at least two others (RFC 6125 section 6.4.3), for the label or for its beginning or end.
fn fits(pattern: &str, wanted: &str) -> bool {
    if pattern.contains('\0') || wanted.is_empty() {
        return false;
    }
    if pattern.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some((star, suffix)), Some((label, rest))) =
        (pattern.split_once('.'), wanted.split_once('.'))
    else {
        return false;
    };
    let domain = suffix.split('.').all(|label| !label.is_empty() && !label.contains('*'));
    domain && suffix.contains('.') && suffix.eq_ignore_ascii_case(rest) && covers(star, label)
}

/// Whether a label with a star covers another label. A part of one is not looked for in labels of
/// international names, whose letters are not what they mean.
fn covers(star: &str, label: &str) -> bool {
    let international =
        |label: &str| label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--"));
    let covered = match (star.strip_prefix('*'), star.strip_suffix('*')) {
        (Some(""), _) if !label.is_empty() => Some(label),
        (Some(""), _) => None,
        _ if international(star) || international(label) => None,
        (Some(tail), _) => split(label, label.len().checked_sub(tail.len()), tail, false),
        (_, Some(head)) => split(label, Some(head.len()), head, true),
        _ => None,
    };
    covered.is_some_and(|part| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// The part of a label, cut at a place, that the star stands for if the other part is the same as
/// the pattern's, which comes `first` or last.
fn split<'a>(label: &'a str, at: Option<usize>, same: &str, first: bool) -> Option<&'a str> {
    let (head, tail) = label.split_at_checked(at?)?;
    let (ours, stars) = if first { (head, tail) } else { (tail, head) };
    (!same.contains('*') && ours.eq_ignore_ascii_case(same)).then_some(stars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label_or_part_of_it() {
        let yes = [
            ("Example.com", "example.COM"),
            ("*.example.com", "a.example.com"),
            ("*.a.test", "xn--q.a.test"),
            ("*.a.test", "-x.a.test"),
            ("f*.example.com", "f.example.com"),
            ("f*.example.com", "FOO.example.com"),
            ("*b.c.test", "xb.c.test"),
            ("*b.c.test", "b.c.test"),
            ("_x.s.test", "_x.s.test"),
            ("dot.end.", "dot.end."),
        ];
        let no = [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("*.example.com", ".example.com"),
            ("*.com", "example.com"),
            ("*.a.test", "x_y.a.test"),
            ("*.a.test", "x.a.test."),
            ("f*.example.com", "f.x.example.com"),
            ("xn--*.x.test", "xn--q.x.test"),
            ("*b.c.test", "xn--qb.c.test"),
            ("p*q.z.test", "p1q.z.test"),
            ("**.v.test", "x.v.test"),
            ("*.*.t.test", "a.b.t.test"),
            ("a.*.u.test", "a.b.u.test"),
            ("dot.end.", "dot.end"),
            ("*.", "x."),
            ("*", "x"),
            ("", ""),
        ];
        assert_eq!(yes.iter().find(|(pattern, wanted)| !fits(pattern, wanted)), None);
        assert_eq!(no.iter().find(|(pattern, wanted)| fits(pattern, wanted)), None);
    }
}

//! Matching of names: a certificate's alternative names, or its common name if it has none of the
//! kind.

use std::net::IpAddr;

use super::certificate::Certificate;
use super::dn;
use super::general_name::Kind;

/// Like OpenSSL's `X509_check_host`, and `X509_check_ip` if `wanted` is an address.
pub(super) fn matches(certificate: &Certificate, wanted: &str) -> bool {
    let alternatives = certificate.extensions.names.as_deref().unwrap_or_default();
    let of = |kind: Kind| alternatives.iter().filter(move |name| name.kind == kind);
    let address = wanted.parse::<IpAddr>().ok();
    if let Some(address) = address
        && of(Kind::Address).any(|name| is_address(&name.value, address))
    {
        return true;
    }
    if of(Kind::Host).next().is_some() {
        return of(Kind::Host).any(|name| fits(&name.value, wanted.as_bytes()));
    }
    let attributes = dn::parts(certificate.raw_subject()).unwrap_or_default().concat();
    attributes
        .iter()
        .filter(|attribute| attribute.id == dn::COMMON_NAME)
        .filter_map(|attribute| dn::text(attribute.tag, attribute.value))
        .any(|name| fits(name.as_bytes(), wanted.as_bytes()))
}

fn is_address(name: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => *name == address.octets(),
        IpAddr::V6(address) => *name == address.octets(),
    }
}

/// Whether a name of a certificate covers the wanted one. A wildcard may replace the first label,
/// its beginning or its end, if at least two labels follow (RFC 6125 section 6.4.3).
fn fits(pattern: &[u8], wanted: &[u8]) -> bool {
    if pattern.contains(&0) || wanted.is_empty() {
        return false;
    }
    if pattern.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some((star, suffix)), Some((label, rest))) = (first_label(pattern), first_label(wanted))
    else {
        return false;
    };
    let domain = suffix.split(|byte| *byte == b'.').all(is_label);
    domain && suffix.contains(&b'.') && suffix.eq_ignore_ascii_case(rest) && covers(star, label)
}

/// The first label and the rest after its dot.
fn first_label(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = name.iter().position(|byte| *byte == b'.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

/// Whether the label consists of letters, digits and inner hyphens.
fn is_label(label: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    !label.is_empty()
        && label.iter().all(inner)
        && !label.starts_with(b"-")
        && !label.ends_with(b"-")
}

/// Whether a label with a wildcard covers another label. A partial wildcard does not match
/// internationalized labels, whose letters are encoded.
fn covers(star: &[u8], label: &[u8]) -> bool {
    let international =
        |label: &[u8]| label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"xn--"));
    let covered = match (star.strip_prefix(b"*"), star.strip_suffix(b"*")) {
        (Some([]), _) if !label.is_empty() => Some(label),
        (Some([]), _) => None,
        _ if international(star) || international(label) => None,
        (Some(tail), _) if is_label(&[b"a", tail].concat()) => {
            split(label, label.len().checked_sub(tail.len()), tail, false)
        }
        (_, Some(head)) if is_label(&[head, b"a"].concat()) => {
            split(label, Some(head.len()), head, true)
        }
        _ => None,
    };
    covered.is_some_and(|part| {
        *part == *b"*" || part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    })
}

/// The part of a label that the wildcard stands for: `label` is cut at `at`, and the other part,
/// which is the first if `first`, must equal `same`.
fn split<'a>(label: &'a [u8], at: Option<usize>, same: &[u8], first: bool) -> Option<&'a [u8]> {
    let (head, tail) = label.split_at_checked(at?)?;
    let (ours, stars) = if first { (head, tail) } else { (tail, head) };
    ours.eq_ignore_ascii_case(same).then_some(stars)
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
        assert_eq!(
            yes.iter().find(|(pattern, wanted)| !fits(pattern.as_bytes(), wanted.as_bytes())),
            None
        );
        assert_eq!(
            no.iter().find(|(pattern, wanted)| fits(pattern.as_bytes(), wanted.as_bytes())),
            None
        );
    }
}

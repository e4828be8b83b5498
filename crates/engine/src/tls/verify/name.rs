//! Whether a certificate is for a name: its alternative names, or its common name if it has no
//! alternative of the kind.

use std::net::IpAddr;

use x509_parser::prelude::{GeneralName, X509Certificate};

/// As OpenSSL's `X509_check_host`, and `X509_check_ip` if `wanted` is an address.
pub(super) fn matches(certificate: &X509Certificate<'_>, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('.');
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

/// Whether a name of a certificate covers the wanted one. A star stands for one whole label, the
/// first, above at least two others (RFC 6125 section 6.4.3).
fn fits(pattern: &str, wanted: &str) -> bool {
    if pattern.contains('\0') || wanted.is_empty() {
        return false;
    }
    if pattern.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let (Some(suffix), Some((label, rest))) = (pattern.strip_prefix("*."), wanted.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && suffix.contains('.') && suffix.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        assert!(fits("Example.com", "example.COM"));
        assert!(fits("*.example.com", "a.example.com"));
        assert!(!fits("*.example.com", "example.com"));
        assert!(!fits("*.example.com", "a.b.example.com"));
        assert!(!fits("*.com", "example.com"));
        assert!(!fits("a*.example.com", "ab.example.com"));
        assert!(!fits("", ""));
    }
}

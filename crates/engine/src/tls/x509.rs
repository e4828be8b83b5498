//! Fields of a certificate in nginx's forms, for `$ssl_client_*`.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::asn1_rs::{Oid, Tag, ToDer};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// OpenSSL's short names of the attributes that names are made of.
const ATTRIBUTES: [(&str, &str); 18] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// `$ssl_client_s_dn`: the subject as RFC 2253 writes it.
pub fn subject(der: &[u8]) -> Option<String> {
    Some(rfc2253(&parse(der)?.tbs_certificate.subject))
}

/// `$ssl_client_i_dn`: the issuer as RFC 2253 writes it.
pub fn issuer(der: &[u8]) -> Option<String> {
    Some(rfc2253(&parse(der)?.tbs_certificate.issuer))
}

/// `$ssl_client_s_dn_legacy`: the subject as `/C=DE/CN=name`.
pub fn subject_legacy(der: &[u8]) -> Option<String> {
    Some(one_line(&parse(der)?.tbs_certificate.subject))
}

/// `$ssl_client_i_dn_legacy`: the issuer as `/C=DE/CN=name`.
pub fn issuer_legacy(der: &[u8]) -> Option<String> {
    Some(one_line(&parse(der)?.tbs_certificate.issuer))
}

/// `$ssl_client_serial`: capital hexadecimal digits.
pub fn serial(der: &[u8]) -> Option<String> {
    let certificate = parse(der)?;
    let bytes = certificate.tbs_certificate.raw_serial();
    let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    Some(bytes[first..].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    }))
}

/// `$ssl_client_fingerprint`: the SHA-1 hash of the certificate in hexadecimal digits.
pub fn fingerprint(der: &[u8]) -> String {
    hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref())
}

/// `$ssl_client_v_start`: `Nov 22 17:34:16 2026 GMT`.
pub fn valid_from(der: &[u8]) -> Option<String> {
    Some(time(parse(der)?.tbs_certificate.validity.not_before))
}

/// `$ssl_client_v_end`.
pub fn valid_until(der: &[u8]) -> Option<String> {
    Some(time(parse(der)?.tbs_certificate.validity.not_after))
}

/// `$ssl_client_v_remain`: whole days until the certificate expires, 0 if it has. `now` is in
/// seconds since 1970.
pub fn days_left(der: &[u8], now: i64) -> Option<i64> {
    let end = parse(der)?.tbs_certificate.validity.not_after.timestamp();
    Some(((end - now) / 86_400).max(0))
}

/// `$ssl_client_raw_cert`: the certificate in PEM form.
pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn time(at: ASN1Time) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = at.to_datetime();
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    let (hour, minute, second) = at.to_hms();
    format!("{month} {:2} {hour:02}:{minute:02}:{second:02} {} GMT", at.day(), at.year())
}

fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

fn one_line(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for attribute in name.iter_attributes() {
        let value = String::from_utf8_lossy(attribute.attr_value().data);
        let _ = write!(
            text,
            "/{}={value}",
            short_name(attribute.attr_type())
                .unwrap_or_else(|| attribute.attr_type().to_id_string())
        );
    }
    text
}

fn short_name(oid: &Oid<'_>) -> Option<String> {
    let id = oid.to_id_string();
    ATTRIBUTES.iter().find(|(known, _)| *known == id).map(|(_, name)| (*name).to_owned())
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    match short_name(attribute.attr_type()) {
        Some(name) => format!("{name}={}", escape(&text_of(value.tag(), value.data))),
        None => {
            let der = value.to_der_vec().unwrap_or_default();
            let dump = der.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02X}");
                text
            });
            format!("{}=#{dump}", attribute.attr_type().to_id_string())
        }
    }
}

/// The value's bytes as UTF-8.
fn text_of(tag: Tag, data: &[u8]) -> Vec<u8> {
    match tag {
        Tag::BmpString => {
            let units: Vec<u16> =
                data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units).into_bytes()
        }
        Tag::T61String => {
            data.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes()
        }
        _ => data.to_vec(),
    }
}

/// RFC 2253 section 2.4, with control characters and bytes beyond ASCII as `\XX`.
fn escape(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, &byte) in value.iter().enumerate() {
        let special = match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => true,
            b'#' => at == 0,
            b' ' => at == 0 || at + 1 == value.len(),
            _ => false,
        };
        if special {
            text.push('\\');
        }
        if !(0x20..0x7f).contains(&byte) {
            let _ = write!(text, "\\{byte:02X}");
        } else {
            text.push(char::from(byte));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_rfc_2253_says() {
        assert_eq!(escape(b" a,b+c "), "\\ a\\,b\\+c\\ ");
        assert_eq!(escape("#é\n".as_bytes()), "\\#\\C3\\A9\\0A");
    }

    #[test]
    fn rubbish_is_no_certificate() {
        assert_eq!(subject(b"rubbish"), None);
        assert_eq!(serial(b""), None);
    }
}

//! Certificate fields in nginx's formats, for `$ssl_client_*`. All values are escaped as in
//! OpenSSL: none of them can end a field or a line.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::verify::certificate::Certificate;
use super::verify::dn::{self, Attribute};
use super::{der, verify};

mod attributes;

/// OpenSSL's size limit for a name in the legacy format, in bytes.
const LONGEST_NAME: usize = 1 << 20;

/// `$ssl_client_s_dn`: the subject in RFC 2253 format.
pub fn subject(der: &[u8]) -> Option<String> {
    rfc2253(Certificate::read(der)?.raw_subject())
}

/// `$ssl_client_i_dn`: the issuer in RFC 2253 format.
pub fn issuer(der: &[u8]) -> Option<String> {
    rfc2253(Certificate::read(der)?.raw_issuer())
}

/// `$ssl_client_s_dn_legacy`: the subject as `/C=DE/CN=name`.
pub fn subject_legacy(der: &[u8]) -> Option<String> {
    one_line(Certificate::read(der)?.raw_subject())
}

/// `$ssl_client_i_dn_legacy`: the issuer as `/C=DE/CN=name`.
pub fn issuer_legacy(der: &[u8]) -> Option<String> {
    one_line(Certificate::read(der)?.raw_issuer())
}

/// `$ssl_client_serial`: uppercase hexadecimal, with a leading `-` if negative.
pub fn serial(der: &[u8]) -> Option<String> {
    let certificate = Certificate::read(der)?;
    let digits = certificate.serial();
    let negative = digits[0] >= 0x80;
    let magnitude = if negative { negated(digits) } else { digits.to_vec() };
    let last = magnitude.len() - 1;
    let first = magnitude.iter().position(|&byte| byte != 0).unwrap_or(last);
    let sign = if negative { "-" } else { "" };
    Some(sign.to_owned() + &capitals(&magnitude[first..]))
}

/// The magnitude of a negative two's complement number.
fn negated(digits: &[u8]) -> Vec<u8> {
    let mut carry = true;
    let mut negated: Vec<u8> = digits
        .iter()
        .rev()
        .map(|digit| {
            let (digit, over) = (!digit).overflowing_add(carry.into());
            carry = over;
            digit
        })
        .collect();
    negated.reverse();
    negated
}

/// `$ssl_client_fingerprint`: the certificate's SHA-1 hash in hexadecimal.
pub fn fingerprint(der: &[u8]) -> String {
    capitals(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()).to_ascii_lowercase()
}

/// `$ssl_client_v_start`: `Nov 22 17:34:16 2026 GMT`.
pub fn valid_from(der: &[u8]) -> Option<String> {
    let certificate = Certificate::read(der)?;
    let [(tag, text), _] = certificate.validity();
    time(tag, text)
}

/// `$ssl_client_v_end`.
pub fn valid_until(der: &[u8]) -> Option<String> {
    let certificate = Certificate::read(der)?;
    let [_, (tag, text)] = certificate.validity();
    time(tag, text)
}

/// The first second in which a certificate is valid, and the first in which it is not any longer,
/// since 1970.
pub fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let certificate = Certificate::read(der)?;
    Some((certificate.not_before?, certificate.not_after?))
}

/// The identifier of a certificate in renewal information (RFC 9773 section 4.1): the key
/// identifier of its authority and its serial number. `None` without such an identifier.
pub fn renewal_id(der: &[u8]) -> Option<String> {
    let certificate = Certificate::read(der)?;
    let authority = URL_SAFE_NO_PAD.encode(certificate.authority_key_id()?);
    Some(format!("{authority}.{}", URL_SAFE_NO_PAD.encode(certificate.serial())))
}

/// Whether a certificate was issued by an authority with this common name.
pub fn is_issued_by(der: &[u8], common_name: &str) -> bool {
    let is_named = |certificate: &Certificate| {
        let parts = dn::parts(certificate.raw_issuer())?;
        let mut attributes = parts.iter().flatten();
        let named = attributes.any(|attribute| {
            let text = dn::text(attribute.tag, attribute.value);
            attribute.id == dn::COMMON_NAME && text.as_deref() == Some(common_name)
        });
        Some(named)
    };
    Certificate::read(der).as_ref().and_then(is_named).unwrap_or(false)
}

/// Whether a certificate is for this host or address.
pub fn is_for(der: &[u8], name: &str) -> bool {
    verify::is_for(&der.to_vec().into(), name)
}

/// `$ssl_client_v_remain`: whole days until the certificate expires, or 0. `now` is in seconds
/// since 1970.
pub fn days_left(der: &[u8], now: i64) -> Option<i64> {
    let end = Certificate::read(der)?.not_after?;
    Some(((end - now) / 86_400).max(0))
}

/// `$ssl_client_raw_cert`: the certificate as PEM.
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

fn capitals(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn time(tag: u8, text: &[u8]) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // A valid time consists of digits and the final `Z`.
    der::time(tag, text)?;
    let text = std::str::from_utf8(text).ok()?;
    let (year, rest) = text.split_at(if tag == der::UTC_TIME { 2 } else { 4 });
    let century = match year {
        _ if year.len() == 4 => "",
        _ if year < "50" => "20",
        _ => "19",
    };
    let year: u32 = format!("{century}{year}").parse().ok()?;
    let part = |at: usize| rest.get(at..at + 2);
    let month = MONTHS.get(part(0)?.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day: u32 = part(2)?.parse().ok()?;
    Some(format!("{month} {day:2} {}:{}:{} {year} GMT", part(4)?, part(6)?, part(8)?))
}

/// Formats a name, given without its tag, like OpenSSL's `XN_FLAG_RFC2253`: last attribute first.
fn rfc2253(name: &[u8]) -> Option<String> {
    let mut text = String::new();
    for part in dn::parts(name)?.iter().rev() {
        for (at, attribute) in part.iter().rev().enumerate() {
            if !text.is_empty() {
                text.push(if at > 0 { '+' } else { ',' });
            }
            add_attribute(&mut text, attribute)?;
        }
    }
    Some(text)
}

fn add_attribute(out: &mut String, attribute: &Attribute<'_>) -> Option<()> {
    match (attributes::short_name(attribute.id), dn::text(attribute.tag, attribute.value)) {
        (Some(name), Some(text)) => {
            out.push_str(name);
            out.push('=');
            escape(out, &text);
        }
        (name, _) => {
            // Values that are not text, and those of unknown types, are written as DER.
            match name {
                Some(name) => out.push_str(name),
                None => out.push_str(&attributes::numbers(attribute.id)?),
            }
            let _ = write!(out, "=#{}", capitals(attribute.whole));
        }
    }
    Some(())
}

/// Escapes by RFC 2253 section 2.4; control characters and non-ASCII bytes become `\XX`.
fn escape(out: &mut String, value: &str) {
    for (at, byte) in value.bytes().enumerate() {
        let (first, last) = (at == 0, at + 1 == value.len());
        let special = match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => true,
            b'#' => first && !last,
            b' ' => first || last,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        if (0x20..0x7f).contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\{byte:02X}");
        }
    }
}

/// The value's bytes in OpenSSL's form: a sequence with its tag, a bit string without its count of
/// unused bits.
fn bytes(attribute: &Attribute<'_>) -> Vec<u8> {
    match attribute.tag {
        der::SEQUENCE => attribute.whole.to_vec(),
        der::BIT_STRING => der::bits(attribute.value).unwrap_or_default(),
        _ => attribute.value.to_vec(),
    }
}

/// Formats a name, given without its tag, like OpenSSL's `X509_NAME_oneline`; `None` if it gets too
/// long.
fn one_line(name: &[u8]) -> Option<String> {
    let mut text = String::new();
    for part in dn::parts(name)? {
        for (at, attribute) in part.iter().enumerate() {
            text.push(if at > 0 { '+' } else { '/' });
            match attributes::short_name(attribute.id) {
                Some(name) => text.push_str(name),
                None => text.push_str(&attributes::numbers(attribute.id)?),
            }
            text.push('=');
            for byte in bytes(attribute) {
                match byte {
                    b'/' | b'+' => text.extend(['\\', char::from(byte)]),
                    b' '..=b'~' => text.push(char::from(byte)),
                    _ => drop(write!(text, "\\x{byte:02X}")),
                }
            }
        }
    }
    (text.len() <= LONGEST_NAME).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(&mut out, text);
        out
    }

    #[test]
    fn names_are_escaped_as_rfc_2253_says() {
        assert_eq!(escaped(" a,b+c "), "\\ a\\,b\\+c\\ ");
        assert_eq!(escaped("#é\n"), "\\#\\C3\\A9\\0A");
    }

    #[test]
    fn garbage_is_not_a_certificate() {
        assert_eq!(subject(b"rubbish"), None);
        assert_eq!(serial(b""), None);
    }
}

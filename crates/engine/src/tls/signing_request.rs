//! Requests for certificates (PKCS #10, RFC 2986).

use super::der::{INTEGER, OCTET_STRING, OID, SET, constructed, primitive, put};
use super::private_key::PrivateKey;
use super::self_signed::{COMMON_NAME, UTF8_STRING, bits, sequence};
use super::settings_error::SettingsError;

/// `extensionRequest` of PKCS #9.
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];

/// `subjectAltName` (RFC 5280 section 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The tags of `dNSName` and `iPAddress`.
const DNS_NAME: u8 = primitive(2);
const IP_ADDRESS: u8 = primitive(7);

/// The request for a certificate of these names, which are those of hosts, or addresses, in DER.
///
/// # Errors
/// aws-lc could not use the key.
pub fn signing_request(
    key: &PrivateKey,
    names: &[String],
    common_name: Option<&str>,
) -> Result<Vec<u8>, SettingsError> {
    let subject = common_name.map(|name| {
        put(SET, &sequence(&[put(OID, COMMON_NAME), put(UTF8_STRING, name.as_bytes())]))
    });
    let extensions = sequence(&[alternative_names(names)]);
    let asked = sequence(&[put(OID, EXTENSION_REQUEST), put(SET, &extensions)]);
    let body = sequence(&[
        put(INTEGER, &[0]),
        sequence(subject.as_slice()),
        key.public_der()?,
        put(constructed(0), &asked),
    ]);
    let signature = key.sign_der(&body)?;
    Ok(sequence(&[body, key.kind().signature_algorithm(), bits(&signature)]))
}

/// The extension with the names.
pub(super) fn alternative_names(names: &[String]) -> Vec<u8> {
    let name = |name: &String| match name.parse() {
        Ok(std::net::IpAddr::V4(address)) => put(IP_ADDRESS, &address.octets()),
        Ok(std::net::IpAddr::V6(address)) => put(IP_ADDRESS, &address.octets()),
        Err(_) => put(DNS_NAME, name.as_bytes()),
    };
    let names: Vec<_> = names.iter().map(name).collect();
    sequence(&[put(OID, SUBJECT_ALT_NAME), put(OCTET_STRING, &sequence(&names))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{CertifiedKey, KeyKind, SelfSigned, x509};

    /// `openssl req -verify` accepts it in the end-to-end tests, whose server checks signatures.
    #[test]
    fn a_request_has_the_names() {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let names = ["a.test".to_owned(), "192.0.2.1".to_owned(), "::1".to_owned()];
        let plain = signing_request(&key, &names, None).unwrap();
        let named = signing_request(&key, &names, Some("a.test")).unwrap();
        let has = |der: &[u8], part: &[u8]| der.windows(part.len()).any(|own| own == part);
        assert!(has(&plain, b"\x82\x06a.test\x87\x04\xc0\x00\x02\x01\x87\x10"));
        assert!(!has(&plain, b"\x0c\x06a.test") && has(&named, b"\x0c\x06a.test"));
    }

    #[test]
    fn an_answer_is_a_certificate_of_the_name() {
        for name in ["a.test", "192.0.2.1"] {
            let made = SelfSigned::answer(name, b"token.thumbprint").unwrap();
            let key = CertifiedKey::from_pem(made.certificate.as_bytes(), made.key.as_bytes(), &[]);
            let key = key.unwrap();
            assert!(x509::is_for(&key.chain()[0], name) && !x509::is_for(&key.chain()[0], "b"));
        }
    }
}

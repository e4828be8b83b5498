//! Certificates that are known by their bytes: a node of a pair has one, and its partners keep a
//! copy of it. They need nothing of a certificate but its form.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::der::{
    BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, constructed,
    put,
};
use super::settings_error::SettingsError;
use super::signing_request::alternative_names;
use crate::{digest, random};

pub(super) const UTF8_STRING: u8 = 0x0c;

/// ecdsa-with-SHA256 (RFC 5758 section 3.2).
const SIGNED_BY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// id-ecPublicKey and prime256v1 (RFC 5480 section 2.1.1).
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// id-pe-acmeIdentifier (RFC 8737 section 6.1).
const ACME_IDENTIFIER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];

/// id-at-commonName.
pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The dates mean nothing, since the certificate is accepted for its bytes: a clock that is wrong
/// separates no nodes. The last one is that of certificates without an end (RFC 5280 section
/// 4.1.2.5).
const FROM: &[u8] = b"20240101000000Z";
const UNTIL: &[u8] = b"99991231235959Z";

/// The length of a line of PEM (RFC 7468 section 2).
const LINE: usize = 64;

/// A certificate with its key, both in PEM.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// The private key in PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl SelfSigned {
    /// Makes a key of P-256 and a certificate with this common name, which signs itself.
    ///
    /// # Errors
    /// aws-lc made no key, which happens only without memory.
    pub fn new(common_name: &str) -> Result<Self, SettingsError> {
        Self::with(common_name, &[])
    }

    /// Makes the certificate that answers an ACME server's question over TLS about a host or
    /// address, by the account's words (RFC 8737 section 3).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn answer(name: &str, words: &[u8]) -> Result<Self, SettingsError> {
        let digest = put(OCTET_STRING, &digest::sha256(&[words]));
        let proof = sequence(&[
            put(OID, ACME_IDENTIFIER),
            put(BOOLEAN, &[0xff]),
            put(OCTET_STRING, &digest),
        ]);
        Self::with("ACME", &[alternative_names(&[name.to_owned()]), proof])
    }

    fn with(common_name: &str, extensions: &[Vec<u8>]) -> Result<Self, SettingsError> {
        let random = SystemRandom::new();
        let failed = |_| SettingsError::from("no key could be made");
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let key = key.map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref())
            .map_err(|_| SettingsError::from("no key could be made"))?;
        let signed = to_be_signed(common_name, pair.public_key().as_ref(), extensions);
        let signature = pair.sign(&random, &signed).map_err(failed)?;
        let certificate = sequence(&[signed, algorithm(), bits(signature.as_ref())]);
        Ok(Self {
            certificate: pem("CERTIFICATE", &certificate),
            key: pem("PRIVATE KEY", key.as_ref()),
        })
    }
}

/// The signed part of a certificate (RFC 5280 section 4.1), version 3 with these extensions.
fn to_be_signed(common_name: &str, public_key: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut serial = random::unguessable::<16>();
    // Positive, and in its shortest form.
    serial[0] = serial[0] & 0x7f | 0x40;
    let name = put(UTF8_STRING, common_name.as_bytes());
    let name = sequence(&[put(SET, &sequence(&[put(OID, COMMON_NAME), name]))]);
    let extensions = match extensions {
        [] => Vec::new(),
        some => put(constructed(3), &sequence(some)),
    };
    sequence(&[
        put(constructed(0), &put(INTEGER, &[2])),
        put(INTEGER, &serial),
        algorithm(),
        name.clone(),
        sequence(&[put(GENERALIZED_TIME, FROM), put(GENERALIZED_TIME, UNTIL)]),
        name,
        sequence(&[sequence(&[put(OID, EC_KEY), put(OID, P256)]), bits(public_key)]),
        extensions,
    ])
}

fn algorithm() -> Vec<u8> {
    sequence(&[put(OID, SIGNED_BY)])
}

pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    put(BIT_STRING, &[&[0], bytes].concat())
}

pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    put(SEQUENCE, &parts.concat())
}

/// The PEM of DER (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(LINE) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// The PEM of a certificate.
pub fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{CertifiedKey, certificates_from_pem, x509};

    #[test]
    fn the_key_fits_the_certificate() {
        let made = SelfSigned::new("node a of a pair").unwrap();
        let read = CertifiedKey::from_pem(made.certificate.as_bytes(), made.key.as_bytes(), &[]);
        let chain = read.unwrap();
        let der = &chain.chain()[0];
        assert!(x509::subject(der).unwrap_or_default().contains("node a of a pair"));
        assert_eq!(certificate_pem(der), made.certificate);
        let again = certificates_from_pem(made.certificate.as_bytes()).unwrap();
        assert_eq!(again[0], *der);
        assert_ne!(made.certificate, SelfSigned::new("node a of a pair").unwrap().certificate);
    }

    #[test]
    fn lengths_are_in_their_shortest_form() {
        assert_eq!(put(4, &[7]), [4, 1, 7]);
        assert_eq!(put(4, &[])[..2], [4, 0]);
        assert_eq!(put(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(put(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }
}

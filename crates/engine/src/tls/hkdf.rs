//! The key schedule of TLS 1.3 (RFC 5869; RFC 8446 section 7.1) with prepared HMAC keys.
//!
//! A handshake derives about 25 secrets from 8 others. rustls prepares an HMAC key for each
//! derivation, which takes as long as the derivation itself; here it is prepared once for each of
//! the 8.

use aws_lc_rs::hmac;
use rustls::crypto::hmac::{Hmac, Key, Tag};
use rustls::crypto::tls13::HkdfUsingHmac;

/// HKDF with SHA-256.
pub(super) static SHA256: HkdfUsingHmac<'static> = HkdfUsingHmac(&Hash(hmac::HMAC_SHA256));

/// HKDF with SHA-384.
pub(super) static SHA384: HkdfUsingHmac<'static> = HkdfUsingHmac(&Hash(hmac::HMAC_SHA384));

struct Hash(hmac::Algorithm);

impl Hmac for Hash {
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        Box::new(Prepared(hmac::Key::new(self.0, key)))
    }

    fn hash_output_len(&self) -> usize {
        self.0.digest_algorithm().output_len()
    }
}

/// An HMAC key whose inner and outer hash states are precomputed (RFC 2104 section 4).
struct Prepared(hmac::Key);

impl Key for Prepared {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(first);
        middle.iter().for_each(|part| context.update(part));
        context.update(last);
        Tag::new(context.sign().as_ref())
    }

    fn tag_len(&self) -> usize {
        self.0.algorithm().digest_algorithm().output_len()
    }
}

#[cfg(test)]
mod tests {
    use rustls::Tls13CipherSuite;
    use rustls::crypto::tls13::Hkdf;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_first_case_of_the_rfc() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut derived = [0; 42];
        let expander = SHA256.extract_from_secret(Some(&salt), &[0x0b; 22]);
        // In parts, as rustls passes a label.
        expander.expand_slice(&[&info[..3], &[], &info[3..]], &mut derived).unwrap();
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                        34007208d5b887185865";
        assert_eq!(hex(&derived), expected);
    }

    #[test]
    fn every_suite_derives_what_rustls_does() {
        let suites = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
        for theirs in suites.iter().filter_map(|suite| suite.tls13()) {
            let is_it = |suite: &&Tls13CipherSuite| suite.common.suite == theirs.common.suite;
            let suites = crate::tls::aead::tls13();
            let ours = suites.iter().filter_map(|suite| suite.tls13()).find(is_it).unwrap();
            let derive = |hkdf: &dyn Hkdf| {
                let early = hkdf.extract_from_zero_ikm(None);
                let salt = early.expand_block(&[b"derived"]);
                let handshake = hkdf.extract_from_secret(Some(salt.as_ref()), b"shared");
                let block = handshake.expand_block(&[b"a", b"label"]);
                let mut key = [0; 77];
                hkdf.expander_for_okm(&block).expand_slice(&[b"key"], &mut key).unwrap();
                let tag = hkdf.hmac_sign(&block, b"message");
                [block.as_ref(), &key, tag.as_ref()].concat()
            };
            assert_eq!(derive(ours.hkdf_provider), derive(theirs.hkdf_provider));
        }
    }
}

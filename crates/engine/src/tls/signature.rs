//! Signatures by the key of a certificate, over bytes of our own.

use rustls::SignatureScheme;

use super::CertificateDer;
use super::keys::CertifiedKey;
use super::verify;

impl CertifiedKey {
    /// Signs with ECDSA on P-256 and SHA-256; `None` for a key of another kind.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        self.key.key.choose_scheme(&[scheme])?.sign(message).ok()
    }
}

/// Whether the key of `certificate` has signed the message as [`CertifiedKey::sign`] does.
pub fn is_signed_by(certificate: &CertificateDer, message: &[u8], signature: &[u8]) -> bool {
    verify::has_signed(certificate, message, signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{SelfSigned, certificates_from_pem};

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let [one, other] = ["one", "other"].map(|name| {
            let made = SelfSigned::new(name).unwrap();
            let (pem, key) = (made.certificate.as_bytes(), made.key.as_bytes());
            let key = CertifiedKey::from_pem(pem, key, &[]).unwrap();
            (key, certificates_from_pem(pem).unwrap().remove(0))
        });
        let signature = one.0.sign(b"message").unwrap();
        assert!(is_signed_by(&one.1, b"message", &signature));
        assert!(!is_signed_by(&one.1, b"another", &signature));
        assert!(!is_signed_by(&other.1, b"message", &signature));
        assert!(!is_signed_by(&one.1, b"message", &signature[1..]));
        assert!(!is_signed_by(&CertificateDer::from(vec![0x30, 0]), b"message", &signature));
    }
}

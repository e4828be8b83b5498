//! Private keys that are made here, and what they sign: certificate requests and the messages of
//! ACME.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256,
};
use rustls::pki_types::PrivateKeyDer;

use super::der::{NULL, OID, Reader, SEQUENCE, put};
use super::keys;
use super::self_signed::pem;
use super::settings_error::SettingsError;

/// A kind of private key, with its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
}

use KeyKind::{P256, P384, P521, Rsa2048, Rsa3072, Rsa4096};

/// The names in configurations; the first of a kind is the one that is shown.
const NAMES: [(&str, KeyKind); 8] = [
    ("ecdsa:256", P256),
    ("ecdsa:384", P384),
    ("ecdsa:521", P521),
    ("rsa:2048", Rsa2048),
    ("rsa:3072", Rsa3072),
    ("rsa:4096", Rsa4096),
    ("ecdsa", P256),
    ("rsa", Rsa2048),
];

impl KeyKind {
    /// The kind with this name, such as `ecdsa:256` or `rsa`.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its full name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The curve's name in a JSON Web Key (RFC 7518 section 6.2.1.1), and its algorithms for JSON
    /// and for certificates; `None` for RSA.
    fn curve(
        self,
    ) -> Option<(&'static str, &'static EcdsaSigningAlgorithm, &'static EcdsaSigningAlgorithm)>
    {
        match self {
            P256 => {
                Some(("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_ASN1_SIGNING))
            }
            P384 => {
                Some(("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING))
            }
            P521 => {
                Some(("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING))
            }
            Rsa2048 | Rsa3072 | Rsa4096 => None,
        }
    }

    /// The algorithm of a JSON Web Signature (RFC 7518 section 3.1).
    pub fn jws_algorithm(self) -> &'static str {
        match self {
            P256 => "ES256",
            P384 => "ES384",
            P521 => "ES512",
            Rsa2048 | Rsa3072 | Rsa4096 => "RS256",
        }
    }

    /// The signature algorithm of certificates and requests (RFC 5758 section 3.2, RFC 4055
    /// section 5), in DER.
    pub(super) fn signature_algorithm(self) -> Vec<u8> {
        let ecdsa = |hash: u8| put(OID, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, hash]);
        let parts = match self {
            P256 => ecdsa(2),
            P384 => ecdsa(3),
            P521 => ecdsa(4),
            Rsa2048 | Rsa3072 | Rsa4096 => {
                let id = put(OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]);
                [id, put(NULL, &[])].concat()
            }
        };
        put(SEQUENCE, &parts)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A private key.
#[derive(Clone)]
pub struct PrivateKey {
    kind: KeyKind,
    /// PKCS #8.
    der: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The public half of a key, as members of a JSON Web Key (RFC 7518 section 6): names with bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicNumbers {
    /// The name of the curve, and the coordinates.
    Ec(&'static str, Vec<u8>, Vec<u8>),
    /// The modulus and the exponent.
    Rsa(Vec<u8>, Vec<u8>),
}

fn failed<E>(_: E) -> SettingsError {
    SettingsError::from("aws-lc could not use the key")
}

impl PrivateKey {
    /// Makes a key. RSA takes up to some seconds of processor time.
    ///
    /// # Errors
    /// aws-lc made none, which happens only without memory.
    pub fn generate(kind: KeyKind) -> Result<Self, SettingsError> {
        let der = match kind {
            P256 | P384 | P521 => {
                let (_, _, signs) = kind.curve().ok_or_else(|| failed(()))?;
                let made = EcdsaKeyPair::generate_pkcs8(signs, &SystemRandom::new());
                made.map_err(failed)?.as_ref().to_vec()
            }
            Rsa2048 => generate_rsa(KeySize::Rsa2048)?,
            Rsa3072 => generate_rsa(KeySize::Rsa3072)?,
            Rsa4096 => generate_rsa(KeySize::Rsa4096)?,
        };
        Ok(Self { kind, der })
    }

    /// Reads a key from PEM.
    ///
    /// # Errors
    /// There is none, or it is of another kind than those that can be made.
    pub fn from_pem(text: &[u8]) -> Result<Self, SettingsError> {
        let key = keys::private_key(text, &[])?;
        for kind in [P256, P384, P521] {
            let Some((_, _, signs)) = kind.curve() else { continue };
            let pair = EcdsaKeyPair::from_private_key_der(signs, key.secret_der());
            if let Ok(pair) = pair {
                let der = pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec();
                return Ok(Self { kind, der });
            }
        }
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            _ => RsaKeyPair::from_pkcs8(key.secret_der()).ok(),
        };
        let kind = pair.as_ref().and_then(|pair| match pair.public_modulus_len() * 8 {
            2048 => Some(Rsa2048),
            3072 => Some(Rsa3072),
            4096 => Some(Rsa4096),
            _ => None,
        });
        let (Some(pair), Some(kind)) = (pair, kind) else {
            return Err(
                "the key is neither ECDSA (256, 384, 521) nor RSA (2048, 3072, 4096)".into()
            );
        };
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        Ok(Self { kind, der: der.as_ref().to_vec() })
    }

    /// The key in PEM.
    pub fn to_pem(&self) -> String {
        pem("PRIVATE KEY", &self.der)
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    fn ecdsa(&self, signs: &'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, SettingsError> {
        EcdsaKeyPair::from_pkcs8(signs, &self.der).map_err(failed)
    }

    fn rsa(&self) -> Result<RsaKeyPair, SettingsError> {
        RsaKeyPair::from_pkcs8(&self.der).map_err(failed)
    }

    /// The public half.
    ///
    /// # Errors
    /// aws-lc could not use the key.
    pub fn public_numbers(&self) -> Result<PublicNumbers, SettingsError> {
        if let Some((name, _, signs)) = self.kind.curve() {
            let pair = self.ecdsa(signs)?;
            // The uncompressed point (SEC 1 section 2.3.3): 4, then both coordinates.
            let point = pair.public_key().as_ref();
            let coordinates = point.get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            return Ok(PublicNumbers::Ec(name, x.to_vec(), y.to_vec()));
        }
        let pair = self.rsa()?;
        // `RSAPublicKey` (RFC 8017 appendix A.1.1).
        let numbers = Reader::only(pair.public_key().as_ref(), SEQUENCE).and_then(|numbers| {
            let mut numbers = Reader::new(numbers);
            Some((unsigned(numbers.integer()?), unsigned(numbers.integer()?)))
        });
        let (modulus, exponent) = numbers.ok_or_else(|| failed(()))?;
        Ok(PublicNumbers::Rsa(modulus, exponent))
    }

    /// The public half in DER (`SubjectPublicKeyInfo`).
    pub(super) fn public_der(&self) -> Result<Vec<u8>, SettingsError> {
        let der: PublicKeyX509Der<'_> = match self.kind.curve() {
            Some((_, _, signs)) => self.ecdsa(signs)?.public_key().as_der().map_err(failed)?,
            None => self.rsa()?.public_key().as_der().map_err(failed)?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// Signs with the fixed length of JSON Web Signatures (RFC 7518 section 3).
    ///
    /// # Errors
    /// aws-lc could not use the key.
    pub fn sign_jws(&self, message: &[u8]) -> Result<Vec<u8>, SettingsError> {
        self.sign(message, self.kind.curve().map(|(_, fixed, _)| fixed))
    }

    /// Signs as in certificates.
    pub(super) fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>, SettingsError> {
        self.sign(message, self.kind.curve().map(|(_, _, asn1)| asn1))
    }

    fn sign(
        &self,
        message: &[u8],
        signs: Option<&'static EcdsaSigningAlgorithm>,
    ) -> Result<Vec<u8>, SettingsError> {
        let random = SystemRandom::new();
        if let Some(signs) = signs {
            let signature = self.ecdsa(signs)?.sign(&random, message).map_err(failed)?;
            return Ok(signature.as_ref().to_vec());
        }
        let pair = self.rsa()?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
        Ok(signature)
    }
}

/// A number that is not negative, without the zero that keeps its sign.
fn unsigned(integer: &[u8]) -> Vec<u8> {
    integer.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(integer).to_vec()
}

fn generate_rsa(size: KeySize) -> Result<Vec<u8>, SettingsError> {
    let pair = RsaKeyPair::generate(size).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    Ok(der.as_ref().to_vec())
}

/// HMAC with SHA-256 (RFC 2104).
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_as_pem() {
        for kind in [P256, P384, P521, Rsa2048] {
            let key = PrivateKey::generate(kind).unwrap();
            let again = PrivateKey::from_pem(key.to_pem().as_bytes()).unwrap();
            assert_eq!(again.kind(), kind);
            assert_eq!(again.public_der().unwrap(), key.public_der().unwrap());
            assert_eq!(again.public_numbers().unwrap(), key.public_numbers().unwrap());
        }
        assert!(PrivateKey::from_pem(b"nothing").is_err());
    }

    #[test]
    fn signatures_of_json_have_a_fixed_length() {
        for (kind, length) in [(P256, 64), (P384, 96), (P521, 132), (Rsa2048, 256)] {
            let key = PrivateKey::generate(kind).unwrap();
            assert_eq!(key.sign_jws(b"message").unwrap().len(), length, "{kind}");
            let (x, y) = match key.public_numbers().unwrap() {
                PublicNumbers::Ec(_, x, y) => (x.len(), y.len()),
                PublicNumbers::Rsa(n, e) => (n.len(), e.len()),
            };
            let expected = if kind == Rsa2048 { (256, 3) } else { (length / 2, length / 2) };
            assert_eq!((x, y), expected);
        }
    }

    #[test]
    fn kinds_have_names() {
        assert_eq!(KeyKind::named("rsa"), Some(Rsa2048));
        assert_eq!(KeyKind::named("ecdsa:521").map(KeyKind::name), Some("ecdsa:521"));
        assert_eq!(KeyKind::named("rsa:1024"), None);
    }
}

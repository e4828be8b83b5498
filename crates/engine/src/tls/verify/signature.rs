//! Signatures: of certificates and lists by their issuers, and of handshakes by their peers.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature as aws;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};

use super::super::der::{INTEGER, Reader, SEQUENCE, constructed};
use super::certificate::{self, Certificate};

/// 112 bits of security.
const LEAST_RSA_BITS: usize = 2048;

/// `pkcs-1` of RFC 8017: RSA keys and signatures. The last byte follows.
const PKCS1: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const RSA_KEY: u8 = 1;
const RSA_PSS: u8 = 10;
/// MD2, MD4, MD5 and SHA-1 with RSA.
const WEAK_RSA: [u8; 4] = [2, 3, 4, 5];
const MGF1: u8 = 8;

/// `ansi-X9-62` of RFC 5480: elliptic-curve keys and their signatures.
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];

/// Signatures over broken hashes: ecdsa-with-SHA1, dsa-with-sha1 and an older identifier of
/// sha1WithRSA.
const WEAK: [&[u8]; 3] = [
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1],
    &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3],
    &[0x2b, 0x0e, 3, 2, 0x1d],
];

/// The arc of SHA-256, SHA-384 and SHA-512; each is given by its last byte, with its length.
const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
const HASHES: [(u8, usize, &digest::Algorithm); 3] =
    [(1, 32, &digest::SHA256), (2, 48, &digest::SHA384), (3, 64, &digest::SHA512)];

/// The algorithms that rustls can verify.
pub(in super::super) fn algorithms() -> WebPkiSupportedAlgorithms {
    default_provider().signature_verification_algorithms
}

/// A public key: the algorithm (object identifier and parameters) and its bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PublicKey<'a> {
    pub(super) algorithm: &'a [u8],
    pub(super) bits: &'a [u8],
}

impl PublicKey<'_> {
    /// Whether the key is of the type that makes such signatures.
    pub(super) fn can_sign(&self, signature: &[u8]) -> bool {
        let (Some(signature), Some(key)) = (id(signature), id(self.algorithm)) else {
            return false;
        };
        match signature {
            [prefix @ .., RSA_PSS] if prefix == PKCS1 => {
                matches!(key, [prefix @ .., RSA_KEY | RSA_PSS] if prefix == PKCS1)
            }
            [prefix @ .., _] if prefix == PKCS1 => {
                matches!(key, [prefix @ .., RSA_KEY] if prefix == PKCS1)
            }
            _ if signature.starts_with(ECDSA) => key == EC_KEY,
            // Newer algorithms have one identifier for both.
            _ => signature == key,
        }
    }

    /// Whether this key made `signature` over `message`.
    fn has_signed(&self, algorithm: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.check(algorithm)
            .is_some_and(|check| check.verify_signature(self.bits, message, signature).is_ok())
    }

    /// The verifier for such signatures by this key.
    fn check(&self, algorithm: &[u8]) -> Option<&'static dyn SignatureVerificationAlgorithm> {
        let wanted = SignatureAlgorithm::of(algorithm)?;
        let mut all = algorithms().all.iter().copied();
        all.find(|one| {
            SignatureAlgorithm::of(one.signature_alg_id().as_ref()) == Some(wanted)
                && without_null(one.public_key_alg_id().as_ref()) == without_null(self.algorithm)
        })
    }

    /// The size of an RSA key in bits.
    fn rsa_bits(&self) -> Option<usize> {
        if !matches!(id(self.algorithm)?, [prefix @ .., RSA_KEY | RSA_PSS] if prefix == PKCS1) {
            return None;
        }
        let digits = Reader::new(Reader::only(self.bits, SEQUENCE)?).integer()?;
        let first = digits.iter().position(|digit| *digit != 0)?;
        let digits = &digits[first..];
        Some(digits.len() * 8 - digits[0].leading_zeros() as usize)
    }
}

/// A signature algorithm: its identifier, and its hash if the identifier does not imply it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SignatureAlgorithm<'a> {
    id: &'a [u8],
    hash: Option<u8>,
}

impl<'a> SignatureAlgorithm<'a> {
    fn of(algorithm: &'a [u8]) -> Option<Self> {
        let id = id(algorithm)?;
        let hash = match id {
            [prefix @ .., RSA_PSS] if prefix == PKCS1 => Some(pss_hash(algorithm)?),
            _ => None,
        };
        Some(Self { id, hash })
    }
}

/// The hash of RSASSA-PSS, by the last byte of its identifier, if the mask uses the same hash and
/// the salt has the digest's length (RFC 4055 section 3.1).
fn pss_hash(algorithm: &[u8]) -> Option<u8> {
    let mut reader = Reader::new(algorithm);
    reader.oid()?;
    let mut parameters = Reader::new(reader.take(SEQUENCE)?);
    let hash = sha2(Reader::only(parameters.take(constructed(0))?, SEQUENCE)?)?;
    let mask = Reader::only(parameters.take(constructed(1))?, SEQUENCE)?;
    let mut mask = Reader::new(mask);
    let is_mgf1 = matches!(mask.oid()?, [prefix @ .., MGF1] if prefix == PKCS1);
    let of_mask = sha2(mask.take(SEQUENCE)?)?;
    let salt = Reader::only(parameters.take(constructed(2))?, INTEGER)?;
    parameters.end()?;
    let (_, length, _) = HASHES.iter().find(|(last, ..)| *last == hash)?;
    (is_mgf1 && of_mask == hash && salt == [*length as u8]).then_some(hash)
}

fn sha2(algorithm: &[u8]) -> Option<u8> {
    match id(algorithm)? {
        [prefix @ .., last] if prefix == SHA2 => Some(*last),
        _ => None,
    }
}

/// The object identifier of an algorithm.
fn id(algorithm: &[u8]) -> Option<&[u8]> {
    Reader::new(algorithm).oid()
}

/// The algorithm without NULL parameters (RFC 4055 section 1.2).
fn without_null(algorithm: &[u8]) -> &[u8] {
    algorithm.strip_suffix(&[5, 0]).unwrap_or(algorithm)
}

/// Whether `issuer` signed a certificate. The algorithms inside and outside of the signed part must
/// be equal.
pub(super) fn is_of(issued: &Certificate, issuer: &Certificate) -> bool {
    issued.algorithm() == issued.inner_algorithm()
        && issuer.key().has_signed(issued.algorithm(), issued.signed(), issued.signature())
}

/// Whether the key of a certificate has signed a message.
pub(super) fn has_made(
    signer: &Certificate,
    algorithm: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    signer.key().has_signed(algorithm, message, signature)
}

/// A signature with its message, or with the message's digest where that suffices: the digest of a
/// long list is computed once, not per peer.
#[derive(Debug)]
pub(super) struct Signed {
    algorithm: Box<[u8]>,
    signature: Box<[u8]>,
    message: SignedContent,
}

#[derive(Debug)]
enum SignedContent {
    Digest(Digest),
    Whole(Box<[u8]>),
}

impl Signed {
    pub(super) fn new(algorithm: &[u8], message: &[u8], signature: &[u8]) -> Self {
        let hash = SignatureAlgorithm::of(algorithm).and_then(Digested::of);
        let message = match hash {
            Some(hash) => SignedContent::Digest(digest::digest(hash.hash, message)),
            None => SignedContent::Whole(message.into()),
        };
        Self { algorithm: algorithm.into(), signature: signature.into(), message }
    }

    /// Whether `issuer` made the signature.
    pub(super) fn is_of(&self, issuer: &Certificate) -> bool {
        let key = issuer.key();
        match &self.message {
            SignedContent::Whole(message) => {
                key.has_signed(&self.algorithm, message, &self.signature)
            }
            SignedContent::Digest(digest) => SignatureAlgorithm::of(&self.algorithm)
                .and_then(Digested::of)
                .and_then(|hash| hash.algorithm(key.algorithm))
                .is_some_and(|algorithm| {
                    let key = aws::UnparsedPublicKey::new(algorithm, key.bits);
                    key.verify_digest(digest, &self.signature).is_ok()
                }),
        }
    }
}

/// A signature algorithm whose digest can be computed in advance.
struct Digested {
    scheme: Scheme,
    hash: &'static digest::Algorithm,
}

enum Scheme {
    Ecdsa,
    Pkcs1,
    Pss,
}

impl Digested {
    fn of(named: SignatureAlgorithm<'_>) -> Option<Self> {
        let (scheme, hash) = match named.id {
            [prefix @ .., RSA_PSS] if prefix == PKCS1 => (Scheme::Pss, named.hash?),
            [prefix @ .., last @ 11..=13] if prefix == PKCS1 => (Scheme::Pkcs1, last - 10),
            [prefix @ .., 3, last @ 2..=4] if prefix == ECDSA => (Scheme::Ecdsa, last - 1),
            _ => return None,
        };
        let (.., hash) = HASHES.iter().find(|(last, ..)| *last == hash)?;
        Some(Self { scheme, hash })
    }

    /// The verifier for a key with the algorithm `key`.
    fn algorithm(&self, key: &[u8]) -> Option<&'static dyn aws::VerificationAlgorithm> {
        let hash = HASHES.iter().position(|(.., hash)| *hash == self.hash)?;
        let mut key = Reader::new(key);
        let id = key.oid()?;
        if let Scheme::Ecdsa = self.scheme {
            let curve = key.oid()?;
            let (_, rows) = CURVES.iter().find(|(known, _)| *known == curve)?;
            return (id == EC_KEY).then_some(rows[hash] as _);
        }
        if !matches!(id, [prefix @ .., RSA_KEY] if prefix == PKCS1) {
            return None;
        }
        let rows = if let Scheme::Pss = self.scheme { PSS } else { PLAIN };
        Some(rows[hash] as _)
    }
}

type Curve = (&'static [u8], [&'static aws::EcdsaVerificationAlgorithm; 3]);

/// P-256, P-384 and P-521, each with every hash.
const CURVES: [Curve; 3] = [
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        [&aws::ECDSA_P256_SHA256_ASN1, &aws::ECDSA_P256_SHA384_ASN1, &aws::ECDSA_P256_SHA512_ASN1],
    ),
    (
        &[0x2b, 0x81, 4, 0, 0x22],
        [&aws::ECDSA_P384_SHA256_ASN1, &aws::ECDSA_P384_SHA384_ASN1, &aws::ECDSA_P384_SHA512_ASN1],
    ),
    (
        &[0x2b, 0x81, 4, 0, 0x23],
        [&aws::ECDSA_P521_SHA256_ASN1, &aws::ECDSA_P521_SHA384_ASN1, &aws::ECDSA_P521_SHA512_ASN1],
    ),
];

const PLAIN: [&aws::RsaParameters; 3] = [
    &aws::RSA_PKCS1_2048_8192_SHA256,
    &aws::RSA_PKCS1_2048_8192_SHA384,
    &aws::RSA_PKCS1_2048_8192_SHA512,
];

const PSS: [&aws::RsaParameters; 3] = [
    &aws::RSA_PSS_2048_8192_SHA256,
    &aws::RSA_PSS_2048_8192_SHA384,
    &aws::RSA_PSS_2048_8192_SHA512,
];

/// Whether the certificate's signature uses a broken hash; such signatures are not verified.
pub(super) fn is_weak(certificate: &Certificate) -> bool {
    id(certificate.algorithm()).is_some_and(|id| match id {
        [prefix @ .., last] if prefix == PKCS1 => WEAK_RSA.contains(last),
        _ => WEAK.contains(&id),
    })
}

/// Whether the certificate's RSA key is too short.
pub(super) fn is_small(certificate: &Certificate) -> bool {
    certificate.key().rsa_bits().is_some_and(|bits| bits < LEAST_RSA_BITS)
}

/// Verifies the signature of a TLS 1.2 handshake. Any curve is accepted for an ECDSA scheme.
pub(in super::super) fn tls12_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify(message, certificate, signed, usize::MAX)
}

/// Verifies the signature of a TLS 1.3 handshake: RFC 8446 section 4.2.3 ties a scheme to one curve
/// and excludes PKCS #1 v1.5 padding.
pub(in super::super) fn tls13_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let old = matches!(
        signed.scheme,
        SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
            | SignatureScheme::ECDSA_SHA1_Legacy
    );
    if old {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    verify(message, certificate, signed, 1)
}

/// Whether the key of a certificate has signed a message, by ECDSA on P-256 with SHA-256.
pub(in super::super) fn has_signed(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = certificate::key_of(certificate);
    key.is_some_and(|key| {
        let key = aws::UnparsedPublicKey::new(&aws::ECDSA_P256_SHA256_ASN1, key.bits);
        key.verify(message, signature).is_ok()
    })
}

fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    tries: usize,
) -> Result<HandshakeSignatureValid, Error> {
    let key = certificate::key_of(certificate)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let (_, candidates) = algorithms()
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let good = candidates.iter().take(tries).any(|algorithm| {
        without_null(algorithm.public_key_alg_id().as_ref()) == without_null(key.algorithm)
            && algorithm.verify_signature(key.bits, message, signed.signature()).is_ok()
    });
    if good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

//! Signatures: of certificates by their issuers, and of handshakes by their peers.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::{CertificateRevocationList, X509Certificate};
use x509_parser::public_key::PublicKey;

/// 112 bits of security.
const LEAST_RSA_BITS: usize = 2048;

/// What rustls can check.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    super::provider_algorithms()
}

/// Whether `signature` over `message` was made with the algorithm whose identifier's bytes are
/// `oid` and with the private half of `key`.
fn check(oid: &[u8], key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    algorithms().all.iter().any(|algorithm| {
        names(*algorithm, oid) && algorithm.verify_signature(key, message, signature).is_ok()
    })
}

/// Whether `issuer` has signed a certificate. What the certificate says of the algorithm inside
/// and outside of what is signed must be the same.
pub(super) fn is_of(issued: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    issued.signature_algorithm == issued.tbs_certificate.signature
        && check(
            issued.signature_algorithm.algorithm.as_bytes(),
            &issuer.public_key().subject_public_key.data,
            issued.tbs_certificate.as_ref(),
            &issued.signature_value.data,
        )
}

/// Whether `issuer` has signed a revocation list.
pub(super) fn is_of_list(
    list: &CertificateRevocationList<'_>,
    issuer: &X509Certificate<'_>,
) -> bool {
    list.signature_algorithm == list.tbs_cert_list.signature
        && check(
            list.signature_algorithm.algorithm.as_bytes(),
            &issuer.public_key().subject_public_key.data,
            list.tbs_cert_list.as_ref(),
            &list.signature_value.data,
        )
}

/// Whether a certificate is signed over a hash that can be forged; it is not checked at all then.
pub(super) fn is_weak(certificate: &X509Certificate<'_>) -> bool {
    const WEAK: [Oid<'static>; 5] = [
        // md2, md5 and sha1WithRSAEncryption, dsa-with-sha1, ecdsa-with-SHA1
        oid!(1.2.840.113549.1.1.2),
        oid!(1.2.840.113549.1.1.4),
        oid!(1.2.840.113549.1.1.5),
        oid!(1.2.840.10040.4.3),
        oid!(1.2.840.10045.4.1),
    ];
    WEAK.contains(&certificate.signature_algorithm.algorithm)
}

/// Whether a key can be guessed.
pub(super) fn is_small(certificate: &X509Certificate<'_>) -> bool {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() < LEAST_RSA_BITS,
        _ => false,
    }
}

/// Whether the algorithm's identifier, an object identifier and parameters, begins with `oid`.
fn names(algorithm: &dyn SignatureVerificationAlgorithm, oid: &[u8]) -> bool {
    let identifier = algorithm.signature_alg_id();
    match identifier.as_ref() {
        [0x06, len, rest @ ..] => usize::from(*len) == oid.len() && rest.starts_with(oid),
        _ => false,
    }
}

/// Checks the signature of a TLS 1.2 handshake. The key may be of any kind that the scheme names.
pub(crate) fn tls12_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify(message, certificate, signed, usize::MAX)
}

/// Checks the signature of a TLS 1.3 handshake: RFC 8446 section 4.2.3 ties a scheme to one kind
/// of key and leaves out the old padding.
pub(crate) fn tls13_signature(
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

fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    tries: usize,
) -> Result<HandshakeSignatureValid, Error> {
    let parsed = super::parse(certificate)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let key = &parsed.tbs_certificate.subject_pki.subject_public_key.data;
    let (_, candidates) = algorithms()
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let good = candidates
        .iter()
        .take(tries)
        .any(|algorithm| algorithm.verify_signature(key, message, signed.signature()).is_ok());
    if good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

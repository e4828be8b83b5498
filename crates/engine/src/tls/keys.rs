//! Certificates and private keys from PEM files.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign;

use super::der::Reader;
use super::settings_error::SettingsError;
use super::staple::{Staple, Stapling};
use super::verify::Revocation;
use super::verify::certificate::Certificate;
use super::verify::list::List;

mod encrypted;
mod traditional;

/// A certificate with its chain and its private key.
#[derive(Clone, Debug)]
pub struct CertifiedKey {
    pub(super) key: Arc<sign::CertifiedKey>,
    /// What OCSP responders say of the certificate, if they are asked.
    staple: Option<Stapling>,
}

/// A fault of a certificate or key. The texts are OpenSSL's, for nginx's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// `cannot load certificate "FILE": …`
    Certificate(SettingsError),
    /// `cannot load certificate key "FILE": …`
    Key(SettingsError),
    /// `SSL_CTX_use_PrivateKey("FILE") failed …`
    Mismatch,
}

impl KeyError {
    /// nginx's message, with the names of the files.
    pub fn message(&self, certificate: &str, key: &str) -> String {
        match self {
            Self::Certificate(why) => format!("cannot load certificate \"{certificate}\": {why}"),
            Self::Key(why) => format!("cannot load certificate key \"{key}\": {why}"),
            Self::Mismatch => format!(
                "SSL_CTX_use_PrivateKey(\"{key}\") failed (SSL: error:05800074:x509 certificate \
                 routines::key values mismatch)"
            ),
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message("", ""))
    }
}

impl CertifiedKey {
    pub(super) fn new(key: sign::CertifiedKey) -> Self {
        Self { key: Arc::new(key), staple: None }
    }

    /// Reads a certificate chain and its private key, which may be encrypted with one of the
    /// `passwords`.
    ///
    /// # Errors
    /// If either cannot be read, or if the key does not match the certificate.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        passwords: &[&[u8]],
    ) -> Result<Self, KeyError> {
        let chain = certificates_from_pem(certificates).map_err(KeyError::Certificate)?;
        let key = private_key(key, passwords).map_err(KeyError::Key)?;
        let key = any_supported_type(&key).map_err(|_| KeyError::Key(OTHER_KEY.into()))?;
        if let Some(public) = key.public_key() {
            let leaf = Certificate::read(&chain[0]);
            let leaf = leaf.ok_or_else(|| KeyError::Certificate(NO_CERTIFICATE.into()))?;
            if leaf.key_info() != public.as_ref() {
                return Err(KeyError::Mismatch);
            }
        }
        Ok(Self::new(sign::CertifiedKey::new(chain, key)))
    }

    /// Attaches a stapled OCSP response in DER (`ssl_stapling_file`).
    #[must_use]
    pub fn with_ocsp(&self, response: Vec<u8>) -> Self {
        let mut key = sign::CertifiedKey::clone(&self.key);
        key.ocsp = Some(response);
        Self::new(key)
    }

    /// Attaches responses that come later (`ssl_stapling` with a responder).
    #[must_use]
    pub fn with_staple(&self, staple: Arc<Staple>) -> Self {
        Self { key: Arc::clone(&self.key), staple: Some(Stapling::new(staple)) }
    }

    /// The certificate, its key, and the response in force.
    pub(super) fn for_handshake(&self) -> Arc<sign::CertifiedKey> {
        let stapled = self.staple.as_ref().and_then(|staple| staple.attached(&self.key));
        stapled.unwrap_or_else(|| Arc::clone(&self.key))
    }

    /// The certificate chain as DER, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// Whether both keys use the same algorithm.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.key.key.algorithm() == other.key.key.algorithm()
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == rustls::SignatureAlgorithm::RSA
    }
}

const NO_CERTIFICATE: &str = "PEM_read_bio_X509_AUX() failed \
     (SSL: error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE)";

const NO_KEY: &str = "PEM_read_bio_PrivateKey() failed (SSL: error:1E08010C:DECODER \
     routines::unsupported:No supported data to decode. Input type: PEM)";

const BAD_DECRYPT: &str = "PEM_read_bio_PrivateKey() failed (SSL: error:1C800064:Provider \
     routines::bad decrypt)";

const OTHER_KEY: &str = "keys of this kind are not supported; RSA up to 8192 bits, P-256, P-384, \
     P-521 and Ed25519 are";

/// The UTF-8 byte order mark, which some editors write.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(MARK).unwrap_or(pem)
}

/// Reads all certificates of a PEM file; at least one is required.
///
/// # Errors
/// OpenSSL's message.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let pem = plain_certificates(without_mark(pem));
    let mut certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| NO_CERTIFICATE)?;
    for certificate in &mut certificates {
        // Drops the trust settings that `openssl x509 -trustout` appends to a certificate.
        let length = Reader::new(certificate).value().map_or(0, |value| value.whole.len());
        if length < certificate.len() {
            *certificate = certificate[..length].to_vec().into();
        }
        if Certificate::read(certificate).is_none() {
            return Err(NO_CERTIFICATE.into());
        }
    }
    if certificates.is_empty() { Err(NO_CERTIFICATE.into()) } else { Ok(certificates) }
}

/// Replaces OpenSSL's other certificate labels by the usual one.
fn plain_certificates(pem: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(pem);
    if !text.contains("TRUSTED CERTIFICATE") && !text.contains("X509 CERTIFICATE") {
        return pem.into();
    }
    let plain = text.replace("TRUSTED CERTIFICATE", "CERTIFICATE");
    plain.replace("X509 CERTIFICATE", "CERTIFICATE").into_bytes().into()
}

/// Reads all revocation lists of a PEM file; at least one is required.
///
/// # Errors
/// OpenSSL's message.
pub fn crls_from_pem(pem: &[u8]) -> Result<Revocation, SettingsError> {
    // An unreadable list is an error: skipping it would accept certificates that it revokes.
    let read = || -> Option<Vec<List>> {
        let lists = CertificateRevocationListDer::pem_slice_iter(pem);
        lists.map(|list| List::read(&list.ok()?)).collect()
    };
    Revocation::of_file(pem, read).ok_or_else(|| "X509_LOOKUP_load_file() failed".into())
}

pub(super) fn private_key(
    pem: &[u8],
    passwords: &[&[u8]],
) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let pem = without_mark(pem);
    let try_all = |decrypt: &dyn Fn(&[u8]) -> Option<PrivateKeyDer<'static>>| {
        let found = passwords.iter().find_map(|password| decrypt(password));
        found.ok_or_else(|| BAD_DECRYPT.into())
    };
    if let Some(der) = encrypted::find(pem) {
        return try_all(&|password| encrypted::decrypt(&der, password));
    }
    if let Some(sealed) = traditional::find(pem) {
        return try_all(&|password| sealed.decrypt(password));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| NO_KEY.into())
}

//! Questions about one certificate.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::super::super::der::{INTEGER, OCTET_STRING, SEQUENCE, put};
use super::super::certificate::Certificate;
use super::response::CertId;

/// The identifier of SHA-1, with its parameters. Every responder knows this hash, and it protects
/// nothing here: it names an issuer.
pub(super) const SHA1: &[u8] = &[6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0];

/// The length of a digest.
pub(super) const DIGEST: usize = 20;

/// The longest serial number (RFC 5280 section 4.1.2.2).
const LONGEST_SERIAL: usize = 20;

/// Digests and number of a certificate in question, as a key of caches.
pub type OcspKey = [u8; 2 * DIGEST + LONGEST_SERIAL];

/// A certificate whose status is asked for, by its issuer and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The digest of the issuer's name.
    name: [u8; DIGEST],
    /// The digest of the issuer's key.
    key: [u8; DIGEST],
    serial: Box<[u8]>,
}

/// The digest of a name, given without its tag.
pub(super) fn name_digest(name: &[u8]) -> [u8; DIGEST] {
    sha1(&put(SEQUENCE, name))
}

/// The digest of a certificate's key.
pub(super) fn key_digest(certificate: &Certificate) -> [u8; DIGEST] {
    sha1(certificate.key().bits)
}

fn sha1(bytes: &[u8]) -> [u8; DIGEST] {
    let mut own = [0; DIGEST];
    own.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    own
}

impl Question {
    /// The question about a certificate of this issuer, both in DER. `None` if either cannot be
    /// read.
    pub fn new(certificate: &[u8], issuer: &[u8]) -> Option<Self> {
        let (certificate, issuer) = (Certificate::read(certificate)?, Certificate::read(issuer)?);
        Some(Self {
            name: name_digest(certificate.raw_issuer()),
            key: key_digest(&issuer),
            serial: certificate.serial().into(),
        })
    }

    /// The request in DER (RFC 6960 section 4.1.1): one question, no nonce, no signature.
    pub fn request(&self) -> Vec<u8> {
        let id = [
            put(SEQUENCE, SHA1),
            put(OCTET_STRING, &self.name),
            put(OCTET_STRING, &self.key),
            put(INTEGER, &self.serial),
        ];
        let id = put(SEQUENCE, &id.concat());
        // The request, the list of requests, the part to sign, and the whole.
        (0..4).fold(id, |inner, _| put(SEQUENCE, &inner))
    }

    /// The key for caches. `None` if the number is longer than it may be.
    pub fn key(&self) -> Option<OcspKey> {
        let mut key = [0; 2 * DIGEST + LONGEST_SERIAL];
        key[..DIGEST].copy_from_slice(&self.name);
        key[DIGEST..2 * DIGEST].copy_from_slice(&self.key);
        key[2 * DIGEST..].get_mut(..self.serial.len())?.copy_from_slice(&self.serial);
        Some(key)
    }

    /// Whether an answer is about this certificate.
    pub(super) fn is_of(&self, id: &CertId<'_>) -> bool {
        id.is_sha1() && id.name == self.name && id.key == self.key && *id.serial == *self.serial
    }
}

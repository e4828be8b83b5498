//! Certificates and revocation lists to order, with whatever is to be wrong with them.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

/// How many keys there are to choose from.
const KEYS: usize = 5;

static KEY: LazyLock<Vec<EcdsaKeyPair>> = LazyLock::new(|| {
    let make = |_| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    (0..KEYS).map(make).collect()
});

/// From when until when, as in a certificate's UTCTime.
pub(super) type Span = (&'static str, &'static str);
pub(super) const VALID: Span = ("200101000000Z", "491231235959Z");
pub(super) const PAST: Span = ("200101000000Z", "210101000000Z");
pub(super) const FUTURE: Span = ("480101000000Z", "491231235959Z");

pub(super) const ID_KEY_USAGE: &[u8] = &[0x55, 29, 15];
pub(super) const ID_ALTERNATIVE: &[u8] = &[0x55, 29, 17];
pub(super) const ID_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
pub(super) const ID_NAME_CONSTRAINTS: &[u8] = &[0x55, 29, 30];
pub(super) const ID_POLICY_CONSTRAINTS: &[u8] = &[0x55, 29, 36];
pub(super) const ID_AUTHORITY_KEY: &[u8] = &[0x55, 29, 35];
pub(super) const ID_SUBJECT_KEY: &[u8] = &[0x55, 29, 14];
pub(super) const ID_PURPOSES: &[u8] = &[0x55, 29, 37];
pub(super) const ID_DELTA: &[u8] = &[0x55, 29, 27];
pub(super) const ID_SCOPE: &[u8] = &[0x55, 29, 28];
/// An identifier that nobody knows.
pub(super) const ID_UNKNOWN: &[u8] = &[0x2a, 3, 4, 5];

pub(super) const DIGITAL_SIGNATURE: u8 = 0x80;
pub(super) const KEY_ENCIPHERMENT: u8 = 0x20;
pub(super) const CERT_SIGN: u8 = 0x04;
pub(super) const CRL_SIGN: u8 = 0x02;

/// A certificate to be made.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) key: usize,
    pub(super) signer: usize,
    pub(super) serial: u8,
    pub(super) span: Span,
    /// Whether it says that it is signed over SHA-1, which is not true.
    pub(super) weak: bool,
    pub(super) extensions: Vec<Vec<u8>>,
}

impl Order {
    pub(super) fn new(subject: &str, key: usize, issuer: &str, signer: usize) -> Self {
        Self {
            subject: name(subject),
            issuer: name(issuer),
            key,
            signer,
            serial: 7,
            span: VALID,
            weak: false,
            extensions: Vec::new(),
        }
    }

    /// An authority's.
    pub(super) fn authority(subject: &str, key: usize, issuer: &str, signer: usize) -> Self {
        Self::new(subject, key, issuer, signer)
            .with(constraints(true, None))
            .with(key_usage(CERT_SIGN | CRL_SIGN))
    }

    pub(super) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(super) fn bare(mut self) -> Self {
        self.extensions.clear();
        self
    }

    pub(super) fn span(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    pub(super) fn make(&self) -> CertificateDer<'static> {
        let version = tlv(0xa0, &[2, 1, 2]);
        let span = [tlv(0x17, self.span.0.as_bytes()), tlv(0x17, self.span.1.as_bytes())].concat();
        let kind = [0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]
            .into_iter()
            .chain([6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        let point = [&[0], KEY[self.key].public_key().as_ref()].concat();
        let key = tlv(0x30, &[kind.collect(), tlv(3, &point)].concat());
        let mut parts = vec![
            tlv(2, &[self.serial]),
            algorithm(self.weak),
            self.issuer.clone(),
            tlv(0x30, &span),
            self.subject.clone(),
            key,
        ];
        if !self.extensions.is_empty() {
            parts.insert(0, version);
            parts.push(tlv(0xa3, &tlv(0x30, &self.extensions.concat())));
        }
        sign(&parts.concat(), self.signer, self.weak).into()
    }
}

/// A revocation list of `issuer`.
pub(super) fn list(
    issuer: &str,
    signer: usize,
    span: Span,
    revoked: &[u8],
    extensions: &[Vec<u8>],
) -> CertificateRevocationListDer<'static> {
    let date = tlv(0x17, span.0.as_bytes());
    let entry = |serial: &u8| tlv(0x30, &[tlv(2, &[*serial]), date.clone()].concat());
    let mut parts = vec![
        tlv(2, &[1]),
        algorithm(false),
        name(issuer),
        date.clone(),
        tlv(0x17, span.1.as_bytes()),
    ];
    if !revoked.is_empty() {
        parts.push(tlv(0x30, &revoked.iter().flat_map(entry).collect::<Vec<u8>>()));
    }
    if !extensions.is_empty() {
        parts.push(tlv(0xa0, &tlv(0x30, &extensions.concat())));
    }
    sign(&parts.concat(), signer, false).into()
}

/// The same order gives the same bytes, although each signature is another.
fn sign(message: &[u8], signer: usize, weak: bool) -> Vec<u8> {
    type Made = BTreeMap<(Vec<u8>, usize), Vec<u8>>;
    static MADE: Mutex<Made> = Mutex::new(Made::new());
    let mut made = MADE.lock().unwrap();
    made.entry((message.to_vec(), signer))
        .or_insert_with(|| sign_anew(message, signer, weak))
        .clone()
}

fn sign_anew(message: &[u8], signer: usize, weak: bool) -> Vec<u8> {
    let signed = tlv(0x30, message);
    let signature = KEY[signer].sign(&SystemRandom::new(), &signed).unwrap();
    let signature = tlv(3, &[&[0], signature.as_ref()].concat());
    tlv(0x30, &[signed, algorithm(weak), signature].concat())
}

/// ecdsa-with-SHA256, or `weak`, ecdsa-with-SHA1.
fn algorithm(weak: bool) -> Vec<u8> {
    let mut id = vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
    id.extend_from_slice(if weak { &[1] } else { &[3, 2] });
    tlv(0x30, &tlv(6, &id))
}

/// A name of one common name in UTF-8.
pub(super) fn name(common: &str) -> Vec<u8> {
    name_as(0x0c, common)
}

/// The same in another type of string.
pub(super) fn name_as(tag: u8, common: &str) -> Vec<u8> {
    let attribute = [vec![6, 3, 0x55, 4, 3], tlv(tag, common.as_bytes())].concat();
    tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute)))
}

pub(super) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[tlv(6, id), critical.to_vec(), tlv(4, value)].concat())
}

pub(super) fn constraints(authority: bool, most: Option<u8>) -> Vec<u8> {
    let mut value = if authority { vec![1, 1, 0xff] } else { Vec::new() };
    value.extend(most.into_iter().flat_map(|most| [2, 1, most]));
    extension(ID_CONSTRAINTS, true, &tlv(0x30, &value))
}

pub(super) fn key_usage(bits: u8) -> Vec<u8> {
    extension(ID_KEY_USAGE, true, &[3, 2, 0, bits])
}

/// Extended key usage: 1 is a server, 2 a client.
pub(super) fn purposes(purposes: &[u8]) -> Vec<u8> {
    let id = |&purpose: &u8| tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, purpose]);
    let ids: Vec<u8> = purposes.iter().flat_map(id).collect();
    extension(ID_PURPOSES, false, &tlv(0x30, &ids))
}

/// Alternative names as pairs of the kind's tag and the bytes.
pub(super) fn alternatives(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|(tag, name)| tlv(*tag, name)).collect();
    extension(ID_ALTERNATIVE, false, &tlv(0x30, &names))
}

/// Name constraints, each a pair of the kind's tag and the bytes.
pub(super) fn subtrees(permitted: &[(u8, &[u8])], excluded: &[(u8, &[u8])]) -> Vec<u8> {
    let trees = |names: &[(u8, &[u8])]| -> Vec<u8> {
        names.iter().flat_map(|(tag, name)| tlv(0x30, &tlv(*tag, name))).collect()
    };
    let mut value = Vec::new();
    if !permitted.is_empty() {
        value.extend(tlv(0xa0, &trees(permitted)));
    }
    if !excluded.is_empty() {
        value.extend(tlv(0xa1, &trees(excluded)));
    }
    extension(ID_NAME_CONSTRAINTS, true, &tlv(0x30, &value))
}

/// A value of ASN.1 in DER.
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        len @ ..0x80 => out.push(len as u8),
        len @ ..0x100 => out.extend([0x81, len as u8]),
        len => out.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    out.extend(value);
    out
}

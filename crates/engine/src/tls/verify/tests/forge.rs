//! Builders of certificates and revocation lists with chosen faults.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivatePkcs8KeyDer};

/// The number of keys: the first are P-256, followed by one each of P-384, Ed25519, RSA and RSA
/// with RSASSA-PSS.
pub(super) const KEYS: usize = PLAIN_KEYS + 4;
pub(super) const PLAIN_KEYS: usize = 6;

/// Fixed keys, so that a seed determines every certificate.
static KEY: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let pem = include_bytes!("../../fixtures/forge.key");
    let all: Vec<PrivatePkcs8KeyDer<'_>> =
        PrivatePkcs8KeyDer::pem_slice_iter(pem).map(Result::unwrap).collect();
    let der = |at: usize| all[at].secret_pkcs8_der();
    let p256 = |at| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der(at)).unwrap();
    let p384 = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der(PLAIN_KEYS)).unwrap();
    let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der(PLAIN_KEYS + 1)).unwrap();
    let rsa = || {
        let pem = include_bytes!("../../fixtures/rsa.key");
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap()
    };
    let plain = (0..PLAIN_KEYS).map(|at| Pair::P256(p256(at)));
    let others = [Pair::P384(p384), Pair::Ed25519(ed25519), Pair::Rsa(rsa()), Pair::Pss(rsa())];
    plain.chain(others).collect()
});

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Pss(RsaKeyPair),
}

impl Pair {
    /// The public key with its algorithm.
    fn public(&self) -> Vec<u8> {
        let der = |key: &dyn AsDer<PublicKeyX509Der<'static>>| key.as_der().unwrap();
        let der = match self {
            Self::P256(pair) | Self::P384(pair) => der(pair.public_key()),
            Self::Ed25519(pair) => der(pair.public_key()),
            Self::Rsa(pair) | Self::Pss(pair) => der(pair.public_key()),
        };
        der.as_ref().to_vec()
    }

    /// The algorithm of its signatures.
    fn algorithm(&self) -> Vec<u8> {
        let sha256 = tlv(0x30, &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0]);
        let pkcs1 = |last: u8| [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
        let body = match self {
            Self::P256(_) => vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
            Self::P384(_) => vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
            Self::Ed25519(_) => vec![6, 3, 0x2b, 0x65, 0x70],
            Self::Rsa(_) => [&pkcs1(11)[..], &[5, 0]].concat(),
            Self::Pss(_) => {
                let mask = tlv(0x30, &[&pkcs1(8)[..], &sha256].concat());
                let parts = [tlv(0xa0, &sha256), tlv(0xa1, &mask), tlv(0xa2, &[2, 1, 32])];
                [&pkcs1(10)[..], &tlv(0x30, &parts.concat())].concat()
            }
        };
        tlv(0x30, &body)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) | Self::Pss(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                match self {
                    Self::Rsa(_) => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
                    _ => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature),
                }
                .unwrap();
                signature
            }
        }
    }
}

/// A validity period in UTCTime.
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
/// An unknown identifier.
pub(super) const ID_UNKNOWN: &[u8] = &[0x2a, 3, 4, 5];

pub(super) const DIGITAL_SIGNATURE: u8 = 0x80;
pub(super) const KEY_ENCIPHERMENT: u8 = 0x20;
pub(super) const CERT_SIGN: u8 = 0x04;
pub(super) const CRL_SIGN: u8 = 0x02;

/// The specification of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) key: usize,
    pub(super) signer: usize,
    /// The bytes of the serial number.
    pub(super) serial: Vec<u8>,
    pub(super) span: Span,
    pub(super) algorithm: Algorithm,
    pub(super) extensions: Vec<Vec<u8>>,
    pub(super) edits: Vec<Edit>,
}

/// An offset in the signed part and the bits flipped there before signing.
pub(super) type Edit = (usize, u8);

fn edited(mut signed: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for (at, bits) in edits {
        let at = at % signed.len();
        signed[at] ^= bits;
    }
    signed
}

/// The declared algorithm of a signature, and its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    True,
    /// Declares ecdsa-with-SHA1 without using it.
    Weak,
    /// Declares it outside of the signed part only.
    WeakOutside,
    /// One bit of the signature is flipped.
    Changed,
}

impl Order {
    pub(super) fn new(subject: &str, key: usize, issuer: &str, signer: usize) -> Self {
        Self {
            subject: name(subject),
            issuer: name(issuer),
            key,
            signer,
            serial: vec![7],
            span: VALID,
            algorithm: Algorithm::True,
            extensions: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// An authority's certificate.
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

    /// Builds the certificate; equal specifications give equal bytes although signatures are
    /// random.
    pub(super) fn make(&self) -> CertificateDer<'static> {
        type Made = BTreeMap<(Vec<u8>, usize), Vec<u8>>;
        static MADE: Mutex<Made> = Mutex::new(Made::new());
        let signed = self.signed();
        let mut made = MADE.lock().unwrap();
        let make = || sign(&signed, self.signer, self.algorithm);
        made.entry((signed.clone(), self.signer)).or_insert_with(make).clone().into()
    }

    /// Builds a certificate with a fresh signature.
    pub(super) fn forge(&self) -> CertificateDer<'static> {
        sign(&self.signed(), self.signer, self.algorithm).into()
    }

    fn signed(&self) -> Vec<u8> {
        let version = tlv(0xa0, &[2, 1, 2]);
        let span = [time(self.span.0), time(self.span.1)].concat();
        let mut parts = vec![
            tlv(2, &self.serial),
            algorithm(self.signer, self.algorithm == Algorithm::Weak),
            self.issuer.clone(),
            tlv(0x30, &span),
            self.subject.clone(),
            KEY[self.key].public(),
        ];
        if !self.extensions.is_empty() {
            parts.insert(0, version);
            parts.push(tlv(0xa3, &tlv(0x30, &self.extensions.concat())));
        }
        edited(tlv(0x30, &parts.concat()), &self.edits)
    }
}

/// A time in the form that its length implies.
fn time(text: &str) -> Vec<u8> {
    tlv(if text.len() > 13 { 0x18 } else { 0x17 }, text.as_bytes())
}

/// A signed response of an OCSP responder, with the certificates that it sends along.
pub(super) fn ocsp_response(
    signed: &[u8],
    signer: usize,
    kind: Algorithm,
    certificates: &[CertificateDer<'_>],
) -> Vec<u8> {
    let mut signature = KEY[signer].sign(signed);
    if kind == Algorithm::Changed {
        *signature.last_mut().unwrap() ^= 1;
    }
    let signature = tlv(3, &[&[0], &signature[..]].concat());
    let mut parts = vec![signed.to_vec(), algorithm(signer, kind == Algorithm::Weak), signature];
    if !certificates.is_empty() {
        let all: Vec<u8> = certificates.iter().flat_map(|der| der.to_vec()).collect();
        parts.push(tlv(0xa0, &tlv(0x30, &all)));
    }
    let basic = tlv(4, &tlv(0x30, &parts.concat()));
    let kind = tlv(6, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]);
    let content = tlv(0xa0, &tlv(0x30, &[kind, basic].concat()));
    tlv(0x30, &[vec![10, 1, 0], content].concat())
}

/// The digest of a key, as names of responders and issuers have it.
pub(super) fn key_digest(key: usize, algorithm: &'static aws_lc_rs::digest::Algorithm) -> Vec<u8> {
    let public = KEY[key].public();
    let bits = crate::tls::der::Reader::only(&public, 0x30).and_then(|body| {
        let mut reader = crate::tls::der::Reader::new(body);
        reader.take(0x30)?;
        reader.take(3)
    });
    aws_lc_rs::digest::digest(algorithm, &bits.unwrap()[1..]).as_ref().to_vec()
}

/// The specification of a revocation list.
#[derive(Clone, Debug)]
pub(super) struct ListOrder {
    pub(super) issuer: Vec<u8>,
    pub(super) signer: usize,
    pub(super) span: (&'static str, Option<&'static str>),
    pub(super) algorithm: Algorithm,
    /// Serial numbers with the extensions of their entries.
    pub(super) revoked: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) extensions: Vec<Vec<u8>>,
    pub(super) edits: Vec<Edit>,
}

impl ListOrder {
    pub(super) fn make(&self) -> CertificateRevocationListDer<'static> {
        let date = time(self.span.0);
        let entry = |(serial, extensions): &(Vec<u8>, Vec<u8>)| {
            let extensions = if extensions.is_empty() { Vec::new() } else { tlv(0x30, extensions) };
            tlv(0x30, &[tlv(2, serial), date.clone(), extensions].concat())
        };
        let mut parts = vec![
            tlv(2, &[1]),
            algorithm(self.signer, self.algorithm == Algorithm::Weak),
            self.issuer.clone(),
            date.clone(),
        ];
        parts.extend(self.span.1.map(time));
        if !self.revoked.is_empty() {
            parts.push(tlv(0x30, &self.revoked.iter().flat_map(entry).collect::<Vec<u8>>()));
        }
        if !self.extensions.is_empty() {
            parts.push(tlv(0xa0, &tlv(0x30, &self.extensions.concat())));
        }
        let signed = edited(tlv(0x30, &parts.concat()), &self.edits);
        sign(&signed, self.signer, self.algorithm).into()
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
    ListOrder {
        issuer: name(issuer),
        signer,
        span: (span.0, Some(span.1)),
        algorithm: Algorithm::True,
        revoked: revoked.iter().map(|serial| (vec![*serial], Vec::new())).collect(),
        extensions: extensions.to_vec(),
        edits: Vec::new(),
    }
    .make()
}

pub(super) fn sign(signed: &[u8], signer: usize, kind: Algorithm) -> Vec<u8> {
    let mut signature = KEY[signer].sign(signed);
    if kind == Algorithm::Changed {
        *signature.last_mut().unwrap() ^= 1;
    }
    let weak = matches!(kind, Algorithm::Weak | Algorithm::WeakOutside);
    let signature = tlv(3, &[&[0], &signature[..]].concat());
    tlv(0x30, &[signed.to_vec(), algorithm(signer, weak), signature].concat())
}

/// The signature algorithm of a key, or ecdsa-with-SHA1 if `weak`.
fn algorithm(signer: usize, weak: bool) -> Vec<u8> {
    match weak {
        true => tlv(0x30, &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1]),
        false => KEY[signer].algorithm(),
    }
}

/// A name with one common name in UTF-8.
pub(super) fn name(common: &str) -> Vec<u8> {
    name_as(0x0c, common)
}

/// A name with one common name in another string type.
pub(super) fn name_as(tag: u8, common: &str) -> Vec<u8> {
    name_of(tag, common.as_bytes())
}

/// A name with one common name of arbitrary bytes.
pub(super) fn name_of(tag: u8, common: &[u8]) -> Vec<u8> {
    attribute(&[0x55, 4, 3], tag, common)
}

/// A name with one attribute.
pub(super) fn attribute(id: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    let attribute = [tlv(6, id), tlv(tag, value)].concat();
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

/// Extended key usage: 1 is server, 2 is client authentication.
pub(super) fn purposes(purposes: &[u8]) -> Vec<u8> {
    let id = |&purpose: &u8| tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, purpose]);
    let ids: Vec<u8> = purposes.iter().flat_map(id).collect();
    extension(ID_PURPOSES, false, &tlv(0x30, &ids))
}

/// Alternative names, as pairs of tag and value.
pub(super) fn alternatives(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|(tag, name)| tlv(*tag, name)).collect();
    extension(ID_ALTERNATIVE, false, &tlv(0x30, &names))
}

/// Name constraints, as pairs of tag and value.
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

/// A DER value.
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        len @ ..0x80 => out.push(len as u8),
        len @ ..0x100 => out.extend([0x81, len as u8]),
        len @ ..0x1_0000 => out.extend([0x82, (len >> 8) as u8, len as u8]),
        len => out.extend([0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8]),
    }
    out.extend(value);
    out
}

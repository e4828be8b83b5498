//! Certificates, parsed once into a form for comparisons.

use std::ops::Range;

use super::super::der::{
    self, BIT_STRING, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, UTC_TIME, constructed, place,
    primitive,
};
use super::dn;
use super::extensions::Extensions;
use super::signature::PublicKey;

/// The content of a certificate (RFC 5280 section 4.1).
#[derive(Debug)]
pub(in super::super) struct Certificate {
    der: Box<[u8]>,
    /// The signed part (`tbsCertificate`).
    signed: Range<usize>,
    serial: Range<usize>,
    issuer_name: Range<usize>,
    subject_name: Range<usize>,
    validity: Range<usize>,
    /// The public key with its algorithm (`subjectPublicKeyInfo`), tag included.
    key: Range<usize>,
    /// The signature algorithm, outside and inside of the signed part.
    algorithm: Range<usize>,
    inner_algorithm: Range<usize>,
    signature: Range<usize>,
    /// Zero-based: 0 is version 1.
    pub(super) version: u8,
    /// In canonical form.
    pub(super) issuer: Box<[u8]>,
    pub(super) subject: Box<[u8]>,
    /// In seconds since 1970; `None` for an invalid time.
    pub(in super::super) not_before: Option<i64>,
    pub(in super::super) not_after: Option<i64>,
    pub(super) extensions: Extensions,
    /// The issuer's name equals the subject's.
    pub(super) is_self_issued: bool,
    /// Self-issued, and its key identifiers allow a self-signature.
    pub(super) is_self_signed: bool,
}

impl Certificate {
    /// Reads DER. `None` if it is not a certificate or has a malformed name.
    pub(in super::super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(Reader::only(bytes, SEQUENCE)?);
        let signed = outer.value().filter(|value| value.tag == SEQUENCE)?;
        let algorithm = algorithm(&mut outer)?;
        let signature = der::whole_bits(outer.take(BIT_STRING)?)?;
        outer.end()?;

        let mut reader = Reader::new(signed.body);
        let version = reader.optional(constructed(0))?.map_or(Some(0), version)?;
        let serial = reader.integer()?;
        let inner = self::algorithm(&mut reader)?;
        let issuer_name = reader.take(SEQUENCE)?;
        let validity = reader.take(SEQUENCE)?;
        let subject_name = reader.take(SEQUENCE)?;
        let key = reader.value().filter(|value| value.tag == SEQUENCE)?.whole;
        read_key(key)?;
        for number in [1, 2] {
            reader.optional(primitive(number))?.map_or(Some(Vec::new()), der::bits)?;
        }
        let issuer = dn::canonical(issuer_name)?;
        let subject = dn::canonical(subject_name)?;
        let list = reader.optional(constructed(3))?;
        let list = list.map_or(Some(&[][..]), |list| Reader::only(list, SEQUENCE))?;
        let extensions = Extensions::read(list, &issuer)?;
        reader.end()?;
        let mut times = Reader::new(validity);
        let not_before = time(&mut times)?;
        let not_after = time(&mut times)?;
        times.end()?;
        let is_self_issued = issuer == subject;
        let mut own = Self {
            signed: place(bytes, signed.whole),
            serial: place(bytes, serial),
            issuer_name: place(bytes, issuer_name),
            subject_name: place(bytes, subject_name),
            validity: place(bytes, validity),
            key: place(bytes, key),
            algorithm: place(bytes, algorithm),
            inner_algorithm: place(bytes, inner),
            signature: place(bytes, signature),
            version,
            issuer,
            subject,
            not_before,
            not_after,
            extensions,
            is_self_issued,
            is_self_signed: false,
            der: bytes.into(),
        };
        own.is_self_signed = own.is_self_issued && own.can_be_from(&own);
        Some(own)
    }

    /// Whether names and key identifiers allow `issuer` to be the issuer. A certificate with
    /// malformed extensions has no issuer and issues nothing.
    pub(super) fn can_be_from(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
            && self.extensions.sound
            && issuer.extensions.sound
            && self.extensions.authority_key.as_ref().is_none_or(|key| key.fits(issuer))
            && issuer.key().can_sign(self.inner_algorithm())
    }

    /// Whether the certificate is valid at `now`, in seconds since 1970. The last second is already
    /// too late.
    pub(super) fn is_in_time(&self, now: i64) -> bool {
        self.not_before.is_some_and(|start| start <= now)
            && self.not_after.is_some_and(|end| now < end)
    }

    /// The DER encoding of the certificate.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The signed part.
    pub(super) fn signed(&self) -> &[u8] {
        &self.der[self.signed.clone()]
    }

    /// The signature algorithm: object identifier and parameters.
    pub(super) fn algorithm(&self) -> &[u8] {
        &self.der[self.algorithm.clone()]
    }

    /// The signature algorithm inside the signed part.
    pub(super) fn inner_algorithm(&self) -> &[u8] {
        &self.der[self.inner_algorithm.clone()]
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.der[self.signature.clone()]
    }

    /// The bytes of the serial number, a two's complement integer.
    pub(in super::super) fn serial(&self) -> &[u8] {
        &self.der[self.serial.clone()]
    }

    /// The subject without its tag.
    pub(in super::super) fn raw_subject(&self) -> &[u8] {
        &self.der[self.subject_name.clone()]
    }

    /// The issuer without its tag.
    pub(in super::super) fn raw_issuer(&self) -> &[u8] {
        &self.der[self.issuer_name.clone()]
    }

    /// The identifier of the authority's key, if the certificate has it.
    pub(in super::super) fn authority_key_id(&self) -> Option<&[u8]> {
        self.extensions.authority_key.as_ref()?.key_id()
    }

    /// The validity period as tagged texts.
    pub(in super::super) fn validity(&self) -> [(u8, &[u8]); 2] {
        let mut reader = Reader::new(&self.der[self.validity.clone()]);
        [(); 2].map(|()| reader.value().map_or((0, &[][..]), |time| (time.tag, time.body)))
    }

    /// The public key with its algorithm, tag included.
    pub(in super::super) fn key_info(&self) -> &[u8] {
        &self.der[self.key.clone()]
    }

    pub(super) fn key(&self) -> PublicKey<'_> {
        read_key(self.key_info()).unwrap_or_default()
    }
}

/// The public key of a certificate, without parsing the rest.
pub(super) fn key_of(bytes: &[u8]) -> Option<PublicKey<'_>> {
    let mut outer = Reader::new(Reader::only(bytes, SEQUENCE)?);
    let mut reader = Reader::new(outer.take(SEQUENCE)?);
    reader.optional(constructed(0))?;
    // Serial number, algorithm, issuer, validity, subject.
    reader.take(INTEGER)?;
    for _ in 0..4 {
        reader.take(SEQUENCE)?;
    }
    read_key(reader.value().filter(|value| value.tag == SEQUENCE)?.whole)
}

fn read_key(info: &[u8]) -> Option<PublicKey<'_>> {
    let mut reader = Reader::new(Reader::only(info, SEQUENCE)?);
    let algorithm = algorithm(&mut reader)?;
    let bits = reader.take(BIT_STRING)?;
    reader.end()?;
    der::bits(bits)?;
    // A key with unused bits is invalid and matches no algorithm.
    let bits = der::whole_bits(bits).unwrap_or_default();
    Some(PublicKey { algorithm, bits })
}

/// The body of the next value, an algorithm identifier: an object identifier and optional
/// parameters.
pub(super) fn algorithm<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let body = reader.take(SEQUENCE)?;
    let mut parts = Reader::new(body);
    parts.oid()?;
    if !parts.is_empty() {
        parts.any()?;
    }
    parts.end().map(|()| body)
}

fn version(body: &[u8]) -> Option<u8> {
    match Reader::only(body, INTEGER)? {
        [version @ 0..=2] => Some(*version),
        _ => None,
    }
}

/// The next value as a time; `Some(None)` if its text is invalid.
pub(super) fn time(reader: &mut Reader<'_>) -> Option<Option<i64>> {
    let value = reader.value()?;
    matches!(value.tag, UTC_TIME | GENERALIZED_TIME).then(|| der::time(value.tag, value.body))
}

//! Responses (RFC 6960 section 4.2), parsed without judgement.

use aws_lc_rs::digest::{self, digest};

use super::super::super::der::{
    self, BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, OCTET_STRING, Reader, SEQUENCE,
    constructed, primitive, put,
};
use super::super::LONGEST_PATH;
use super::super::certificate::{Certificate, algorithm};
use super::super::dn;
use super::question::{DIGEST, SHA1, key_digest};
use super::{CertStatus, OcspError};

/// `id-pkix-ocsp-basic`.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// The object identifiers of hashes that may name an issuer.
const HASHES: [(&[u8], &digest::Algorithm); 4] = [
    (&[0x2b, 0x0e, 3, 2, 0x1a], &digest::SHA1_FOR_LEGACY_USE_ONLY),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], &digest::SHA256),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], &digest::SHA384),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], &digest::SHA512),
];

/// A response.
pub(super) struct Response<'a> {
    /// Zero if the responder has answered.
    pub(super) status: u8,
    pub(super) basic: Result<Basic<'a>, OcspError>,
}

/// Answers about certificates, signed.
pub(super) struct Basic<'a> {
    /// What the signature covers.
    pub(super) signed: &'a [u8],
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) responder: Responder<'a>,
    answers: &'a [u8],
    certificates: &'a [u8],
}

/// The signer of a response.
pub(super) enum Responder<'a> {
    /// By its name, in canonical form.
    Name(Box<[u8]>),
    /// By the digest of its key.
    Key(&'a [u8]),
}

/// An answer about one certificate.
pub(super) struct SingleAnswer<'a> {
    pub(super) id: CertId<'a>,
    pub(super) status: CertStatus,
    /// In seconds since 1970; `None` for an invalid time. `until` is optional.
    pub(super) since: Option<i64>,
    pub(super) until: Option<Option<i64>>,
}

/// The certificate that an answer is about.
pub(super) struct CertId<'a> {
    hash: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) serial: &'a [u8],
}

impl<'a> Response<'a> {
    /// Reads DER. `None` if it is not a response.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(bytes, SEQUENCE)?);
        let &[status] = reader.take(ENUMERATED)? else { return None };
        let content = reader.optional(constructed(0))?;
        reader.end()?;
        let Some(content) = content else {
            return Some(Self { status, basic: Err(OcspError::Empty) });
        };
        let mut reader = Reader::new(Reader::only(content, SEQUENCE)?);
        let kind = reader.oid()?;
        let body = reader.take(OCTET_STRING)?;
        reader.end()?;
        let basic = match kind == BASIC {
            true => Ok(Basic::read(body)?),
            false => Err(OcspError::NotBasic),
        };
        Some(Self { status, basic })
    }
}

impl<'a> Basic<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(Reader::only(bytes, SEQUENCE)?);
        let signed = outer.value().filter(|value| value.tag == SEQUENCE)?;
        let algorithm = algorithm(&mut outer)?;
        let signature = der::whole_bits(outer.take(BIT_STRING)?)?;
        let certificates = outer.optional(constructed(0))?;
        let certificates =
            certificates.map_or(Some(&[][..]), |list| Reader::only(list, SEQUENCE))?;
        outer.end()?;

        let mut reader = Reader::new(signed.body);
        if let Some(version) = reader.optional(constructed(0))? {
            Reader::only(version, INTEGER).filter(|version| der::is_integer(version))?;
        }
        let responder = reader.value()?;
        let responder = match responder.tag {
            tag if tag == constructed(1) => {
                Responder::Name(dn::canonical(Reader::only(responder.body, SEQUENCE)?)?)
            }
            tag if tag == constructed(2) => {
                Responder::Key(Reader::only(responder.body, OCTET_STRING)?)
            }
            _ => return None,
        };
        reader.take(GENERALIZED_TIME)?;
        let answers = reader.take(SEQUENCE)?;
        reader.optional(constructed(1))?;
        reader.end()?;
        let own =
            Self { signed: signed.whole, algorithm, signature, responder, answers, certificates };
        own.answers().all(|answer| answer.is_some()).then_some(own)
    }

    /// The answers. A `None` ends them: the rest is unreadable.
    pub(super) fn answers(&self) -> impl Iterator<Item = Option<SingleAnswer<'a>>> + use<'a> {
        Reader::new(self.answers).each(SEQUENCE).map(|body| SingleAnswer::read(body?))
    }

    /// The certificates that came with it, up to a limit. `None` if one is unreadable.
    pub(super) fn certificates(&self) -> Option<Vec<Certificate>> {
        let mut reader = Reader::new(self.certificates);
        let mut all = Vec::new();
        while !reader.is_empty() && all.len() <= LONGEST_PATH {
            all.push(Certificate::read(reader.value()?.whole)?);
        }
        Some(all)
    }
}

impl Responder<'_> {
    /// Whether this is the certificate of the signer.
    pub(super) fn is(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => *name == certificate.subject,
            Self::Key(key) => key.len() == DIGEST && **key == key_digest(certificate),
        }
    }
}

impl<'a> SingleAnswer<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let id = CertId::read(reader.take(SEQUENCE)?)?;
        let status = reader.value()?;
        let status = match status.tag {
            tag if tag == primitive(0) && status.body.is_empty() => CertStatus::Good,
            tag if tag == constructed(1) => {
                Reader::new(status.body).take(GENERALIZED_TIME)?;
                CertStatus::Revoked
            }
            tag if tag == primitive(2) && status.body.is_empty() => CertStatus::Unknown,
            _ => return None,
        };
        let time = |text| der::time(GENERALIZED_TIME, text);
        let since = time(reader.take(GENERALIZED_TIME)?);
        let until = match reader.optional(constructed(0))? {
            Some(text) => Some(time(Reader::only(text, GENERALIZED_TIME)?)),
            None => None,
        };
        reader.optional(constructed(1))?;
        reader.end()?;
        Some(Self { id, status, since, until })
    }
}

impl<'a> CertId<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let hash = algorithm(&mut reader)?;
        let name = reader.take(OCTET_STRING)?;
        let key = reader.take(OCTET_STRING)?;
        let serial = reader.integer()?;
        reader.end()?;
        Some(Self { hash, name, key, serial })
    }

    /// Whether the digests are of SHA-1, with or without NULL as its parameters.
    pub(super) fn is_sha1(&self) -> bool {
        self.hash == SHA1 || self.hash == &SHA1[..SHA1.len() - 2]
    }

    /// Whether the issuer is the subject of this certificate.
    pub(super) fn names_issuer(&self, certificate: &Certificate) -> bool {
        let id = Reader::new(self.hash).oid();
        let hash = id.and_then(|id| HASHES.iter().find(|(known, _)| *known == id));
        let Some((_, hash)) = hash else { return false };
        let name = put(SEQUENCE, certificate.raw_subject());
        digest(hash, &name).as_ref() == self.name
            && digest(hash, certificate.key().bits).as_ref() == self.key
    }
}

//! Certificate extensions and the roles that they permit.

use super::super::der::{self, BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE};
use super::certificate::Certificate;
use super::constraints::Constraints;
use super::general_name::{GeneralName, Kind};
use super::points::Point;
use super::{Fault, Purpose};

/// `id-ce` of RFC 5280, the arc of most extensions.
const fn id_ce(last: u8) -> [u8; 3] {
    [0x55, 0x1d, last]
}

const SUBJECT_KEY: [u8; 3] = id_ce(14);
const KEY_USAGE: [u8; 3] = id_ce(15);
const ALTERNATIVE_NAMES: [u8; 3] = id_ce(17);
const BASIC_CONSTRAINTS: [u8; 3] = id_ce(19);
const NAME_CONSTRAINTS: [u8; 3] = id_ce(30);
const CRL_POINTS: [u8; 3] = id_ce(31);
const POLICIES: [u8; 3] = id_ce(32);
const POLICY_MAPPINGS: [u8; 3] = id_ce(33);
pub(super) const AUTHORITY_KEY: [u8; 3] = id_ce(35);
const POLICY_CONSTRAINTS: [u8; 3] = id_ce(36);
const PURPOSES: [u8; 3] = id_ce(37);
const INHIBIT_ANY_POLICY: [u8; 3] = id_ce(54);
/// `authorityInfoAccess` of RFC 5280 section 4.2.2.1, and its access method for OCSP.
const INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
const BY_OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
const NETSCAPE_KIND: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 1, 1];
const NO_OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5];
/// Address blocks and autonomous system numbers (RFC 3779).
const RESOURCES: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 1, 7], &[0x2b, 6, 1, 5, 5, 7, 1, 8]];
/// `proxyCertInfo` of RFC 3820.
const PROXY: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 14];

/// Extensions about policies and revocation requests, which are ignored even if critical: no policy
/// and no responder is ever required.
const HARMLESS: [&[u8]; 5] =
    [&POLICIES, &POLICY_MAPPINGS, &POLICY_CONSTRAINTS, &INHIBIT_ANY_POLICY, NO_OCSP];

const SERVER_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const OCSP_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
/// Server Gated Cryptography, by the identifiers of Microsoft and Netscape.
const STEP_UP: [&[u8]; 2] =
    [&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3], &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]];

const DIGITAL_SIGNATURE: u16 = 0x80;
const KEY_ENCIPHERMENT: u16 = 0x20;
const KEY_AGREEMENT: u16 = 0x08;
const CERT_SIGN: u16 = 0x04;
const CRL_SIGN: u16 = 0x02;

const NETSCAPE_CLIENT: u8 = 0x80;
const NETSCAPE_SERVER: u8 = 0x40;
const NETSCAPE_TLS_AUTHORITY: u8 = 0x04;
const NETSCAPE_AUTHORITY: u8 = 0x07;

/// An extension: identifier, criticality, value.
pub(super) struct Extension<'a> {
    pub(super) id: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The extensions of a list, given without its tag.
    pub(super) fn list(body: &'a [u8]) -> impl Iterator<Item = Option<Self>> {
        Reader::new(body).each(SEQUENCE).map(|body| {
            let mut reader = Reader::new(body?);
            let id = reader.oid()?;
            let critical = reader.optional(BOOLEAN)?.map_or(Some(false), der::boolean)?;
            let value = reader.take(OCTET_STRING)?;
            reader.end()?;
            Some(Self { id, critical, value })
        })
    }
}

/// The content of a certificate's extensions.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// Every known extension occurs once at most and is well-formed.
    pub(super) sound: bool,
    /// A critical extension is unknown.
    pub(super) strange: bool,
    /// It is a proxy certificate (RFC 3820).
    pub(super) proxy: bool,
    /// It claims address blocks (RFC 3779).
    pub(super) resources: bool,
    basic: Option<Basic>,
    usage: Option<u16>,
    purposes: Option<Purposes>,
    netscape: Option<u8>,
    pub(super) subject_key: Option<Box<[u8]>>,
    pub(super) authority_key: Option<AuthorityKey>,
    pub(super) names: Option<Vec<GeneralName>>,
    pub(super) constraints: Option<Box<Constraints>>,
    pub(super) points: Option<Vec<Point>>,
    /// The URL of the OCSP responder.
    pub(super) responder: Option<Box<str>>,
}

#[derive(Debug)]
struct Basic {
    authority: bool,
    most_below: Option<u64>,
}

#[derive(Debug, Default)]
struct Purposes {
    client: bool,
    server: bool,
    ocsp: bool,
}

/// The authority key identifier of a certificate or list (RFC 5280 section 4.2.1.1).
#[derive(Debug)]
pub(super) struct AuthorityKey {
    key: Option<Box<[u8]>>,
    /// The issuer of the authority's certificate, in canonical form, and its serial number.
    issuer: Option<Box<[u8]>>,
    serial: Option<Box<[u8]>>,
}

impl Extensions {
    /// Parses a list of extensions, given without its tag; `issuer` is the certificate's, in
    /// canonical form. `None` if it is not a list; a malformed extension clears `sound`.
    pub(super) fn read(list: &[u8], issuer: &[u8]) -> Option<Self> {
        let mut own = Self { sound: true, ..Self::default() };
        for extension in Extension::list(list) {
            let Extension { id, critical, value } = extension?;
            let understood = own.add(id, value, issuer);
            own.strange |= critical && !understood;
        }
        Some(own)
    }

    /// Adds an extension; returns whether it may be critical.
    fn add(&mut self, id: &[u8], value: &[u8], issuer: &[u8]) -> bool {
        let (sound, understood) = match id {
            _ if id == BASIC_CONSTRAINTS => (once(&mut self.basic, basic(value)), true),
            _ if id == KEY_USAGE => (once(&mut self.usage, usage(value)), true),
            _ if id == PURPOSES => (once(&mut self.purposes, purposes(value)), true),
            _ if id == NETSCAPE_KIND => (once(&mut self.netscape, netscape(value)), true),
            _ if id == ALTERNATIVE_NAMES => (once(&mut self.names, names(value)), true),
            _ if id == NAME_CONSTRAINTS => {
                (once(&mut self.constraints, Constraints::read(value).map(Box::new)), true)
            }
            _ if id == CRL_POINTS => (once(&mut self.points, Point::list(value, issuer)), true),
            _ if id == SUBJECT_KEY => {
                let key = Reader::only(value, OCTET_STRING).map(Box::from);
                (once(&mut self.subject_key, key), false)
            }
            _ if id == AUTHORITY_KEY => {
                (once(&mut self.authority_key, AuthorityKey::read(value)), false)
            }
            _ if id == INFO_ACCESS => {
                // OpenSSL does not look at it when it judges the certificate.
                self.responder = self.responder.take().or_else(|| responder(value));
                (true, false)
            }
            _ if id == PROXY => {
                self.proxy = true;
                (true, true)
            }
            _ if RESOURCES.contains(&id) => {
                self.resources = true;
                (true, true)
            }
            _ => (true, HARMLESS.contains(&id)),
        };
        self.sound &= sound;
        understood
    }

    /// Whether an authority lets the key sign answers about its certificates (RFC 6960 section
    /// 4.2.2.2).
    pub(super) fn signs_ocsp(&self) -> bool {
        self.purposes.as_ref().is_some_and(|purposes| purposes.ocsp)
    }
}

/// Fills an empty slot; returns `false` if there is no value or the slot is taken.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let good = place.is_none() && value.is_some();
    if place.is_none() {
        *place = value;
    }
    good
}

fn basic(value: &[u8]) -> Option<Basic> {
    let mut reader = Reader::new(Reader::only(value, SEQUENCE)?);
    let authority = reader.optional(BOOLEAN)?.map_or(Some(false), der::boolean)?;
    let most_below = reader.optional(INTEGER)?.map_or(Some(None), |digits| {
        let positive = der::is_integer(digits) && digits[0] < 0x80;
        positive.then(|| Some(count(digits)))
    })?;
    reader.end()?;
    Some(Basic { authority, most_below })
}

/// A non-negative integer, saturating.
fn count(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, &digit| {
        number.checked_mul(0x100).map_or(u64::MAX, |number| number | u64::from(digit))
    })
}

fn usage(value: &[u8]) -> Option<u16> {
    let bits = der::bits(Reader::only(value, BIT_STRING)?)?;
    let byte = |at: usize| u16::from(bits.get(at).copied().unwrap_or(0));
    // A key usage without any bit is invalid (RFC 5280 section 4.2.1.3).
    Some(byte(0) | byte(1) << 8).filter(|usage| *usage != 0)
}

fn purposes(value: &[u8]) -> Option<Purposes> {
    let mut purposes = Purposes::default();
    for id in Reader::new(Reader::only(value, SEQUENCE)?).each(OID) {
        let id = id.filter(|id| der::is_oid(id))?;
        purposes.client |= id == CLIENT_PURPOSE;
        purposes.server |= id == SERVER_PURPOSE || STEP_UP.contains(&id);
        purposes.ocsp |= id == OCSP_PURPOSE;
    }
    Some(purposes)
}

/// The first URL by which OCSP can be asked.
fn responder(value: &[u8]) -> Option<Box<str>> {
    let mut ways = Reader::new(Reader::only(value, SEQUENCE)?).each(SEQUENCE);
    ways.find_map(|way| {
        let mut reader = Reader::new(way?);
        let method = reader.oid()?;
        let place = GeneralName::read(&mut reader)?;
        let text = std::str::from_utf8(&place.value).ok()?;
        let found = method == BY_OCSP && place.kind == Kind::Link && !text.is_empty();
        (found && !text.contains('\0')).then(|| text.into())
    })
}

fn netscape(value: &[u8]) -> Option<u8> {
    let bits = der::bits(Reader::only(value, BIT_STRING)?)?;
    Some(bits.first().copied().unwrap_or(0))
}

fn names(value: &[u8]) -> Option<Vec<GeneralName>> {
    GeneralName::list(Reader::only(value, SEQUENCE)?)
}

impl AuthorityKey {
    /// The identifier of the key.
    pub(super) fn key_id(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Parses the extension's value.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(value, SEQUENCE)?);
        let key = reader.optional(der::primitive(0))?.map(Box::from);
        let issuer = reader.optional(der::constructed(1))?;
        let issuer = issuer.map_or(Some(Vec::new()), GeneralName::list)?;
        let serial = reader.optional(der::primitive(2))?;
        if serial.is_some_and(|serial| !der::is_integer(serial)) {
            return None;
        }
        reader.end()?;
        Some(Self {
            key,
            issuer: GeneralName::directory(&issuer).map(Box::from),
            serial: serial.map(Box::from),
        })
    }

    /// Whether `issuer` matches the identifier.
    pub(super) fn fits(&self, issuer: &Certificate) -> bool {
        let own = &issuer.extensions.subject_key;
        let other_key = matches!((&self.key, own), (Some(key), Some(own)) if key != own);
        let other_serial = self.serial.as_ref().is_some_and(|serial| **serial != *issuer.serial());
        let other_issuer = self.issuer.as_ref().is_some_and(|name| *name != issuer.issuer);
        !other_key && !other_serial && !other_issuer
    }
}

/// The evidence that a certificate is an authority's.
#[derive(PartialEq, Eq)]
enum Authority {
    No,
    Yes,
    /// By self-signature of version 1 or by key usage alone. Accepted only at the end of a path.
    Old,
    /// By Netscape's extension alone.
    Netscape,
}

fn authority(certificate: &Certificate) -> Authority {
    let own = &certificate.extensions;
    if own.usage.is_some_and(|usage| usage & CERT_SIGN == 0) {
        return Authority::No;
    }
    // Version 1 has no extensions.
    let first = certificate.version == 0 && certificate.is_self_signed;
    match &own.basic {
        Some(Basic { authority: true, .. }) => Authority::Yes,
        Some(_) => Authority::No,
        None if first || own.usage.is_some() => Authority::Old,
        None if own.netscape.is_some_and(|kind| kind & NETSCAPE_AUTHORITY != 0) => {
            Authority::Netscape
        }
        None => Authority::No,
    }
}

/// Whether the certificate may issue others. `last` is whether it ends the path.
pub(super) fn may_issue(certificate: &Certificate, last: bool) -> Result<(), Fault> {
    match authority(certificate) {
        Authority::Yes => Ok(()),
        Authority::Old | Authority::Netscape if last => Ok(()),
        _ => Err(Fault::NOT_A_CA),
    }
}

/// Whether the path length constraint allows `below` intermediate certificates.
pub(super) fn may_be_above(certificate: &Certificate, below: usize) -> Result<(), Fault> {
    let most = certificate.extensions.basic.as_ref().and_then(|basic| basic.most_below);
    match most {
        Some(most) if below as u64 > most => Err(Fault::PATH_LENGTH),
        _ => Ok(()),
    }
}

/// Whether its key may sign certificates.
pub(super) fn may_sign(certificate: &Certificate) -> Result<(), Fault> {
    match certificate.extensions.usage {
        Some(usage) if usage & CERT_SIGN == 0 => Err(Fault::NO_CERT_SIGN),
        _ => Ok(()),
    }
}

/// Whether its key may sign revocation lists.
pub(super) fn may_revoke(certificate: &Certificate) -> Result<(), Fault> {
    match certificate.extensions.usage {
        Some(usage) if usage & CRL_SIGN == 0 => Err(Fault::NO_CRL_SIGN),
        _ => Ok(()),
    }
}

/// Whether its basic constraints mark it as an authority.
pub(super) fn is_authority(certificate: &Certificate) -> bool {
    certificate.extensions.basic.as_ref().is_some_and(|basic| basic.authority)
}

/// Whether all critical extensions are known and the certificate is not a proxy certificate.
pub(super) fn understood(certificate: &Certificate) -> Result<(), Fault> {
    match &certificate.extensions {
        own if own.strange => Err(Fault::CRITICAL),
        own if own.proxy => Err(Fault::PROXY),
        _ => Ok(()),
    }
}

/// Whether the certificate may be used for the purpose, by the peer itself or, if `above`, by an
/// authority. The purpose `anyExtendedKeyUsage` does not count.
pub(super) fn suits(certificate: &Certificate, purpose: Purpose, above: bool) -> Result<(), Fault> {
    let own = &certificate.extensions;
    let named = own.purposes.as_ref().is_none_or(|purposes| match purpose {
        Purpose::Client => purposes.client,
        Purpose::Server => purposes.server,
        // What a responder may sign depends on the answer.
        Purpose::Responder => true,
    });
    let fits = if above {
        match authority(certificate) {
            Authority::No => false,
            Authority::Yes | Authority::Old => true,
            Authority::Netscape => {
                purpose == Purpose::Responder
                    || own.netscape.is_some_and(|kind| kind & NETSCAPE_TLS_AUTHORITY != 0)
            }
        }
    } else {
        let (uses, kind) = match purpose {
            Purpose::Client => (DIGITAL_SIGNATURE | KEY_AGREEMENT, NETSCAPE_CLIENT),
            Purpose::Server => {
                (DIGITAL_SIGNATURE | KEY_ENCIPHERMENT | KEY_AGREEMENT, NETSCAPE_SERVER)
            }
            Purpose::Responder => (u16::MAX, u8::MAX),
        };
        own.usage.is_none_or(|usage| usage & uses != 0)
            && own.netscape.is_none_or(|own| own & kind != 0)
    };
    // OpenSSL skips this check for malformed extensions, and finds no issuer for them.
    if named && fits || !own.sound { Ok(()) } else { Err(Fault::PURPOSE) }
}

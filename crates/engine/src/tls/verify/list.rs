//! Revocation lists (RFC 5280 section 5), parsed once, with their entries as a sorted table.

use super::super::der::{
    self, BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, UTC_TIME,
    constructed, primitive,
};
use super::certificate::{algorithm, time};
use super::dn;
use super::extensions::{AUTHORITY_KEY, AuthorityKey, Extension};
use super::points::{self, ALL_REASONS, PointName};
use super::signature::Signed;

const CRL_NUMBER: [u8; 3] = [0x55, 0x1d, 20];
const REASON: [u8; 3] = [0x55, 0x1d, 21];
const DELTA: [u8; 3] = [0x55, 0x1d, 27];
const SCOPE: [u8; 3] = [0x55, 0x1d, 28];
const CERTIFICATE_ISSUER: [u8; 3] = [0x55, 0x1d, 29];

/// The reason `removeFromCRL`: no longer revoked.
const REMOVED: [u8; 1] = [8];

/// The content of a revocation list.
#[derive(Debug)]
pub(in super::super) struct List {
    /// In canonical form.
    pub(super) issuer: Box<[u8]>,
    /// In seconds since 1970; `None` for an invalid time. `until` is optional.
    pub(super) since: Option<i64>,
    pub(super) until: Option<Option<i64>>,
    pub(super) key: Option<AuthorityKey>,
    pub(super) scope: ListScope,
    /// All critical extensions are known.
    pub(super) understood: bool,
    /// Every known extension occurs once at most and is well-formed.
    pub(super) sound: bool,
    /// It is neither a delta list nor indirect, and covers all reasons; other lists are not used.
    pub(super) complete: bool,
    /// The signature algorithms inside and outside of the signed part are equal.
    one_algorithm: bool,
    seal: Signed,
    entries: Serials,
}

/// The certificates that a list covers.
#[derive(Debug, Default)]
pub(super) struct ListScope {
    pub(super) place: Option<PointName>,
    pub(super) users: bool,
    pub(super) authorities: bool,
    pub(super) attributes: bool,
    indirect: bool,
    reasons: Option<u16>,
    /// More than one of the exclusive kinds is set.
    strange: bool,
}

impl List {
    /// Reads DER. `None` if it is not a list.
    pub(in super::super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(Reader::only(bytes, SEQUENCE)?);
        let signed = outer.value().filter(|value| value.tag == SEQUENCE)?;
        let sealed_by = algorithm(&mut outer)?;
        let signature = der::whole_bits(outer.take(BIT_STRING)?)?;
        outer.end()?;

        let mut reader = Reader::new(signed.body);
        if reader.optional(INTEGER)?.is_some_and(|version| !der::is_integer(version)) {
            return None;
        }
        let inner = algorithm(&mut reader)?;
        let issuer = dn::canonical(reader.take(SEQUENCE)?)?;
        let since = time(&mut reader)?;
        let next = [UTC_TIME, GENERALIZED_TIME].map(|tag| {
            let text = reader.optional(tag)?;
            Some(text.map(|text| der::time(tag, text)))
        });
        let [Some(short), Some(long)] = next else { return None };
        let entries = reader.optional(SEQUENCE)?.unwrap_or_default();
        let extensions = reader.optional(constructed(0))?;
        let extensions = extensions.map_or(Some(&[][..]), |list| Reader::only(list, SEQUENCE))?;
        reader.end()?;
        let mut own = Self {
            issuer,
            since,
            until: short.or(long),
            key: None,
            scope: ListScope::default(),
            understood: true,
            sound: true,
            complete: true,
            one_algorithm: inner == sealed_by,
            seal: Signed::new(sealed_by, signed.whole, signature),
            entries: Serials::default(),
        };
        own.add_extensions(extensions)?;
        own.add_entries(entries)?;
        let scope = &own.scope;
        own.complete &= !scope.strange && !scope.indirect && scope.reasons.is_none();
        Some(own)
    }

    /// Treats malformed extensions as absent and the list as unsound: it must not give way to an
    /// older, well-formed list.
    fn add_extensions(&mut self, extensions: &[u8]) -> Option<()> {
        let (mut keys, mut scopes) = (Vec::new(), Vec::new());
        let (mut numbers, mut deltas) = (Vec::new(), Vec::new());
        for extension in Extension::list(extensions) {
            let Extension { id, critical, value } = extension?;
            let may_be_critical = [AUTHORITY_KEY, SCOPE, DELTA].iter().any(|known| id == known);
            self.understood &= !critical || may_be_critical;
            let number = || Reader::only(value, INTEGER).filter(|digits| der::is_integer(digits));
            match id {
                _ if id == AUTHORITY_KEY => keys.push(AuthorityKey::read(value)),
                _ if id == SCOPE => scopes.push(ListScope::read(value, &self.issuer)),
                _ if id == CRL_NUMBER => numbers.push(number()),
                _ if id == DELTA => deltas.push(number()),
                _ => {}
            }
        }
        self.key = self.only(keys);
        self.scope = self.only(scopes).unwrap_or_default();
        self.only(numbers);
        self.complete = self.only(deltas).is_none();
        Some(())
    }

    /// The only element; several, or a malformed one, clear `sound`.
    fn only<T>(&mut self, mut found: Vec<Option<T>>) -> Option<T> {
        let last = found.pop()?;
        let only = last.filter(|_| found.is_empty());
        self.sound &= only.is_some();
        only
    }

    fn add_entries(&mut self, entries: &[u8]) -> Option<()> {
        for entry in Reader::new(entries).each(SEQUENCE) {
            let mut reader = Reader::new(entry?);
            let serial = reader.integer()?;
            let date = reader.value()?;
            if !matches!(date.tag, UTC_TIME | GENERALIZED_TIME) {
                return None;
            }
            let extensions = reader.optional(SEQUENCE)?.unwrap_or_default();
            reader.end()?;
            let mut removed = false;
            for extension in Extension::list(extensions) {
                let Extension { id, critical, value } = extension?;
                if id == REASON {
                    let reason = Reader::only(value, ENUMERATED);
                    removed |= reason == Some(&REMOVED);
                    self.sound &= reason.is_some();
                }
                self.understood &= !critical || id == CERTIFICATE_ISSUER;
            }
            if !removed {
                self.entries.add(serial);
            }
        }
        self.entries.sort();
        Some(())
    }

    /// Whether the list contains this serial number.
    pub(super) fn names(&self, serial: &[u8]) -> bool {
        self.entries.contain(serial)
    }

    /// Whether `issuer` signed the list.
    pub(super) fn is_of(&self, issuer: &super::certificate::Certificate) -> bool {
        self.one_algorithm && self.seal.is_of(issuer)
    }
}

impl ListScope {
    /// Parses the extension's value.
    fn read(value: &[u8], issuer: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(value, SEQUENCE)?);
        let place = reader.optional(constructed(0))?;
        let place = place.map_or(Some(None), |place| PointName::read(place, issuer).map(Some))?;
        let flag = |reader: &mut Reader<'_>, number| {
            reader.optional(primitive(number))?.map_or(Some(false), der::boolean)
        };
        let users = flag(&mut reader, 1)?;
        let authorities = flag(&mut reader, 2)?;
        let reasons = reader.optional(primitive(3))?;
        let reasons = reasons.map_or(Some(None), |bits| points::reasons(bits).map(Some))?;
        let indirect = flag(&mut reader, 4)?;
        let attributes = flag(&mut reader, 5)?;
        reader.end()?;
        let strange = [users, authorities, attributes].iter().filter(|kind| **kind).count() > 1;
        Some(Self { place, users, authorities, attributes, indirect, reasons, strange })
    }

    /// The reasons that the list covers.
    pub(super) fn reasons(&self) -> u16 {
        self.reasons.unwrap_or(ALL_REASONS)
    }
}

/// Serial numbers in one allocation: lists have hundreds of thousands.
#[derive(Debug, Default)]
struct Serials {
    bytes: Vec<u8>,
    /// Offset and length of each number, sorted by the numbers' bytes.
    places: Vec<(u32, u32)>,
}

impl Serials {
    fn add(&mut self, serial: &[u8]) {
        // A list is a file in memory; it is shorter than 4 GiB.
        self.places.push((self.bytes.len() as u32, serial.len() as u32));
        self.bytes.extend(serial);
    }

    fn sort(&mut self) {
        let Self { bytes, places } = self;
        places.sort_unstable_by_key(|place| at(bytes, *place));
        places.shrink_to_fit();
        bytes.shrink_to_fit();
    }

    fn contain(&self, serial: &[u8]) -> bool {
        self.places.binary_search_by_key(&serial, |place| at(&self.bytes, *place)).is_ok()
    }
}

fn at(bytes: &[u8], (start, length): (u32, u32)) -> &[u8] {
    &bytes[start as usize..][..length as usize]
}

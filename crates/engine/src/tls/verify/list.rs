//! A revocation list as facts (RFC 5280 section 5): read once, its entries as a sorted table.

use super::super::der::{
    self, BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, UTC_TIME,
    constructed, primitive,
};
use super::certificate::{algorithm, time};
use super::dn;
use super::extensions::{AUTHORITY_KEY, AuthorityKey, Extension};
use super::points::{self, ALL_REASONS, Place};
use super::signature::Sealed;

const CRL_NUMBER: [u8; 3] = [0x55, 0x1d, 20];
const REASON: [u8; 3] = [0x55, 0x1d, 21];
const DELTA: [u8; 3] = [0x55, 0x1d, 27];
const SCOPE: [u8; 3] = [0x55, 0x1d, 28];
const CERTIFICATE_ISSUER: [u8; 3] = [0x55, 0x1d, 29];

/// `removeFromCRL`: no longer revoked.
const REMOVED: [u8; 1] = [8];

/// What a revocation list says.
#[derive(Debug)]
pub(in super::super) struct List {
    /// In canonical form.
    pub(super) issuer: Box<[u8]>,
    /// In seconds since 1970; none where nobody can tell. The end may be missing.
    pub(super) since: Option<i64>,
    pub(super) until: Option<Option<i64>>,
    pub(super) key: Option<AuthorityKey>,
    pub(super) scope: Scope,
    /// All that is critical is understood here.
    pub(super) understood: bool,
    /// Each extension that means something stands there once and can be read.
    pub(super) sound: bool,
    /// It is more than a supplement or a part, which are not used.
    pub(super) complete: bool,
    /// The algorithm is the same inside of what is signed and outside.
    one_algorithm: bool,
    seal: Sealed,
    entries: Serials,
}

/// What a list is for.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) place: Option<Place>,
    pub(super) users: bool,
    pub(super) authorities: bool,
    pub(super) attributes: bool,
    indirect: bool,
    reasons: Option<u16>,
    /// It is for two kinds alone at a time.
    strange: bool,
}

impl List {
    /// Reads DER. None if it is no list.
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
            scope: Scope::default(),
            understood: true,
            sound: true,
            complete: true,
            one_algorithm: inner == sealed_by,
            seal: Sealed::new(sealed_by, signed.whole, signature),
            entries: Serials::default(),
        };
        own.add_extensions(extensions)?;
        own.add_entries(entries)?;
        let scope = &own.scope;
        own.complete &= !scope.strange && !scope.indirect && scope.reasons.is_none();
        Some(own)
    }

    /// What cannot be read is as if it were not there, and the list is unsound: it must not give
    /// way to an older one that can be read.
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
                _ if id == SCOPE => scopes.push(Scope::read(value, &self.issuer)),
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

    /// The single one of all that were found.
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

    /// Whether a certificate with this number is revoked.
    pub(super) fn names(&self, serial: &[u8]) -> bool {
        self.entries.contain(serial)
    }

    /// Whether it is `issuer` who has signed it.
    pub(super) fn is_of(&self, issuer: &super::certificate::Certificate) -> bool {
        self.one_algorithm && self.seal.is_of(issuer)
    }
}

impl Scope {
    /// Reads the extension's value.
    fn read(value: &[u8], issuer: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(Reader::only(value, SEQUENCE)?);
        let place = reader.optional(constructed(0))?;
        let place = place.map_or(Some(None), |place| Place::read(place, issuer).map(Some))?;
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

    /// For which reasons certificates are listed.
    pub(super) fn reasons(&self) -> u16 {
        self.reasons.unwrap_or(ALL_REASONS)
    }
}

/// Serial numbers, in one piece of memory: lists have hundreds of thousands.
#[derive(Debug, Default)]
struct Serials {
    bytes: Vec<u8>,
    /// Where each begins and how long it is, in the order of the numbers' bytes once sorted.
    places: Vec<(u32, u32)>,
}

impl Serials {
    fn add(&mut self, serial: &[u8]) {
        // A list is read whole into memory from a file; it is not as long as 4 GiB.
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

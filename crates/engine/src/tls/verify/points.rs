//! Distribution points of revocation lists (RFC 5280 section 4.2.1.13). Their names decide whether
//! a list covers a certificate.

use super::super::der::{self, Reader, SEQUENCE};
use super::dn;
use super::general_name::{GeneralName, Kind};

/// The defined bits of `ReasonFlags`.
pub(super) const ALL_REASONS: u16 = 0x807f;

/// A distribution point of a certificate.
#[derive(Debug)]
pub(super) struct Point {
    place: Option<PointName>,
    /// The issuers of the list, if other than the certificate's.
    issuers: Option<Vec<GeneralName>>,
    /// The revocation reasons that the list covers.
    pub(super) reasons: u16,
}

/// The name of a distribution point.
#[derive(Debug)]
pub(super) enum PointName {
    /// Alternative names of the point.
    Full(Vec<GeneralName>),
    /// A name relative to the issuer's, in canonical form.
    Below(Vec<u8>),
}

impl Point {
    /// Parses the extension's value; `issuer` is the certificate's, in canonical form.
    pub(super) fn list(value: &[u8], issuer: &[u8]) -> Option<Vec<Self>> {
        let points = Reader::new(Reader::only(value, SEQUENCE)?).each(SEQUENCE);
        points.map(|point| Self::read(point?, issuer)).collect()
    }

    fn read(body: &[u8], issuer: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let place = reader.optional(der::constructed(0))?;
        let reasons = reader.optional(der::primitive(1))?.map_or(Some(ALL_REASONS), reasons)?;
        let issuers = reader.optional(der::constructed(2))?;
        let issuers = issuers.map_or(Some(None), |list| GeneralName::list(list).map(Some))?;
        reader.end()?;
        if place.is_none() && issuers.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        let base = issuers.as_deref().and_then(GeneralName::directory).unwrap_or(issuer);
        let place = place.map_or(Some(None), |place| PointName::read(place, base).map(Some))?;
        Some(Self { place, issuers, reasons })
    }

    /// Whether a list by `issuer` with the distribution point `place` belongs to this point.
    pub(super) fn is_of(&self, issuer: &[u8], place: Option<&PointName>) -> bool {
        let is_issuer = |name: &GeneralName| name.kind == Kind::Directory && *name.value == *issuer;
        self.issuers.as_ref().is_none_or(|names| names.iter().any(is_issuer))
            && match (&self.place, place) {
                (Some(one), Some(other)) => one.is(other),
                _ => true,
            }
    }
}

impl PointName {
    /// Parses a `DistributionPointName`; `base` is the prefix of a relative name.
    pub(super) fn read(body: &[u8], base: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let value = reader.value()?;
        reader.end()?;
        match value.tag {
            0xa0 => GeneralName::list(value.body).map(Self::Full),
            0xa1 => {
                let part = dn::canonical_part(value.body)?;
                Some(Self::Below([base, &part].concat()))
            }
            _ => None,
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(one), Self::Below(other)) => one == other,
            (Self::Full(names), Self::Below(name)) | (Self::Below(name), Self::Full(names)) => {
                let is = |one: &GeneralName| one.kind == Kind::Directory && *one.value == **name;
                names.iter().any(is)
            }
            (Self::Full(ours), Self::Full(theirs)) => ours.iter().any(|one| theirs.contains(one)),
        }
    }
}

/// A bit string of reasons, given without its tag.
pub(super) fn reasons(body: &[u8]) -> Option<u16> {
    let bits = der::bits(body)?;
    let byte = |at: usize| u16::from(bits.get(at).copied().unwrap_or(0));
    Some((byte(0) | byte(1) << 8) & ALL_REASONS)
}

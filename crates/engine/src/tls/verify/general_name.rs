//! General names (RFC 5280 section 4.2.1.6): hosts, mailboxes, addresses and others.

use super::super::der::{self, Reader, SEQUENCE, Value};
use super::dn;

/// The kind of a general name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Other,
    Mail,
    Host,
    X400,
    Directory,
    Party,
    Link,
    Address,
    Registered,
}

/// The number of kinds.
pub(super) const KINDS: usize = 9;

/// A name. Directory names are in canonical form, others are the bytes of the certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GeneralName {
    pub(super) kind: Kind,
    pub(super) value: Box<[u8]>,
}

impl GeneralName {
    /// Reads the next name; `None` if it is malformed.
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let Value { tag, body, .. } = from.value()?;
        let (kind, value) = match tag {
            0xa0 => (Kind::Other, other(body)?),
            0x81 => (Kind::Mail, body.into()),
            0x82 => (Kind::Host, body.into()),
            0xa3 => (Kind::X400, body.into()),
            0xa4 => (Kind::Directory, dn::canonical(Reader::only(body, SEQUENCE)?)?),
            0xa5 => (Kind::Party, party(body)?),
            0x86 => (Kind::Link, body.into()),
            0x87 => (Kind::Address, body.into()),
            0x88 => (Kind::Registered, Some(body).filter(|body| der::is_oid(body))?.into()),
            _ => return None,
        };
        Some(Self { kind, value })
    }

    /// The names of a list, given without its tag.
    pub(super) fn list(body: &[u8]) -> Option<Vec<Self>> {
        let mut reader = Reader::new(body);
        let mut names = Vec::new();
        while !reader.is_empty() {
            names.push(Self::read(&mut reader)?);
        }
        Some(names)
    }

    /// The first directory name.
    pub(super) fn directory(names: &[Self]) -> Option<&[u8]> {
        let mut directories = names.iter().filter(|name| name.kind == Kind::Directory);
        directories.next().map(|name| &*name.value)
    }
}

/// An `otherName`: an object identifier and one value of any type.
fn other(body: &[u8]) -> Option<Box<[u8]>> {
    let mut reader = Reader::new(body);
    reader.oid()?;
    let mut value = Reader::new(reader.take(der::constructed(0))?);
    value.any()?;
    value.end()?;
    reader.end()?;
    Some(body.into())
}

/// An `ediPartyName`: an optional assigner and the party's name, both directory strings.
fn party(body: &[u8]) -> Option<Box<[u8]>> {
    const STRINGS: [u8; 5] = [0x0c, 0x13, 0x14, der::UNIVERSAL_STRING, der::BMP_STRING];
    let is_string = |body: &[u8]| {
        let mut reader = Reader::new(body);
        let value = reader.any().filter(|value| STRINGS.contains(&value.tag));
        value.and(reader.end())
    };
    let mut reader = Reader::new(body);
    reader.optional(der::constructed(0))?.map_or(Some(()), is_string)?;
    is_string(reader.take(der::constructed(1))?)?;
    reader.end()?;
    Some(body.into())
}

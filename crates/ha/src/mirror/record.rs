//! A record: a value by kind and key, with the stamp of its last change.

use super::codec::{Malformed, Reader, Writer};
use super::limits;
use super::name::Name;

/// The kinds of records. What a killed worker leaves to its successor (`engine::journal`) is what
/// is mirrored, so a key is mostly the name of a journal's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A server of a group as edited at run time, its drain and down marks included. Key and value
    /// are those of `upstream::shared_servers`.
    Servers,
    /// A pair of a keyval zone. The key is the zone, a NUL and the key; the value as in the
    /// journal.
    Keyval,
    /// A session of `sticky learn`. The key is the group, a NUL and the MD5 of the session; the
    /// value the time up to which it is used, and the peer.
    Sticky,
    /// A key of session tickets. The key is its number, eight bytes, big-endian, and the node that
    /// made it; the value the key, 80 bytes.
    TicketKey,
    /// What nodes have in common about certificates that are ordered by ACME. Key and value are
    /// those of the crate `acme`.
    Acme,
    /// The ticket keys that a node has, and the age of the newest. Of its owner.
    TicketsHeld,
    /// What a node's own checks found about a group, and agents said to it. Of its owner; the key
    /// is the group.
    Health,
    /// A kind that this version does not know. It is kept and passed on.
    Other(u8),
}

impl Kind {
    /// The kind's number in messages.
    pub fn number(self) -> u8 {
        match self {
            Self::Servers => 1,
            Self::Keyval => 2,
            Self::Sticky => 3,
            Self::TicketKey => 4,
            Self::Acme => 5,
            Self::TicketsHeld => 128,
            Self::Health => 129,
            Self::Other(number) => number,
        }
    }

    /// The kind of a number.
    pub fn of(number: u8) -> Self {
        match number {
            1 => Self::Servers,
            2 => Self::Keyval,
            3 => Self::Sticky,
            4 => Self::TicketKey,
            5 => Self::Acme,
            128 => Self::TicketsHeld,
            129 => Self::Health,
            other => Self::Other(other),
        }
    }

    /// Whether only the node in front of the key writes the record. Numbers from 128 are such
    /// kinds.
    pub fn is_owned(self) -> bool {
        self.number() >= 128
    }
}

/// The moment of a change: a Lamport clock, and the node. The later one is the last writer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// One more than the largest clock that the node knew.
    pub clock: u64,
    /// The node that made the change.
    pub node: Name,
}

/// A record's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// The key within the kind. Of a kind with owners, the owner and a NUL come first.
    pub key: Vec<u8>,
}

impl Key {
    /// The key of a node's own record.
    pub fn owned(kind: Kind, owner: &Name, key: &[u8]) -> Self {
        Self { kind, key: [owner.as_str().as_bytes(), b"\0", key].concat() }
    }

    /// The owner, in a kind that has owners.
    pub fn owner(&self) -> Option<Name> {
        if !self.kind.is_owned() {
            return None;
        }
        let end = self.key.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&self.key[..end]).ok().and_then(Name::new)
    }
}

/// A record, or the tombstone of one, which has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: Key,
    pub(super) stamp: Stamp,
    pub(super) value: Option<Vec<u8>>,
}

impl Record {
    /// Whether it replaces `other` under the same key. Values decide between equal stamps, which
    /// a node gives twice if it has lost its clock.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        (&self.stamp, &self.value) > (&other.stamp, &other.value)
    }

    /// A hash of all its parts: FNV-1a, and a finish that spreads each bit. It finds differences
    /// between nodes that trust each other, and is the same in all builds.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = hash_key(&self.key);
        hash = fnv(hash, &self.stamp.clock.to_le_bytes());
        hash = fnv(hash, self.stamp.node.as_str().as_bytes());
        if let Some(value) = &self.value {
            hash = fnv(fnv(hash, b"\x01"), value);
        }
        finish(hash)
    }

    /// The bytes of key and value.
    pub(super) fn size(&self) -> u64 {
        (self.key.key.len() + self.value.as_ref().map_or(0, Vec::len)) as u64
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u8(self.key.kind.number()).bytes(&self.key.key);
        writer.u64(self.stamp.clock).name(&self.stamp.node);
        writer.option(self.value.as_ref(), |writer, value| {
            writer.bytes(value);
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = Kind::of(reader.u8()?);
        let key = Key { kind, key: reader.bytes(limits::KEY)?.to_vec() };
        let stamp = Stamp { clock: reader.u64()?, node: reader.name()? };
        let value = reader.option(|reader| Ok(reader.bytes(limits::VALUE)?.to_vec()))?;
        if kind.is_owned() && key.owner().as_ref() != Some(&stamp.node) {
            return Err(Malformed("record: another node than its owner wrote it"));
        }
        Ok(Self { key, stamp, value })
    }
}

/// The bucket of a key.
pub(super) fn bucket_of(key: &Key) -> usize {
    finish(hash_key(key)) as usize % (super::message::FAN * super::message::FAN)
}

fn hash_key(key: &Key) -> u64 {
    fnv(fnv(0xcbf2_9ce4_8422_2325, &[key.kind.number()]), &key.key)
}

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

/// The finish of splitmix64.
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

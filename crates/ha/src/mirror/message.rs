//! The messages between nodes. Each is a version, a kind and fields; the connection delimits it.

use super::codec::{Malformed, Reader, Writer};
use super::counters::{Amount, Level};
use super::limits;
use super::name::Name;
use super::record::Record;
use super::version::{Standing, Version, read_version, write_version};

/// The classes of messages. A link serves `Config` first, and `Counters` before `State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Versions of the configuration: few, and pieces of a set on demand.
    Config,
    /// Records.
    State,
    /// Counters of limits, each 20 ms.
    Counters,
}

/// What belongs to a set besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// Its size in bytes.
    pub size: u64,
    /// The proposing master's signature, which a receiving master verifies.
    pub signature: Vec<u8>,
}

/// The version that a node has in force, or could not put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) set: Option<(Standing, SetInfo)>,
    pub(super) trouble: Option<(Version, String)>,
}

/// A node's answer to a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Agrees,
    /// The set has a fault there.
    Refuses(String),
    /// The node follows another proposal, by this node.
    Busy(Name),
    /// The node has something that the proposal was not made from.
    Stale,
}

/// The numbers of digests in a message: the whole is divided in as many groups, and a group in as
/// many buckets.
pub(super) const FAN: usize = 64;

/// Digests of records.
pub(super) type Digests = [u64; FAN];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Status(Status),
    Propose(Standing, SetInfo),
    Want {
        version: Version,
        offset: u64,
    },
    Piece {
        version: Version,
        offset: u64,
        bytes: Vec<u8>,
    },
    Verdict(Version, Verdict),
    Withdraw(Version),
    Groups(Box<Digests>),
    Buckets(u8, Box<Digests>),
    Records(Vec<Record>),
    Amounts(Vec<Amount>),
    /// Levels; those of earlier messages are void if the first field is set.
    Levels(bool, Vec<Level>),
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer(vec![limits::PROTOCOL, self.kind()]);
        self.write(&mut writer);
        debug_assert!(writer.0.len() <= limits::MESSAGE);
        writer.0
    }

    pub(super) fn class(&self) -> Class {
        match self.kind() {
            ..16 => Class::Config,
            16..32 => Class::State,
            _ => Class::Counters,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Status(_) => 1,
            Self::Propose(..) => 2,
            Self::Want { .. } => 3,
            Self::Piece { .. } => 4,
            Self::Verdict(..) => 5,
            Self::Withdraw(_) => 6,
            Self::Groups(_) => 16,
            Self::Buckets(..) => 17,
            Self::Records(_) => 18,
            Self::Amounts(_) => 32,
            Self::Levels(..) => 33,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Status(status) => write_status(writer, status),
            Self::Propose(standing, info) => {
                standing.write(writer);
                write_info(writer, info);
            }
            Self::Want { version, offset } => {
                write_version(writer, version);
                writer.u64(*offset);
            }
            Self::Piece { version, offset, bytes } => {
                write_version(writer, version);
                writer.u64(*offset).bytes(bytes);
            }
            Self::Verdict(version, verdict) => {
                write_version(writer, version);
                match verdict {
                    Verdict::Agrees => writer.u8(0),
                    Verdict::Refuses(reason) => writer.u8(1).bytes(reason.as_bytes()),
                    Verdict::Busy(by) => writer.u8(2).name(by),
                    Verdict::Stale => writer.u8(3),
                };
            }
            Self::Withdraw(version) => write_version(writer, version),
            Self::Groups(digests) => write_digests(writer, digests),
            Self::Buckets(group, digests) => write_digests(writer.u8(*group), digests),
            Self::Records(records) => records.iter().for_each(|record| record.write(writer)),
            Self::Amounts(amounts) => amounts.iter().for_each(|amount| amount.write(writer)),
            Self::Levels(anew, levels) => {
                writer.u8(u8::from(*anew));
                levels.iter().for_each(|level| level.write(writer));
            }
        }
    }

    /// The message in bytes.
    ///
    /// # Errors
    /// The part that is wrong or beyond its limit.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > limits::MESSAGE {
            return Err(Malformed("message: it is too long"));
        }
        let mut reader = Reader(bytes);
        if reader.u8()? != limits::PROTOCOL {
            return Err(Malformed("message: it has another version"));
        }
        let message = Self::read(&mut reader)?;
        reader.end()?;
        Ok(message)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            1 => Self::Status(read_status(reader)?),
            2 => Self::Propose(Standing::read(reader)?, read_info(reader)?),
            3 => Self::Want { version: read_version(reader)?, offset: reader.u64()? },
            4 => Self::Piece {
                version: read_version(reader)?,
                offset: reader.u64()?,
                bytes: reader.bytes(limits::PIECE)?.to_vec(),
            },
            5 => Self::Verdict(
                read_version(reader)?,
                match reader.u8()? {
                    0 => Verdict::Agrees,
                    1 => Verdict::Refuses(reader.line(limits::REASON)?),
                    2 => Verdict::Busy(reader.name()?),
                    3 => Verdict::Stale,
                    _ => return Err(Malformed("verdict")),
                },
            ),
            6 => Self::Withdraw(read_version(reader)?),
            16 => Self::Groups(read_digests(reader)?),
            17 => match reader.u8()? {
                group if usize::from(group) < FAN => Self::Buckets(group, read_digests(reader)?),
                _ => return Err(Malformed("group")),
            },
            18 => Self::Records(reader.rest(Record::read)?),
            32 => Self::Amounts(reader.rest(Amount::read)?),
            33 => Self::Levels(reader.u8()? == 1, reader.rest(Level::read)?),
            _ => return Err(Malformed("kind of message")),
        })
    }
}

fn write_status(writer: &mut Writer, status: &Status) {
    writer.option(status.set.as_ref(), |writer, (standing, info)| {
        standing.write(writer);
        write_info(writer, info);
    });
    writer.option(status.trouble.as_ref(), |writer, (version, reason)| {
        write_version(writer, version);
        writer.bytes(reason.as_bytes());
    });
}

fn read_status(reader: &mut Reader<'_>) -> Result<Status, Malformed> {
    let set = reader.option(|reader| Ok((Standing::read(reader)?, read_info(reader)?)))?;
    let trouble =
        reader.option(|reader| Ok((read_version(reader)?, reader.line(limits::REASON)?)))?;
    Ok(Status { set, trouble })
}

pub(crate) fn write_info(writer: &mut Writer, info: &SetInfo) {
    writer.u64(info.size).bytes(&info.signature);
}

pub(crate) fn read_info(reader: &mut Reader<'_>) -> Result<SetInfo, Malformed> {
    let size = reader.u64()?;
    if size > limits::SET {
        return Err(Malformed("size of a set"));
    }
    Ok(SetInfo { size, signature: reader.bytes(limits::SIGNATURE)?.to_vec() })
}

fn write_digests(writer: &mut Writer, digests: &Digests) {
    digests.iter().for_each(|digest| {
        writer.u64(*digest);
    });
}

fn read_digests(reader: &mut Reader<'_>) -> Result<Box<Digests>, Malformed> {
    let mut digests = Box::new([0; FAN]);
    for digest in digests.iter_mut() {
        *digest = reader.u64()?;
    }
    Ok(digests)
}

/// Decodes bytes; what they mean must survive another turn.
pub(super) fn fuzz(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

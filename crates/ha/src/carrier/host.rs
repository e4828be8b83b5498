//! The messages between the mirror, which runs in the unprivileged worker, and the master, which
//! alone checks, stores and applies configuration sets.
//!
//! A worker may have been compromised, so the master takes nothing of an [`Ask`] for granted: it
//! verifies the signature of each set itself.

use std::sync::Arc;

use crate::mirror::codec::{Malformed, Reader, Writer, cut};
use crate::mirror::message::{read_info, write_info};
use crate::mirror::version::{read_version, write_version};
use crate::mirror::{Digest, Effect, Name, Outcome, Proposal, Set, Version, limits};

/// The longest answer to a proposer, in bytes.
const ANSWER: usize = 64 << 10;

/// The longest durable state, in bytes.
const STATE: usize = 64 << 10;

/// A request of the mirror to the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// [`crate::mirror::Effect::Check`]: the set, and whether it is in force nowhere yet.
    Check(Set, bool),
    /// [`crate::mirror::Effect::Apply`]: the set and its state.
    Apply(Set, Vec<u8>),
    /// [`crate::mirror::Effect::Store`]: its number and the state.
    Store(u64, Vec<u8>),
    /// [`crate::mirror::Effect::KeepAside`]: the loser and the winner.
    KeepAside(Set, Version),
    /// The answer to a proposal, and whether its set is in force here.
    Answer(Proposal, bool, String),
}

/// A message of the master to the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The first message: this node's name, and what it has durably.
    Begin {
        /// The name.
        me: Name,
        /// The state with the bytes of its set.
        held: Option<(Vec<u8>, Arc<[u8]>)>,
    },
    /// A set to be proposed to all nodes.
    Propose {
        /// The number for the answer.
        number: Proposal,
        /// The SHA-256 of the bytes.
        digest: Digest,
        /// This master's signature.
        signature: Vec<u8>,
        /// The set.
        bytes: Arc<[u8]>,
    },
    /// The end of [`Ask::Check`], with the fault of the set.
    Checked(Version, Result<(), String>),
    /// The end of [`Ask::Apply`].
    Applied(Version, Result<(), String>),
    /// The end of [`Ask::Store`].
    Stored(u64),
    /// An earlier worker has put this proposal in force here as this version: answer it when the
    /// other nodes have it.
    Confirm(Proposal, Version),
}

impl Ask {
    /// The request as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Check(set, is_proposal) => {
                write_set(writer.u8(1), set);
                writer.u8(u8::from(*is_proposal));
            }
            Self::Apply(set, state) => {
                write_set(writer.u8(2), set);
                writer.bytes(state);
            }
            Self::Store(serial, state) => {
                writer.u8(3).u64(*serial).bytes(state);
            }
            Self::KeepAside(loser, winner) => {
                write_set(writer.u8(4), loser);
                write_version(&mut writer, winner);
            }
            Self::Answer(number, in_force, text) => {
                let text = &text[..text.floor_char_boundary(ANSWER)];
                writer.u8(5).u64(*number).u8(u8::from(*in_force)).bytes(text.as_bytes());
            }
        }
        writer.0
    }

    /// A request from bytes.
    ///
    /// # Errors
    /// The part that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let ask = match reader.u8()? {
            1 => Self::Check(read_set(&mut reader)?, reader.u8()? == 1),
            2 => Self::Apply(read_set(&mut reader)?, reader.bytes(STATE)?.to_vec()),
            3 => Self::Store(reader.u64()?, reader.bytes(STATE)?.to_vec()),
            4 => Self::KeepAside(read_set(&mut reader)?, read_version(&mut reader)?),
            5 => Self::Answer(reader.u64()?, reader.u8()? == 1, reader.line(ANSWER)?),
            _ => return Err(Malformed("kind")),
        };
        reader.end()?;
        Ok(ask)
    }
}

impl Tell {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Begin { me, held } => {
                writer.u8(1).name(me).option(held.as_ref(), |writer, (state, bytes)| {
                    writer.bytes(state).bytes(bytes);
                });
            }
            Self::Propose { number, digest, signature, bytes } => {
                writer.u8(2).u64(*number).raw(digest).bytes(signature).bytes(bytes);
            }
            Self::Checked(version, result) => write_result(writer.u8(3), version, result),
            Self::Applied(version, result) => write_result(writer.u8(4), version, result),
            Self::Stored(serial) => {
                writer.u8(5).u64(*serial);
            }
            Self::Confirm(number, version) => {
                write_version(writer.u8(6).u64(*number), version);
            }
        }
        writer.0
    }

    /// A message from bytes.
    ///
    /// # Errors
    /// The part that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let most = limits::SET as usize;
        let mut reader = Reader(bytes);
        let tell = match reader.u8()? {
            1 => Self::Begin {
                me: reader.name()?,
                held: reader.option(|reader| {
                    Ok((reader.bytes(STATE)?.to_vec(), reader.bytes(most)?.into()))
                })?,
            },
            2 => Self::Propose {
                number: reader.u64()?,
                digest: reader.array()?,
                signature: reader.bytes(limits::SIGNATURE)?.to_vec(),
                bytes: reader.bytes(most)?.into(),
            },
            3 => Self::Checked(read_version(&mut reader)?, read_result(&mut reader)?),
            4 => Self::Applied(read_version(&mut reader)?, read_result(&mut reader)?),
            5 => Self::Stored(reader.u64()?),
            6 => Self::Confirm(reader.u64()?, read_version(&mut reader)?),
            _ => return Err(Malformed("kind")),
        };
        reader.end()?;
        Ok(tell)
    }
}

fn write_set(writer: &mut Writer, set: &Set) {
    write_version(writer, &set.version);
    write_info(writer, &set.info);
    writer.bytes(&set.bytes);
}

fn read_set(reader: &mut Reader<'_>) -> Result<Set, Malformed> {
    let (version, info) = (read_version(reader)?, read_info(reader)?);
    Ok(Set { version, info, bytes: reader.bytes(limits::SET as usize)?.into() })
}

fn write_result(writer: &mut Writer, version: &Version, result: &Result<(), String>) {
    write_version(writer, version);
    writer.option(result.as_ref().err(), |writer, reason| {
        writer.bytes(cut(reason.clone()).as_bytes());
    });
}

fn read_result(reader: &mut Reader<'_>) -> Result<Result<(), String>, Malformed> {
    Ok(match reader.option(|reader| reader.line(limits::REASON))? {
        None => Ok(()),
        Some(reason) => Err(reason),
    })
}

/// Decodes a request, for the fuzzer: what is read is written as it was.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(ask) = Ask::decode(bytes) {
        assert_eq!(Ask::decode(&ask.encode()), Ok(ask));
    }
    if let Ok(tell) = Tell::decode(bytes) {
        assert_eq!(Tell::decode(&tell.encode()), Ok(tell));
    }
}

/// What the mirror wants of the master.
pub(super) fn question(effect: Effect) -> Option<Ask> {
    Some(match effect {
        Effect::Check { set, is_proposal } => Ask::Check(set, is_proposal),
        Effect::Apply { set, state } => Ask::Apply(set, state),
        Effect::Store { serial, state } => Ask::Store(serial, state),
        Effect::KeepAside { loser, winner } => Ask::KeepAside(loser, winner),
        Effect::Answer(number, outcome) => {
            let in_force = matches!(outcome, Outcome::Acknowledged(_) | Outcome::Applied(..));
            Ask::Answer(number, in_force, outcome.to_string())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::SetInfo;

    fn version() -> Version {
        Version { counter: 3, proposer: Name::new("a").unwrap(), digest: [7; 32] }
    }

    fn set() -> Set {
        let info = SetInfo { size: 3, signature: b"signed".to_vec() };
        Set { version: version(), info, bytes: b"set"[..].into() }
    }

    #[test]
    fn requests_arrive_as_sent() {
        let asks = [
            Ask::Check(set(), true),
            Ask::Apply(set(), b"state".to_vec()),
            Ask::Store(9, b"state".to_vec()),
            Ask::KeepAside(set(), version()),
            Ask::Answer(4, true, "done".to_owned()),
        ];
        for ask in asks {
            let bytes = ask.encode();
            assert_eq!(Ask::decode(&bytes).as_ref(), Ok(&ask));
            for length in 0..bytes.len() {
                assert!(Ask::decode(&bytes[..length]).is_err(), "{ask:?} {length}");
            }
        }
    }

    #[test]
    fn the_masters_messages_arrive_as_sent() {
        let (state, bytes) = (b"state".to_vec(), Arc::from(&b"set"[..]));
        let tells = [
            Tell::Begin { me: version().proposer, held: None },
            Tell::Begin { me: version().proposer, held: Some((state, Arc::clone(&bytes))) },
            Tell::Propose { number: 1, digest: [2; 32], signature: b"s".to_vec(), bytes },
            Tell::Checked(version(), Ok(())),
            Tell::Applied(version(), Err("why".to_owned())),
            Tell::Stored(5),
            Tell::Confirm(6, version()),
        ];
        for tell in tells {
            assert_eq!(Tell::decode(&tell.encode()).as_ref(), Ok(&tell));
        }
        let two_lines = Ask::Answer(4, true, "done\n[emerg] not".to_owned());
        let one_line = Ask::Answer(4, true, "done [emerg] not".to_owned());
        assert_eq!(Ask::decode(&two_lines.encode()), Ok(one_line));
        let long = Tell::Checked(version(), Err("x".repeat(2 * limits::REASON)));
        let Ok(Tell::Checked(_, Err(reason))) = Tell::decode(&long.encode()) else { panic!() };
        assert_eq!(reason.len(), limits::REASON);
    }
}

//! What the mirror asks of the node that it runs in.

use std::fmt;
use std::sync::Arc;

use super::message::SetInfo;
use super::name::Name;
use super::record::{Key, Kind};
use super::tickets::TicketKey;
use super::version::Version;

/// The number of a proposal, which its maker chooses.
pub type Proposal = u64;

/// The weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// News.
    Notice,
    /// Somebody should look.
    Warning,
}

/// A configuration set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its version.
    pub version: Version,
    /// Size and signature.
    pub info: SetInfo,
    /// Its bytes, as the proposer gave them.
    pub bytes: Arc<[u8]>,
}

/// A wish of the mirror. The order of effects is that of their completion: a set is kept aside
/// before another takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Check the set: its size, its digest, its signature, and `-t`. Ends with
    /// [`super::Mirror::handle_checked`].
    Check {
        /// The set.
        set: Set,
        /// Whether it is in force nowhere yet.
        is_proposal: bool,
    },
    /// Make the set and the state durable in one step, then put the set in force. Ends with
    /// [`super::Mirror::handle_applied`]; after a failure, the earlier set and state are durable
    /// and in force.
    Apply {
        /// The set.
        set: Set,
        /// The state ([`super::Durable`]) that belongs to it.
        state: Vec<u8>,
    },
    /// Make the state durable, beside the set in force. Ends with [`super::Mirror::handle_stored`].
    Store {
        /// The number for the completion.
        serial: u64,
        /// The state.
        state: Vec<u8>,
    },
    /// Keep the set where an administrator finds it: another one replaces it that was not made
    /// from it.
    KeepAside {
        /// The loser.
        loser: Set,
        /// The version that replaces it.
        winner: Version,
    },
    /// Answer a proposer. Each proposal has one answer.
    Answer(Proposal, Outcome),
    /// A record was changed by another node.
    Record {
        /// Its kind and key.
        key: Key,
        /// The value; `None` if it was removed.
        value: Option<Vec<u8>>,
    },
    /// Another node has admitted requests.
    Counted {
        /// The zone.
        zone: Arc<str>,
        /// The key in the zone.
        key: Vec<u8>,
        /// The number of requests.
        amount: u32,
    },
    /// Another node has so many connections of a key.
    Level {
        /// The other node.
        node: Name,
        /// The zone.
        zone: Arc<str>,
        /// The key in the zone.
        key: Vec<u8>,
        /// The number of connections.
        level: u32,
    },
    /// A node is away: its connections no longer count.
    Gone(Name),
    /// Other keys of session tickets, newest first.
    Tickets {
        /// The place of the key that encrypts.
        encrypts: usize,
        /// All keys, each of which decrypts.
        keys: Vec<TicketKey>,
    },
    /// Make 80 random bytes for a ticket key, for [`super::Mirror::handle_ticket_key`].
    MakeTicketKey,
    /// End the connection to a node, which does not keep to the protocol.
    Disconnect(Name, Fault),
    /// A line for the log.
    Log(Weight, String),
}

/// Why a connection is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The version of its messages.
    Protocol(u16),
    /// A message that is none.
    Malformed(super::Malformed),
    /// More questions than a node has.
    Flood,
    /// The node is in no `node` line.
    Stranger,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(version) => write!(
                f,
                "it speaks version {version} of the mirror, and this node version {}; run the same \
                 release on both",
                super::limits::PROTOCOL
            ),
            Self::Malformed(part) => write!(f, "it sent a {part}"),
            Self::Flood => f.write_str("it sends more than it may"),
            Self::Stranger => f.write_str("the ha block has no such node"),
        }
    }
}

/// A node that does not have a new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is not connected.
    Away,
    /// It has not said so in time.
    Silent,
    /// It could not put it in force.
    Failed(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("it is away, and catches up when it returns"),
            Self::Silent => f.write_str("it has not confirmed it yet"),
            Self::Failed(reason) => write!(f, "it could not: {reason}"),
        }
    }
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every node has it in force, and durably knows that all have. No node's crash, and no single
    /// node's restored backup, brings an earlier one back.
    Acknowledged(Version),
    /// It is in force here, and not on these nodes.
    Applied(Version, Vec<(Name, Missing)>),
    /// It was in force here, but another version, of a change made apart from it, has won.
    Replaced(Version, Version),
    /// A node has found a fault. It is in force nowhere.
    Refused(Name, String),
    /// Another proposal is under way, by this node. It is in force nowhere.
    Concurrent(Name),
    /// A node has a version that this node must take over first. It is in force nowhere.
    Behind(Name, Option<Version>),
    /// A node has not checked it in time. It is in force nowhere.
    Unanswered(Name),
    /// A node went away before it had checked it. It is in force nowhere.
    WentAway(Name),
    /// It could not be put in force here. It is in force nowhere.
    Failed(String),
    /// The set is larger than [`super::limits::SET`], or its signature than its limit.
    TooLarge,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(version) => write!(f, "version {version} is in force on all nodes"),
            Self::Applied(version, missing) => {
                write!(f, "version {version} is applied here, but not yet everywhere")?;
                missing.iter().try_for_each(|(node, why)| write!(f, "; {node}: {why}"))
            }
            Self::Replaced(own, other) => write!(
                f,
                "version {own} was in force here, but version {other}, a change made apart from it, \
                 has won; this one is kept aside"
            ),
            Self::Refused(node, reason) => write!(f, "refused by {node}: {reason}"),
            Self::Concurrent(node) => {
                write!(f, "a change by {node} is under way; try again when it has ended")
            }
            Self::Behind(node, Some(version)) => write!(
                f,
                "{node} has version {version}, which this node must take over first; see weir ha \
                 status, and try again"
            ),
            Self::Behind(node, None) => {
                write!(f, "{node} has a newer version; try again when this node has it")
            }
            Self::Unanswered(node) => write!(
                f,
                "{node} is connected, but has not checked the configuration in {} s; nothing has \
                 changed",
                super::limits::CHECK.as_secs()
            ),
            Self::WentAway(node) => write!(
                f,
                "{node} went away while it checked the configuration; nothing has changed, try again"
            ),
            Self::Failed(reason) => write!(f, "not applied: {reason}"),
            Self::TooLarge => write!(
                f,
                "the configuration with its files is larger than {} MiB",
                super::limits::SET >> 20
            ),
        }
    }
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The key or the value is too long.
    TooLong,
    /// There are as many records, or bytes of records, as there may be.
    Full(Kind),
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("a record is too long to be mirrored"),
            Self::Full(kind) => write!(f, "no room for another mirrored record ({kind:?})"),
        }
    }
}

impl std::error::Error for PutError {}

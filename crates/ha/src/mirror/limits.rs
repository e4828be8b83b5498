//! The limits of the mirror: sizes and numbers that no message and no local input can exceed.

use std::time::Duration;

/// The version of the messages. A node that speaks another one is not heard.
pub const PROTOCOL: u8 = 1;

/// The longest name of a node, in bytes.
pub const NAME: usize = 64;

/// The number of nodes.
pub const NODES: usize = 16;

/// The largest configuration set, in bytes. A node holds three at most: the one in force, one that
/// is proposed or followed, and one that is being applied.
pub const SET: u64 = 32 << 20;

/// The bytes of a set in one message.
pub const PIECE: usize = 128 << 10;

/// The longest signature of a set, in bytes.
pub const SIGNATURE: usize = 1024;

/// The number of ancestors that a standing names. Two sides of a partition that each made more
/// changes are not recognised as kin, which keeps a loser aside that is none.
pub const LINE: usize = 32;

/// The distance by which the counter of a received version may lead all known ones: more is no
/// number of changes, and would leave no room for later ones.
pub const COUNTER_LEAP: u64 = 1 << 32;

/// The longest reason of a refusal, in bytes: about a screen of diagnostics.
pub const REASON: usize = 4096;

/// Messages of the class `config` that wait for one node, besides its pieces and the status. Each
/// answers one of its messages, so a node with more of them floods.
pub const ANSWERS: usize = 64;

/// The time in which every reachable node must have checked a proposal.
pub const CHECK: Duration = Duration::from_secs(30);

/// The time in which every reachable node must have put an agreed proposal in force, before its
/// proposer is told which ones have not.
pub const CONFIRM: Duration = Duration::from_secs(30);

/// The time in which nodes connect to a process that has just begun, before they count as away.
pub const CONNECT: Duration = Duration::from_secs(10);

/// The time after which a set that stops coming is given up.
pub const STALL: Duration = Duration::from_secs(10);

/// The time for which a node keeps what it agreed to without hearing of a decision.
pub const HOLD: Duration = Duration::from_secs(90);

/// The pauses before a set that could not be put in force is tried again: the first, and the
/// longest, to which they double.
pub const RETRY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// The longest key of a record, in bytes.
pub const KEY: usize = 4096;

/// The largest value of a record, in bytes.
pub const VALUE: usize = 1 << 20;

/// The number of records, without tombstones.
pub const RECORDS: usize = 1 << 20;

/// The number of records about session tickets: four keys for each node, and what it has.
pub const TICKETS: usize = 5 * NODES;

/// The keys and values of all records, in bytes, as in the journal of a worker.
pub const RECORD_BYTES: u64 = 256 << 20;

/// The number of tombstones. The oldest go first.
pub const TOMBSTONES: usize = 1 << 16;

/// The age at which a tombstone is forgotten, in changes of any record on any node.
pub const TOMBSTONE_AGE: u64 = 1 << 20;

/// The distance by which a received clock may lead the own one: more is no number of changes.
pub const CLOCK_LEAP: u64 = 1 << 48;

/// Keys of changed records that wait for one node. With more of them, digests are compared.
pub const CHANGES: usize = 4096;

/// The bytes of records after which a message is full. One record may exceed it.
pub const RECORDS_MESSAGE: usize = 64 << 10;

/// The longest name of a zone, in bytes.
pub const ZONE: usize = 255;

/// The longest key that is counted for others, in bytes, as in a zone.
pub const COUNTED_KEY: usize = 65_535;

/// Counted keys that wait for one node. Further ones are not told, and count here alone.
pub const COUNTED: usize = 8192;

/// The bytes of counted keys after which a message is full. One key may exceed it.
pub const COUNTED_MESSAGE: usize = 32 << 10;

/// Levels that this node tells: connections by zone and key.
pub const LEVELS: usize = 1 << 16;

/// The amount that one message can add to a counter.
pub const AMOUNT: u32 = 1 << 20;

/// The interval of messages with counters to a node.
pub const COUNT_INTERVAL: Duration = Duration::from_millis(20);

/// The largest message, in bytes.
pub const MESSAGE: usize = VALUE + KEY + (16 << 10);

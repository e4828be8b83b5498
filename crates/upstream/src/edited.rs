//! What was edited about the servers of a group, and when: nodes that have a group in common tell
//! each other by it which of two edits is the later one.
//!
//! Versions are hybrid logical clocks: the time of the edit, but more than every version seen
//! before. Each parameter of a server has one, and its coming or going has one.

use std::collections::BTreeMap;

use weir_engine::clock;

use crate::{
    quoted::quoted,
    server::{Name, Server, ServerId},
    shared_records,
};

/// The most records of servers that a group has lost, or does not have yet. The oldest go first.
const MOST_ABSENT: usize = 4096;

/// The distance by which a version of another node may lead the time and all known ones: two years.
/// More is no time.
const LEAP: u64 = 1 << 40;

/// The low bits of a version, which name the node: those of two nodes are never equal.
const NODE_BITS: u32 = 4;

/// A parameter of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    Weight,
    MaxConns,
    MaxFails,
    FailTimeout,
    SlowStart,
    /// `down`, `drain`.
    Admission,
    Route,
    Locality,
    Backup,
    /// `agent_addr`, `agent_port`.
    Agent,
}

impl Param {
    /// All of them, with their words in records.
    pub(crate) const ALL: [(Self, &str); 10] = [
        (Self::Weight, "weight"),
        (Self::MaxConns, "max_conns"),
        (Self::MaxFails, "max_fails"),
        (Self::FailTimeout, "fail_timeout"),
        (Self::SlowStart, "slow_start"),
        (Self::Admission, "admission"),
        (Self::Route, "route"),
        (Self::Locality, "locality"),
        (Self::Backup, "backup"),
        (Self::Agent, "agent"),
    ];
}

/// The versions of a server's parameters; 0 is as written, listed or resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions([u64; Param::ALL.len()]);

impl Versions {
    /// All of one version.
    pub(crate) fn all(version: u64) -> Self {
        Self([version; Param::ALL.len()])
    }

    pub(crate) fn of(&self, param: Param) -> u64 {
        self.0[param as usize]
    }

    pub(crate) fn set(&mut self, param: Param, version: u64) {
        self.0[param as usize] = version;
    }

    pub(crate) fn newest(&self) -> u64 {
        self.0.into_iter().max().unwrap_or(0)
    }
}

/// Whether a server is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is, with its parameters.
    Here,
    /// It was removed; the configuration has it if `written`.
    Gone { written: bool },
    /// Another node has it. Here its source, or its name, does not have it yet.
    Awaited(Box<Described>),
}

/// What was edited about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The version of its coming or going; 0 if it is as written, listed or resolved.
    pub(crate) version: u64,
    pub(crate) params: Versions,
    pub(crate) state: State,
}

impl Default for Edited {
    /// A server that was never edited.
    fn default() -> Self {
        Self { version: 0, params: Versions::default(), state: State::Here }
    }
}

/// A server as a record describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) id: ServerId,
    pub(crate) is_conf: bool,
    /// The number among those of its place in the configuration.
    pub(crate) twin: u32,
    /// With its only address, or its name.
    pub(crate) server: Server,
}

/// What was edited in a group, by the places of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    pub(crate) by_place: BTreeMap<String, Edited>,
    /// The newest version seen.
    newest: u64,
}

impl Edits {
    /// The version of an edit that is made here now.
    pub(crate) fn next_version(&mut self) -> u64 {
        let (node, _) = shared_records::node();
        let next = (self.newest >> NODE_BITS).saturating_add(1).max(clock::msec());
        self.newest = next.min(u64::MAX >> NODE_BITS) << NODE_BITS | u64::from(node % 16);
        self.newest
    }

    /// Notes a version of another node. `false` if it is none.
    pub(crate) fn see(&mut self, version: u64) -> bool {
        let now = clock::msec() << NODE_BITS;
        let is_one = version <= self.newest.max(now).saturating_add(LEAP);
        if is_one {
            self.newest = self.newest.max(version);
        }
        is_one
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    pub(crate) fn of(&self, place: &str) -> Option<&Edited> {
        self.by_place.get(place)
    }

    pub(crate) fn insert(&mut self, place: String, edited: Edited) {
        self.newest = self.newest.max(edited.version).max(edited.params.newest());
        self.by_place.insert(place, edited);
    }

    /// Forgets a server.
    pub(crate) fn remove(&mut self, place: &str) -> bool {
        self.by_place.remove(place).is_some()
    }

    /// Forgets the addresses of a name, and returns their places.
    pub(crate) fn forget_addresses(&mut self, name: &str) -> Vec<String> {
        let start = format!("resolved {name} ");
        let places = self.by_place.keys().filter(|place| place.starts_with(&start));
        let places: Vec<String> = places.cloned().collect();
        places.iter().for_each(|place| {
            self.by_place.remove(place);
        });
        places
    }

    /// Forgets the oldest of absent servers beyond the limit, and returns the places of those that
    /// were removed. Another node has those that are awaited, and is not told.
    pub(crate) fn forget_oldest(&mut self) -> Vec<String> {
        let is_absent = |edited: &Edited| match &edited.state {
            State::Here | State::Gone { written: true } => false,
            State::Gone { written: false } | State::Awaited(_) => true,
        };
        let absent = self.by_place.iter().filter(|(_, edited)| is_absent(edited));
        let mut by_age: Vec<(u64, String)> =
            absent.map(|(place, edited)| (edited.version, place.clone())).collect();
        let more = by_age.len().saturating_sub(MOST_ABSENT);
        if more == 0 {
            return Vec::new();
        }
        by_age.sort();
        by_age.truncate(more);
        let mut gone = Vec::new();
        for (_, place) in by_age {
            let known = self.by_place.remove(&place);
            if known.is_some_and(|known| matches!(known.state, State::Gone { .. })) {
                gone.push(place);
            }
        }
        gone
    }
}

/// Whose server is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The group's: written in the configuration, or added at run time.
    Own,
    /// The source's.
    Listed,
    /// A name's: one of its addresses.
    Resolved,
}

impl Class {
    /// The class of a place.
    pub(crate) fn of(place: &str) -> Self {
        match place.split(' ').next() {
            Some("listed") => Self::Listed,
            Some("resolved") => Self::Resolved,
            _ => Self::Own,
        }
    }
}

/// The place of an address.
pub(crate) fn place_of_address(is_listed: bool, address: &str, twin: u32) -> String {
    format!("{} {twin} {}", class_word(is_listed), quoted(address))
}

/// The place of a name.
pub(crate) fn place_of_name(is_listed: bool, name: &Name, twin: u32) -> String {
    let Name { host, port, service } = name;
    let service = service.as_ref().map(|name| quoted(&format!("service={name}")) + " ");
    let service = service.unwrap_or_default();
    format!("{} {twin} {} resolve {service}{port}", class_word(is_listed), quoted(host))
}

fn class_word(is_listed: bool) -> &'static str {
    if is_listed { "listed" } else { "own" }
}

impl Described {
    /// The place of a server of its group.
    pub(crate) fn own_place(&self) -> Option<String> {
        match (&self.server.resolve, self.server.addresses.first()) {
            (Some(name), _) => Some(place_of_name(false, name, self.twin)),
            (None, Some(address)) => Some(place_of_address(false, &address.to_string(), self.twin)),
            (None, None) => None,
        }
    }
}

//! The mirror: what the nodes of a pair (or more) have in common. A machine without sockets, files,
//! threads or clocks: inputs are `handle_*`, outputs are `poll_*`, and the time is an argument.
//!
//! # The configuration
//!
//! A *set* is all files that the configuration reads. It has a version: a counter, its proposer,
//! and its digest. `config.rs` has the state diagram. What is promised, while messages arrive in
//! order or their connection ends, and durable state is not taken back:
//!
//! 1. **Checked everywhere first.** A proposal is in force nowhere before every node that was
//!    connected has checked it and agreed. If one refuses, goes away or does not answer in time,
//!    it is in force nowhere, ever.
//! 2. **One version.** When all nodes see each other for long enough, they have the same version in
//!    force. A node that was away takes over the newest.
//! 3. **None comes back.** A node replaces its version only by one that was made from it, or that
//!    wins over it in the fixed order, which is the same on all nodes.
//! 4. **An acknowledged change is not lost.** [`Outcome::Acknowledged`] says that every node has it
//!    durably in force, and knows so durably. Whatever comes later is made from it. A node that is
//!    restored from a backup takes over from the others, even if it has made changes since.
//! 5. **A change that is not acknowledged can lose**: nodes that do not see each other can each
//!    make changes. Afterwards the version with the larger counter wins, of equal ones that of the
//!    later name; the loser is kept aside and named. Its proposer was told that it was applied
//!    there alone.
//! 6. **An answer.** Each proposal gets one, unless its node dies. Of proposals at the same
//!    time one goes on, and the others are told so.
//!
//! A node that cannot put in force what the others have keeps its own version, says why, and tries
//! again; it accepts a proposal made from theirs.
//!
//! # Records
//!
//! The last writer of a key wins: the larger Lamport clock, then the later node. A removal is a
//! tombstone, until [`limits::TOMBSTONE_AGE`] further changes or [`limits::TOMBSTONES`] others: a
//! node that was away for longer can bring a removed record back. No wall clock is involved. The
//! records of all nodes are equal soon after they see each other. Records are not durable here:
//! they outlive a node in the others, and a worker in its journal.
//!
//! # Memory
//!
//! [`limits`] has all limits. Nothing is queued for a slow node but a bounded number of keys;
//! further ones are found by digests. Messages are made when the link asks for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod codec;
mod config;
mod counters;
mod durable;
mod effect;
pub mod fuzz;
pub mod limits;
pub(crate) mod message;
mod name;
mod record;
mod records;
mod tickets;
pub(crate) mod version;
mod view;

pub use codec::Malformed;
pub use config::Proposed;
pub use durable::Durable;
pub use effect::{Effect, Fault, Missing, Outcome, Proposal, PutError, Set, Weight};
pub use message::{Class, SetInfo};
pub use name::Name;
pub use record::{Key, Kind, Stamp};
pub use tickets::{TICKET_KEY, TicketKey};
pub use version::{Digest, Standing, Version};
pub use view::{NodeView, Step, View};

use config::{Config, Effects, Held};
use counters::Counters;
use message::Message;
use records::Records;
use tickets::Tickets;

/// The mirror of a node.
#[derive(Debug)]
pub struct Mirror {
    me: Name,
    members: BTreeSet<Name>,
    connected: BTreeSet<Name>,
    config: Config,
    records: Records,
    counters: Counters,
    tickets: Option<Tickets>,
    effects: Effects,
}

/// The memory in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The bytes of configuration sets.
    pub sets: u64,
    /// The messages about the configuration that wait for one node.
    pub answers: usize,
    /// The bytes of records.
    pub records: u64,
    /// The number of tombstones.
    pub tombstones: usize,
    /// The changed records that wait for one node.
    pub changes: usize,
    /// The counted keys that wait for one node.
    pub counted: usize,
}

impl Mirror {
    /// The mirror of a node, with what it has durably. `members` are all nodes. Session tickets
    /// have keys in common if a lifetime is given.
    pub fn new(
        me: Name,
        members: impl IntoIterator<Item = Name>,
        restored: Option<(Durable, Arc<[u8]>)>,
        ticket_lifetime: Option<Duration>,
    ) -> Self {
        let members = members_with(&me, members);
        let held = restored.map(|(state, bytes)| {
            let Durable { standing, info } = state;
            Held { standing, info, bytes }
        });
        Self {
            config: Config::new(me.clone(), members.clone(), held),
            records: Records::new(me.clone()),
            counters: Counters::default(),
            tickets: ticket_lifetime.map(|lifetime| Tickets::new(me.clone(), lifetime)),
            connected: BTreeSet::new(),
            effects: Effects::new(),
            members,
            me,
        }
    }

    /// Takes over the nodes of another configuration.
    pub fn set_members(&mut self, now: Duration, members: impl IntoIterator<Item = Name>) {
        self.members = members_with(&self.me, members);
        self.config.set_members(self.members.clone(), now, &mut self.effects);
        let strangers: Vec<Name> = self.connected.difference(&self.members).cloned().collect();
        for node in strangers {
            self.disconnect(now, &node, Fault::Stranger);
        }
    }

    /// A node is connected, and speaks this version of the messages. A connection that it had
    /// before has been replaced: what was said on it may be lost, but the node was not away.
    pub fn handle_connected(&mut self, now: Duration, node: &Name, protocol: u16) {
        if protocol != u16::from(limits::PROTOCOL) {
            return self.disconnect(now, node, Fault::Protocol(protocol));
        }
        if *node == self.me || !self.members.contains(node) {
            return self.disconnect(now, node, Fault::Stranger);
        }
        if !self.connected.insert(node.clone()) {
            self.config.handle_replaced(now, node, &mut self.effects);
            self.records.handle_disconnected(node);
            self.counters.handle_disconnected(node, &mut self.effects);
        }
        self.config.handle_connected(node.clone());
        self.records.handle_connected(node.clone());
        self.counters.handle_connected(node.clone());
    }

    /// The connection to a node has ended.
    pub fn handle_disconnected(&mut self, now: Duration, node: &Name) {
        if self.connected.remove(node) {
            self.config.handle_disconnected(now, node, &mut self.effects);
            self.records.handle_disconnected(node);
            self.counters.handle_disconnected(node, &mut self.effects);
        }
    }

    fn disconnect(&mut self, now: Duration, node: &Name, fault: Fault) {
        self.effects.push_back(Effect::Log(Weight::Warning, format!("node {node}: {fault}")));
        self.effects.push_back(Effect::Disconnect(node.clone(), fault));
        self.handle_disconnected(now, node);
    }

    /// A message of a connected node has arrived.
    pub fn handle_message(&mut self, now: Duration, node: &Name, bytes: &[u8]) {
        if !self.connected.contains(node) {
            return;
        }
        let decoded = Message::decode(bytes)
            .and_then(|message| self.config.fault_of(node, &message).map_or(Ok(message), Err));
        let out = &mut self.effects;
        match decoded {
            Ok(message) => match message.class() {
                Class::Config => self.config.handle_message(now, node, message, out),
                Class::State => self.records.handle_message(node, message, out),
                Class::Counters => self.counters.handle_message(node, message, out),
            },
            Err(malformed) => return self.disconnect(now, node, Fault::Malformed(malformed)),
        }
        if self.config.is_flooded(node) {
            self.disconnect(now, node, Fault::Flood);
        }
    }

    /// Time has passed. To be called each 20 ms while counters are shared, else each second.
    pub fn handle_tick(&mut self, now: Duration) {
        self.config.handle_tick(now, &mut self.effects);
        if let Some(tickets) = &mut self.tickets {
            tickets.handle_tick(now, &mut self.records, self.connected.iter(), &mut self.effects);
        }
    }

    /// Proposes a configuration set. The answer is an [`Effect::Answer`] with the same number.
    pub fn propose(&mut self, now: Duration, proposal: Proposal, proposed: Proposed) {
        self.config.propose(now, proposal, proposed, &mut self.effects);
    }

    /// A proposal was put in force here by an earlier process, as this version: it still has to be
    /// answered, once the other nodes have connected and told what they have.
    pub fn resume(&mut self, now: Duration, proposal: Proposal, version: Version) {
        self.config.resume(now, proposal, version, &mut self.effects);
    }

    /// An [`Effect::Check`] has ended: the set is valid here, or has this fault.
    pub fn handle_checked(&mut self, now: Duration, version: &Version, result: Result<(), String>) {
        self.config.handle_checked(now, version, result, &mut self.effects);
    }

    /// An [`Effect::Apply`] has ended: the set is durable and in force, or could not be put in
    /// force.
    pub fn handle_applied(&mut self, now: Duration, version: &Version, result: Result<(), String>) {
        self.config.handle_applied(now, version, result, &mut self.effects);
    }

    /// An [`Effect::Store`] has ended.
    pub fn handle_stored(&mut self, now: Duration, serial: u64) {
        self.config.handle_stored(now, serial, &mut self.effects);
    }

    /// Random bytes for [`Effect::MakeTicketKey`].
    pub fn handle_ticket_key(&mut self, key: &[u8; TICKET_KEY]) {
        if let Some(tickets) = &mut self.tickets {
            tickets.add(key, &mut self.records);
        }
    }

    /// Sets how long a ticket key encrypts.
    pub fn set_ticket_lifetime(&mut self, lifetime: Duration) {
        if let Some(tickets) = &mut self.tickets {
            tickets.set_lifetime(lifetime);
        }
    }

    /// The records about ticket keys that a successor of this process needs.
    pub fn ticket_records(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        let own = Key::owned(Kind::TicketsHeld, &self.me, b"");
        let held = self.records.tickets(Kind::TicketsHeld).filter(move |key| **key == own);
        let all = self.records.tickets(Kind::TicketKey).chain(held);
        all.filter_map(|key| Some((key, self.records.value(key)?)))
    }

    /// Takes a predecessor's records about ticket keys over. Others are left out.
    pub fn restore_tickets(&mut self, records: impl IntoIterator<Item = (Key, Vec<u8>)>) {
        let own = Key::owned(Kind::TicketsHeld, &self.me, b"");
        for (key, value) in records {
            if key.kind == Kind::TicketKey || key == own {
                // Without room, other nodes have them.
                let _ = self.records.put(key, Some(value));
            }
        }
    }

    /// Sets a record, or removes it, on all nodes.
    ///
    /// # Errors
    /// If it is too long, or there is no room; nothing has changed.
    pub fn put_record(&mut self, key: Key, value: Option<Vec<u8>>) -> Result<(), PutError> {
        self.records.put(key, value)
    }

    /// Sets an own record, of a kind that has owners.
    ///
    /// # Errors
    /// As [`Mirror::put_record`].
    pub fn put_own(
        &mut self,
        kind: Kind,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<(), PutError> {
        self.records.put(Key::owned(kind, &self.me, key), value)
    }

    /// The value of a record.
    pub fn record(&self, key: &Key) -> Option<&[u8]> {
        self.records.value(key)
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        self.records.all()
    }

    /// Adds requests that this node has admitted, for the other nodes.
    pub fn count(&mut self, zone: &Arc<str>, key: &[u8], amount: u32) {
        self.counters.count(zone, key, amount);
    }

    /// Sets the connections that this node has of a key, for the other nodes.
    pub fn set_level(&mut self, zone: &Arc<str>, key: &[u8], level: u32) {
        self.counters.set_level(zone, key, level);
    }

    /// Sets all connections of a zone anew that this node had, when some changes were missed.
    pub fn recheck_levels(&mut self, zone: &Arc<str>, level: impl Fn(&[u8]) -> u32) {
        self.counters.recheck_levels(zone, level);
    }

    /// The next message of a class for a node, made now. A link asks when it has room.
    pub fn poll_message(&mut self, now: Duration, node: &Name, class: Class) -> Option<Vec<u8>> {
        let message = match class {
            Class::Config => self.config.poll_message(node),
            Class::State => self.records.poll_message(node),
            Class::Counters => self.counters.poll_message(now, node),
        };
        message.map(|message| message.encode())
    }

    /// The next effect. All are to be taken after each input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Where the node stands.
    pub fn standing(&self) -> Option<&Standing> {
        self.config.standing()
    }

    /// What it has, and what it knows of the others.
    pub fn view(&self) -> View {
        let owned = |(version, reason): (&Version, &str)| (version.clone(), reason.to_owned());
        let node = |name: &Name| {
            let status = self.config.status_of(name);
            let set = status.and_then(|status| status.set.as_ref());
            NodeView {
                name: name.clone(),
                is_connected: self.connected.contains(name),
                version: set.map(|(standing, _)| standing.version.clone()),
                trouble: status.and_then(|status| status.trouble.clone()),
                waiting: self.records.waiting_for(name),
            }
        };
        let standing = self.standing();
        let under_way = self.config.under_way();
        View {
            has_configuration: true,
            version: standing.map(|standing| standing.version.clone()),
            sealed: standing.and_then(|standing| standing.sealed.clone()),
            under_way: under_way.map(|(version, step)| (version.clone(), step)),
            trouble: self.config.trouble().map(owned),
            nodes: self.members.iter().filter(|name| **name != self.me).map(node).collect(),
            records: self.records.count(),
            left_out: self.records.left_out(),
            untold: self.counters.untold(),
        }
    }
    /// The memory in use.
    pub fn usage(&self) -> Usage {
        let (sets, answers) = self.config.usage();
        let (records, tombstones, changes) = self.records.usage();
        Usage { sets, answers, records, tombstones, changes, counted: self.counters.usage() }
    }

    /// Whether sums that are kept beside the records are right. For tests.
    #[doc(hidden)]
    pub fn is_consistent(&self) -> bool {
        self.records.is_consistent()
    }
}

fn members_with(me: &Name, members: impl IntoIterator<Item = Name>) -> BTreeSet<Name> {
    members.into_iter().take(limits::NODES).chain([me.clone()]).collect()
}

#[cfg(test)]
mod tests;

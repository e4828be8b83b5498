//! The servers of a group: those of the configuration, the resolved addresses of names, and
//! run-time additions and changes. A reload that leaves a group's server lines alone keeps the
//! roster; one that changes them starts over.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
};

use weir_engine::Addr;

use crate::{
    config::GroupConfig,
    counters::Counters,
    group::Group,
    peer::Peer,
    server::{Name, Origin, Server, ServerId},
    set::Lines,
};

/// A server whose name is resolved repeatedly.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: ServerId,
    pub(crate) origin: Origin,
    pub(crate) server: Server,
    pub(crate) name: Name,
    /// The end of its addresses' validity, in seconds of [`Now::current`](crate::Now::current); 0
    /// if it was never resolved.
    pub(crate) valid: AtomicI64,
    /// Whether the first query has ended, with addresses or without.
    pub(crate) asked: AtomicBool,
}

impl Host {
    pub(crate) fn new(id: ServerId, origin: Origin, server: Server, name: Name) -> Self {
        let (valid, asked) = (AtomicI64::new(0), AtomicBool::new(false));
        Self { id, origin, server, name, valid, asked }
    }

    /// A peer at a resolved address. `text` and `weight` come from a service; a plain name uses
    /// those of its directive.
    pub(crate) fn peer(
        &self,
        id: ServerId,
        mut address: SocketAddr,
        text: &str,
        weight: u32,
    ) -> Peer {
        let mut limits = self.server.limits.clone();
        let mut server = self.server.text.as_str();
        if self.name.service.is_some() {
            server = text;
            if limits.weight == 1 {
                limits.weight = weight;
            }
        } else {
            address.set_port(self.name.port);
        }
        let mut peer = Peer::new(Addr::Inet(address), server, limits, self.server.route());
        (peer.id, peer.origin) = (id, Origin::Resolved(self.id));
        // Only groups with a zone have names.
        peer.counters = Some(Counters::new());
        peer
    }
}

/// The names of a group, and its next number. Its lock serialises edits of the group's peers.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The names, in the order of their numbers.
    pub(crate) hosts: Vec<Arc<Host>>,
    next: u32,
    /// Whether there is a `zone`, so that peers have counters.
    counts: bool,
    /// The groups of later configurations that took over, newest last. The newest one alive
    /// receives the edits: one in between can end before this group, which requests still use.
    heirs: Vec<Weak<Group>>,
}

impl Roster {
    /// The group that receives the edits in place of this one, if any.
    pub(crate) fn heir(&self) -> Option<Arc<Group>> {
        self.heirs.iter().rev().find_map(Weak::upgrade)
    }

    /// Adds the group that took over.
    pub(crate) fn add_heir(&mut self, heir: &Arc<Group>) {
        self.heirs.retain(|heir| heir.strong_count() > 0);
        self.heirs.push(Arc::downgrade(heir));
    }

    /// A number not used in the group before.
    pub(crate) fn next_id(&mut self) -> ServerId {
        self.next += 1;
        ServerId(self.next - 1)
    }

    /// The roster and peers of a configuration.
    pub(crate) fn of(config: &GroupConfig) -> (Self, Lines) {
        let mut roster = Self { counts: config.zone.is_some(), ..Self::default() };
        let mut lines = Lines::default();
        for server in &config.servers {
            roster.add(server, Origin::Conf, &mut lines);
        }
        (roster, lines)
    }

    /// Adds a server, and returns the numbers of the result: of its name, or of each address.
    pub(crate) fn add(
        &mut self,
        server: &Server,
        origin: Origin,
        lines: &mut Lines,
    ) -> Vec<ServerId> {
        if let Some(name) = &server.resolve {
            let id = self.next_id();
            self.hosts.push(Arc::new(Host::new(id, origin, server.clone(), name.clone())));
            return vec![id];
        }
        let mut ids = Vec::with_capacity(server.addresses.len());
        for address in &server.addresses {
            let limits = server.limits.clone();
            let mut peer = Peer::new(address.clone(), &server.text, limits, server.route());
            (peer.id, peer.origin) = (self.next_id(), origin);
            peer.counters = self.counts.then(Counters::new);
            ids.push(peer.id);
            lines.of(server.backup).push(Arc::new(peer));
        }
        ids
    }

    /// The roster and peers after a reload.
    pub(crate) fn succeed(
        &self,
        earlier: &GroupConfig,
        lines: Lines,
        config: &GroupConfig,
    ) -> (Self, Lines) {
        if has_same_lines(earlier, config) && earlier.zone.is_some() == config.zone.is_some() {
            self.go_on(earlier, lines, config)
        } else {
            self.begin_anew(&lines, config)
        }
    }

    /// Keeps all servers, but updates the addresses of names resolved with the configuration.
    fn go_on(
        &self,
        earlier: &GroupConfig,
        mut lines: Lines,
        config: &GroupConfig,
    ) -> (Self, Lines) {
        let Self { hosts, next, counts, heirs: _ } = self;
        let (next, counts) = (*next, *counts);
        let mut roster = Self { hosts: hosts.clone(), next, counts, heirs: Vec::new() };
        for (old, new) in earlier.servers.iter().zip(&config.servers) {
            for gone in old.addresses.iter().filter(|it| !new.addresses.contains(it)) {
                let line = lines.of(new.backup);
                let is_it = |peer: &Arc<Peer>| {
                    peer.origin == Origin::Conf && peer.server == new.text && peer.address == *gone
                };
                if let Some(place) = line.iter().position(is_it) {
                    line.remove(place);
                }
            }
            let fresh = new.addresses.iter().filter(|it| !old.addresses.contains(it));
            let fresh = Server { addresses: fresh.cloned().collect(), ..new.clone() };
            if new.resolve.is_none() {
                roster.add(&fresh, Origin::Conf, &mut lines);
            }
        }
        (roster, lines)
    }

    /// Takes only the servers of the configuration. Common peers (same address, same server text)
    /// keep their state, and names keep their addresses, so that a reload does not empty the group
    /// until they are resolved again.
    fn begin_anew(&self, earlier: &Lines, config: &GroupConfig) -> (Self, Lines) {
        let (mut roster, mut lines) = Self::of(config);
        // The second of two equal peers gets the state of the second.
        let mut old: Vec<_> = earlier.iter().collect();
        for peer in lines.iter_mut() {
            let same = |old: &&Arc<Peer>| old.name == peer.name && old.server == peer.server;
            if let (Some(place), Some(peer)) = (old.iter().position(same), Arc::get_mut(peer)) {
                peer.inherit(old.remove(place));
            }
        }
        for host in roster.hosts.clone() {
            let is_known = |old: &&Arc<Host>| {
                old.name.host == host.name.host && old.name.service == host.name.service
            };
            let Some(known) = self.hosts.iter().find(is_known) else { continue };
            host.valid.store(known.valid.load(Relaxed), Relaxed);
            for backup in [false, true] {
                for old in earlier.get(backup) {
                    let Addr::Inet(address) = old.address else { continue };
                    if old.origin == Origin::Resolved(known.id) {
                        let id = roster.next_id();
                        let mut peer = host.peer(id, address, &old.server, old.limits.weight);
                        peer.inherit(old);
                        lines.of(backup).push(Arc::new(peer));
                    }
                }
            }
        }
        (roster, lines)
    }
}

/// Whether the server lines are equal as written; a name resolved with the configuration may have
/// other addresses now.
fn has_same_lines(one: &GroupConfig, other: &GroupConfig) -> bool {
    let as_written = |one: &Server, other: &Server| {
        one.text == other.text
            && one.limits == other.limits
            && one.backup == other.backup
            && one.route == other.route
            && one.resolve == other.resolve
    };
    one.servers.len() == other.servers.len()
        && one.servers.iter().zip(&other.servers).all(|(one, other)| as_written(one, other))
}

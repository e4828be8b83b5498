//! The servers of a group: those of the configuration, the resolved addresses of names, and
//! run-time additions and changes. A reload that leaves a group's server lines alone keeps the
//! roster; one that changes them starts over.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use weir_engine::{Addr, journal};

use crate::{
    balance::ranking::moves::Moves,
    clock::Now,
    config::GroupConfig,
    counters::Counters,
    edited::Edits,
    group::Group,
    health::{Source, Sources},
    peer::Peer,
    queue::Queue,
    report::ReportConfig,
    server::{Name, Origin, Server, ServerId},
    set::Lines,
    shared_records,
};

/// A server whose name is resolved repeatedly.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: ServerId,
    pub(crate) origin: Origin,
    pub(crate) server: Server,
    pub(crate) name: Name,
    /// Its number among equal names of the configuration, from 0.
    pub(crate) twin: u32,
    /// The end of its addresses' validity, in seconds of [`Now::current`](crate::Now::current); 0
    /// if it was never resolved.
    pub(crate) valid: AtomicI64,
    /// Whether the first query has ended, with addresses or without.
    pub(crate) asked: AtomicBool,
}

impl Host {
    pub(crate) fn new(id: ServerId, origin: Origin, server: Server, name: Name) -> Self {
        let (valid, asked) = (AtomicI64::new(0), AtomicBool::new(false));
        Self { id, origin, server, name, twin: 0, valid, asked }
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
        peer
    }
}

/// A server that the group's source lists.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// As the source says.
    pub(crate) server: Server,
    /// Its number. It may have been removed since; `None` if the group had the address already.
    pub(crate) id: Option<ServerId>,
}

/// The names of a group, and its next number. Its lock serialises edits of the group's peers.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The names, in the order of their numbers.
    pub(crate) hosts: Vec<Arc<Host>>,
    /// What the group's source lists.
    pub(crate) listed: Vec<Listed>,
    /// Whether the group's source has answered, or could not.
    pub(crate) heard: bool,
    /// What was edited, here and on other nodes.
    pub(crate) edits: Edits,
    /// Whether there were edits that a reload has dropped.
    pub(crate) has_dropped: bool,
    next: u32,
    terms: Terms,
    /// The groups of later configurations that took over, newest last. The newest one alive
    /// receives the edits: one in between can end before this group, which requests still use.
    heirs: Vec<Weak<Group>>,
}

/// The part of the configuration that concerns every peer of the group.
#[derive(Clone, Debug, Default)]
struct Terms {
    /// Whether there is a `zone`, so that peers have counters.
    counts: bool,
    /// The heeded sources of health.
    heeded: Sources,
    /// Those that have to find a new peer good before it takes requests.
    mandatory: Sources,
    /// `load_report`.
    report: Option<Arc<ReportConfig>>,
    /// The requests that wait for a peer.
    queue: Option<Arc<Queue>>,
    /// Counts the active requests.
    active: Option<Arc<AtomicU64>>,
    /// Notes what their requests do.
    moves: Option<Arc<Moves>>,
    /// Counts changes of what the peers can take.
    changes: Arc<AtomicU64>,
}

impl Terms {
    /// The terms of a configuration. The queue of an earlier one is taken over.
    fn of(config: &GroupConfig, earlier: Option<&Self>) -> Self {
        let queue = earlier.and_then(|earlier| earlier.queue.clone());
        let active = earlier.and_then(|earlier| earlier.active.clone());
        let moves = earlier.and_then(|earlier| earlier.moves.clone());
        let numbered = || config.checks.iter().enumerate();
        let checks = numbered().map(|(number, _)| Source::Check(number));
        let outliers = config.outliers.as_ref().map(|_| Source::Outlier);
        // Only findings about checks of this node are heeded, which are made here, too.
        let others = (!config.checks.is_empty()).then_some(Source::OtherNodes);
        let agents = config.agent.as_ref().map(|_| Source::AGENTS).into_iter().flatten();
        let mandatory = numbered().filter(|(_, check)| check.mandatory);
        Self {
            counts: config.zone.is_some(),
            heeded: checks.chain(others).chain(outliers).chain(agents).collect(),
            mandatory: mandatory.map(|(number, _)| Source::Check(number)).collect(),
            report: config.report.clone().map(Arc::new),
            queue: config.queue.map(|_| queue.unwrap_or_default()),
            active: config.method.0.counts_active().then(|| active.unwrap_or_default()),
            moves: config.method.0.follows_moves().then(|| moves.unwrap_or_default()),
            changes: earlier.map(|earlier| Arc::clone(&earlier.changes)).unwrap_or_default(),
        }
    }

    /// Whether peers have to be made anew for the terms of the next configuration.
    fn differ_from(&self, next: &Self) -> bool {
        self.heeded != next.heeded
            || self.report != next.report
            || self.queue.is_some() != next.queue.is_some()
            || self.active.is_some() != next.active.is_some()
            || self.moves.is_some() != next.moves.is_some()
    }
}

impl Roster {
    /// The requests that wait for a peer.
    pub(crate) fn queue(&self) -> Option<&Arc<Queue>> {
        self.terms.queue.as_ref()
    }

    /// The group that receives the edits in place of this one, if any.
    pub(crate) fn heir(&self) -> Option<Arc<Group>> {
        self.heirs.iter().rev().find_map(Weak::upgrade)
    }

    /// Adds the group that took over.
    pub(crate) fn add_heir(&mut self, heir: &Arc<Group>) {
        self.heirs.retain(|heir| heir.strong_count() > 0);
        self.heirs.push(Arc::downgrade(heir));
    }

    /// A roster on the same terms without servers, whose next number is given.
    pub(crate) fn emptied(&self, next: u32) -> Self {
        Self { next, terms: self.terms.clone(), ..Self::default() }
    }

    /// Takes the names of another roster of this group, and its next number if it is higher.
    pub(crate) fn replace(&mut self, other: Self) {
        self.hosts = other.hosts;
        self.listed = other.listed;
        self.edits = other.edits;
        self.next = self.next.max(other.next);
    }

    /// The number that [`next_id`](Self::next_id) returns next.
    pub(crate) fn next_number(&self) -> u32 {
        self.next
    }

    /// A number not used in the group before. Nodes of a pair number servers in turn, so that one
    /// of the other has its number here, too.
    pub(crate) fn next_id(&mut self) -> ServerId {
        let (node, nodes) = shared_records::node();
        while self.next % nodes != node {
            self.next += 1;
        }
        self.next += 1;
        ServerId(self.next - 1)
    }

    /// The number for a server of the configuration: the same on all nodes.
    fn next_in_line(&mut self) -> ServerId {
        self.next += 1;
        ServerId(self.next - 1)
    }

    /// The number that another node has given to a server, if it is free here.
    pub(crate) fn number_as(&mut self, id: ServerId, lines: &Lines) -> ServerId {
        if self.find(id, lines).is_some() {
            return self.next_id();
        }
        self.skip_to([id]);
        id
    }

    /// Leaves out numbers up to those that are given otherwise.
    pub(crate) fn skip_to(&mut self, ids: impl IntoIterator<Item = ServerId>) {
        let highest = ids.into_iter().map(|id| id.0).max();
        self.next = self.next.max(highest.map_or(0, |id| id.saturating_add(1)));
    }

    /// Prepares a new peer.
    pub(crate) fn admit(&self, peer: &mut Peer) {
        peer.counters = self.terms.counts.then(Counters::new);
        peer.heeded = self.terms.heeded;
        peer.report.clone_from(&self.terms.report);
        peer.queue.clone_from(&self.terms.queue);
        peer.active.clone_from(&self.terms.active);
        peer.moves.clone_from(&self.terms.moves);
        peer.changes = Arc::clone(&self.terms.changes);
        peer.settle();
        peer.await_verdicts(self.terms.mandatory, Now::current());
    }

    /// The roster and peers of a configuration.
    pub(crate) fn of(config: &GroupConfig) -> (Self, Lines) {
        Self::on(Terms::of(config, None), config)
    }

    fn on(terms: Terms, config: &GroupConfig) -> (Self, Lines) {
        let mut roster = Self { terms, ..Self::default() };
        let mut lines = Lines::default();
        for server in &config.servers {
            roster.add(server, Origin::Conf, &mut lines);
        }
        roster.number_twins(&mut lines);
        (roster, lines)
    }

    /// Tells equal servers of a configuration apart.
    fn number_twins(&mut self, lines: &mut Lines) {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut twin = |place: String| {
            let count = known.entry(place).or_default();
            *count += 1;
            *count - 1
        };
        for host in self.hosts.iter_mut().filter_map(Arc::get_mut) {
            host.twin = twin(host.place());
        }
        for peer in lines.iter_mut().filter_map(Arc::get_mut) {
            peer.twin = twin(peer.name.clone());
        }
    }

    /// Adds a server, and returns the numbers of the result: of its name, or of each address.
    pub(crate) fn add(
        &mut self,
        server: &Server,
        origin: Origin,
        lines: &mut Lines,
    ) -> Vec<ServerId> {
        let number = match origin {
            Origin::Conf => Self::next_in_line,
            _ => Self::next_id,
        };
        if let Some(name) = &server.resolve {
            let id = number(self);
            self.hosts.push(Arc::new(Host::new(id, origin, server.clone(), name.clone())));
            return vec![id];
        }
        let mut ids = Vec::with_capacity(server.addresses.len());
        for address in &server.addresses {
            let limits = server.limits.clone();
            let mut peer = Peer::new(address.clone(), &server.text, limits, server.route());
            (peer.id, peer.origin) = (number(self), origin);
            self.admit(&mut peer);
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
        for peer in lines.iter() {
            // A check that the earlier configuration lacked begins anew, whatever it said before.
            peer.state.forget_checks(earlier.checks.len());
            for (number, (before, after)) in earlier.checks.iter().zip(&config.checks).enumerate() {
                if (&before.what, before.port) != (&after.what, after.port) {
                    peer.state.doubt_check(number);
                }
            }
            if earlier.agent.is_none() {
                peer.state.forget_agent();
            }
            if earlier.report.is_none() {
                peer.state.reported.forget();
            }
        }
        let same = match (&earlier.state, &config.state) {
            // The file follows the group.
            (Some(old), Some(new)) => old == new,
            (None, None) => has_same_lines(earlier, config),
            _ => false,
        };
        let (mut roster, mut lines) = if same && earlier.zone.is_some() == config.zone.is_some() {
            self.go_on(earlier, lines, config)
        } else {
            self.begin_anew(&lines, config)
        };
        if config.discover.is_none() {
            roster.listed.clear();
            roster.hosts.retain(|host| host.origin != Origin::Listed);
            let hosts = &roster.hosts;
            lines.retain(|peer| match peer.origin {
                Origin::Listed => false,
                Origin::Resolved(id) => hosts.iter().any(|host| host.id == id),
                Origin::Conf | Origin::RunTime => true,
            });
        }
        (roster, lines)
    }

    /// Keeps all servers, but updates the addresses of names resolved with the configuration.
    fn go_on(
        &self,
        earlier: &GroupConfig,
        mut lines: Lines,
        config: &GroupConfig,
    ) -> (Self, Lines) {
        let Self { hosts, listed, heard, edits, next, terms, .. } = self;
        let fresh = Terms::of(config, Some(terms));
        if terms.differ_from(&fresh) {
            for peer in lines.iter_mut() {
                let mut changed = Peer::clone(peer);
                changed.heeded = fresh.heeded;
                changed.report.clone_from(&fresh.report);
                changed.queue.clone_from(&fresh.queue);
                changed.active.clone_from(&fresh.active);
                changed.moves.clone_from(&fresh.moves);
                changed.settle();
                *peer = Arc::new(changed);
            }
        }
        let mut roster = Self {
            hosts: hosts.clone(),
            listed: listed.clone(),
            heard: *heard,
            edits: edits.clone(),
            has_dropped: false,
            next: *next,
            terms: fresh,
            heirs: Vec::new(),
        };
        let written = earlier.servers.iter().zip(&config.servers);
        for (old, new) in written.filter(|_| config.state.is_none()) {
            for gone in old.addresses.iter().filter(|it| !new.addresses.contains(it)) {
                let line = lines.of(new.backup);
                let is_it = |peer: &Arc<Peer>| {
                    peer.origin == Origin::Conf && peer.server == new.text && peer.address == *gone
                };
                if let Some(place) = line.iter().position(is_it) {
                    let peer = line.remove(place);
                    if let Some(place) = self.place_of(&peer) {
                        roster.edits.remove(&place);
                    }
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

    /// Takes what a source lists as it says, without later edits.
    fn relist(&mut self, listed: &[Listed], lines: &mut Lines) {
        let taken: HashSet<String> = lines.iter().map(|peer| peer.name.clone()).collect();
        for Listed { server, .. } in listed {
            let is_known = match &server.resolve {
                Some(name) => self.hosts.iter().any(|host| host.name == *name),
                None => server.addresses.iter().any(|it| taken.contains(&it.to_string())),
            };
            let ids = match is_known {
                true => Vec::new(),
                false => self.add(server, Origin::Listed, lines),
            };
            self.listed.push(Listed { server: server.clone(), id: ids.first().copied() });
        }
    }

    /// Takes only the servers of the configuration and those that its source lists. Common peers
    /// (same address, same server text) keep their state, and names keep their addresses, so that a
    /// reload does not empty the group until they are resolved again.
    fn begin_anew(&self, earlier: &Lines, config: &GroupConfig) -> (Self, Lines) {
        // A record that stays brings the dropped edits back, but only after a kill.
        let _ = journal::clear(&config.journal_key());
        let (mut roster, mut lines) = Self::on(Terms::of(config, Some(&self.terms)), config);
        if config.discover.is_some() {
            roster.heard = self.heard;
            roster.relist(&self.listed, &mut lines);
        }
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
                        roster.admit(&mut peer);
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

//! A snapshot of a group for display, in the terms of nginx's API: configured servers, and peers
//! with their state.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::{
    agent::said::AgentView,
    check::tally::CheckCounts,
    clock::Now,
    counters::{Counters, PeerCounts},
    group::Group,
    group_counters::{GroupCounters, GroupCounts},
    health::{Health, MAX_CHECKS, Source},
    peer::Peer,
    queue::QueueView,
    report::ReportCounts,
    roster::Host,
    server::{Admission, Limits, Origin, ServerId},
    slow_start::PARTS,
};

/// A group at one moment.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The name of the upstream.
    pub name: String,
    /// Its zone; without one it cannot be edited.
    pub zone: Option<String>,
    /// The editable servers, by number: names and all addresses.
    pub servers: Vec<ServerView>,
    /// The peers in balancing order, backup servers last.
    pub peers: Vec<PeerView>,
    /// The number of removed peers that still have requests.
    pub zombies: u64,
    /// Its own counts; all zero without a zone.
    pub counts: GroupCounts,
    /// The requests that wait for a peer, in a group with a `queue`.
    pub queue: Option<QueueView>,
}

/// A server's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Its number.
    pub id: ServerId,
    /// Its origin.
    pub origin: Origin,
    /// The address, or the name with its port.
    pub server: String,
    /// `service=` of a name.
    pub service: Option<String>,
    /// The name of a resolved address.
    pub host: Option<String>,
    /// Its parameters.
    pub limits: Limits,
    /// `route=`; empty if there is none.
    pub route: String,
    /// `backup`.
    pub backup: bool,
}

/// A peer's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its number.
    pub id: ServerId,
    /// The address.
    pub server: String,
    /// The server as written in its directive, or the target of a service.
    pub name: String,
    /// `service=` of the name that it is an address of.
    pub service: Option<String>,
    /// `backup`.
    pub backup: bool,
    /// `weight`.
    pub weight: u32,
    /// `max_conns`.
    pub max_conns: u64,
    /// Its status.
    pub state: PeerStatus,
    /// Why it takes no requests, or not all: `down`, `draining`, `fails`, `health_check`,
    /// `outlier`, `agent`, `other_nodes`.
    pub reasons: Vec<&'static str>,
    /// The share of its weight that `slow_start` grants it, in thousandths, if it has that.
    pub slow_start: Option<u64>,
    /// The number of active requests.
    pub active: u64,
    /// The number of requests it was chosen for.
    pub requests: u64,
    /// The number of failed attempts.
    pub fails: u64,
    /// How often failures made it unavailable.
    pub unavail: u64,
    /// The counts of its health checks.
    pub checks: CheckCounts,
    /// The words of its agent, in a group with an `agent_check`.
    pub agent: Option<AgentView>,
    /// The numbers of its load reports, in a group with a `load_report`.
    pub reports: Option<ReportCounts>,
    /// The weight in force in thousandths, `slow_start` apart, in a group whose servers say what
    /// they can take.
    pub effective_weight: Option<i64>,
    /// How long it was unavailable, being checked or unhealthy, in milliseconds.
    pub downtime: u64,
    /// The start of that state, if it lasts, in milliseconds of [`Now::current`].
    pub downstart: Option<u64>,
    /// The time of its last choice, in seconds of [`Now::current`]; `None` if there was none.
    pub selected: Option<i64>,
    /// The average time until the header, in milliseconds.
    pub header_time: u64,
    /// The average time until the last byte, in milliseconds.
    pub response_time: u64,
    /// Bytes, responses and their times; all zero in a group without a zone.
    pub counts: PeerCounts,
}

/// The status of a peer, in nginx's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerStatus {
    /// Takes requests.
    Up,
    /// Takes only requests bound to it by `sticky`.
    Draining,
    /// Disabled by configuration or edit.
    Down,
    /// Disabled by recent failures.
    Unavail,
    /// Waits for its first probe.
    Checking,
    /// Failed its last probes.
    Unhealthy,
}

impl PeerStatus {
    /// The term of nginx's API.
    pub fn text(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Unavail => "unavail",
            Self::Checking => "checking",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Peer {
    /// The status; administrative states take precedence.
    pub fn status(&self, now: Now) -> PeerStatus {
        match (self.admission(), self.health()) {
            (Admission::Down, _) => PeerStatus::Down,
            (_, Health::Unhealthy) if self.is_only_ejected() => PeerStatus::Unavail,
            (_, Health::Unhealthy) => PeerStatus::Unhealthy,
            (_, Health::Checking) => PeerStatus::Checking,
            (Admission::Draining, _) => PeerStatus::Draining,
            (Admission::Open, Health::Good) if self.is_failed(now) => PeerStatus::Unavail,
            (Admission::Open, Health::Good) => PeerStatus::Up,
        }
    }
}

impl Peer {
    /// Why it takes no requests, or not all.
    pub(crate) fn reasons(&self, now: Now) -> Vec<&'static str> {
        let is = |source: Source| {
            self.heeded.has(source) && self.state.verdicts.of(source) != Health::Good
        };
        let agent = Source::AGENTS.into_iter().any(is);
        let checked = (0..MAX_CHECKS).any(|number| is(Source::Check(number)));
        let reasons = [
            ("down", self.limits.admission == Admission::Down),
            ("draining", self.limits.admission == Admission::Draining),
            ("fails", self.is_failed(now)),
            ("health_check", checked),
            ("outlier", is(Source::Outlier)),
            ("agent", agent),
            ("other_nodes", is(Source::OtherNodes)),
        ];
        reasons.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name).collect()
    }
}

impl Group {
    /// The current state of the group, or of its heir.
    pub fn view(&self, now: Now) -> GroupView {
        let roster = self.roster();
        if let Some(heir) = roster.heir() {
            drop(roster);
            return heir.view(now);
        }
        let mut view = self.bare_view();
        let lines = self.lines();
        let hosts = roster.hosts.iter().map(|host| (host.id, &**host)).collect();
        view.servers = roster.hosts.iter().map(|host| ServerView::host(host)).collect();
        for backup in [false, true] {
            for peer in lines.get(backup) {
                view.servers.push(ServerView::peer(peer, backup, name_of(peer, &hosts)));
                let service = host_of(peer, &hosts).and_then(|host| host.name.service.clone());
                view.peers.push(PeerView { service, ..PeerView::new(peer, backup, now) });
            }
        }
        view.servers.sort_by_key(|server| server.id);
        view
    }

    /// The current state of the group without servers and peers.
    pub(crate) fn bare_view(&self) -> GroupView {
        GroupView {
            name: self.config.name.clone(),
            zone: self.config.zone.clone(),
            servers: Vec::new(),
            peers: Vec::new(),
            zombies: self.zombie_count(),
            counts: self.counters.as_ref().map(GroupCounters::read).unwrap_or_default(),
            queue: self.queue().zip(self.config.queue).map(|(queue, config)| queue.view(config)),
        }
    }

    /// The editable server with a number, of the group or of its heir.
    pub fn server(&self, id: ServerId) -> Option<ServerView> {
        let roster = self.roster();
        if let Some(heir) = roster.heir() {
            drop(roster);
            return heir.server(id);
        }
        if let Some(host) = roster.hosts.iter().find(|host| host.id == id) {
            return Some(ServerView::host(host));
        }
        let lines = self.lines();
        let is_backup = |backup: &bool| lines.get(*backup).iter().any(|peer| peer.id == id);
        let backup = [false, true].into_iter().find(is_backup)?;
        let peer = lines.find(id)?;
        let hosts = roster.hosts.iter().map(|host| (host.id, &**host)).collect();
        Some(ServerView::peer(peer, backup, name_of(peer, &hosts)))
    }

    /// `service=` of the name that a peer is an address of.
    pub(crate) fn service_of(&self, peer: &Peer) -> Option<String> {
        let Origin::Resolved(name) = peer.origin else { return None };
        self.roster().hosts.iter().find(|host| host.id == name)?.name.service.clone()
    }

    /// The group that stands for this one: its last heir, or itself.
    pub(crate) fn latest(self: &Arc<Self>) -> Arc<Self> {
        let mut latest = Arc::clone(self);
        loop {
            let heir = latest.roster().heir();
            match heir {
                Some(heir) => latest = heir,
                None => return latest,
            }
        }
    }
}

/// The name, with its port, that a resolved address is of.
fn name_of<'a>(peer: &Peer, hosts: &HashMap<ServerId, &'a Host>) -> Option<&'a str> {
    host_of(peer, hosts).map(|host| &*host.server.text)
}

/// The name that a resolved address is of.
fn host_of<'a>(peer: &Peer, hosts: &HashMap<ServerId, &'a Host>) -> Option<&'a Host> {
    match peer.origin {
        Origin::Resolved(name) => hosts.get(&name).copied(),
        _ => None,
    }
}

impl ServerView {
    fn host(host: &Host) -> Self {
        Self {
            id: host.id,
            origin: host.origin,
            server: host.server.text.clone(),
            service: host.name.service.clone(),
            host: None,
            limits: host.server.limits.clone(),
            route: host.server.route.clone().unwrap_or_default(),
            backup: host.server.backup,
        }
    }

    fn peer(peer: &Peer, backup: bool, parent: Option<&str>) -> Self {
        Self {
            id: peer.id,
            origin: peer.origin,
            server: peer.name.clone(),
            service: None,
            host: parent.map(str::to_owned),
            limits: peer.limits.clone(),
            route: peer.own_route().unwrap_or_default().to_owned(),
            backup,
        }
    }
}

impl PeerView {
    pub(crate) fn new(peer: &Peer, backup: bool, now: Now) -> Self {
        let state = &peer.state;
        let selected = state.selected.load(Relaxed);
        let (downtime, downstart) = peer.downtime(now);
        Self {
            id: peer.id,
            server: peer.name.clone(),
            name: peer.server.clone(),
            service: None,
            backup,
            weight: peer.limits.weight,
            max_conns: peer.limits.max_conns,
            state: peer.status(now),
            reasons: peer.reasons(now),
            slow_start: peer.slow_start(now),
            active: state.conns.load(Relaxed),
            requests: state.requests.load(Relaxed),
            fails: state.failures.load(Relaxed),
            unavail: state.unavailable.load(Relaxed),
            checks: state.checks.counts(),
            agent: peer.heeded.has(Source::Agent).then(|| peer.agent_view()),
            reports: peer.report.as_ref().map(|_| state.reported.counts()),
            effective_weight: peer.tells_load().then(|| peer.loaded(peer.weight() * PARTS)),
            downtime,
            downstart,
            selected: (selected != 0).then_some(selected),
            header_time: state.header_time.load(Relaxed),
            response_time: state.response_time.load(Relaxed),
            counts: peer.counters.as_ref().map(Counters::read).unwrap_or_default(),
        }
    }
}

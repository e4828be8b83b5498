//! A summary of a group: what a page shows of thousands of servers, without a copy of each.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    clock::Now, group::Group, peer::Peer, queue::QueueView, server::ServerId, view::PeerStatus,
};

/// The states in the order of [`GroupSummary::states`].
pub const STATES: [PeerStatus; 6] = [
    PeerStatus::Up,
    PeerStatus::Draining,
    PeerStatus::Down,
    PeerStatus::Unavail,
    PeerStatus::Checking,
    PeerStatus::Unhealthy,
];

/// A group at one moment, in sums over its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSummary {
    /// The number of servers in each of [`STATES`].
    pub states: [u64; STATES.len()],
    /// The number of servers that have as many requests as they may.
    pub full: u64,
    /// The number of backup servers.
    pub backups: u64,
    /// The number of backup servers that are up.
    pub backups_up: u64,
    /// The number of active requests.
    pub active: u64,
    /// The number of requests that servers were chosen for.
    pub requests: u64,
    /// The number of failed attempts.
    pub fails: u64,
    /// The requests that wait for a server, in a group with a `queue`.
    pub queue: Option<QueueView>,
}

/// A server that takes no requests, or not all, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Its number.
    pub id: ServerId,
    /// Its address.
    pub server: String,
    /// Whether it is a backup server.
    pub backup: bool,
    /// Its state.
    pub state: PeerStatus,
    /// The reasons, as in [`PeerView::reasons`](crate::PeerView::reasons).
    pub reasons: Vec<&'static str>,
    /// The start of that state in milliseconds of [`Now`], if it is known.
    pub since: Option<u64>,
    /// The end of it in milliseconds of [`Now`], if it is known: of an ejection or a
    /// `fail_timeout`.
    pub until: Option<u64>,
}

impl Group {
    /// The sums over the servers of the group, or of its heir. `tell` gets those that are not up,
    /// and whether they are backup servers.
    pub fn summary(&self, now: Now, mut tell: impl FnMut(&Peer, PeerStatus, bool)) -> GroupSummary {
        let heir = self.roster().heir();
        if let Some(heir) = heir {
            return heir.summary(now, tell);
        }
        let lines = self.lines();
        let mut summary = self.empty_summary();
        for backup in [false, true] {
            for peer in lines.get(backup) {
                let status = peer.status(now);
                summary.add(peer, status, backup);
                if status != PeerStatus::Up {
                    tell(peer, status, backup);
                }
            }
        }
        summary
    }

    /// A summary without any server.
    pub(crate) fn empty_summary(&self) -> GroupSummary {
        let queue = self.queue().zip(self.config.queue);
        let queue = queue.map(|(queue, config)| queue.view(config));
        GroupSummary { queue, ..GroupSummary::default() }
    }
}

impl GroupSummary {
    /// Adds a server.
    pub(crate) fn add(&mut self, peer: &Peer, status: PeerStatus, backup: bool) {
        let state = STATES.iter().position(|&state| state == status).unwrap_or_default();
        self.states[state] += 1;
        self.full += u64::from(peer.is_full());
        self.backups += u64::from(backup);
        self.backups_up += u64::from(backup && status == PeerStatus::Up);
        self.active += peer.state.conns.load(Relaxed);
        self.requests += peer.state.requests.load(Relaxed);
        self.fails += peer.state.failures.load(Relaxed);
    }
}

impl Unfit {
    /// A peer in this state.
    pub fn of(peer: &Peer, state: PeerStatus, backup: bool, now: Now) -> Self {
        Self {
            id: peer.id,
            server: peer.name.clone(),
            backup,
            state,
            reasons: peer.reasons(now),
            since: peer.downtime(now).1,
            until: peer.unfit_until(now),
        }
    }
}

impl Peer {
    /// The end of its ejection, or of the `fail_timeout` that it waits for, in milliseconds.
    pub fn unfit_until(&self, now: Now) -> Option<u64> {
        let ejected = self.state.outlier.get().and_then(|conduct| conduct.ejected_until());
        let end = || self.state.checked.load(Relaxed) + self.limits.fail_timeout + 1;
        let failed = self.is_failed(now).then(|| end().unsigned_abs() * 1000);
        ejected.max(failed)
    }
}

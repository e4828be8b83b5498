//! The peers of a group, prepared for balancing: primary and `backup` servers.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    clock::Now,
    peer::Peer,
    ring::Points,
    server::{Admission, ServerId},
    slow_start::Scale,
};

/// The primary or the backup peers, in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub(crate) peers: Vec<Arc<Peer>>,
    /// The sum of the weights.
    pub(crate) total_weight: i64,
    /// The only peer of the whole group, which is taken despite failures.
    pub(crate) single: bool,
    /// Whether a peer has a slow start.
    pub(crate) is_slow: bool,
    /// The sum of the weights before each peer, for `random`.
    pub(crate) ranges: Vec<i64>,
}

impl Set {
    fn new(peers: Vec<Arc<Peer>>) -> Self {
        let mut total_weight = 0;
        let mut ranges = Vec::with_capacity(peers.len());
        for peer in &peers {
            ranges.push(total_weight);
            total_weight += peer.weight();
        }
        let is_slow = peers.iter().any(|peer| peer.limits.slow_start != 0);
        Self { peers, total_weight, single: false, is_slow, ranges }
    }

    /// The number of attempts that a request may spend here: one per peer that is open.
    fn tries(&self) -> usize {
        self.peers.iter().filter(|peer| peer.limits.admission == Admission::Open).count()
    }

    /// The scale of the weights at a moment.
    pub(crate) fn scale(&self, now: Now) -> Scale {
        if self.is_slow { Scale::Parts(now) } else { Scale::Units }
    }

    /// The peer whose range contains a number below the total weight.
    pub(crate) fn at_weight(&self, number: i64) -> usize {
        self.ranges.partition_point(|&start| start <= number).saturating_sub(1)
    }
}

/// The primary and backup peers of a group, before preparation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    primary: Vec<Arc<Peer>>,
    backup: Vec<Arc<Peer>>,
}

impl Lines {
    pub(crate) fn of(&mut self, backup: bool) -> &mut Vec<Arc<Peer>> {
        if backup { &mut self.backup } else { &mut self.primary }
    }

    pub(crate) fn get(&self, backup: bool) -> &[Arc<Peer>] {
        if backup { &self.backup } else { &self.primary }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.primary.iter().chain(&self.backup)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Arc<Peer>> {
        self.primary.iter_mut().chain(&mut self.backup)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Peer) -> bool) {
        self.primary.retain(|peer| keep(peer));
        self.backup.retain(|peer| keep(peer));
    }

    pub(crate) fn find(&self, id: ServerId) -> Option<&Arc<Peer>> {
        self.iter().find(|peer| peer.id == id)
    }
}

/// The primary and backup peers of a group, prepared for balancing.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) primary: Set,
    pub(crate) backup: Option<Set>,
    /// The ring of a consistent hash, over the primary peers.
    pub(crate) points: Points,
}

impl Sets {
    /// Prepares peers. `ring`: whether the method needs the points of a consistent hash.
    pub(crate) fn new(lines: Lines, ring: bool) -> Self {
        let Lines { primary, backup } = lines;
        let points = if ring { Points::new(&primary) } else { Points::default() };
        let mut primary = Set::new(primary);
        primary.single = primary.peers.len() == 1 && backup.is_empty();
        let backup = (!backup.is_empty()).then(|| Set::new(backup));
        Self { primary, backup, points }
    }

    pub(crate) fn tries(&self) -> usize {
        self.primary.tries() + self.backup.as_ref().map_or(0, Set::tries)
    }

    /// Takes the place of the old sets. If the scale of weights changes, the peers' current weights
    /// are reset.
    pub(crate) fn succeed(&self, old: &Self) {
        let slow = |set: Option<&Set>| set.is_some_and(|set| set.is_slow);
        let lines = [
            (Some(&self.primary), Some(&old.primary)),
            (self.backup.as_ref(), old.backup.as_ref()),
        ];
        for (new, _) in lines.into_iter().filter(|(new, old)| slow(*new) != slow(*old)) {
            for peer in new.into_iter().flat_map(|set| &set.peers) {
                peer.state.current_weight.store(0, Relaxed);
            }
        }
    }

    /// The peers without preparation.
    pub(crate) fn lines(&self) -> Lines {
        let peers = |set: &Set| set.peers.clone();
        Lines {
            primary: peers(&self.primary),
            backup: self.backup.as_ref().map(peers).unwrap_or_default(),
        }
    }

    /// All peers, backups last.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.primary.peers.iter().chain(self.backup.iter().flat_map(|set| &set.peers))
    }
}

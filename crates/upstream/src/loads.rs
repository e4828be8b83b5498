//! The weights of a set whose servers say what they can take, for choices by chance. They change
//! while requests choose: sums are written in place, and a choice that reads them meanwhile is
//! merely a little less even.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicI64, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use crate::{
    clock::Now,
    health::Source,
    peer::Peer,
    report::{WHOLE, shares},
    slow_start::PARTS,
};

/// The time after which weights are read again, in milliseconds, if no change was told.
const EVERY: u64 = 1000;

/// The limit of an effective weight in parts, so that sums of all peers of a group do not overflow.
const MOST: i128 = 1 << 44;

/// The effective weights of a set.
#[derive(Debug)]
pub(crate) struct Loads {
    /// The sum of the weights before each peer, in parts.
    before: Vec<AtomicI64>,
    total: AtomicI64,
    /// The group's number of changes, and the time in milliseconds, when they were read.
    changes: AtomicU64,
    at: AtomicU64,
    /// Whether a thread is reading them.
    busy: AtomicBool,
}

impl Loads {
    /// The weights of these peers.
    pub(crate) fn of(peers: &[Arc<Peer>]) -> Self {
        let loads = Self {
            before: peers.iter().map(|_| AtomicI64::new(0)).collect(),
            total: AtomicI64::new(0),
            changes: AtomicU64::new(0),
            at: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        };
        loads.read(peers);
        loads
    }

    /// Brings the weights up to date, and the shares by reports if the peers are the `whole` set.
    pub(crate) fn refresh(&self, peers: &[Arc<Peer>], whole: bool, changes: u64, now: Now) {
        let is_recent = now.millis.saturating_sub(self.at.load(Relaxed)) < EVERY;
        if is_recent && self.changes.load(Relaxed) == changes {
            return;
        }
        if self.busy.swap(true, Acquire) {
            // Another thread does it.
            return;
        }
        self.changes.store(changes, Relaxed);
        self.at.store(now.millis, Relaxed);
        if whole {
            shares::refresh(peers, now);
        }
        self.read(peers);
        self.busy.store(false, Release);
    }

    fn read(&self, peers: &[Arc<Peer>]) {
        let mut total = 0;
        for (before, peer) in self.before.iter().zip(peers) {
            before.store(total, Relaxed);
            total += peer.loaded(peer.weight() * PARTS);
        }
        self.total.store(total, Relaxed);
    }

    /// A random peer by weight.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let number = random.i64(0..self.total.load(Relaxed).max(1));
        let place = self.before.partition_point(|before| before.load(Relaxed) <= number);
        place.saturating_sub(1)
    }

    /// The sum of all weights but one.
    pub(crate) fn others(&self, place: usize) -> i64 {
        let total = self.total.load(Relaxed);
        let next = self.before.get(place + 1).map_or(total, |before| before.load(Relaxed));
        (total - (next - self.before[place].load(Relaxed))).max(0)
    }
}

impl Peer {
    /// Whether it can say what it can take.
    pub(crate) fn tells_load(&self) -> bool {
        self.heeded.has(Source::Agent) || self.report.is_some()
    }

    /// A nominal weight in parts as its agent and its reports make it. 0 only if its agent says so.
    pub(crate) fn loaded(&self, parts: i64) -> i64 {
        if !self.tells_load() {
            return parts;
        }
        let has_agent = self.heeded.has(Source::Agent);
        let (part, of) = match has_agent {
            true => self.state.said.part_of(self.limits.weight),
            false => (1, 1),
        };
        if part == 0 {
            return 0;
        }
        let share = match self.report {
            Some(_) => self.state.reported.share.load(Relaxed),
            None => WHOLE,
        };
        let loaded = i128::from(parts) * i128::from(part) * i128::from(share);
        let loaded = loaded / (i128::from(of) * i128::from(WHOLE));
        loaded.clamp(i128::from(parts.min(1)), MOST) as i64
    }
}

#[cfg(test)]
mod tests;

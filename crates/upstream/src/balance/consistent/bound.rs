//! The bound of `hash … consistent balance=PERCENT`: how many of a set's active requests one peer
//! may have (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads; HAProxy's
//! `hash-balance-factor`, whose rounding this follows).

use std::sync::{Arc, atomic::Ordering};

use crate::{clock::Now, peer::Peer, server::Admission, set::Set, slow_start::PARTS};

/// The weights of the peers that work, as of a second and a number of changes of the group.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    seen: Option<(u64, i64)>,
    /// The sum of the weights before each peer.
    before: Vec<u64>,
    total: u64,
}

impl Shares {
    /// Brings the weights up to date.
    pub(crate) fn refresh(&mut self, set: &Set, now: Now) {
        let seen = Some((set.changes.load(Ordering::Acquire), now.seconds));
        if self.seen == seen {
            return;
        }
        self.seen = seen;
        self.total = 0;
        self.before.clear();
        for peer in &set.peers {
            self.before.push(self.total);
            self.total += if works(peer, now) { weight(set, peer) } else { 0 };
        }
    }

    /// Whether a peer that works may have one more request. `percent` is how much of its share of
    /// the active requests it may have, this one included.
    pub(crate) fn has_room(&self, set: &Set, place: usize, percent: u64) -> bool {
        let peer = &set.peers[place];
        let active = set.active.as_ref().map_or(0, |active| active.load(Ordering::Relaxed));
        let places = (u128::from(active) + 1) * u128::from(percent);
        let (places, total) = (places.div_ceil(100), u128::from(self.total.max(1)));
        let (before, weight) = (u128::from(self.before[place]), u128::from(weight(set, peer)));
        // Whole places per weight, and what remains in proportion, so that all have them together.
        let rest = places % total;
        let own =
            weight * (places / total) + (before + weight) * rest / total - before * rest / total;
        u128::from(peer.state.conns.load(Ordering::Relaxed)) < own.max(1)
    }
}

/// The weight of a peer, in one unit for all of the set.
fn weight(set: &Set, peer: &Peer) -> u64 {
    match set.is_scaled {
        true => peer.loaded(peer.weight() * PARTS).unsigned_abs(),
        false => u64::from(peer.limits.weight),
    }
}

fn works(peer: &Arc<Peer>, now: Now) -> bool {
    peer.limits.admission == Admission::Open && peer.is_healthy() && !peer.is_failed(now)
}

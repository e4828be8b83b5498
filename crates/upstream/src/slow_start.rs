//! `slow_start`: a server that comes back gets its share of requests bit by bit. Its weight grows
//! from nothing to the whole in that time.
//!
//! A set with such a server is balanced in fractions of a weight, and all others in units, so that
//! their sequences stay nginx's.

use std::sync::atomic::Ordering::Relaxed;

use crate::{clock::Now, peer::Peer};

/// Parts of a unit of weight: weights grow in so many steps.
const PARTS: i64 = 1000;

/// In what weights are counted while one request is balanced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    /// In units: no server of the set has a slow start.
    Units,
    /// In parts of a unit, as far as servers have come at this moment.
    Parts(Now),
}

impl Scale {
    /// A weight of a peer as it counts now.
    pub(crate) fn of(self, weight: i64, peer: &Peer) -> i64 {
        let Self::Parts(now) = self else { return weight };
        let whole = weight.saturating_mul(PARTS);
        let since = now.millis.saturating_sub(peer.state.recovered.load(Relaxed));
        match peer.limits.slow_start {
            length if since >= length => whole,
            length => (i128::from(whole) * i128::from(since) / i128::from(length)) as i64,
        }
    }

    /// A sum of weights that does not follow how far servers have come.
    pub(crate) fn whole(self, weight: i64) -> i64 {
        match self {
            Self::Units => weight,
            Self::Parts(_) => weight.saturating_mul(PARTS),
        }
    }
}

impl Peer {
    /// The peer takes requests again: from here on its weight grows.
    pub(crate) fn recovers(&self, now: Now) {
        if self.limits.slow_start != 0 {
            self.state.recovered.store(now.millis, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

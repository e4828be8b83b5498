//! `slow_start`: a recovered server gets its share of requests gradually. Its weight grows from
//! zero to its full value in that time.
//!
//! A set with such a server is balanced in fractions of a weight, and any other set in units, so
//! that its sequences stay nginx's.

use std::sync::atomic::Ordering::Relaxed;

use crate::{clock::Now, peer::Peer};

/// The number of parts per unit of weight.
const PARTS: i64 = 1000;

/// The unit of weights in one choice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    /// Whole units: no server of the set has a slow start.
    Units,
    /// Parts of a unit, by the progress of servers at this moment.
    Parts(Now),
}

impl Scale {
    /// The current weight of a peer, for a nominal `weight`.
    pub(crate) fn of(self, weight: i64, peer: &Peer) -> i64 {
        let Self::Parts(now) = self else { return weight };
        let whole = weight.saturating_mul(PARTS);
        let since = now.millis.saturating_sub(peer.state.recovered.load(Relaxed));
        match peer.limits.slow_start {
            length if since >= length => whole,
            length => (i128::from(whole) * i128::from(since) / i128::from(length)) as i64,
        }
    }

    /// A sum of weights, independent of servers' progress.
    pub(crate) fn whole(self, weight: i64) -> i64 {
        match self {
            Self::Units => weight,
            Self::Parts(_) => weight.saturating_mul(PARTS),
        }
    }
}

impl Peer {
    /// Starts the growth of the peer's weight, when it takes requests again.
    pub(crate) fn recovers(&self, now: Now) {
        if self.limits.slow_start != 0 {
            self.state.recovered.store(now.millis, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

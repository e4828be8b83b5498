//! `slow_start`: a recovered server gets its share of requests gradually. Its weight grows from
//! zero to its full value in a given time, or as its answers allow ([`ramp`]).
//!
//! A set with such a server is balanced in fractions of a weight, and any other set in units, so
//! that its sequences stay nginx's.

use std::sync::atomic::Ordering::Relaxed;

use crate::{clock::Now, peer::Peer, server::SlowStart};

pub(crate) mod ramp;
pub(crate) mod steps;

/// The number of parts per unit of weight.
pub(crate) const PARTS: i64 = 1000;

/// The unit of weights in one choice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    /// Whole units: no server of the set has a slow start, or says what it can take.
    Units,
    /// Parts of a unit, by what servers say and their progress at this moment.
    Parts(Now),
}

impl Scale {
    /// The current weight of a peer, for a nominal `weight`.
    pub(crate) fn of(self, weight: i64, peer: &Peer) -> i64 {
        let Self::Parts(now) = self else { return weight };
        let whole = peer.loaded(weight.saturating_mul(PARTS));
        let part = |done: u64, of: u64| {
            (i128::from(whole) * i128::from(done) / i128::from(of.max(1))) as i64
        };
        match peer.limits.slow_start {
            SlowStart::Off => whole,
            SlowStart::Within(length) => {
                let recovered = peer.state.recovered.load(Relaxed);
                let since = now.millis.saturating_sub(recovered);
                // The clock begins with the machine, which may be younger than the length.
                if recovered == 0 || since >= length { whole } else { part(since, length) }
            }
            SlowStart::Auto => part(peer.state.ramp.share(), ramp::WHOLE),
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
    /// The share of its weight that it has, in thousandths. `None` without `slow_start`.
    pub(crate) fn slow_start(&self, now: Now) -> Option<u64> {
        match self.limits.slow_start {
            SlowStart::Off => None,
            SlowStart::Within(length) => {
                let recovered = self.state.recovered.load(Relaxed);
                let since = now.millis.saturating_sub(recovered);
                let grows = recovered != 0 && since < length;
                Some(if grows { since.saturating_mul(1000) / length } else { 1000 })
            }
            SlowStart::Auto => Some(self.state.ramp.share().saturating_mul(1000) / ramp::WHOLE),
        }
    }

    /// Starts the growth of the peer's weight, when it takes requests again.
    pub(crate) fn recovers(&self, now: Now) {
        self.state.reported.comes_back();
        match self.limits.slow_start {
            SlowStart::Off => {}
            SlowStart::Within(_) => self.state.recovered.store(now.millis.max(1), Relaxed),
            SlowStart::Auto => self.state.begin_ramp(),
        }
    }
}

#[cfg(test)]
mod tests;

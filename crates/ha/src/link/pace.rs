//! The pace at which frames of a partner are taken: a bucket of tokens. Frames beyond it stay in
//! the socket, so the partner waits, and no memory is used.

use std::time::Duration;

/// The frames of one partner that are taken in a second.
const PER_SECOND: u32 = 4000;

/// The frames that may come at once after a rest.
const BURST: u32 = 2000;

/// A pace. Times are since any fixed point.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that each costs.
    cost: Duration,
    /// How many may come at once after a rest.
    burst: u32,
    /// The time at which all so far are paid for.
    paid: Duration,
}

impl Pace {
    /// So many a second, and so many at once.
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_nanos(1_000_000_000 / per_second as u64);
        Self { cost, burst, paid: Duration::ZERO }
    }

    /// The pace of the frames of one partner.
    pub(super) const fn of_frames() -> Self {
        Self::new(PER_SECOND, BURST)
    }

    /// Counts one.
    pub(super) fn count(&mut self, now: Duration) {
        self.paid = self.paid.max(now) + self.cost;
    }

    /// How long to wait before the next one; `None` for no time.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        let ahead = self.paid.saturating_sub(now);
        ahead.checked_sub(self.cost * self.burst).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_the_pace_wait() {
        let mut pace = Pace::of_frames();
        let start = Duration::from_secs(100);
        for _ in 0..BURST {
            assert_eq!(pace.wait(start), None);
            pace.count(start);
        }
        pace.count(start);
        assert_eq!(pace.wait(start), Some(pace.cost));
        // In a second of waiting as told, just the rate passes.
        let (mut now, mut taken) = (start, 0);
        while now < start + Duration::from_secs(1) {
            match pace.wait(now) {
                Some(wait) => now += wait,
                None => {
                    pace.count(now);
                    taken += 1;
                }
            }
        }
        assert!((PER_SECOND - 2..=PER_SECOND + 2).contains(&taken), "{taken}");
        assert_eq!(pace.wait(now + Duration::from_secs(1)), None);
    }
}

//! The time for which a peer took no requests, because of its health or its failures: `downtime`
//! and `downstart` of nginx's API.
//!
//! The end of a `fail_timeout` is no event: it is noticed by whoever looks next.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The downtime of a peer. Times are in milliseconds of [`Now`](crate::Now).
#[derive(Debug, Default)]
pub(crate) struct Downtime(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The sum of finished downtimes.
    total: u64,
    /// The start of the current one.
    since: Option<u64>,
    /// Whether its health is bad.
    ill: bool,
    /// The end of the current one, unless its health is bad then.
    until: u64,
}

impl State {
    /// Ends a downtime that is over.
    fn settle(&mut self, now: u64) {
        if self.ill || now < self.until {
            return;
        }
        if let Some(since) = self.since.take() {
            self.total += self.until.saturating_sub(since);
        }
    }
}

impl Downtime {
    fn settled(&self, now: u64) -> MutexGuard<'_, State> {
        // No code under this lock leaves it inconsistent, so poisoning is harmless.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(now);
        state
    }

    /// Its health has changed, or is as before.
    pub(crate) fn set_ill(&self, ill: bool, now: u64) {
        let mut state = self.settled(now);
        state.ill = ill;
        if ill {
            state.since.get_or_insert(now);
        } else {
            state.until = state.until.max(now);
        }
        state.settle(now);
    }

    /// Failures disable it until then.
    pub(crate) fn fail(&self, until: u64, now: u64) {
        let mut state = self.settled(now);
        state.until = state.until.max(until);
        state.since.get_or_insert(now);
    }

    /// A request found it working.
    pub(crate) fn work(&self, now: u64) {
        let mut state = self.settled(now);
        state.until = state.until.min(now);
        state.settle(now);
    }

    /// Starts the sum over, and the current downtime, if any.
    pub(crate) fn reset(&self, now: u64) {
        let mut state = self.settled(now);
        state.total = 0;
        state.since = state.since.map(|_| now);
    }

    /// The sum of all downtimes, and the start of the current one.
    pub(crate) fn read(&self, now: u64) -> (u64, Option<u64>) {
        let state = self.settled(now);
        let current = state.since.map_or(0, |since| now.saturating_sub(since));
        (state.total + current, state.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illness_counts_from_its_start_to_its_end() {
        let downtime = Downtime::default();
        downtime.set_ill(false, 5);
        assert_eq!(downtime.read(10), (0, None));
        downtime.set_ill(true, 10);
        downtime.set_ill(true, 15);
        assert_eq!(downtime.read(30), (20, Some(10)));
        downtime.set_ill(false, 40);
        assert_eq!(downtime.read(100), (30, None));
    }

    #[test]
    fn failures_count_until_their_timeout_or_a_success() {
        let downtime = Downtime::default();
        downtime.fail(1000, 100);
        downtime.fail(1500, 600);
        assert_eq!(downtime.read(1400), (1300, Some(100)));
        // Nobody looked when the timeout passed.
        assert_eq!(downtime.read(9000), (1400, None));
        downtime.fail(20_000, 10_000);
        downtime.work(10_500);
        assert_eq!(downtime.read(30_000), (1900, None));
    }

    #[test]
    fn a_reset_forgets_what_has_passed() {
        let downtime = Downtime::default();
        downtime.set_ill(true, 10);
        downtime.reset(30);
        assert_eq!(downtime.read(35), (5, Some(30)));
    }

    #[test]
    fn two_reasons_at_once_count_once() {
        let downtime = Downtime::default();
        downtime.fail(1000, 0);
        downtime.set_ill(true, 500);
        assert_eq!(downtime.read(2000), (2000, Some(0)));
        downtime.set_ill(false, 3000);
        assert_eq!(downtime.read(4000), (3000, None));
        downtime.set_ill(true, 5000);
        downtime.fail(7000, 5500);
        downtime.set_ill(false, 6000);
        assert_eq!(downtime.read(6500), (4500, Some(5000)));
        assert_eq!(downtime.read(8000), (5000, None));
    }
}

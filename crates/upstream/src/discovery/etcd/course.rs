//! Which endpoint is asked, and when: after a failure the next one at once, and after a round of
//! failures all again, later each time.

/// The first wait after a round of failures, in milliseconds; it doubles.
const FIRST: u64 = 100;

/// The longest wait, in milliseconds: what comes back is to be noticed.
const LONGEST: u64 = 2000;

/// A session that ends sooner counts as a failure, in milliseconds.
const SHORT: u64 = 1000;

/// The way through the endpoints.
#[derive(Debug)]
pub(super) struct Course {
    endpoints: usize,
    at: usize,
    /// The number of failures in a row.
    failures: usize,
    rounds: u32,
    /// When the next attempt may begin, in milliseconds.
    next: u64,
    began: u64,
}

impl Course {
    /// A course through this many endpoints, at least one.
    pub(super) fn new(endpoints: usize) -> Self {
        Self { endpoints: endpoints.max(1), at: 0, failures: 0, rounds: 0, next: 0, began: 0 }
    }

    /// The endpoint to ask.
    pub(super) fn endpoint(&self) -> usize {
        self.at
    }

    /// The time to wait before, in milliseconds.
    pub(super) fn wait(&self, now: u64) -> u64 {
        self.next.saturating_sub(now)
    }

    /// An attempt has failed. Returns whether all endpoints have, one after another.
    pub(super) fn failed(&mut self, now: u64) -> bool {
        self.at = (self.at + 1) % self.endpoints;
        self.failures += 1;
        let is_round = self.failures.is_multiple_of(self.endpoints);
        if is_round {
            self.next = now + (FIRST << self.rounds.min(10)).min(LONGEST);
            self.rounds += 1;
        }
        is_round
    }

    /// An attempt has succeeded.
    pub(super) fn begun(&mut self, now: u64) {
        (self.failures, self.began) = (0, now);
    }

    /// What an attempt has begun has ended.
    pub(super) fn ended(&mut self, now: u64) {
        match now.saturating_sub(self.began) < SHORT {
            true => {
                self.failed(now);
            }
            false => self.rounds = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_asked_before_a_wait() {
        let mut course = Course::new(3);
        let mut now = 1000;
        for wait in [100, 200, 400, 800, 1600, 2000, 2000] {
            for (endpoint, is_last) in [(0, false), (1, false), (2, true)] {
                assert_eq!((course.endpoint(), course.wait(now)), (endpoint, 0));
                assert_eq!(course.failed(now), is_last);
            }
            assert_eq!(course.wait(now), wait);
            now += wait;
        }
        course.begun(now);
        course.ended(now + SHORT);
        assert_eq!((course.endpoint(), course.wait(now + SHORT)), (0, 0));
        assert!(!course.failed(now));
    }

    #[test]
    fn sessions_that_end_at_once_do_not_spin() {
        let mut course = Course::new(1);
        for wait in [100, 200, 400] {
            course.begun(0);
            course.ended(5);
            assert_eq!(course.wait(5), wait);
        }
    }
}

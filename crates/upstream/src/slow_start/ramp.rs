//! `slow_start=auto`: a new or recovered server gets its share of requests as fast as it copes with
//! them. It begins with a small share. At each step the share doubles if the server's answers are
//! like its siblings', stays if they are slow, and halves if they are failures.
//!
//! ```text
//!  share  5 % ─▶ 10 % ─▶ 20 % ─▶ 40 % ─▶ 80 % ─▶ 100 %     one step: STEP, and REQUESTS answers
//! ```
//!
//! The measure is the median of the siblings that have their whole share. If there is none, the
//! share doubles at each step. There is no step without requests: they bring the steps about.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The whole share. Shares are in thousandths.
pub(crate) const WHOLE: u64 = 1000;

/// The share at the beginning.
pub(super) const FIRST: u64 = 50;

/// The time between two steps in milliseconds, at least.
pub(super) const STEP: u64 = 2000;

/// The number of requests that a judgement needs.
pub(super) const REQUESTS: u64 = 5;

/// How much worse than its siblings' median a server may be: this factor, and the slack.
const FACTOR: u64 = 2;

/// The slack of latencies in milliseconds, for servers that answer at once.
const SLACK: u64 = 10;

/// The slack of the share of failures in thousandths, for siblings that never fail.
const SLACK_OF_FAILURES: u64 = 50;

/// The number of steps for which latency alone holds a server: it may be slower by nature.
pub(super) const MOST_HOLDS: u64 = 30;

/// The progress of a server, changed under the group's lock.
#[derive(Debug)]
pub(crate) struct Ramp {
    pub(super) share: AtomicU64,
    /// Moving average of the time to the header since the beginning, in milliseconds.
    pub(super) time: AtomicU64,
    /// The number of steps that it was held.
    pub(super) holds: AtomicU64,
    /// The counts of requests and failures at the last step.
    pub(super) requests: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            share: AtomicU64::new(WHOLE),
            time: AtomicU64::new(0),
            holds: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }
}

impl Ramp {
    /// The share of the nominal weight.
    pub(crate) fn share(&self) -> u64 {
        self.share.load(Relaxed)
    }
}

/// What a server is compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// The time to the header in milliseconds.
    pub(super) time: u64,
    /// The share of failures in thousandths.
    pub(super) failures: u64,
}

impl Answers {
    pub(super) fn failures(requests: u64, failures: u64) -> u64 {
        (failures.saturating_mul(WHOLE) / requests.max(1)).min(WHOLE)
    }
}

/// The next step of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Hold,
    Down,
}

/// Compares a server with its siblings' median, if there is one.
pub(super) fn judge(own: Answers, median: Option<Answers>, holds: u64) -> Step {
    let Some(median) = median else { return Step::Up };
    if own.failures > median.failures.saturating_mul(FACTOR).saturating_add(SLACK_OF_FAILURES) {
        Step::Down
    } else if own.time <= median.time.saturating_mul(FACTOR).saturating_add(SLACK)
        || median.time == 0
        || holds >= MOST_HOLDS
    {
        Step::Up
    } else {
        Step::Hold
    }
}

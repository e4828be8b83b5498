//! What became of the spans of traces, as `prometheus` shows it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The number of spans that a collector has taken.
pub(crate) static EXPORTED: AtomicU64 = AtomicU64::new(0);

/// The number of requests to a collector that failed, repetitions included.
pub(crate) static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Why a span was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// As much as may wait was waiting.
    NoPlace,
    /// The collector did not want it.
    Refused,
    /// The collector was not able to take it in time.
    TooLate,
}

static LOST: [AtomicU64; Lost::ALL.len()] = [const { AtomicU64::new(0) }; Lost::ALL.len()];

impl Lost {
    /// The reasons with their names.
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::NoPlace, "full"), (Self::Refused, "refused"), (Self::TooLate, "late")];

    /// Counts spans.
    pub(crate) fn add(self, count: u64) {
        LOST[self as usize].fetch_add(count, Relaxed);
    }

    /// The number of spans so far.
    pub(crate) fn count(self) -> u64 {
        LOST[self as usize].load(Relaxed)
    }
}

//! The counters of each group with a `zone`, by its key: they outlive reloads.

use weir_engine::clock::Micros;
use weir_engine::stats::latency::{self, Latency};
use weir_engine::stats::{Family, Key};

/// The indices of a group's counters.
const NO_LIVE: usize = 0;
const QUEUE_TIMEOUTS: usize = 1;
const RETRIES_REFUSED: usize = 2;
const WAIT: usize = 3;
const COUNTERS: usize = WAIT + latency::COUNTERS;

static GROUPS: Family = Family::new(COUNTERS);

/// The counters of one group.
#[derive(Clone, Debug)]
pub(crate) struct GroupCounters(Key);

/// The counts of a group since it was first configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Requests that found no server that could take them, and did not wait for one.
    pub no_live: u64,
    /// Waits in the queue that ended with its timeout.
    pub queue_timeouts: u64,
    /// Retries that the budget did not allow.
    pub retries_refused: u64,
    /// The times of all waits in the queue, until a server was found, or not.
    pub queue_time: Latency,
}

impl GroupCounters {
    pub(crate) fn of(key: &str) -> Self {
        Self(GROUPS.key(key))
    }

    pub(crate) fn count_no_live(&self) {
        self.0.add([(NO_LIVE, 1)]);
    }

    pub(crate) fn count_refused_retry(&self) {
        self.0.add([(RETRIES_REFUSED, 1)]);
    }

    /// Counts the end of a wait.
    pub(crate) fn count_wait(&self, took: Micros, timed_out: bool) {
        self.0.add([
            (QUEUE_TIMEOUTS, u64::from(timed_out)),
            (WAIT + latency::bucket(took), 1),
            (WAIT + latency::BUCKETS, took.0),
        ]);
    }

    pub(crate) fn reset(&self) {
        self.0.reset(0..COUNTERS);
    }

    pub(crate) fn read(&self) -> GroupCounts {
        let counts = self.0.read();
        GroupCounts {
            no_live: counts[NO_LIVE],
            queue_timeouts: counts[QUEUE_TIMEOUTS],
            retries_refused: counts[RETRIES_REFUSED],
            queue_time: Latency::of(&counts[WAIT..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_the_key_of_the_group() {
        let counters = GroupCounters::of("group_counters::tests");
        counters.count_no_live();
        counters.count_refused_retry();
        counters.count_wait(Micros(1_500), false);
        counters.count_wait(Micros(3_000), true);
        let counts = GroupCounters::of("group_counters::tests").read();
        assert_eq!((counts.no_live, counts.retries_refused, counts.queue_timeouts), (1, 1, 1));
        assert_eq!((counts.queue_time.count(), counts.queue_time.sum), (2, 4_500));
        counters.reset();
        assert_eq!(counters.read(), GroupCounts::default());
    }
}

//! The counters of caches, as in NGINX Plus's API, and what else it shows of them.

use weir_engine::stats::{Family, Key};

use super::shown::Status;
use super::volume::Volume;

/// The number of counters of a state: responses, bytes, and those written to the cache.
const PER_STATE: usize = 4;
const RESPONSES: usize = 0;
const BYTES: usize = 1;
const RESPONSES_WRITTEN: usize = 2;
const BYTES_WRITTEN: usize = 3;

static CACHES: Family = Family::new(Status::ALL.len() * PER_STATE);

/// The counters of a cache. All instances of a name share their counts.
#[derive(Clone, Debug)]
pub(crate) struct CacheCounters(Key);

impl CacheCounters {
    pub(super) fn of(name: &str) -> Self {
        Self(CACHES.key(name))
    }

    /// Counts a response with this many bytes of body: from the cache, or from the upstream.
    pub(super) fn count(&self, status: Status, bytes: u64) {
        let first = status as usize * PER_STATE;
        self.0.add([(first + RESPONSES, 1), (first + BYTES, bytes)]);
    }

    /// Counts a response that was written to the cache.
    pub(super) fn count_written(&self, status: Status, bytes: u64) {
        let first = status as usize * PER_STATE;
        self.0.add([(first + RESPONSES_WRITTEN, 1), (first + BYTES_WRITTEN, bytes)]);
    }

    /// Counts what the upstream has sent, unless the answer came from the cache.
    pub(crate) fn count_fetched(&self, status: Option<Status>, bytes: u64) {
        if let Some(status) = status.filter(|status| status.is_fetched()) {
            self.count(status, bytes);
        }
    }
}

/// A cache in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheView {
    /// The bytes of all files.
    pub(crate) size: u64,
    /// `max_size`.
    pub(crate) max_size: Option<u64>,
    /// Whether the loader is still at work.
    pub(crate) is_cold: bool,
    /// The counts of each state.
    pub(crate) states: Vec<(Status, StateCounts)>,
}

/// The counts of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateCounts {
    /// Responses.
    pub(crate) responses: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// Responses written to the cache.
    pub(crate) responses_written: u64,
    /// Bytes of their bodies.
    pub(crate) bytes_written: u64,
}

/// The caches in use, by the names of their zones.
pub(crate) fn caches() -> Vec<(String, CacheView)> {
    let view = |(name, volume): (String, std::sync::Arc<Volume>)| {
        let counts = volume.counters.0.read();
        let states = Status::ALL.map(|status| {
            let of = |counter| counts[status as usize * PER_STATE + counter];
            let counts = StateCounts {
                responses: of(RESPONSES),
                bytes: of(BYTES),
                responses_written: of(RESPONSES_WRITTEN),
                bytes_written: of(BYTES_WRITTEN),
            };
            (status, counts)
        });
        let (size, is_cold) = (volume.index.bytes(), volume.index.is_cold());
        (name, CacheView { size, max_size: volume.max_size(), is_cold, states: states.to_vec() })
    };
    Volume::all().into_iter().map(view).collect()
}

/// The memory of the entries of all caches, in bytes.
pub(crate) fn index_bytes() -> u64 {
    Volume::all().into_iter().map(|(_, volume)| volume.index.memory()).sum()
}

/// Starts the counters of a cache over. `false` if there is no such cache.
pub(crate) fn reset(name: &str) -> bool {
    let mut all = Volume::all().into_iter();
    let found = all.find(|(known, _)| known == name);
    found.inspect(|(_, volume)| volume.counters.0.reset(0..usize::MAX)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_counters_of_its_own() {
        for (number, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, number, "{}", status.name());
        }
        let counters = CacheCounters::of("each state");
        counters.count(Status::Hit, 10);
        counters.count_fetched(Some(Status::Hit), 10);
        counters.count_fetched(Some(Status::Miss), 20);
        counters.count_written(Status::Miss, 30);
        let counts = counters.0.read();
        let of = |status: Status| &counts[status as usize * PER_STATE..][..PER_STATE];
        assert_eq!(of(Status::Hit), [1, 10, 0, 0]);
        assert_eq!(of(Status::Miss), [1, 20, 1, 30]);
        assert!(of(Status::Expired).iter().all(|&count| count == 0));
    }
}

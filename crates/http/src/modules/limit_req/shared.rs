//! Zones whose buckets have the requests of all nodes (`sync`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_engine::clock;
use weir_upstream::shared_zone::{Changed, Form, SharedZone, Untold};

use super::Requests;

/// What other nodes are told, and the bounds of what they tell.
#[derive(Debug, Default)]
pub(super) struct Shared {
    untold: Untold,
    /// The rate in thousandths of a request per second.
    rate: AtomicU64,
    /// The largest burst of a limit, in thousandths of a request.
    burst: AtomicU64,
}

impl Shared {
    pub(super) fn set_bounds(&self, rate: u64, burst: u64) {
        self.rate.store(rate, Relaxed);
        self.burst.store(burst, Relaxed);
    }

    /// Notes an admitted request.
    pub(super) fn note(&self, key: &[u8]) {
        self.untold.add(key);
    }
}

impl SharedZone for Requests {
    fn form(&self) -> Form {
        Form::Amounts
    }

    fn take_untold(&self) -> Changed {
        self.shared.untold.take()
    }

    /// Charges a bucket up to its burst and what the rate gives in a second: more cannot have been
    /// admitted while the nodes see each other.
    fn charge(&self, key: &[u8], amount: u32) {
        let (rate, burst) = (self.shared.rate.load(Relaxed), self.shared.burst.load(Relaxed));
        let now = clock::now().millis();
        self.lock().charge(key, amount, now, rate, burst.saturating_add(rate));
    }
}

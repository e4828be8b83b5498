//! The clock of balancing.

use weir_engine::clock;
use weir_upstream::Now;

/// The current time.
pub(crate) fn now() -> Now {
    Now::current()
}

/// Milliseconds of the monotonic clock.
pub(crate) fn millis() -> u64 {
    clock::now().millis()
}

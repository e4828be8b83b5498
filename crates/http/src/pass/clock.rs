//! The clock of balancing.

use weir_engine::clock;
use weir_upstream::Now;

/// The current time.
pub fn now() -> Now {
    Now::current()
}

/// Milliseconds of the monotonic clock.
pub fn millis() -> u64 {
    clock::now().millis()
}

//! The clock that balancing looks at.

use weir_engine::clock;
use weir_upstream::Now;

/// This moment.
pub fn now() -> Now {
    Now::current()
}

/// Milliseconds of the monotonic clock.
pub fn millis() -> u64 {
    clock::now().millis()
}

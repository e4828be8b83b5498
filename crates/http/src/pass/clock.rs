//! The two clocks that balancing looks at.

use weir_engine::clock;
use weir_upstream::Now;

/// This moment.
pub fn now() -> Now {
    Now { seconds: clock::wall_secs(), millis: millis() }
}

/// Milliseconds of the monotonic clock.
pub fn millis() -> u64 {
    clock::now().millis()
}

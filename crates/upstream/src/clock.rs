//! The moment at which a decision is taken, handed in by the caller.

use weir_engine::clock;

/// Both clocks that balancing looks at. Failures are remembered in whole seconds of the wall
/// clock, response times in milliseconds of a clock that never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970, wall clock.
    pub seconds: i64,
    /// Milliseconds of a monotonic clock with any origin.
    pub millis: u64,
}

impl Now {
    /// This moment, by the coarse clocks of the engine.
    pub fn current() -> Self {
        Self { seconds: clock::wall_secs(), millis: clock::now().millis() }
    }

    /// This moment later by a number of milliseconds, for tests and deadlines.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        let total = self.millis + millis;
        let seconds = (total / 1000) as i64 - (self.millis / 1000) as i64;
        Self { seconds: self.seconds + seconds, millis: total }
    }
}

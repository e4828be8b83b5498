//! The moment at which a decision is taken, handed in by the caller.

use weir_engine::clock;

/// The moment in both units that balancing counts in, by a clock that never jumps: a wall clock
/// that is set back must not keep a server out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Whole seconds of a monotonic clock with any origin, for failures.
    pub seconds: i64,
    /// Its milliseconds, for response times.
    pub millis: u64,
}

impl Now {
    /// This moment, by the coarse clock of the engine.
    pub fn current() -> Self {
        let millis = clock::now().millis();
        Self { seconds: (millis / 1000).cast_signed(), millis }
    }

    /// This moment later by a number of milliseconds, for tests and deadlines.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        let total = self.millis + millis;
        let seconds = (total / 1000) as i64 - (self.millis / 1000) as i64;
        Self { seconds: self.seconds + seconds, millis: total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_units_are_of_one_clock_that_never_jumps() {
        let now = Now::current();
        assert_eq!(now.seconds.unsigned_abs(), now.millis / 1000);
        assert!(now.seconds.unsigned_abs() <= clock::precise().secs());
    }
}

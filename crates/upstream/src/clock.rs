//! The time of a decision, passed in by the caller.

use weir_engine::clock;

/// The time in the two units of balancing, from a monotonic clock: a wall clock that is set back
/// must not keep a server out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Whole seconds since an arbitrary origin, for failures.
    pub seconds: i64,
    /// Milliseconds of the same clock, for response times.
    pub millis: u64,
}

impl Now {
    /// The current time, by the engine's coarse clock.
    pub fn current() -> Self {
        let millis = clock::now().millis();
        Self { seconds: (millis / 1000).cast_signed(), millis }
    }

    /// This time plus some milliseconds.
    #[cfg(test)]
    pub(crate) fn plus_millis(self, millis: u64) -> Self {
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

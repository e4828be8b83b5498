//! The lag of the thread that probes. A probe that times out while its own thread stood still says
//! nothing about the server: its answer may have been waiting.

/// The time between two looks at the clock while probes are under way, in milliseconds.
pub(super) const BEAT: u64 = 500;

/// The delay of a look from which on the thread counts as late, in milliseconds.
const TOLERATED: u64 = 1000;

/// Watches for delays. Times are in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When the thread is to look at the clock next; `None` if nothing is under way.
    next: Option<u64>,
    /// The time of the last late look.
    late: Option<u64>,
}

impl Lag {
    /// The thread looks at the clock. Returns the delay if it is too late.
    pub(super) fn look(&mut self, now: u64, busy: bool) -> Option<u64> {
        let delay = self.next.map_or(0, |next| now.saturating_sub(next));
        self.next = busy.then_some(now + BEAT);
        if delay <= TOLERATED {
            return None;
        }
        self.late = Some(now);
        Some(delay)
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Whether the thread was late since `started`.
    pub(super) fn was_late_since(&self, started: u64) -> bool {
        self.late.is_some_and(|late| late >= started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_delay_counts_and_only_for_probes_under_way() {
        let mut lag = Lag::default();
        assert_eq!(lag.look(0, false), None);
        assert_eq!(lag.next(), None);
        assert_eq!(lag.look(100_000, true), None);
        assert_eq!(lag.next(), Some(100_500));
        assert_eq!(lag.look(101_400, true), None);
        assert!(!lag.was_late_since(100_000));
        assert_eq!(lag.look(105_000, true), Some(3100));
        assert!(lag.was_late_since(100_000) && lag.was_late_since(105_000));
        assert!(!lag.was_late_since(105_001));
        assert_eq!(lag.look(105_100, false), None);
        assert_eq!(lag.look(900_000, false), None);
        assert!(!lag.was_late_since(105_001));
    }
}

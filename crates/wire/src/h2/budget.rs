//! What a peer may cost: a bucket that empties with each frame without use, and is filled by time
//! and by useful ones.

use super::config::Millis;

/// A bucket of points.
///
/// Invariant: `left <= most`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: u32,
    most: u32,
    per_second: u32,
    /// The time up to which the bucket was filled.
    filled: Millis,
}

impl Budget {
    /// A full bucket.
    pub(crate) fn new(most: u32, per_second: u32) -> Self {
        Self { left: most, most, per_second, filled: 0 }
    }

    /// Takes points. False if there were not enough, even with what time has brought.
    #[must_use]
    #[inline]
    pub(crate) fn spend(&mut self, points: u32, now: Millis) -> bool {
        if self.left < points {
            self.fill(now);
        }
        let enough = self.left >= points;
        self.left = self.left.saturating_sub(points);
        enough
    }

    /// Adds points for something useful.
    #[inline]
    pub(crate) fn earn(&mut self, points: u32) {
        self.left = self.left.saturating_add(points).min(self.most);
    }

    #[cold]
    fn fill(&mut self, now: Millis) {
        let points =
            now.saturating_sub(self.filled).saturating_mul(u64::from(self.per_second)) / 1000;
        if points > 0 {
            self.earn(u32::try_from(points).unwrap_or(u32::MAX));
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_use_fill_the_bucket() {
        let mut budget = Budget::new(3, 10);
        assert!((0..3).all(|_| budget.spend(1, 0)));
        assert!(!budget.spend(1, 99));
        assert!(budget.spend(1, 100));
        assert!(!budget.spend(1, 100));
        budget.earn(1);
        assert!(budget.spend(1, 100));
        assert!((0..3).all(|_| budget.spend(1, 10_000)));
        assert!(!budget.spend(1, 10_000));
    }
}

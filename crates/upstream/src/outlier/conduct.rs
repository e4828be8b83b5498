//! What ejection knows about a server: its answers in the current interval, and its ejections. All
//! threads write it without a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::outlier::siblings::Sample;

/// The conduct of a peer.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    /// The number of failures in a row.
    row: AtomicU32,
    /// The number of failures in the interval.
    bad: AtomicU32,
    /// The good answers in the interval, by their time.
    good: Histogram,
    /// The end of the current ejection in milliseconds; 0 if it is not out.
    until: AtomicU64,
    /// The end of the last ejection in milliseconds.
    returned: AtomicU64,
    /// The number of ejections in a row, less one for each good interval.
    times: AtomicU32,
}

impl Conduct {
    /// A good answer, whose head took that many milliseconds.
    pub(crate) fn succeed(&self, header: u64) {
        self.good.add(header);
        // A write only where it is needed: the line is shared by all threads.
        if self.row.load(Relaxed) != 0 {
            self.row.store(0, Relaxed);
        }
    }

    /// A failure. Returns the number in a row.
    pub(crate) fn fail(&self) -> u32 {
        self.bad.fetch_add(1, Relaxed);
        self.row.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Begins to count failures in a row anew.
    pub(crate) fn forget_row(&self) {
        self.row.store(0, Relaxed);
    }

    /// Takes the answers of the interval that ends.
    pub(crate) fn take(&self) -> Sample {
        let (good, median) = self.good.take();
        Sample { good, bad: u64::from(self.bad.swap(0, Relaxed)), median }
    }

    /// The end of the current ejection.
    pub(crate) fn ejected_until(&self) -> Option<u64> {
        Some(self.until.load(Relaxed)).filter(|&until| until != 0)
    }

    /// Begins an ejection of `time` milliseconds for each in a row, at most `max`. Returns its
    /// length.
    pub(crate) fn eject(&self, time: u64, max: u64, now: u64) -> u64 {
        let times = self.times.load(Relaxed).saturating_add(1);
        self.times.store(times, Relaxed);
        let length = time.saturating_mul(u64::from(times)).min(max);
        self.until.store(now.saturating_add(length).max(1), Relaxed);
        self.forget_row();
        length
    }

    /// Sets the end of the current ejection; 0 if there is none.
    pub(crate) fn restore(&self, until: u64) {
        self.until.store(until, Relaxed);
    }

    /// Ends the current ejection; returns whether there was one. What led to it, and the requests
    /// that were still under way then, do not count again.
    pub(crate) fn readmit(&self, now: u64) -> bool {
        let was_out = self.until.swap(0, Relaxed) != 0;
        if was_out {
            self.returned.store(now, Relaxed);
            self.forget_row();
            self.take();
        }
        was_out
    }

    /// The interval that began at `start` has ended. A whole one without an ejection is good.
    pub(crate) fn end_interval(&self, start: u64) {
        let times = self.times.load(Relaxed);
        if times != 0 && self.until.load(Relaxed) == 0 && self.returned.load(Relaxed) <= start {
            self.times.store(times - 1, Relaxed);
        }
    }
}

/// The number of buckets. The last one begins at 114 s.
const BUCKETS: usize = 64;

/// Times in milliseconds: exact below 4, above in four buckets for each doubling.
#[derive(Debug)]
struct Histogram([AtomicU32; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl Histogram {
    fn add(&self, millis: u64) {
        self.0[bucket(millis)].fetch_add(1, Relaxed);
    }

    /// Takes the number of times, and their median.
    fn take(&self) -> (u64, Option<u64>) {
        let counts = self.0.each_ref().map(|count| u64::from(count.swap(0, Relaxed)));
        let total: u64 = counts.iter().sum();
        let mut below = 0;
        let median = counts.iter().position(|count| {
            below += count;
            below > total / 2
        });
        (total, median.map(start))
    }
}

/// The bucket of a time.
fn bucket(millis: u64) -> usize {
    if millis < 4 {
        return millis as usize;
    }
    let power = millis.ilog2() as usize;
    let quarter = (millis >> (power - 2) & 3) as usize;
    (4 * (power - 1) + quarter).min(BUCKETS - 1)
}

/// The least time in a bucket.
fn start(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64,
        _ => (4 + bucket as u64 % 4) << (bucket / 4 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_a_fifth_wide_at_most() {
        for millis in (0..5000).chain([10_000, 100_000]) {
            let (from, next) = (start(bucket(millis)), start(bucket(millis) + 1));
            assert!(from <= millis && millis < next, "{millis}: {from} to {next}");
            assert!(next - from <= 1 + from / 4, "{millis}: {from} to {next}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(start(BUCKETS - 1), 114_688);
    }

    #[test]
    fn an_interval_is_taken_with_its_median() {
        let conduct = Conduct::default();
        assert_eq!(conduct.take(), Sample { good: 0, bad: 0, median: None });
        [1, 2, 3, 1000, 1000].into_iter().for_each(|time| conduct.succeed(time));
        conduct.fail();
        assert_eq!(conduct.take(), Sample { good: 5, bad: 1, median: Some(3) });
        assert_eq!(conduct.take(), Sample { good: 0, bad: 0, median: None });
    }

    #[test]
    fn failures_in_a_row_end_with_a_good_answer() {
        let conduct = Conduct::default();
        assert_eq!([conduct.fail(), conduct.fail()], [1, 2]);
        conduct.succeed(5);
        assert_eq!(conduct.fail(), 1);
    }

    #[test]
    fn ejections_in_a_row_get_longer_and_good_intervals_shorten_the_next() {
        let conduct = Conduct::default();
        assert_eq!(conduct.eject(30, 70, 100), 30);
        assert_eq!(conduct.ejected_until(), Some(130));
        assert!(conduct.readmit(130) && !conduct.readmit(130));
        assert_eq!((conduct.ejected_until(), conduct.eject(30, 70, 200)), (None, 60));
        conduct.readmit(260);
        assert_eq!(conduct.eject(30, 70, 300), 70);
        // It is out, and then it was for a part of the interval.
        conduct.end_interval(310);
        conduct.readmit(370);
        conduct.end_interval(360);
        assert_eq!(conduct.times.load(Relaxed), 3);
        (0..5).for_each(|_| conduct.end_interval(370));
        assert_eq!(conduct.eject(30, 70, 500), 30);
    }
}

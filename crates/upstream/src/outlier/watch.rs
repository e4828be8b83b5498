//! When a group is looked at, shared by its threads and by its heirs after a reload.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_engine::error_log::Seldom;

/// The times of a group's next events, in milliseconds. Changed under the group's lock.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The next event of either kind. Anyone may read it.
    due: AtomicU64,
    /// The end of the current interval; 0 before the first.
    end: AtomicU64,
    /// The line about an outlier that stays.
    pub(crate) stays: Seldom,
}

impl Watch {
    /// Whether something is due.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.due.load(Relaxed)
    }

    /// Ends the current interval if it is over, and begins the next. Returns the start of the ended
    /// one; the first begins now.
    pub(crate) fn end_interval(&self, interval: u64, now: u64) -> Option<u64> {
        let end = self.end.load(Relaxed);
        if now < end {
            return None;
        }
        self.end.store(now.saturating_add(interval), Relaxed);
        (end != 0).then(|| end.saturating_sub(interval))
    }

    /// Sets the next event: the end of the interval, or of an ejection before that.
    pub(crate) fn settle(&self, ejections: impl Iterator<Item = u64>) {
        let end = self.end.load(Relaxed);
        self.due.store(ejections.fold(end, u64::min), Relaxed);
    }

    /// An ejection ends then.
    pub(crate) fn expect(&self, until: u64) {
        self.due.fetch_min(until, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_event_is_an_end_of_an_interval_or_an_ejection() {
        let watch = Watch::default();
        assert!(watch.is_due(0));
        assert_eq!(watch.end_interval(10, 100), None);
        watch.settle([].into_iter());
        assert!(!watch.is_due(109) && watch.is_due(110));
        watch.expect(105);
        assert!(watch.is_due(105));
        assert_eq!(watch.end_interval(10, 105), None);
        watch.settle([300, 200].into_iter());
        assert!(!watch.is_due(109) && watch.is_due(110));
        assert_eq!(watch.end_interval(10, 115), Some(100));
        watch.settle([120].into_iter());
        assert!(!watch.is_due(119) && watch.is_due(120));
    }
}

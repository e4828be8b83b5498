//! Load reports: what servers say in their responses about the requests that they can take
//! (`load_report`). `wire::load_report` reads them. A report's weight lies beside the peer; the
//! requests of a set bring the shares that follow from all weights up to date ([`shares`]).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_wire::load_report::Metric;

mod heed;
pub(crate) mod shares;

/// `load_report` of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportConfig {
    /// How much a share of errors counts as use.
    pub penalty: f64,
    /// The time in milliseconds from the first report to its effect, also after a pause.
    pub blackout: u64,
    /// The time in milliseconds after which a report is forgotten.
    pub expiration: u64,
    /// The metrics that precede the usual ones.
    pub metrics: Vec<Metric>,
}

impl Default for ReportConfig {
    /// As in gRPC and Envoy.
    fn default() -> Self {
        Self { penalty: 1.0, blackout: 10_000, expiration: 180_000, metrics: Vec::new() }
    }
}

/// The whole share of a server. Shares are in thousandths of its nominal weight.
pub(crate) const WHOLE: u64 = 1000;

/// The last report of a peer, written by all threads without a lock: of two reports at once, one
/// wins.
#[derive(Debug)]
pub(crate) struct Reported {
    /// The weight, as bits of a number.
    weight: AtomicU64,
    /// The time of the last report, in milliseconds.
    last: AtomicU64,
    /// The time of the first report in a row, in milliseconds; 0 if there is none.
    first: AtomicU64,
    /// The share that follows from the reports of all servers of a set.
    pub(crate) share: AtomicU64,
    /// The numbers of reports that were read, and of bad ones.
    good: AtomicU64,
    bad: AtomicU64,
}

impl Default for Reported {
    fn default() -> Self {
        Self {
            weight: AtomicU64::new(0),
            last: AtomicU64::new(0),
            first: AtomicU64::new(0),
            share: AtomicU64::new(WHOLE),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        }
    }
}

/// The numbers of a peer's reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportCounts {
    /// Those from which a weight follows.
    pub good: u64,
    /// Those that are bad, or say too little.
    pub bad: u64,
}

impl Reported {
    /// Takes a weight over.
    fn take(&self, weight: f64, now: u64) {
        self.weight.store(weight.to_bits(), Relaxed);
        self.last.store(now, Relaxed);
        if self.first.load(Relaxed) == 0 {
            self.first.store(now.max(1), Relaxed);
        }
    }

    /// The weight in force.
    fn weight(&self, config: &ReportConfig, now: u64) -> Option<f64> {
        let first = self.first.load(Relaxed);
        if first == 0 {
            return None;
        }
        if now.saturating_sub(self.last.load(Relaxed)) >= config.expiration {
            self.pause();
            return None;
        }
        let is_old = now.saturating_sub(first) >= config.blackout;
        is_old.then(|| f64::from_bits(self.weight.load(Relaxed)))
    }

    /// What was reported does not count any more, and the next report begins anew.
    fn pause(&self) {
        self.first.store(0, Relaxed);
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        self.pause();
        self.share.store(WHOLE, Relaxed);
        self.good.store(0, Relaxed);
        self.bad.store(0, Relaxed);
    }

    /// Begins anew after the server was away: its reports are of another time.
    pub(crate) fn comes_back(&self) {
        // A write only where it is needed: few groups have reports.
        if self.first.load(Relaxed) != 0 {
            self.pause();
        }
    }

    pub(crate) fn counts(&self) -> ReportCounts {
        ReportCounts { good: self.good.load(Relaxed), bad: self.bad.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests;

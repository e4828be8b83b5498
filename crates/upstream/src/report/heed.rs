//! The reports of a peer's responses.

use std::sync::atomic::Ordering::Relaxed;

use weir_wire::load_report::LoadReport;

use crate::{clock::Now, peer::Peer};

impl Peer {
    /// Whether the responses of this peer may have reports that count.
    pub fn reports(&self) -> bool {
        self.report.is_some()
    }

    /// Adds a report: the value of a response's field.
    pub fn heed_report(&self, value: &[u8], now: Now) {
        let (Some(config), reported) = (&self.report, &self.state.reported) else { return };
        let report = LoadReport::parse(value, &config.metrics);
        match report.and_then(|report| report.weight(config.penalty)) {
            Some(weight) => {
                reported.take(weight, now.millis);
                reported.good.fetch_add(1, Relaxed);
            }
            None => {
                reported.bad.fetch_add(1, Relaxed);
            }
        }
    }
}

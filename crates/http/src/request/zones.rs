//! Counting a request in its zones (`status_zone`).

use super::{Origin, Processing, Request};
use crate::counters::Served;

impl Request {
    /// Counts the beginning of the request, which is still in its server.
    #[inline]
    pub(crate) fn count_beginning(&mut self) {
        if let Some(zone) = &self.location.usual.zones.server {
            zone.begin();
            self.processing = Some(Processing { location: self.location.clone(), open: true });
        }
    }

    /// Counts the end of the request, which is in the location that has answered.
    pub(crate) fn count_end(&mut self) {
        if !matches!(self.origin, Origin::Main) {
            return;
        }
        let status = match (self.error_status, self.response.status) {
            (error @ 1.., _) => error,
            (_, status) => status,
        };
        let sent = self.client.bytes_sent;
        let served = Served {
            received: self.length + self.body.raw,
            sent,
            status: (sent > 0).then_some(status),
            micros: self.start.elapsed_micros(),
        };
        let zones = &self.location.usual.zones;
        match (&mut self.processing, &zones.server) {
            (Some(processing), Some(_)) => {
                processing.open = false;
                if let Some(zone) = processing.zone() {
                    zone.end(served);
                }
            }
            // Its head was refused.
            (_, Some(zone)) => zone.count(served),
            (_, None) => {}
        }
        if let Some(zone) = &zones.location {
            zone.count(served);
        }
    }
}

//! Counting a request in its zones (`status_zone`).

use super::{Origin, Processing, Request};
use crate::core::status_zone::Zones;
use crate::counters::Served;
use weir_engine::clock::Micros;

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
            took: self.start.elapsed_micros(),
        };
        let zones = &self.location.usual.zones;
        let mut asked = match (&mut self.processing, &zones.server) {
            (Some(processing), Some(_)) => {
                processing.open = false;
                processing.zone().is_some_and(|zone| zone.end(served))
            }
            // Its head was refused.
            (_, Some(zone)) => zone.count(served),
            (_, None) => false,
        };
        if let Some(zone) = &zones.location {
            asked |= zone.count(served);
        }
        if asked {
            self.keep_in_zones(served.took);
        }
    }

    /// Keeps the request as an exemplar of its zones.
    #[cold]
    fn keep_in_zones(&self, took: Micros) {
        let id = self.id();
        let Zones { server, location, .. } = &self.location.usual.zones;
        for zone in [server, location].into_iter().flatten() {
            zone.keep_exemplar(&id, took);
        }
    }

    /// Counts the attempts of the request for the servers that it has asked.
    pub(crate) fn count_attempts(&self) {
        if self.attempts.count() {
            self.keep_in_servers();
        }
    }

    /// Keeps the request as an exemplar of these servers.
    #[cold]
    fn keep_in_servers(&self) {
        let id = self.id();
        self.attempts.keep_exemplars(&id);
    }
}

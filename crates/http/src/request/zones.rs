//! Counting a request in its zones (`status_zone`).

use super::{Origin, Request};
use crate::core::status_zone::Zones;
use crate::counters::Served;
use weir_engine::clock::Micros;

impl Request {
    /// Counts the beginning of the request. All locations of its server have the zone of the
    /// server, so it is found again at the end, wherever the request is then.
    #[inline]
    pub(crate) fn count_beginning(&mut self) {
        if let Some(zone) = &self.location.usual.zones.server {
            zone.begin();
            self.processing = true;
        }
    }

    /// Counts the end of the request, which is in the location that has answered.
    pub(crate) fn count_end(&mut self) {
        if self.origin != Origin::Main {
            return;
        }
        let status = match self.error_status {
            0 => self.response.status,
            error => error,
        };
        let sent = self.client.bytes_sent;
        let served = Served {
            received: self.length + self.body.raw,
            sent,
            status: (sent > 0).then_some(status),
            took: self.start.elapsed_micros(),
        };
        // It has not begun if its head was refused.
        let begun = std::mem::take(&mut self.processing);
        let Zones { server, location, .. } = &self.location.usual.zones;
        let mut asked = false;
        // One place that counts is compiled in line, two would not be.
        for (zone, begun) in [(server, begun), (location, false)] {
            if let Some(zone) = zone {
                asked |= zone.end(begun, served);
            }
        }
        if asked {
            self.keep_in_zones(served.took);
        }
    }

    /// Takes a request that has not come to its end out of the count of those being processed.
    #[inline]
    pub(crate) fn leave_zone(&mut self) {
        if std::mem::take(&mut self.processing)
            && let Some(zone) = &self.location.usual.zones.server
        {
            zone.abandon();
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

impl Drop for Request {
    /// For a request whose memory is not reused.
    fn drop(&mut self) {
        self.leave_zone();
    }
}

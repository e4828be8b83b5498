//! The terms on which a connection waits for a request.

use std::time::Duration;

use weir_engine::clock::Instant;

/// The terms on which a connection waits for its next request.
#[derive(Clone, Copy)]
pub(in crate::serve) struct Patience {
    /// The time when it is closed.
    pub(super) until: Instant,
    /// The time until which even an ending thread keeps it (`keepalive_min_timeout`).
    pub(super) hold: Instant,
    /// Whether it can be parked.
    pub(super) parks: bool,
    /// Whether it has been answered and sent nothing since, so that it can be closed at any time.
    pub(super) idle: bool,
    /// Whether its listener is gone, so that it has one more request at most.
    pub(super) ends: bool,
}

impl Patience {
    /// For a new connection, which is not idle: its first request may be on its way.
    pub(in crate::serve) fn fresh(until: Instant) -> Self {
        Self { until, hold: Instant::default(), parks: true, idle: false, ends: false }
    }

    /// For a kept connection.
    pub(in crate::serve) fn kept(until: Instant, hold: Instant) -> Self {
        Self { hold, idle: true, ..Self::fresh(until) }
    }

    /// For a connection that waits for its request `number`.
    pub(in crate::serve) fn of(number: u64, until: Instant) -> Self {
        Self { idle: number > 1, ..Self::fresh(until) }
    }

    /// The same terms without parking.
    pub(in crate::serve) fn unparked(self) -> Self {
        Self { hold: Instant::default(), parks: false, ..self }
    }

    /// The same terms after the listener has gone.
    pub(in crate::serve) fn ending(self) -> Self {
        Self { parks: false, ends: true, ..self }
    }

    /// The same terms, extended by a time in which the connection was not idle.
    pub(in crate::serve) fn put_off(self, by: Duration) -> Self {
        Self { until: self.until + by, ..self }
    }

    /// The time by which a request must begin.
    pub(in crate::serve) fn until(&self) -> Instant {
        self.until
    }

    /// Whether the sweep may park it. It may not while it must be held.
    pub(super) fn can_park(&self) -> bool {
        self.parks && self.hold == Instant::default()
    }

    /// The next time at which something changes, for a connection that is not parked.
    pub(super) fn next(&self, now: Instant) -> Instant {
        if self.hold > now { self.hold } else { self.until }
    }
}

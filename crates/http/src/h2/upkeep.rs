//! A connection to an upstream between and beside its requests: pings, and the end of an idle one.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::timer::Deadline;

use super::{Closed, Driver};

/// While requests wait and nothing has come for this long, a ping asks whether the peer is there.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(10);

/// The peer's time to answer a ping.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Pings of a silence, each after twice the time of the one before, up to this. Servers of gRPC
/// close connections after three pings within five minutes without a response's bytes.
const QUICK_PINGS: u32 = 3;
const SLOW_PINGS: Duration = Duration::from_secs(300);

/// The settings of a connection to an upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upkeep {
    /// The time after which a connection without streams is closed (`keepalive_timeout`).
    pub idle: Duration,
    /// The time that the peer may take nothing while there is output (`proxy_send_timeout`).
    pub send: Duration,
}

/// The wait of a driver for bytes.
struct Silence {
    /// The last bytes, or the first stream after none.
    since: Instant,
    /// The number of pings since.
    pings: u32,
    /// When the unanswered ping was sent.
    asked: Option<Instant>,
    /// Since when there is no stream.
    idle: Option<Instant>,
    deadline: Deadline,
}

impl Driver {
    /// Drives a connection to an upstream until it ends. Its streams have then been told.
    pub(crate) async fn drive(&mut self, upkeep: Upkeep) -> Closed {
        self.set_send_timeout(upkeep.send);
        let mut silence = Silence {
            since: clock::now(),
            pings: 0,
            asked: None,
            idle: Some(clock::now()),
            deadline: Deadline::new(),
        };
        poll_fn(|cx| {
            if let Poll::Ready(done) = self.poll_accept(cx) {
                // A server begins no streams: its attempt is a fault.
                return Poll::Ready(done.map_or_else(|closed| closed, |_| Closed::Over));
            }
            let ends = silence.poll(cx, self, upkeep);
            if ends.is_ready() {
                self.link.state.borrow_mut().lose();
            }
            ends
        })
        .await
    }
}

impl Silence {
    /// Pings when it is time. Ready when the connection is to be closed.
    fn poll(&mut self, cx: &mut Context<'_>, driver: &Driver, upkeep: Upkeep) -> Poll<Closed> {
        let state = &mut *driver.link.state.borrow_mut();
        let now = clock::now();
        let streams = state.machine.streams() > 0;
        match (streams, self.idle) {
            (true, Some(_)) => (self.idle, self.since, self.pings) = (None, now, 0),
            (false, None) => self.idle = Some(now),
            _ => {}
        }
        if std::mem::take(&mut state.pong) {
            (self.asked, self.since) = (None, now);
        } else if driver.received_at > self.since {
            // Anything shows that the peer is there.
            (self.asked, self.since, self.pings) = (None, driver.received_at, 0);
        }
        let due = match (self.idle, self.asked) {
            (Some(since), _) => since + upkeep.idle,
            (None, Some(asked)) => asked + PING_TIMEOUT,
            (None, None) if self.pings >= QUICK_PINGS => self.since + SLOW_PINGS,
            (None, None) => self.since + PING_AFTER * 2_u32.pow(self.pings),
        };
        self.deadline.set(due);
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match (self.idle, self.asked) {
            (Some(_), _) => return Poll::Ready(Closed::Idle),
            (None, Some(_)) => return Poll::Ready(Closed::Silent),
            (None, None) => {
                state.machine.ping();
                (self.asked, self.pings) = (Some(now), self.pings + 1);
                state.touched();
                self.deadline.set(now + PING_TIMEOUT);
                let _ = self.deadline.poll(cx);
            }
        }
        Poll::Pending
    }
}

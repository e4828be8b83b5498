//! `limit_rate`: the number of bytes that may be sent by now.

use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::timer::Deadline;

/// A limit in bytes per second, counted from the start of the response, as in nginx.
pub struct Rate {
    /// Bytes per second.
    pub bytes: u64,
    /// `limit_rate_after`: the number of bytes sent at full speed.
    pub after: u64,
    start: Instant,
    wait: Deadline,
}

impl Rate {
    /// A limit that starts now.
    pub fn new(bytes: u64, after: u64) -> Self {
        Self { bytes, after, start: clock::now(), wait: Deadline::new() }
    }

    /// The number of bytes that may be sent after the first `sent`; pending while it is 0.
    pub fn poll_budget(&mut self, cx: &mut Context<'_>, sent: u64) -> Poll<u64> {
        loop {
            if self.wait.at() != Instant::NEVER {
                std::task::ready!(self.wait.poll(cx));
                self.wait.clear();
            }
            // Whole seconds plus one: the share of the first second is available at once.
            let seconds = self.start.elapsed().as_secs() + 1;
            let allowed = self.bytes.saturating_mul(seconds).saturating_add(self.after);
            if allowed > sent {
                return Poll::Ready(allowed - sent);
            }
            // The moment when the share of another second is added. It is in the future, so that
            // polling again does not spin.
            let shares = sent.saturating_sub(self.after) / self.bytes.max(1);
            self.wait.set(self.start + Duration::from_secs(shares.max(seconds)));
        }
    }
}

//! `limit_rate`: how many bytes may go out by now.

use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::timer::Deadline;

/// A limit in bytes per second, counted from the start of the response as nginx counts it.
pub struct Rate {
    /// Bytes per second.
    pub bytes: u64,
    /// `limit_rate_after`: bytes that go out at full speed.
    pub after: u64,
    start: Instant,
    wait: Deadline,
}

impl Rate {
    /// A limit that begins now.
    pub fn new(bytes: u64, after: u64) -> Self {
        Self { bytes, after, start: clock::now(), wait: Deadline::new() }
    }

    /// How many bytes may be sent now that `sent` have been; pending while it is none.
    pub fn poll_budget(&mut self, cx: &mut Context<'_>, sent: u64) -> Poll<u64> {
        loop {
            if self.wait.at() != Instant::NEVER {
                std::task::ready!(self.wait.poll(cx));
                self.wait.clear();
            }
            // Whole seconds plus one, so that the first second's share can go out at once.
            let seconds = self.start.elapsed().as_secs() + 1;
            let allowed = self.bytes.saturating_mul(seconds).saturating_add(self.after);
            if allowed > sent {
                return Poll::Ready(allowed - sent);
            }
            // The moment when the share of another second is added. It lies ahead, so that nobody
            // who polls again at once spins.
            let shares = sent.saturating_sub(self.after) / self.bytes.max(1);
            self.wait.set(self.start + Duration::from_secs(shares.max(seconds)));
        }
    }
}

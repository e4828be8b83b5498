//! The wait of a request for a peer, in the queue of its group.

use std::task::{Context, Poll};

use super::{Current, Pick};
use crate::{clock::Now, group_counters::GroupCounters, outcome::Outcome};
use weir_engine::clock::Micros;

/// Why a request does not wait for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWait {
    /// There is no `queue`, or no server is left to try.
    Vain,
    /// The queue is full.
    Full,
}

impl Pick<'_> {
    /// `queue`: begins to wait, after [`next`](Self::next) has found no peer. Returns the limit of
    /// the wait in milliseconds.
    ///
    /// # Errors
    /// Why it cannot wait.
    pub fn wait(&mut self, now: Now) -> Result<u64, NoWait> {
        let config = self.group.config.queue.ok_or(NoWait::Vain)?;
        let queue = self.group.queue().ok_or(NoWait::Vain)?;
        if self.walk.is_over(&self.group.sets()) {
            return Err(NoWait::Vain);
        }
        let ticket = *self.ticket.get_or_insert_with(|| queue.ticket());
        self.place = Some(queue.join(ticket, self.group.tag(), config.size).ok_or(NoWait::Full)?);
        queue.call_if(|| self.group.has_room(now));
        Ok(config.timeout)
    }

    /// Ready when it is the request's turn to ask for the [`next`](Self::next) peer. Pending, if
    /// there was none, until the next turn.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.place.as_ref().map_or(Poll::Ready(()), |place| place.poll_called(cx))
    }

    /// Calls the first waiting request if a server is free, and this request is the first: so it
    /// sees servers that have become available by the passage of time. To be called now and then.
    pub fn look_around(&self, now: Now) {
        if let Some(place) = self.place.as_ref().filter(|place| place.is_first()) {
            place.queue().call_if(|| self.group.has_room(now));
        }
    }

    /// Counts that the request was not taken, without a wait.
    pub fn count_no_live(&self) {
        self.group.counters.iter().for_each(GroupCounters::count_no_live);
    }

    /// Counts the end of a wait of that many milliseconds; `timed_out` by the queue's limit.
    pub fn count_wait(&self, millis: u64, timed_out: bool) {
        if let Some(counters) = &self.group.counters {
            counters.count_wait(Micros::of_millis(millis), timed_out);
        }
    }

    /// Gives up waiting.
    pub fn stop_waiting(&mut self) {
        self.place = None;
    }

    /// Gives the peer's place back. After a failure, this request may be the first to need it.
    pub(super) fn release(&mut self, current: Current, outcome: Outcome) {
        current.peer.release();
        self.untold = Some(current.peer);
        if matches!(outcome, Outcome::Success | Outcome::Error) {
            self.tell();
        }
    }

    /// Tells the queue of a freed peer.
    pub(super) fn tell(&mut self) {
        if let Some(peer) = self.untold.take() {
            peer.call_waiting(self.seen);
        }
    }
}

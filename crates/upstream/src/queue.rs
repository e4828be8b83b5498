//! `queue`: requests that wait until a server can take them, first come, first served over all
//! threads.
//!
//! ```text
//!            join                 call                next finds a server
//!  (no server) ──▶ waiting ─────────────▶ called ─────────────────────────▶ (served)
//!                     ▲                     │
//!                     └─────────────────────┘ next finds none: the call goes to the next in line
//! ```
//!
//! A server that can take one more request calls one waiting request, which then chooses. Requests
//! that come meanwhile join the line, so none overtakes; one that a server has failed stands before
//! those that came after it. A called request that leaves hands its call on. After a reload the
//! requests of both configurations stand in one line, as they can wait for the same servers; but
//! one does not keep the other from servers that only the other has.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, Waker},
};

/// `queue NUMBER [timeout=TIME]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The limit of waiting requests.
    pub size: usize,
    /// The longest wait in milliseconds.
    pub timeout: u64,
}

/// A queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    /// The number of waiting requests.
    pub size: usize,
    /// The limit of waiting requests.
    pub max_size: usize,
    /// The number of requests that found the queue full.
    pub overflows: u64,
}

/// The waiting requests of a group and of those that took over from it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    line: Mutex<Line>,
    /// The length of the line, to be read without the lock.
    length: AtomicUsize,
    /// The next ticket.
    next: AtomicU64,
    overflows: AtomicU64,
}

#[derive(Debug, Default)]
struct Line {
    /// The waiting requests by ticket.
    waiting: BTreeMap<Ticket, Waiting>,
    /// The number of waiting requests of each group that has any.
    counts: BTreeMap<GroupTag, usize>,
    /// The number of called ones.
    called: usize,
}

/// The number of a request in the order of their coming.
type Ticket = u64;

/// A group among those of one line: its address.
pub(crate) type GroupTag = usize;

#[derive(Debug)]
struct Waiting {
    group: GroupTag,
    called: bool,
    waker: Option<Waker>,
}

impl Line {
    /// Calls the first request from this ticket on that is not called yet. The caller wakes it.
    fn call(&mut self, from: Ticket) -> Option<Waker> {
        let mut line = self.waiting.range_mut(from..);
        let (_, first) = line.find(|(_, waiting)| !waiting.called)?;
        first.called = true;
        self.called += 1;
        first.waker.take()
    }

    /// Takes a request's call back; returns whether it had one.
    fn uncall(&mut self, ticket: Ticket) -> bool {
        let waiting = self.waiting.get_mut(&ticket);
        let had = waiting.is_some_and(|waiting| std::mem::take(&mut waiting.called));
        self.called -= usize::from(had);
        had
    }

    /// Whether a request of the group waits that came before this one.
    fn is_behind(&self, ticket: Ticket, group: GroupTag) -> bool {
        self.waiting.range(..ticket).any(|(_, waiting)| waiting.group == group)
    }

    fn remove(&mut self, ticket: Ticket) {
        let Some(Waiting { group, .. }) = self.waiting.remove(&ticket) else { return };
        match self.counts.get_mut(&group) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&group)),
        }
    }
}

impl Queue {
    fn line(&self) -> MutexGuard<'_, Line> {
        // No code under this lock leaves the line inconsistent, so poisoning is harmless.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request waits. A server that is free must have said so before this is asked.
    pub(crate) fn is_waited_in(&self) -> bool {
        self.length.load(SeqCst) > 0
    }

    /// A ticket for a request that has come.
    pub(crate) fn ticket(&self) -> Ticket {
        self.next.fetch_add(1, Relaxed)
    }

    /// Whether a request of this group waits that came before.
    pub(crate) fn is_waited_before(&self, ticket: Ticket, group: GroupTag) -> bool {
        self.is_waited_in() && self.line().is_behind(ticket, group)
    }

    /// Joins the line, unless `limit` requests of the group are there. The first of them is called
    /// at once: a server may have become free since it looked.
    pub(crate) fn join(
        self: &Arc<Self>,
        ticket: Ticket,
        group: GroupTag,
        limit: usize,
    ) -> Option<Place> {
        let mut line = self.line();
        let count = line.counts.get(&group).copied().unwrap_or(0);
        if count >= limit {
            self.overflows.fetch_add(1, Relaxed);
            return None;
        }
        let called = !line.is_behind(ticket, group);
        line.waiting.insert(ticket, Waiting { group, called, waker: None });
        line.called += usize::from(called);
        line.counts.insert(group, count + 1);
        self.length.store(line.waiting.len(), SeqCst);
        Some(Place { queue: Arc::clone(self), ticket })
    }

    /// Calls the first request: a server can take one more.
    pub(crate) fn call(&self) {
        wake(self.line().call(0));
    }

    /// Calls the first request if none is called and a server can take one.
    pub(crate) fn call_if(&self, is_free: impl FnOnce() -> bool) {
        let idle = |line: &Line| line.called == 0 && !line.waiting.is_empty();
        // The line is not locked while the group is looked at.
        let is_idle = idle(&self.line());
        if !is_idle || !is_free() {
            return;
        }
        let mut line = self.line();
        if idle(&line) {
            let waker = line.call(0);
            drop(line);
            wake(waker);
        }
    }

    pub(crate) fn view(&self, config: QueueConfig) -> QueueView {
        let (size, overflows) = (self.length.load(Relaxed), self.overflows.load(Relaxed));
        QueueView { size, max_size: config.size, overflows }
    }

    /// Starts the count of overflows over.
    pub(crate) fn reset(&self) {
        self.overflows.store(0, Relaxed);
    }
}

/// Wakes a request; the line is not locked.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A request's place in the line. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    ticket: Ticket,
}

impl Place {
    /// Ready when the request is called, so that it may choose.
    pub(crate) fn poll_called(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut line = self.queue.line();
        match line.waiting.get_mut(&self.ticket) {
            Some(waiting) if !waiting.called => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// The request has found no server: it waits on, and its call goes to the next in line.
    pub(crate) fn pass_on(&self) {
        let mut line = self.queue.line();
        let waker = line.uncall(self.ticket).then(|| line.call(self.ticket + 1)).flatten();
        drop(line);
        wake(waker);
    }

    /// The request has found a server and leaves with its call. Another one is called if a server
    /// can take one more.
    pub(crate) fn served(self, is_free: impl FnOnce() -> bool) {
        self.queue.line().uncall(self.ticket);
        let queue = Arc::clone(&self.queue);
        drop(self);
        queue.call_if(is_free);
    }

    /// Whether no request of its group came before this one.
    pub(crate) fn is_first(&self) -> bool {
        let line = self.queue.line();
        let own = line.waiting.get(&self.ticket);
        own.is_some_and(|own| !line.is_behind(self.ticket, own.group))
    }

    /// The queue.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        let had_call = line.uncall(self.ticket);
        line.remove(self.ticket);
        self.queue.length.store(line.waiting.len(), SeqCst);
        let waker = had_call.then(|| line.call(0)).flatten();
        drop(line);
        wake(waker);
    }
}

#[cfg(test)]
mod tests;

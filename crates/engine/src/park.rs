//! Idle connections, held outside of tasks.
//!
//! A parked connection is a descriptor and a few words in a slab. It stays watched by the loop, but
//! its events wake the lot instead of a task, so parking and waking need no system call.
//!
//! A connection has no timer of its own. Connections whose deadlines fall into the same tick are a
//! doubly linked list, a map holds the head of each list, and the lot's task sleeps until the first
//! tick. Parking arms a timer only for a new first tick, and a connection leaves its list in
//! constant time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use crate::capacity;
use crate::chunked::Chunked;
use crate::clock::{self, Instant};
use crate::connection::{Conn, Idle};
use crate::event_loop::reactor::lot::LotId;
use crate::event_loop::{self, Task};
use crate::stats::{Gauge, Gauged};
use crate::timer::Deadline;

/// The granularity of deadlines, which are rounded up; a keepalive timeout need not be exact.
const TICK: Duration = Duration::from_millis(100);

/// The maximum number of connections that leave the lot before other tasks run.
const LEAVE_PER_TURN: usize = 128;

/// The maximum number of idle connections closed for a new one, as in nginx.
const RECLAIM_MOST: usize = 32;

/// The reason why a connection left the lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It has data, or the end of the stream.
    Woken,
    /// Its deadline has passed.
    TimedOut,
}

/// The parked connections of a thread. Each carries a small value of type `T`: the data needed to
/// continue serving. Dropping the lot closes them all.
pub struct Lot<T: 'static> {
    inner: Rc<RefCell<Inner<T>>>,
    task: Task,
}

struct Inner<T> {
    id: LotId,
    entries: Chunked<ParkedConn<T>>,
    /// The first entry of each tick with deadlines; entries of a tick form a doubly linked list.
    ticks: BTreeMap<u32, u32>,
    /// The tick for which the task's deadline is set.
    armed: u32,
    task: Option<Waker>,
    /// Reusable memory for the keys of woken connections.
    keys: Vec<u32>,
}

struct ParkedConn<T> {
    idle: Idle,
    data: T,
    tick: u32,
    /// The neighbours in the tick's list; `NONE` at the ends.
    next: u32,
    previous: u32,
    _waiting: Gauged,
}

const NONE: u32 = u32::MAX;

impl<T: 'static> Lot<T> {
    /// An empty lot on this thread's loop. `take` gets each connection that has data or whose
    /// deadline has passed, with that deadline; usually it spawns a task.
    pub fn new(take: impl Fn(Conn, T, Instant, Left) + 'static) -> Self {
        let inner = Rc::new(RefCell::new(Inner {
            id: LotId::new(),
            entries: Chunked::default(),
            ticks: BTreeMap::new(),
            armed: NONE,
            task: None,
            keys: Vec::new(),
        }));
        let task = event_loop::spawn(run(Rc::clone(&inner), take));
        let weak = Rc::downgrade(&inner);
        capacity::on_shortage(move || {
            weak.upgrade().map_or(0, |inner| inner.borrow_mut().reclaim())
        });
        Self { inner, task }
    }

    /// Parks a connection until it has data or `until` has passed. A parked connection counts as
    /// waiting.
    ///
    /// # Errors
    /// Returns the connection if it is not idle: an event is pending, or the peer has not accepted
    /// the data sent. Also if the system cannot watch it.
    pub fn park(&self, mut conn: Conn, until: Instant, data: T) -> Result<(), (Box<Conn>, T)> {
        if conn.is_busy() || conn.is_stuck() {
            return Err((Box::new(conn), data));
        }
        self.inner.borrow_mut().park(conn, until, data)
    }

    /// The number of parked connections.
    pub fn len(&self) -> usize {
        self.inner.borrow().entries.len()
    }

    /// Whether no connection is parked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the connections selected by `choose`, with their deadlines.
    pub fn take_if(&self, mut choose: impl FnMut(&T) -> bool) -> Vec<(Conn, T, Instant)> {
        let mut inner = self.inner.borrow_mut();
        let chosen: Vec<u32> = inner
            .entries
            .iter()
            .filter_map(|(key, entry)| choose(&entry.data).then_some(key))
            .collect();
        let entries = chosen.into_iter().filter_map(|key| inner.remove(key));
        entries
            .map(|entry| (Conn::from_idle(entry.idle), entry.data, time_of(entry.tick)))
            .collect()
    }
}

impl<T> Drop for Lot<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T> fmt::Debug for Lot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lot").field("len", &self.inner.borrow().entries.len()).finish()
    }
}

async fn run<T: 'static>(inner: Rc<RefCell<Inner<T>>>, take: impl Fn(Conn, T, Instant, Left)) {
    let mut deadline = Deadline::new();
    let mut leaving = Vec::with_capacity(LEAVE_PER_TURN);
    loop {
        std::future::poll_fn(|cx| inner.borrow_mut().poll(cx, &mut deadline, &mut leaving)).await;
        // The lot is not borrowed here: `take` may park a connection again at once.
        for (ParkedConn { idle, data, tick, .. }, left) in leaving.drain(..) {
            take(Conn::from_idle(idle), data, time_of(tick), left);
        }
        event_loop::yield_now().await;
    }
}

impl<T> Inner<T> {
    fn park(&mut self, conn: Conn, until: Instant, data: T) -> Result<(), (Box<Conn>, T)> {
        let key = self.entries.next_key();
        let idle = match conn.into_idle(&self.id, key) {
            Ok(idle) => idle,
            Err(conn) => return Err((conn, data)),
        };
        let tick = tick_after(until);
        let next = self.ticks.insert(tick, key).unwrap_or(NONE);
        let waiting = Gauged::new(Gauge::Waiting);
        self.entries.insert(ParkedConn {
            idle,
            data,
            tick,
            next,
            previous: NONE,
            _waiting: waiting,
        });
        if let Some(neighbour) = self.entries.get_mut(next) {
            neighbour.previous = key;
        }
        if tick < self.armed
            && let Some(task) = &self.task
        {
            task.wake_by_ref();
        }
        Ok(())
    }

    /// Removes an entry from the slab and from its tick's list.
    fn remove(&mut self, key: u32) -> Option<ParkedConn<T>> {
        let entry = self.entries.remove(key)?;
        if let Some(next) = self.entries.get_mut(entry.next) {
            next.previous = entry.previous;
        }
        match self.entries.get_mut(entry.previous) {
            Some(previous) => previous.next = entry.next,
            None if entry.next == NONE => drop(self.ticks.remove(&entry.tick)),
            None => drop(self.ticks.insert(entry.tick, entry.next)),
        }
        Some(entry)
    }

    /// Ready with at least one connection in `leaving`.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
        leaving: &mut Vec<(ParkedConn<T>, Left)>,
    ) -> Poll<()> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
        loop {
            // A connection with data at the last moment has not timed out.
            if self.poll_events(cx, leaving).is_ready() {
                return Poll::Ready(());
            }
            self.take_due(leaving);
            if !leaving.is_empty() {
                return Poll::Ready(());
            }
            self.armed = self.ticks.first_key_value().map_or(NONE, |(&tick, _)| tick);
            if self.armed == NONE {
                deadline.clear();
            } else {
                deadline.set(time_of(self.armed));
            }
            ready!(deadline.poll(cx));
        }
    }

    /// Moves connections with data to `leaving`; ready if there are any.
    fn poll_events(
        &mut self,
        cx: &mut Context<'_>,
        leaving: &mut Vec<(ParkedConn<T>, Left)>,
    ) -> Poll<()> {
        let mut keys = std::mem::take(&mut self.keys);
        while leaving.is_empty() && self.id.poll_woken(cx, LEAVE_PER_TURN, &mut keys).is_ready() {
            for key in keys.drain(..) {
                // The woken connection may have left, and another reused its key.
                let news = self.entries.get(key).is_some_and(|entry| entry.idle.was_heard());
                if let Some(entry) = if news { self.remove(key) } else { None } {
                    leaving.push((entry, Left::Woken));
                }
            }
        }
        self.keys = keys;
        if leaving.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Moves connections whose deadline has passed to `leaving`, up to one turn's worth.
    fn take_due(&mut self, leaving: &mut Vec<(ParkedConn<T>, Left)>) {
        let now = if self.ticks.is_empty() { return } else { clock::precise() };
        while let Some((&tick, &key)) = self.ticks.first_key_value()
            && time_of(tick) <= now
            && leaving.len() < LEAVE_PER_TURN
        {
            leaving.extend(self.remove(key).map(|entry| (entry, Left::TimedOut)));
        }
    }

    /// Closes connections with the earliest deadlines; returns their number.
    fn reclaim(&mut self) -> usize {
        let count = (self.entries.len() / 8).clamp(1, RECLAIM_MOST).min(self.entries.len());
        for _ in 0..count {
            if let Some((_, &key)) = self.ticks.first_key_value() {
                self.remove(key).into_iter().for_each(|entry| entry.idle.close());
            }
        }
        count
    }
}

const TICK_NANOS: u64 = TICK.as_nanos() as u64;

/// The first tick not before `at`. 32 bits last for 13 years of uptime.
fn tick_after(at: Instant) -> u32 {
    u32::try_from(at.nanos().div_ceil(TICK_NANOS)).unwrap_or(NONE - 1)
}

fn time_of(tick: u32) -> Instant {
    Instant::from_nanos(u64::from(tick) * TICK_NANOS)
}

#[cfg(test)]
mod tests;

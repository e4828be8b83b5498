//! Per-thread counters, summed when read.
//!
//! A counter is written only by its own thread, so no locked instruction is needed; readers sum up
//! all threads. Each thread's counters have cache lines of their own.
//!
//! Connections are counted here, for the whole process and until the last one of an ending thread
//! closes. Counters of zones and peers are in [families](Family).

use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

mod family;
pub mod latency;

pub use family::{Family, Key, Local};

/// The counters of one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    accepted: AtomicU64,
    handled: AtomicU64,
    requests: AtomicU64,
    active: AtomicU64,
    reading: AtomicU64,
    writing: AtomicU64,
    waiting: AtomicU64,
    connections: AtomicU64,
    tasks: AtomicU64,
    timers: AtomicU64,
    task_bytes: AtomicU64,
    spare_bytes: AtomicU64,
}

/// Sums over all threads, as shown by `stub_status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Client connections accepted since the start.
    pub accepted: u64,
    /// Accepted connections that were not dropped for lack of `worker_connections`.
    pub handled: u64,
    /// Client requests since the start.
    pub requests: u64,
    /// Open client connections, including idle ones.
    pub active: u64,
    /// Connections that are reading a request head.
    pub reading: u64,
    /// Connections that are processing a request or sending the response.
    pub writing: u64,
    /// Idle client connections that wait for a request.
    pub waiting: u64,
}

/// The state of a connection, for the last line of `stub_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Reading a request head.
    Reading,
    /// Responding to a request.
    Writing,
    /// Idle, between two requests.
    Waiting,
}

static THREADS: Mutex<Vec<&'static Counters>> = Mutex::new(Vec::new());

thread_local! {
    static HERE: &'static Counters = register();
}

/// Registers a thread's counters. They are never freed: connections are counted after the thread
/// has ended.
fn register() -> &'static Counters {
    let counters: &'static Counters = Box::leak(Box::default());
    THREADS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(counters);
    counters
}

fn add(counter: &AtomicU64, by: i64) {
    // Only this thread writes the counter, so a load and a store suffice.
    let value = counter.load(Ordering::Relaxed).wrapping_add_signed(by);
    counter.store(value, Ordering::Relaxed);
}

fn here<T>(f: impl FnOnce(&Counters) -> T) -> T {
    HERE.with(|counters| f(counters))
}

/// The sums over all threads.
pub fn totals() -> Totals {
    let threads = THREADS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sum = |pick: fn(&Counters) -> &AtomicU64| {
        threads.iter().fold(0_u64, |sum, one| sum.wrapping_add(pick(one).load(Ordering::Relaxed)))
    };
    Totals {
        accepted: sum(|one| &one.accepted),
        handled: sum(|one| &one.handled),
        requests: sum(|one| &one.requests),
        active: sum(|one| &one.active),
        reading: sum(|one| &one.reading),
        writing: sum(|one| &one.writing),
        waiting: sum(|one| &one.waiting),
    }
}

/// A group of counters that start over together, for the readers of [`since_reset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resettable {
    /// Accepted and handled connections.
    Connections,
    /// Requests.
    Requests,
}

/// The counters at their last reset. [`totals`] ignores it: `stub_status` counts from the start.
static BASE: Mutex<Base> = Mutex::new(Base { accepted: 0, handled: 0, requests: 0 });

struct Base {
    accepted: u64,
    handled: u64,
    requests: u64,
}

/// Starts counters over.
pub fn reset(counters: Resettable) {
    let totals = totals();
    let mut base = BASE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match counters {
        Resettable::Connections => {
            (base.accepted, base.handled) = (totals.accepted, totals.handled);
        }
        Resettable::Requests => base.requests = totals.requests,
    }
}

/// The sums over all threads since the last [`reset`].
pub fn since_reset() -> Totals {
    let totals = totals();
    let base = BASE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    Totals {
        accepted: totals.accepted.wrapping_sub(base.accepted),
        handled: totals.handled.wrapping_sub(base.handled),
        requests: totals.requests.wrapping_sub(base.requests),
        ..totals
    }
}

/// Memory of all threads, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The state of the tasks of loops: connections, the streams of HTTP/2, duties. What they have
    /// on the heap beyond that, such as buffers, is not included.
    pub tasks: u64,
    /// Buffers that wait in pools, as of the last time each pool was looked at.
    pub spare_buffers: u64,
}

/// The memory of all threads.
pub fn held() -> Held {
    let threads = THREADS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let sum = |pick: fn(&Counters) -> &AtomicU64| {
        threads.iter().fold(0_u64, |sum, one| sum.wrapping_add(pick(one).load(Ordering::Relaxed)))
    };
    Held { tasks: sum(|one| &one.task_bytes), spare_buffers: sum(|one| &one.spare_bytes) }
}

/// Counts a task with a state of this many bytes, until its end.
pub(crate) fn count_task(size: usize) {
    here(|counters| {
        add(&counters.tasks, 1);
        add(&counters.task_bytes, size.cast_signed() as i64);
    });
}

/// Counts the end of a task.
pub(crate) fn count_task_end(size: usize) {
    let _ = HERE.try_with(|counters| {
        add(&counters.tasks, -1);
        add(&counters.task_bytes, -(size.cast_signed() as i64));
    });
}

/// Counts a timer, until its end.
pub(crate) fn count_timer() {
    here(|counters| add(&counters.timers, 1));
}

/// Counts the end of a timer.
pub(crate) fn count_timer_end() {
    let _ = HERE.try_with(|counters| add(&counters.timers, -1));
}

/// The counters of the calling thread.
pub(crate) fn of_this_thread() -> &'static Counters {
    HERE.with(|counters| *counters)
}

impl Counters {
    /// The tasks of the thread's loop, including the running one.
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// The timers of the thread's loop, set or not.
    pub(crate) fn timers(&self) -> u64 {
        self.timers.load(Ordering::Relaxed)
    }
}

/// Notes the bytes of this thread's spare buffers.
pub(crate) fn note_spare_buffers(bytes: usize) {
    let _ = HERE.try_with(|counters| counters.spare_bytes.store(bytes as u64, Ordering::Relaxed));
}

/// Counts a client request.
pub fn count_request() {
    here(|counters| add(&counters.requests, 1));
}

/// Counts an accepted client connection.
pub(crate) fn count_accepted() {
    here(|counters| add(&counters.accepted, 1));
}

/// This thread's connections in use, to clients and upstreams.
pub fn connections_here() -> u64 {
    here(|counters| counters.connections.load(Ordering::Relaxed))
}

/// This thread's connections in the given state.
#[cfg(any(test, feature = "sim"))]
pub(crate) fn gauge_here(gauge: Gauge) -> u64 {
    here(|counters| gauge.counter(counters).load(Ordering::Relaxed))
}

/// Counts a connection in a gauge while it lives. Changing the gauge costs two stores.
#[derive(Debug)]
pub struct Gauged(Gauge, PhantomData<*const ()>);

impl Gauged {
    /// Starts to count in `gauge`.
    pub fn new(gauge: Gauge) -> Self {
        here(|counters| add(gauge.counter(counters), 1));
        Self(gauge, PhantomData)
    }

    /// Moves the connection to another gauge.
    pub fn set(&mut self, gauge: Gauge) {
        if gauge != self.0 {
            here(|counters| {
                add(self.0.counter(counters), -1);
                add(gauge.counter(counters), 1);
            });
            self.0 = gauge;
        }
    }
}

impl Gauge {
    fn counter(self, counters: &Counters) -> &AtomicU64 {
        match self {
            Self::Reading => &counters.reading,
            Self::Writing => &counters.writing,
            Self::Waiting => &counters.waiting,
        }
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        let _ = HERE.try_with(|counters| add(self.0.counter(counters), -1));
    }
}

/// Counts a connection as in use, and as active if it was accepted, until its end.
pub(crate) fn count_connection(accepted: bool) {
    here(|counters| {
        add(&counters.connections, 1);
        if accepted {
            add(&counters.handled, 1);
            add(&counters.active, 1);
        }
    });
}

/// Counts the end of a connection.
pub(crate) fn count_connection_end(accepted: bool) {
    let _ = HERE.try_with(|counters| {
        add(&counters.connections, -1);
        if accepted {
            add(&counters.active, -1);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_separately_and_are_summed() {
        std::thread::spawn(|| {
            count_connection(true);
            count_connection(false);
            assert_eq!(connections_here(), 2);
            let mut gauged = Gauged::new(Gauge::Reading);
            gauged.set(Gauge::Waiting);
            here(|counters| {
                assert_eq!(counters.reading.load(Ordering::Relaxed), 0);
                assert_eq!(counters.waiting.load(Ordering::Relaxed), 1);
                assert_eq!(counters.active.load(Ordering::Relaxed), 1);
            });
            drop(gauged);
            count_connection_end(true);
            count_connection_end(false);
            assert_eq!(connections_here(), 0);
            count_request();
        })
        .join()
        .unwrap();
        assert!(totals().requests >= 1);
    }
}

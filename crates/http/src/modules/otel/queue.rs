//! Spans that wait to be sent: one buffer and a few full batches for each thread, as nginx has them
//! for each worker. What finds no place is dropped and counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::exporter::Exporter;
use crate::spans::Lost;

/// The limit of a batch in bytes: half of what collectors usually take in one message.
const MAX_BYTES: usize = 2 << 20;

/// The capacity of a span's buffer that is kept.
const KEPT: usize = 64 << 10;

/// Spans for one collector.
pub(super) struct Batch {
    pub(super) exporter: Arc<Exporter>,
    /// Fields of a `ScopeSpans`.
    pub(super) spans: Vec<u8>,
    pub(super) count: usize,
    /// The threads whose places it takes, once for each of their batches in it.
    from: Vec<Thread>,
}

type Thread = Arc<Mutex<Waiting>>;

/// The spans of a thread.
#[derive(Default)]
struct Waiting {
    /// The last of them is being filled.
    batches: VecDeque<Batch>,
    /// The number of batches that are being sent.
    away: usize,
}

thread_local! {
    static OWN: Thread = {
        let own = Thread::default();
        lock(&THREADS).push(Arc::clone(&own));
        own
    };
    static SPAN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

static THREADS: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// Says that there are spans where there were none.
pub(super) static SOME: Notify = Notify::const_new();

/// Says that a batch is full.
pub(super) static FULL: Notify = Notify::const_new();

static DROPPED: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The number of dropped spans since the last time.
pub(super) fn take_dropped() -> u64 {
    DROPPED.swap(0, Relaxed)
}

/// Counts spans that were not delivered.
pub(super) fn drop_spans(count: usize, reason: Lost) {
    DROPPED.fetch_add(count as u64, Relaxed);
    reason.add(count as u64);
}

/// Adds a span that `write` appends, unless there is no place for it.
pub(super) fn add(exporter: &Arc<Exporter>, write: impl FnOnce(&mut Vec<u8>)) {
    SPAN.with_borrow_mut(|span| {
        span.clear();
        write(span);
        OWN.with(|own| lock(own).add(exporter, span));
        if span.capacity() > KEPT {
            *span = Vec::new();
        }
    });
}

impl Waiting {
    fn add(&mut self, exporter: &Arc<Exporter>, span: &[u8]) {
        let was_empty = self.batches.is_empty();
        let fits = self.batches.back().is_some_and(|last| last.takes(exporter, span.len()));
        if !fits {
            if self.batches.len() + self.away >= exporter.batch_count {
                return drop_spans(1, Lost::NoPlace);
            }
            if !was_empty {
                FULL.notify_one();
            }
            self.batches.push_back(Batch::new(exporter));
        }
        let Some(last) = self.batches.back_mut() else { return };
        last.spans.extend_from_slice(span);
        last.count += 1;
        if was_empty {
            SOME.notify_one();
        }
        if last.count >= exporter.batch_size {
            FULL.notify_one();
        }
    }
}

impl Batch {
    fn new(exporter: &Arc<Exporter>) -> Self {
        let exporter = Arc::clone(exporter);
        Self { exporter, spans: Vec::new(), count: 0, from: Vec::new() }
    }

    fn takes(&self, exporter: &Arc<Exporter>, length: usize) -> bool {
        Arc::ptr_eq(&self.exporter, exporter)
            && self.count < exporter.batch_size
            && self.spans.len() + length <= MAX_BYTES
    }

    /// Whether another batch can be sent together with this one.
    fn joins(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.exporter, &other.exporter)
            && self.count + other.count <= self.exporter.batch_size
            && self.spans.len() + other.spans.len() <= MAX_BYTES
    }
}

impl Drop for Batch {
    /// Gives the places back.
    fn drop(&mut self) {
        for thread in self.from.drain(..) {
            let mut waiting = lock(&thread);
            waiting.away = waiting.away.saturating_sub(1);
        }
    }
}

/// Takes all spans that wait, those of several threads together where they fit into a batch.
pub(super) fn take() -> Vec<Batch> {
    let mut taken: Vec<Batch> = Vec::new();
    let mut threads = lock(&THREADS);
    // A thread that has ended has no other owner.
    threads.retain(|thread| {
        let mut waiting = lock(thread);
        let batches = std::mem::take(&mut waiting.batches);
        waiting.away += batches.len();
        drop(waiting);
        for mut batch in batches {
            batch.from.push(Arc::clone(thread));
            match taken.iter_mut().find(|known| known.joins(&batch)) {
                Some(known) => {
                    known.spans.append(&mut batch.spans);
                    known.count += batch.count;
                    known.from.append(&mut batch.from);
                }
                None => taken.push(batch),
            }
        }
        Arc::strong_count(thread) > 1
    });
    taken
}

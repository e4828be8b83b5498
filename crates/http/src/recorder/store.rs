//! Where records are kept: a ring for each class in each thread, which readers merge. The memory is
//! that of the process, so a reload leaves it alone and the end of the worker frees it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{CLASSES, Class, Record};

/// The rings of one thread.
#[derive(Debug, Default)]
struct Rings([Ring; CLASSES]);

/// Records of a class, the oldest first.
#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<(usize, Arc<Record>)>,
    /// The sum of their sizes in bytes.
    size: usize,
}

static THREADS: Mutex<Vec<Arc<Mutex<Rings>>>> = Mutex::new(Vec::new());

thread_local! {
    static HERE: Arc<Mutex<Rings>> = {
        let rings = Arc::<Mutex<Rings>>::default();
        lock(&THREADS).push(Arc::clone(&rings));
        rings
    };
}

/// What has become of the records of a class since the start.
#[derive(Debug)]
struct Counters {
    kept: AtomicU64,
    pushed_out: AtomicU64,
    too_large: AtomicU64,
    notes_dropped: AtomicU64,
}

static COUNTERS: [Counters; CLASSES] = [const {
    Counters {
        kept: AtomicU64::new(0),
        pushed_out: AtomicU64::new(0),
        too_large: AtomicU64::new(0),
        notes_dropped: AtomicU64::new(0),
    }
}; CLASSES];

/// The counts of a class of records since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records that were kept.
    pub(crate) kept: u64,
    /// Those that have made room for newer ones since.
    pub(crate) pushed_out: u64,
    /// Records that were not kept, since the memory would not have held them.
    pub(crate) too_large: u64,
    /// Steps, attempts and rivals that records lack, because a request had too many of them.
    pub(crate) notes_dropped: u64,
}

/// The counts of all classes.
pub(crate) fn counts() -> impl Iterator<Item = (Class, Counts)> {
    Class::ALL.into_iter().zip(&COUNTERS).map(|(class, counters)| {
        let Counters { kept, pushed_out, too_large, notes_dropped } = counters;
        let counts = Counts {
            kept: kept.load(Relaxed),
            pushed_out: pushed_out.load(Relaxed),
            too_large: too_large.load(Relaxed),
            notes_dropped: notes_dropped.load(Relaxed),
        };
        (class, counts)
    })
}

/// The memory of all records, in bytes.
pub(crate) fn bytes() -> u64 {
    let of_rings =
        |rings: &Arc<Mutex<Rings>>| -> usize { lock(rings).0.iter().map(|ring| ring.size).sum() };
    let threads = lock(&THREADS).clone();
    threads.iter().map(of_rings).sum::<usize>() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The share of a class in the memory.
fn share(class: Class, memory: usize) -> usize {
    match class {
        Class::Error => memory / 2,
        Class::Slow | Class::Sample => memory / 4,
    }
}

impl Ring {
    /// Adds a record. The oldest ones make room; one that is larger than the ring is dropped.
    fn push(&mut self, record: Record, limit: usize) {
        let size = record.size();
        let counters = &COUNTERS[record.class as usize];
        counters.notes_dropped.fetch_add(record.dropped.into(), Relaxed);
        while self.size + size > limit
            && let Some((freed, _)) = self.records.pop_front()
        {
            self.size -= freed;
            counters.pushed_out.fetch_add(1, Relaxed);
        }
        if self.size + size > limit {
            counters.too_large.fetch_add(1, Relaxed);
            return;
        }
        counters.kept.fetch_add(1, Relaxed);
        self.size += size;
        self.records.push_back((size, Arc::new(record)));
    }
}

/// Keeps a record, in `memory` bytes for all threads together.
pub(crate) fn keep(record: Record, memory: usize) {
    HERE.with(|rings| {
        let threads = lock(&THREADS).len().max(1);
        let class = record.class;
        let limit = share(class, memory / threads);
        lock(rings).0[class as usize].push(record, limit);
    });
}

/// All records, in no order.
pub(crate) fn all() -> Vec<Arc<Record>> {
    let threads = lock(&THREADS).clone();
    let mut all = Vec::new();
    for rings in threads {
        for ring in &lock(&rings).0 {
            all.extend(ring.records.iter().map(|(_, record)| Arc::clone(record)));
        }
    }
    all
}

/// Drops all records.
pub(crate) fn clear() {
    for rings in lock(&THREADS).clone() {
        drop(std::mem::take(&mut *lock(&rings)));
    }
}

//! Where records are kept: a ring for each class in each thread, which readers merge. The memory is
//! that of the process, so a reload leaves it alone and the end of the worker frees it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{Class, Record};

/// The rings of one thread.
#[derive(Debug, Default)]
struct Rings([Ring; Class::ALL.len()]);

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
        while self.size + size > limit
            && let Some((freed, _)) = self.records.pop_front()
        {
            self.size -= freed;
        }
        if self.size + size <= limit {
            self.size += size;
            self.records.push_back((size, Arc::new(record)));
        }
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

//! Families of counters whose keys come and go with the configuration, such as zones and peers.
//!
//! Each thread has a block of counters for every key it has counted for, at the key's index in a
//! table of the thread. Counting is a table lookup and a plain addition; readers sum up the blocks
//! of all threads.
//!
//! ```text
//!  Family ── name ──▶ Key ── place ──▶ table of a thread ──▶ block of that thread
//!                      └── all blocks, and the sum of threads that have ended ──▶ read
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::latency::Exemplar;

/// Keys with the same kinds of counters, by name.
#[derive(Debug)]
pub struct Family {
    /// The number of counters per key.
    counters: usize,
    keys: Mutex<BTreeMap<String, Weak<Counted>>>,
}

/// A set of counters of a family. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct Key(Arc<Counted>);

struct Counted {
    family: &'static Family,
    /// `None` for an anonymous key.
    name: Option<String>,
    /// The index of its block in each thread's table. Unique among living keys.
    place: usize,
    /// Unique in the process: distinguishes its block from that of an earlier key at the same
    /// index.
    serial: u64,
    sums: Mutex<Sums>,
    /// The latest exemplar of each bucket for which one was asked.
    exemplars: Mutex<BTreeMap<usize, Exemplar>>,
}

#[derive(Default)]
struct Sums {
    /// One for each running thread that has counted.
    blocks: Vec<Arc<Block>>,
    /// The sums of threads that have ended.
    past: Vec<u64>,
    /// The sums at the last reset, which readers subtract: only its own thread writes a block.
    base: Vec<u64>,
}

/// Written by one thread, read by any: the counters, and behind them the marks.
type Block = [AtomicU64];

/// The counters of a key in one thread. Counting with them needs no lookup.
#[derive(Debug)]
pub struct Local {
    block: Arc<Block>,
    here: PhantomData<*const ()>,
}

/// The indices of living keys, for all families.
static PLACES: Mutex<Places> = Mutex::new(Places { free: Vec::new(), next: 0, serial: 0 });

struct Places {
    free: Vec<usize>,
    next: usize,
    serial: u64,
}

thread_local! {
    static TABLE: BlockTable = const { BlockTable(RefCell::new(Vec::new())) };
}

/// A thread's blocks by index. Its length is that of the highest number of keys so far.
struct BlockTable(RefCell<Vec<Option<BlockSlot>>>);

struct BlockSlot {
    serial: u64,
    key: Weak<Counted>,
    block: Arc<Block>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No operation under these locks leaves data inconsistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Family {
    /// A family whose keys have the given number of counters.
    pub const fn new(counters: usize) -> Self {
        Self { counters, keys: Mutex::new(BTreeMap::new()) }
    }

    /// The key of this name: the living one with its counts, or a new one at zero.
    pub fn key(&'static self, name: &str) -> Key {
        let mut keys = lock(&self.keys);
        if let Some(key) = keys.get(name).and_then(Weak::upgrade) {
            return Key(key);
        }
        let key = Arc::new(Counted::new(self, Some(name.to_owned())));
        keys.insert(name.to_owned(), Arc::downgrade(&key));
        Key(key)
    }

    /// An anonymous key, whose counts belong to its holders.
    pub fn own(&'static self) -> Key {
        Key(Arc::new(Counted::new(self, None)))
    }

    /// The living key of this name.
    pub fn find(&'static self, name: &str) -> Option<Key> {
        lock(&self.keys).get(name).and_then(Weak::upgrade).map(Key)
    }

    /// All living named keys in order.
    pub fn keys(&'static self) -> Vec<(String, Key)> {
        let keys: Vec<_> = lock(&self.keys).values().filter_map(Weak::upgrade).map(Key).collect();
        keys.into_iter().filter_map(|key| Some((key.0.name.clone()?, key))).collect()
    }

    /// All living named keys in order, with their counters.
    pub fn read(&'static self) -> Vec<(String, Vec<u64>)> {
        self.keys().into_iter().map(|(name, key)| (name, key.read())).collect()
    }
}

impl Key {
    /// Adds to counters of the calling thread, by their numbers in the family.
    #[inline]
    pub fn add<const N: usize>(&self, amounts: [(usize, u64); N]) {
        self.with_block(|block| add(block, amounts));
    }

    /// As [`Key::add`], to a family of which the caller tells the number of counters, so that
    /// known places need no comparison with it. Returns whether one of these marks was set, of
    /// which there are 64; they are cleared.
    #[inline]
    pub fn add_marked<const COUNTERS: usize, const N: usize>(
        &self,
        amounts: [(usize, u64); N],
        marks: u64,
    ) -> bool {
        debug_assert_eq!(COUNTERS, self.0.family.counters, "the family's number of counters");
        let hit = self.with_block(|block| {
            let Some((block, [set, ..])) = block.split_first_chunk::<COUNTERS>() else {
                return false;
            };
            add(block, amounts);
            let all = set.load(Relaxed);
            let is_hit = all & marks != 0;
            if is_hit {
                // A mark that a reader sets at this moment may be lost, or one come back.
                set.store(all & !marks, Relaxed);
            }
            is_hit
        });
        hit == Some(true)
    }

    /// Sets all marks in all threads that have counted.
    pub fn mark(&self) {
        for block in &lock(&self.0.sums).blocks {
            if let Some(marks) = block.get(self.0.family.counters) {
                marks.store(u64::MAX, Relaxed);
            }
        }
    }

    /// Keeps the exemplar of a bucket, in the place of an earlier one.
    pub fn keep_exemplar(&self, bucket: usize, exemplar: Exemplar) {
        lock(&self.0.exemplars).insert(bucket, exemplar);
    }

    /// The exemplars by bucket.
    pub fn exemplars(&self) -> Vec<(usize, Exemplar)> {
        lock(&self.0.exemplars).iter().map(|(bucket, it)| (*bucket, it.clone())).collect()
    }

    /// Subtracts from a counter, for counts of current things.
    #[inline]
    pub fn sub(&self, counter: usize, amount: u64) {
        self.add([(counter, amount.wrapping_neg())]);
    }

    /// The counters of the calling thread. `None` if it is ending.
    pub fn local(&self) -> Option<Local> {
        TABLE.try_with(|table| Local { block: table.find(&self.0), here: PhantomData }).ok()
    }

    /// `None` in a thread that is ending, which does not count.
    #[inline]
    fn with_block<T>(&self, f: impl FnOnce(&Block) -> T) -> Option<T> {
        let found = TABLE.try_with(|table| {
            let mut blocks = table.0.borrow();
            let known = |slot: &Option<BlockSlot>| {
                slot.as_ref().is_some_and(|slot| slot.serial == self.0.serial)
            };
            if !blocks.get(self.0.place).is_some_and(known) {
                drop(blocks);
                table.enter(&self.0);
                blocks = table.0.borrow();
            }
            // Once, so that it is compiled in place.
            blocks.get(self.0.place)?.as_ref().map(|slot| f(&slot.block))
        });
        found.ok().flatten()
    }

    /// The counters, summed over all threads.
    pub fn read(&self) -> Vec<u64> {
        let sums = lock(&self.0.sums);
        let mut total = sums.total(self.0.family.counters);
        for (sum, base) in total.iter_mut().zip(&sums.base) {
            *sum = sum.wrapping_sub(*base);
        }
        total
    }

    /// Sets these counters to zero.
    pub fn reset(&self, counters: Range<usize>) {
        let mut sums = lock(&self.0.sums);
        let total = sums.total(self.0.family.counters);
        sums.base.resize(total.len(), 0);
        for (base, sum) in sums.base.iter_mut().zip(total).take(counters.end).skip(counters.start) {
            *base = sum;
        }
    }
}

impl Sums {
    /// The sums over all threads since the beginning.
    fn total(&self, counters: usize) -> Vec<u64> {
        let mut total = self.past.clone();
        total.resize(counters, 0);
        for block in &self.blocks {
            for (sum, counter) in total.iter_mut().zip(block.iter()) {
                *sum = sum.wrapping_add(counter.load(Relaxed));
            }
        }
        total
    }
}

impl PartialEq for Key {
    /// Whether both are the same set of counters.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.0.name).finish()
    }
}

impl Local {
    /// As [`Key::add`].
    #[inline]
    pub fn add<const N: usize>(&self, amounts: [(usize, u64); N]) {
        add(&self.block, amounts);
    }

    /// As [`Key::sub`].
    #[inline]
    pub fn sub(&self, counter: usize, amount: u64) {
        self.add([(counter, amount.wrapping_neg())]);
    }
}

#[inline]
fn add<const N: usize>(block: &Block, amounts: [(usize, u64); N]) {
    for (counter, amount) in amounts {
        if let Some(counter) = block.get(counter) {
            // Only this thread writes the counter, so a load and a store suffice.
            counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
        }
    }
}

impl Counted {
    fn new(family: &'static Family, name: Option<String>) -> Self {
        let mut places = lock(&PLACES);
        let place = places.free.pop().unwrap_or_else(|| {
            places.next += 1;
            places.next - 1
        });
        places.serial += 1;
        Self {
            family,
            name,
            place,
            serial: places.serial,
            sums: Mutex::default(),
            exemplars: Mutex::default(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let mut keys = lock(&self.family.keys);
            // Another key of this name may have been made since the last reference was dropped.
            if keys.get(name).is_some_and(|key| key.strong_count() == 0) {
                keys.remove(name);
            }
        }
        lock(&PLACES).free.push(self.place);
    }
}

impl BlockTable {
    /// The thread's block of a key.
    fn find(&self, key: &Arc<Counted>) -> Arc<Block> {
        let blocks = self.0.borrow();
        match blocks.get(key.place) {
            Some(Some(entry)) if entry.serial == key.serial => Arc::clone(&entry.block),
            _ => {
                drop(blocks);
                self.enter(key)
            }
        }
    }

    /// Adds a block for a key that this thread has not counted for.
    #[cold]
    fn enter(&self, key: &Arc<Counted>) -> Arc<Block> {
        let block: Arc<Block> = (0..=key.family.counters).map(|_| AtomicU64::new(0)).collect();
        lock(&key.sums).blocks.push(Arc::clone(&block));
        let mut blocks = self.0.borrow_mut();
        if blocks.len() <= key.place {
            blocks.resize_with(key.place + 1, || None);
        }
        let entry =
            BlockSlot { serial: key.serial, key: Arc::downgrade(key), block: Arc::clone(&block) };
        blocks[key.place] = Some(entry);
        block
    }
}

impl Drop for BlockTable {
    /// Adds the thread's counts to the keys' sums.
    fn drop(&mut self) {
        for entry in self.0.take().into_iter().flatten() {
            let Some(key) = entry.key.upgrade() else { continue };
            let mut sums = lock(&key.sums);
            sums.blocks.retain(|block| !Arc::ptr_eq(block, &entry.block));
            sums.past.resize(key.family.counters, 0);
            for (sum, counter) in sums.past.iter_mut().zip(entry.block.iter()) {
                *sum = sum.wrapping_add(counter.load(Relaxed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outlive_their_threads() {
        static FAMILY: Family = Family::new(2);
        let key = FAMILY.key("a");
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let (counted, has_counted) = std::sync::mpsc::channel();
        let other = key.clone();
        let thread = std::thread::spawn(move || {
            other.add([(0, 2), (1, 7)]);
            other.sub(1, 3);
            counted.send(()).unwrap();
            let _ = may_go_on.recv();
        });
        has_counted.recv().unwrap();
        key.add([(0, 1)]);
        // A counter number outside of the family and its marks is ignored.
        key.add([(3, 1)]);
        assert_eq!(FAMILY.read(), [("a".to_owned(), vec![3, 4])]);
        drop(go_on);
        thread.join().unwrap();
        assert_eq!(key.read(), [3, 4]);
        assert_eq!(lock(&key.0.sums).blocks.len(), 1, "a thread that has ended leaves no block");
        key.add([(0, 1)]);
        assert_eq!(key.read(), [4, 4]);
    }

    #[test]
    fn a_mark_is_found_once_by_each_thread() {
        static FAMILY: Family = Family::new(2);
        let key = FAMILY.key("a");
        let other = key.clone();
        let counts = move || {
            key.add([(0, 1)]);
            key.mark();
            let hits = [1, 1, 2, 3].map(|marks| key.add_marked::<2, 1>([(1, 1)], marks));
            assert_eq!(hits, [true, false, true, false]);
        };
        counts();
        assert!(!other.add_marked::<2, 1>([(1, 1)], 3));
        std::thread::spawn(counts).join().unwrap();
        assert!(other.add_marked::<2, 1>([(1, 1)], 4), "a mark that no one has asked for stays");
        assert_eq!(other.read(), [2, 10]);
    }

    #[test]
    fn local_counters_are_those_of_the_thread() {
        static FAMILY: Family = Family::new(1);
        let key = FAMILY.key("a");
        let local = key.local().unwrap();
        key.add([(0, 1)]);
        local.add([(0, 5)]);
        local.sub(0, 2);
        assert_eq!(key.read(), [4]);
        assert_eq!(lock(&key.0.sums).blocks.len(), 1);
    }

    #[test]
    fn counters_start_over_where_they_are_reset() {
        static FAMILY: Family = Family::new(3);
        let key = FAMILY.key("a");
        key.add([(0, 2), (1, 7), (2, 9)]);
        FAMILY.find("a").unwrap().reset(1..3);
        assert_eq!(key.read(), [2, 0, 0]);
        key.add([(0, 1), (2, 1)]);
        assert_eq!(key.read(), [3, 0, 1]);
        key.reset(0..9);
        assert_eq!(key.read(), [0, 0, 0]);
        assert!(FAMILY.find("b").is_none());
    }

    #[test]
    fn a_name_keeps_its_counts_while_held() {
        static FAMILY: Family = Family::new(1);
        let old = FAMILY.key("a");
        old.add([(0, 5)]);
        let new = FAMILY.key("a");
        assert_eq!(old, new);
        drop(old);
        assert_eq!(new.read(), [5]);
        let other = FAMILY.key("b");
        drop(new);
        assert_eq!(FAMILY.read(), [("b".to_owned(), vec![0])]);
        assert_eq!(FAMILY.key("a").read(), [0]);
        drop(other);
        assert!(FAMILY.read().is_empty());
    }

    /// A key that reuses an index starts at zero on every thread.
    #[test]
    fn indices_are_reused() {
        static FAMILY: Family = Family::new(1);
        let places = |keys: &[Key]| keys.iter().map(|key| key.0.place).max();
        let mut keys: Vec<_> = (0..100).map(|_| FAMILY.own()).collect();
        let most = places(&keys);
        for _ in 0..50 {
            keys.iter().for_each(|key| key.add([(0, 1)]));
            assert!(keys.iter().all(|key| key.read() == [1]));
            keys.clear();
            // Other tests use some in the meantime.
            keys.extend((0..100).map(|_| FAMILY.own()));
        }
        assert!(places(&keys) <= most.map(|most| most + 1000));
    }

    #[test]
    fn many_threads_count_and_read() {
        static FAMILY: Family = Family::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..2000 {
                        let name = ["a", "b", "c"][number % 3];
                        let key = FAMILY.key(name);
                        key.add([(0, 1), (1, 2)]);
                        drop(key);
                        FAMILY.read();
                    }
                });
            }
            let kept = FAMILY.key("kept");
            for _ in 0..1000 {
                kept.add([(2, 1)]);
            }
            assert_eq!(kept.read(), [0, 0, 1000]);
        });
        assert!(FAMILY.read().is_empty());
    }
}

//! The timers of a loop: a heap by time whose entries know their position, so that a cancelled
//! timer is removed at once.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use crate::clock::{self, Instant};
use crate::stats;

/// The timeout of a kernel wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Do not wait.
    No,
    /// At most this many milliseconds.
    Millis(u32),
    /// Without a timeout.
    Forever,
}

/// The longest wait for a timer, in milliseconds; a longer one takes several waits.
const LONGEST: u32 = 3_600_000;

const NANOS: u64 = 1_000_000;

/// The maximum lag of a turn's time at its end, in milliseconds; a larger one is a delay anyway.
/// The exact time is read only if a timer is this near.
const COARSE: u64 = 10;

/// The timers of one loop.
#[derive(Default)]
pub(crate) struct Timers(RefCell<Heap>);

#[derive(Default)]
struct Heap {
    /// A binary heap: no entry is later than its two children.
    due: Vec<Due>,
    timers: Vec<TimerSlot>,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Due {
    /// The first millisecond of the monotonic clock at which it may fire.
    tick: u64,
    key: u32,
}

struct TimerSlot {
    /// The position in the heap; `NOWHERE` when it has fired.
    place: u32,
    waker: Option<Waker>,
}

const NOWHERE: u32 = u32::MAX;

/// Rounds up, so that no timer fires early.
fn tick(at: Instant) -> u64 {
    at.nanos().div_ceil(NANOS)
}

impl Timers {
    /// Starts a timer that wakes the task at `at` or less than two milliseconds later. Returns its
    /// key, to be released by [`Timers::stop`].
    pub(crate) fn start(&self, at: Instant, cx: &Context<'_>) -> u32 {
        let mut heap = self.0.borrow_mut();
        let key = heap.insert(cx.waker().clone());
        heap.push(Due { tick: tick(at), key });
        stats::count_timer();
        key
    }

    /// Sets a timer again, whether it has fired or not.
    pub(crate) fn set(&self, key: u32, at: Instant, cx: &Context<'_>) {
        let mut heap = self.0.borrow_mut();
        heap.remove(key);
        heap.timers[key as usize].waker = Some(cx.waker().clone());
        heap.push(Due { tick: tick(at), key });
    }

    /// Ready if the timer has fired; otherwise registers the task.
    pub(crate) fn poll(&self, key: u32, cx: &Context<'_>) -> Poll<()> {
        let mut heap = self.0.borrow_mut();
        let entry = &mut heap.timers[key as usize];
        if entry.place == NOWHERE {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            other => *other = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Releases a timer, whether it has fired or not.
    pub(crate) fn stop(&self, key: u32) {
        let mut heap = self.0.borrow_mut();
        heap.remove(key);
        let waker = heap.timers[key as usize].waker.take();
        heap.free.push(key);
        stats::count_timer_end();
        drop(heap);
        drop(waker);
    }

    /// The time until the first timer, or until `other` if that is earlier.
    pub(super) fn next(&self, other: Instant) -> Wait {
        let heap = self.0.borrow();
        let first = heap.due.first().map_or(u64::MAX, |first| first.tick);
        let first = if other == Instant::NEVER { first } else { first.min(tick(other)) };
        if first == u64::MAX {
            return Wait::Forever;
        }
        let mut left = first.saturating_sub(clock::now().millis() + COARSE);
        if left < COARSE {
            let exact = first.saturating_mul(NANOS).saturating_sub(clock::precise().nanos());
            left = exact.div_ceil(NANOS);
        }
        match u32::try_from(left) {
            Ok(0) => Wait::No,
            Ok(millis) => Wait::Millis(millis.min(LONGEST)),
            Err(_) => Wait::Millis(LONGEST),
        }
    }

    /// The number of timers, set or not.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn live(&self) -> usize {
        let heap = self.0.borrow();
        heap.timers.len() - heap.free.len()
    }

    /// Wakes the tasks of timers that are due at the time of this turn.
    pub(super) fn fire(&self) {
        let now = clock::now().millis();
        loop {
            let mut heap = self.0.borrow_mut();
            let Some(first) = heap.due.first().filter(|first| first.tick <= now) else { return };
            let key = first.key;
            heap.remove(key);
            let waker = heap.timers[key as usize].waker.take();
            drop(heap);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Heap {
    fn insert(&mut self, waker: Waker) -> u32 {
        let entry = TimerSlot { place: NOWHERE, waker: Some(waker) };
        match self.free.pop() {
            Some(key) => {
                self.timers[key as usize] = entry;
                key
            }
            None => {
                self.timers.push(entry);
                (self.timers.len() - 1) as u32
            }
        }
    }

    fn push(&mut self, due: Due) {
        self.due.push(due);
        self.rise(self.due.len() - 1);
    }

    /// Removes a timer from the heap, if it is there.
    fn remove(&mut self, key: u32) {
        let place = std::mem::replace(&mut self.timers[key as usize].place, NOWHERE) as usize;
        if place >= self.due.len() {
            return;
        }
        self.due.swap_remove(place);
        if place < self.due.len() {
            self.rise(place);
            self.sink(place);
        }
    }

    /// Moves an entry up to its position.
    fn rise(&mut self, mut place: usize) {
        let due = self.due[place];
        while place > 0 && due.tick < self.due[(place - 1) / 2].tick {
            self.put(place, self.due[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        self.put(place, due);
    }

    /// Moves an entry down to its position.
    fn sink(&mut self, mut place: usize) {
        let due = self.due[place];
        loop {
            let left = place * 2 + 1;
            let right = left + 1;
            let Some(&first) = self.due.get(left) else { break };
            let (child, first) = match self.due.get(right) {
                Some(&second) if second.tick < first.tick => (right, second),
                _ => (left, first),
            };
            if due.tick <= first.tick {
                break;
            }
            self.put(place, first);
            place = child;
        }
        self.put(place, due);
    }

    fn put(&mut self, place: usize, due: Due) {
        self.due[place] = due;
        self.timers[due.key as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_wait_is_for_the_earlier_of_both() {
        let (timers, soon) = (Timers::default(), clock::now() + Duration::from_secs(1000));
        assert_eq!(timers.next(Instant::NEVER), Wait::Forever);
        let millis = |wait| if let Wait::Millis(millis) = wait { millis } else { 0 };
        assert!((900_000..=1_000_001).contains(&millis(timers.next(soon))));
        let cx = Context::from_waker(Waker::noop());
        timers.start(clock::now() + Duration::from_secs(2000), &cx);
        assert!((900_000..=1_000_001).contains(&millis(timers.next(soon))));
        assert!((1_900_000..=2_000_001).contains(&millis(timers.next(Instant::NEVER))));
    }

    #[test]
    fn the_heap_gives_back_in_order_what_was_not_removed() {
        let mut heap = Heap::default();
        // A small unordered sequence with duplicates.
        let ticks: Vec<u64> = (0..500_u64).map(|n| n * 7919 % 251).collect();
        let keys: Vec<u32> = ticks
            .iter()
            .map(|&tick| {
                let key = heap.insert(Waker::noop().clone());
                heap.push(Due { tick, key });
                key
            })
            .collect();
        for &key in keys.iter().step_by(3) {
            heap.remove(key);
            heap.remove(key);
        }
        let mut left: Vec<u64> =
            ticks.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, &tick)| tick).collect();
        left.sort_unstable();
        let mut given = Vec::new();
        while let Some(&Due { tick, key }) = heap.due.first() {
            assert_eq!(heap.timers[key as usize].place, 0);
            heap.remove(key);
            given.push(tick);
        }
        assert_eq!(given, left);
    }
}

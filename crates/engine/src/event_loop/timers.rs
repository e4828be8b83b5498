//! The timers of a loop: a heap by time, whose entries know their place in it, so that what is not
//! wanted any more goes at once.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use crate::clock::{self, Instant};

/// How long the kernel may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// At most so long.
    Millis(u32),
    /// Until something happens.
    Forever,
}

/// The longest wait for a timer, in milliseconds; who waits longer waits again.
const LONGEST: u32 = 3_600_000;

const NANOS: u64 = 1_000_000;

/// How far the time of a turn may be behind at its end, in milliseconds; more than that is a delay
/// anyhow. The exact time is read only when a timer is as near as that.
const COARSE: u64 = 10;

/// The timers of one loop.
#[derive(Default)]
pub(crate) struct Timers(RefCell<Heap>);

#[derive(Default)]
struct Heap {
    /// What is to come: no entry is later than its two children, at twice its place and after.
    due: Vec<Due>,
    timers: Vec<Entry>,
    free: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Due {
    /// The first millisecond of the monotonic clock in which it is not early.
    tick: u64,
    key: u32,
}

struct Entry {
    /// Where it is in the heap; `NOWHERE` when it has fired.
    place: u32,
    waker: Option<Waker>,
}

const NOWHERE: u32 = u32::MAX;

/// Rounded up, so that no timer is early.
fn tick(at: Instant) -> u64 {
    at.nanos().div_ceil(NANOS)
}

impl Timers {
    /// Starts a timer that wakes the task at `at` or less than two milliseconds later. Returns its
    /// key, which is to be given back with [`Timers::stop`].
    pub(crate) fn start(&self, at: Instant, cx: &Context<'_>) -> u32 {
        let mut heap = self.0.borrow_mut();
        let key = heap.insert(cx.waker().clone());
        heap.push(Due { tick: tick(at), key });
        key
    }

    /// Sets a timer to another time, whether it has fired or not.
    pub(crate) fn set(&self, key: u32, at: Instant, cx: &Context<'_>) {
        let mut heap = self.0.borrow_mut();
        heap.remove(key);
        heap.timers[key as usize].waker = Some(cx.waker().clone());
        heap.push(Due { tick: tick(at), key });
    }

    /// Ready if the timer has fired; else it wakes the task.
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

    /// Takes a timer back, whether it has fired or not.
    pub(crate) fn stop(&self, key: u32) {
        let mut heap = self.0.borrow_mut();
        heap.remove(key);
        let waker = heap.timers[key as usize].waker.take();
        heap.free.push(key);
        drop(heap);
        drop(waker);
    }

    /// How long it is until the first timer.
    pub(super) fn next(&self) -> Wait {
        let heap = self.0.borrow();
        let Some(first) = heap.due.first() else { return Wait::Forever };
        let mut left = first.tick.saturating_sub(clock::now().millis() + COARSE);
        if left < COARSE {
            let exact = first.tick.saturating_mul(NANOS).saturating_sub(clock::precise().nanos());
            left = exact.div_ceil(NANOS);
        }
        match u32::try_from(left) {
            Ok(0) => Wait::No,
            Ok(millis) => Wait::Millis(millis.min(LONGEST)),
            Err(_) => Wait::Millis(LONGEST),
        }
    }

    /// How many there are, whether they are set or not.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn live(&self) -> usize {
        let heap = self.0.borrow();
        heap.timers.len() - heap.free.len()
    }

    /// Wakes whose time has come by the time of this turn.
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
        let entry = Entry { place: NOWHERE, waker: Some(waker) };
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

    /// Takes a timer out of the heap, if it is there.
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

    /// Moves an entry up to where it belongs, unless it is there.
    fn rise(&mut self, mut place: usize) {
        let due = self.due[place];
        while place > 0 && due.tick < self.due[(place - 1) / 2].tick {
            self.put(place, self.due[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        self.put(place, due);
    }

    /// Moves an entry down to where it belongs, unless it is there.
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
    use super::*;

    #[test]
    fn the_heap_gives_back_in_order_what_was_not_removed() {
        let mut heap = Heap::default();
        // A small sequence without order; some of it comes twice.
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

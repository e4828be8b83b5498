//! Figures of each loop: how long its turns take, and how busy it is.
//!
//! A turn begins when the kernel has answered and ends when the loop waits again. Its length is the
//! delay that everything else on this thread has: the loop's lag. Turns are measured as soon as
//! somebody can ask for the figures ([`measure_turns`]), since a measured one costs a look at the
//! clock.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::stats::{self, Counters};

/// The upper bounds of the buckets of turns' lengths, in microseconds; one more is unbounded.
pub const TURN_ENDS: [u64; 10] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 50_000, 250_000, 1_000_000];

const BUCKETS: usize = TURN_ENDS.len() + 1;

/// The time after which a longest turn is replaced by the next period's, so that the figure tells
/// of the last one to two periods.
const PERIOD: Duration = Duration::from_secs(30);

/// Whether turns are measured.
static MEASURES: AtomicBool = AtomicBool::new(false);

/// Measures the turns of all loops of the process from now on.
pub fn measure_turns() {
    MEASURES.store(true, Relaxed);
}

/// The figures of a loop, from its first measured turn on. They stay in memory with the loop of
/// the thread.
#[derive(Debug, Default)]
pub(super) struct Measuring(Cell<Option<&'static Measured>>);

impl Measuring {
    /// Notes the turn that ends now.
    #[inline]
    pub(super) fn end_turn(&self) {
        if MEASURES.load(Relaxed) {
            self.note();
        }
    }

    /// Out of line, so that the loop is compiled as if it were not measured.
    #[inline(never)]
    fn note(&self) {
        let measured = self.0.get().unwrap_or_else(|| self.begin());
        measured.turn(clock::now(), clock::precise());
    }

    #[cold]
    fn begin(&self) -> &'static Measured {
        let new = Measured::begin();
        self.0.set(Some(new));
        new
    }

    /// Forgets the figures, with the loop that closes.
    pub(super) fn close(&self) {
        if let Some(measured) = self.0.take() {
            open_loops().retain(|known| !std::ptr::eq(*known, measured));
        }
    }
}

/// The figures of one loop, written by its thread and read by any.
#[derive(Debug)]
pub(crate) struct Measured {
    thread: String,
    began: Instant,
    /// Turns by length.
    turns: [AtomicU64; BUCKETS],
    /// The sum of their lengths, in nanoseconds.
    busy: AtomicU64,
    /// The longest slow turn of this period and of the one before, in nanoseconds.
    longest: AtomicU64,
    longest_before: AtomicU64,
    /// The counters of the thread, for its tasks and timers.
    counters: &'static Counters,
    /// The end of the period, in nanoseconds of the clock.
    period: AtomicU64,
}

/// Those of all open loops that are measured.
static LOOPS: Mutex<Vec<&'static Measured>> = Mutex::new(Vec::new());

fn open_loops() -> MutexGuard<'static, Vec<&'static Measured>> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The figures of a loop at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopView {
    /// The name of its thread.
    pub thread: String,
    /// The time since its first measured turn.
    pub age: Duration,
    /// Turns by length, in the buckets of [`TURN_ENDS`].
    pub turns: [u64; BUCKETS],
    /// The time in turns.
    pub busy: Duration,
    /// The longest turn of the last 30 to 60 seconds; zero if all were in the first bucket.
    pub longest: Duration,
    /// Its tasks.
    pub tasks: u64,
    /// Its timers.
    pub timers: u64,
}

/// The figures of all loops of the process that are open and measured.
pub fn loops() -> Vec<LoopView> {
    open_loops().iter().map(|one| one.view()).collect()
}

impl Measured {
    /// Figures of a loop of this thread, from its current turn on.
    fn begin() -> &'static Self {
        let began = clock::now();
        let new = Box::leak(Box::new(Self {
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
            began,
            turns: Default::default(),
            busy: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            longest_before: AtomicU64::new(0),
            counters: stats::of_this_thread(),
            period: AtomicU64::new((began + PERIOD).nanos()),
        }));
        open_loops().push(new);
        new
    }

    /// Notes a turn from `start` to `end`.
    #[inline]
    fn turn(&self, start: Instant, end: Instant) {
        let nanos = end.nanos().saturating_sub(start.nanos());
        add(&self.busy, nanos);
        match nanos <= TURN_ENDS[0] * 1000 {
            true => add(&self.turns[0], 1),
            false => self.slow_turn(nanos, end),
        }
    }

    #[cold]
    fn slow_turn(&self, nanos: u64, end: Instant) {
        let bucket = TURN_ENDS.iter().position(|bound| nanos <= bound * 1000);
        add(&self.turns[bucket.unwrap_or(BUCKETS - 1)], 1);
        if end.nanos() >= self.period.load(Relaxed) {
            self.begin_period(end);
        }
        if nanos > self.longest.load(Relaxed) {
            self.longest.store(nanos, Relaxed);
        }
    }

    fn begin_period(&self, now: Instant) {
        // After a pause of more than a period, the longest turn is an old one.
        let is_next = now.nanos() < self.period.load(Relaxed) + PERIOD.as_nanos() as u64;
        let before = if is_next { self.longest.load(Relaxed) } else { 0 };
        self.longest_before.store(before, Relaxed);
        self.longest.store(0, Relaxed);
        self.period.store((now + PERIOD).nanos(), Relaxed);
    }

    fn view(&self) -> LoopView {
        self.view_at(clock::precise())
    }

    fn view_at(&self, now: Instant) -> LoopView {
        let longest = self.longest.load(Relaxed);
        // Periods end with slow turns, of which there may be none for a time.
        let longest = match now.nanos().checked_sub(self.period.load(Relaxed)) {
            None => longest.max(self.longest_before.load(Relaxed)),
            Some(over) if over < PERIOD.as_nanos() as u64 => longest,
            Some(_) => 0,
        };
        LoopView {
            thread: self.thread.clone(),
            age: now.since(self.began),
            turns: std::array::from_fn(|at| self.turns[at].load(Relaxed)),
            busy: Duration::from_nanos(self.busy.load(Relaxed)),
            longest: Duration::from_nanos(longest),
            tasks: self.counters.tasks(),
            timers: self.counters.timers(),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    // Only the loop's thread writes, so a load and a store suffice.
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn turns_are_counted_by_length_and_the_longest_is_forgotten() {
        let figures = Measured::begin();
        figures.period.store(at(30_000).nanos(), Relaxed);
        figures.turn(at(1), at(1));
        figures.turn(at(1), at(21));
        stats::count_task(100);
        stats::count_timer();
        stats::count_timer();
        stats::count_timer_end();
        let view = figures.view_at(at(21));
        assert_eq!((view.turns[0], view.turns[7], view.tasks, view.timers), (1, 1, 1, 1));
        assert_eq!((view.busy, view.longest), (Duration::from_millis(20), view.busy));
        figures.turn(at(31_000), at(31_001));
        let longest = |now| figures.view_at(at(now)).longest.as_millis();
        assert_eq!(longest(31_002), 20, "of the period before");
        // Without another slow turn, a period ends nevertheless.
        assert_eq!((longest(61_002), longest(91_002)), (1, 0));
        figures.turn(at(62_000), at(62_002));
        assert_eq!((longest(62_003), longest(92_001)), (2, 2));
        let is_open = || open_loops().iter().any(|known| std::ptr::eq(*known, figures));
        assert!(is_open() && loops().iter().any(|known| *known.thread == *figures.thread));
        Measuring(Cell::new(Some(figures))).close();
        assert!(!is_open());
    }
}

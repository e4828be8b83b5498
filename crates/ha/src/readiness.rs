//! Whether this node is fit to hold addresses, as its worker shows in memory that it shares with
//! the guard: beats of its loops, and what it lacks.
//!
//! The words belong to the master, whose workers write to one slot each. A worker may have been
//! compromised, so the guard believes no more than that it is fit or not.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};
use weir_sys::process::monotonic_millis;
use weir_sys::shared_memory::Words;

pub mod said;

use said::Said;

/// The limit of workers at a time: successors take the slots in turn.
const SLOTS: usize = 8;

/// The words of a slot: state, number of loops, what it lacks, when it began to quit, and the
/// beats.
const SLOT: usize = 1024;
const STATE: usize = 0;
const LOOPS: usize = 1;
const LACKING: usize = 2;
const QUIT_AT: usize = 3;
const BEATS: usize = 8;

/// The limit of watched loops of a worker; further ones are not watched.
const MOST_LOOPS: usize = SLOT - BEATS;

/// The words before the slots: the first is the guard's own beat, and what it says follows.
const HEAD: usize = SAID + said::WORDS;
const SAID: usize = 8;

/// A guard that has not beaten for this time says nothing any more.
const SILENT: Duration = Duration::from_secs(1);

/// The number of all words.
const COUNT: usize = HEAD + SLOTS * SLOT;

/// The states of a worker; 0 is that of a slot without one.
const SERVING: u64 = 1;
const QUITTING: u64 = 2;
const STARTING: u64 = 3;

/// The longest time in which a server that quits answers requests under way before it gives its
/// addresses up. New clients are not answered meanwhile, and try again after a second (RFC 6298,
/// section 2), or else after three: by then another node must have the addresses.
pub const DRAIN: Duration = Duration::from_millis(800);

/// The longest time for which a worker that quits keeps the addresses here by itself. Its master
/// gives them up earlier, after [`DRAIN`] at most; the rest is for a busy machine.
const QUITTING_COUNTS: Duration = Duration::from_secs(2);

/// The longest time for which a worker that starts in place of one that has quit keeps the
/// addresses here. New clients wait meanwhile.
const STARTING_COUNTS: Duration = Duration::from_secs(5);

/// The pause after an unfit time: flapping would move the addresses again and again.
const RECOVERY: Duration = Duration::from_secs(1);

/// The shared words of a master, its workers and the guard.
#[derive(Debug, Clone)]
pub struct Beats(Arc<Words>);

impl Beats {
    /// New words, for a master.
    ///
    /// # Errors
    /// A system error.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Words::new(COUNT)?)))
    }

    /// The words of a master, for the guard.
    ///
    /// # Errors
    /// A system error; `InvalidData` for anything else.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(Arc::new(Words::open(fd, COUNT)?)))
    }

    /// The slot of the next worker, which is about to start.
    pub fn slot(&self, worker: u64) -> Slot {
        let number = usize::try_from(worker % SLOTS as u64).unwrap_or(0);
        let slot = Slot { beats: self.clone(), start: HEAD + number * SLOT };
        slot.words().iter().for_each(|word| word.store(0, Relaxed));
        slot.words()[STATE].store(STARTING, Relaxed);
        slot
    }

    /// Shows that the guard is alive.
    pub fn beat_as_guard(&self) {
        self.0.all()[0].store(monotonic_millis(), Relaxed);
    }

    /// Says what the guard has concluded.
    pub fn say(&self, said: &Said) {
        said.write(&self.0.all()[SAID..HEAD]);
    }

    /// The time since the guard's last beat; `None` before the first.
    pub fn guard_age(&self) -> Option<Duration> {
        match self.0.all()[0].load(Relaxed) {
            0 => None,
            at => Some(Duration::from_millis(monotonic_millis().saturating_sub(at))),
        }
    }

    /// Forgets the beats of a guard that has ended.
    pub fn forget_guard(&self) {
        self.0.all()[0].store(0, Relaxed);
    }

    /// Whether some worker is fit at `now`, in milliseconds of the monotonic clock.
    ///
    /// # Errors
    /// Why none is.
    pub fn judge(&self, now: u64, stall: Duration) -> Result<(), Unfit> {
        let stall = u64::try_from(stall.as_millis()).unwrap_or(u64::MAX);
        let mut worst = Unfit::NoWorker;
        for slot in self.0.all()[HEAD..].chunks_exact(SLOT) {
            if slot[STATE].load(Relaxed) != SERVING {
                continue;
            }
            match judge_slot(slot, now, stall) {
                Ok(()) => return Ok(()),
                Err(unfit) => worst = unfit,
            }
        }
        Err(worst)
    }

    /// Whether a worker has begun to quit a short time before `now`: it answers the requests under
    /// way, or another one follows.
    pub(crate) fn quits(&self, now: u64) -> bool {
        let age = |slot: &[AtomicU64]| now.saturating_sub(slot[QUIT_AT].load(Relaxed));
        self.slots_in(QUITTING).any(|slot| age(slot) < millis(QUITTING_COUNTS))
    }

    /// Whether a worker starts, and has not loaded its configuration yet.
    pub(crate) fn starts(&self) -> bool {
        self.slots_in(STARTING).next().is_some()
    }

    fn slots_in(&self, state: u64) -> impl Iterator<Item = &[AtomicU64]> {
        let slots = self.0.all()[HEAD..].chunks_exact(SLOT);
        slots.filter(move |slot| slot[STATE].load(Relaxed) == state)
    }
}

impl AsFd for Beats {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn judge_slot(slot: &[AtomicU64], now: u64, stall: u64) -> Result<(), Unfit> {
    let loops = usize::try_from(slot[LOOPS].load(Relaxed)).unwrap_or(0).min(MOST_LOOPS);
    for (number, beat) in slot[BEATS..].iter().take(loops).enumerate() {
        let age = now.saturating_sub(beat.load(Relaxed));
        if age > stall {
            return Err(Unfit::Stalled { thread: number, millis: age });
        }
    }
    match slot[LACKING].load(Relaxed) {
        0 => Ok(()),
        number => Err(Unfit::Lacking(usize::try_from(number - 1).unwrap_or(usize::MAX))),
    }
}

/// Why a node is not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// No worker serves: it has ended, is quitting or has not loaded its configuration yet.
    NoWorker,
    /// A thread has not turned its loop for this time.
    Stalled {
        /// The thread.
        thread: usize,
        /// The time.
        millis: u64,
    },
    /// The required upstream of this number has no healthy server.
    Lacking(usize),
}

impl Unfit {
    /// The reason in words; `required` are the names of the required upstreams.
    pub fn in_words(self, required: &[String]) -> impl fmt::Display {
        match self {
            Self::NoWorker => "no worker process serves".to_owned(),
            Self::Stalled { thread, millis } => {
                format!("thread {thread} of the worker process has stood still for {millis} ms")
            }
            Self::Lacking(number) => {
                let name = required.get(number).map_or("?", String::as_str);
                format!("upstream \"{name}\" has no healthy server")
            }
        }
    }
}

/// A worker's words.
#[derive(Debug, Clone)]
pub struct Slot {
    beats: Beats,
    start: usize,
}

impl Slot {
    fn words(&self) -> &[AtomicU64] {
        &self.beats.0.all()[self.start..self.start + SLOT]
    }

    /// Shows that the loop of a thread turns.
    pub fn beat(&self, thread: usize) {
        if let Some(word) = self.words()[BEATS..].get(thread) {
            word.store(monotonic_millis(), Relaxed);
        }
    }

    /// Shows that the worker serves with this number of threads, which have beaten.
    pub fn serve(&self, threads: usize) {
        self.words()[LOOPS].store(threads as u64, Relaxed);
        self.words()[STATE].store(SERVING, Relaxed);
    }

    /// Shows that the worker is ending.
    pub fn quit(&self) {
        self.words()[QUIT_AT].store(monotonic_millis(), Relaxed);
        self.words()[STATE].store(QUITTING, Relaxed);
    }

    /// What the guard says of the node, with ages; `None` if no guard is alive.
    pub fn guard_says(&self) -> Option<Said> {
        self.beats.guard_age().filter(|age| *age < SILENT)?;
        Some(Said::read(&self.beats.0.all()[SAID..HEAD])?.at(monotonic_millis()))
    }

    /// Shows which of the required upstreams has no healthy server.
    pub fn lack(&self, required: Option<usize>) {
        let number = required.map_or(0, |number| number as u64 + 1);
        self.words()[LACKING].store(number, Relaxed);
    }
}

static OWN: OnceLock<Slot> = OnceLock::new();

/// Gives this process, a worker, its slot.
pub fn begin(slot: Slot) {
    let _ = OWN.set(slot);
}

/// This worker's slot; `None` in a process without one.
pub fn own() -> Option<&'static Slot> {
    OWN.get()
}

/// The interval of beats that tells a stall of this length from chance.
pub fn beat_interval(stall: Duration) -> Duration {
    (stall / 10).clamp(Duration::from_millis(10), Duration::from_millis(100))
}

/// Whether a node that was fit stays so while none of its workers serves, for a limited time: a
/// worker that quits answers the requests under way, whose connections would not survive a move of
/// the addresses, and one that starts takes the new ones from the sockets' queues.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// When the last worker stopped to serve, in milliseconds.
    since: Option<u64>,
}

impl Change {
    /// The verdict at `now` with the workers of all masters that run.
    pub(crate) fn bridge<'a>(
        &mut self,
        verdict: Result<(), Unfit>,
        now: u64,
        was_fit: bool,
        mut beats: impl Iterator<Item = &'a Beats>,
    ) -> Result<(), Unfit> {
        if verdict != Err(Unfit::NoWorker) || !was_fit {
            self.since = None;
        }
        let may_start = match verdict {
            _ if !was_fit => return verdict,
            Ok(()) | Err(Unfit::Lacking(_)) => return verdict,
            // Perhaps of a worker that was killed long ago.
            Err(Unfit::Stalled { .. }) => false,
            Err(Unfit::NoWorker) => {
                let since = *self.since.get_or_insert(now);
                now.saturating_sub(since) < millis(STARTING_COUNTS)
            }
        };
        let goes_on = beats.any(|beats| beats.quits(now) || (may_start && beats.starts()));
        if goes_on { Ok(()) } else { verdict }
    }
}

/// The guard's conclusion from verdicts in time: unfit at once, fit again after a pause.
#[derive(Debug, Default)]
pub struct Fitness {
    /// When the node was last unfit after it had been fit, in milliseconds.
    unfit_at: Option<u64>,
    was_fit: bool,
}

impl Fitness {
    /// As JSON, for another program of the same process.
    pub(crate) fn to_json(&self) -> Value {
        json!([self.unfit_at, self.was_fit])
    }

    /// From JSON.
    pub(crate) fn from_json(known: &Value) -> Self {
        Self { unfit_at: known[0].as_u64(), was_fit: known[1] == true }
    }

    /// Whether the node may hold addresses at `now`.
    pub fn update(&mut self, now: u64, fit: bool) -> bool {
        if !fit {
            if self.was_fit {
                self.unfit_at = Some(now);
            }
            return false;
        }
        let pause = u64::try_from(RECOVERY.as_millis()).unwrap_or(0);
        if self.unfit_at.is_some_and(|at| now.saturating_sub(at) < pause) {
            return false;
        }
        self.unfit_at = None;
        self.was_fit = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(250);

    #[test]
    fn a_worker_is_fit_while_all_its_loops_beat() {
        let beats = Beats::new().unwrap();
        let judge = |after| beats.judge(monotonic_millis() + after, STALL);
        assert_eq!(judge(0), Err(Unfit::NoWorker));
        let slot = beats.slot(3);
        slot.beat(0);
        slot.beat(1);
        assert_eq!(judge(0), Err(Unfit::NoWorker), "it has not loaded");
        slot.serve(2);
        assert_eq!(judge(0), Ok(()));
        assert!(matches!(judge(10_000), Err(Unfit::Stalled { thread: 0, .. })));
        slot.serve(3);
        assert!(matches!(judge(0), Err(Unfit::Stalled { thread: 2, .. })));
        slot.serve(2);
        slot.lack(Some(1));
        let unfit = judge(0).unwrap_err();
        let required = ["a".to_owned(), "b".to_owned()];
        assert_eq!(unfit.in_words(&required).to_string(), "upstream \"b\" has no healthy server");
        slot.lack(None);
        slot.quit();
        assert_eq!(judge(0), Err(Unfit::NoWorker));
    }

    #[test]
    fn a_worker_that_quits_or_starts_bridges_a_change_and_no_more() {
        let beats = Beats::new().unwrap();
        let now = monotonic_millis();
        let bridge = |change: &mut Change, after, was_fit| {
            let now = now + after;
            let verdict = beats.judge(now, STALL);
            change.bridge(verdict, now, was_fit, std::iter::once(&beats))
        };
        let mut change = Change::default();
        let old = beats.slot(1);
        assert_eq!(bridge(&mut change, 0, false), Err(Unfit::NoWorker), "the first one starts");
        old.beat(0);
        old.serve(1);
        assert_eq!(bridge(&mut change, 0, true), Ok(()));
        assert!(matches!(bridge(&mut change, 5000, true), Err(Unfit::Stalled { .. })), "killed");
        let killed = beats.slot(0);
        killed.serve(1);
        old.quit();
        assert_eq!(bridge(&mut change, 0, true), Ok(()), "it drains after one that was killed");
        killed.words()[STATE].store(0, Relaxed);
        assert_eq!(bridge(&mut change, 0, true), Ok(()), "it drains");
        assert_eq!(bridge(&mut change, 1500, true), Ok(()));
        assert_eq!(bridge(&mut change, 2500, true), Err(Unfit::NoWorker), "no other one comes");
        assert_eq!(bridge(&mut change, 0, false), Err(Unfit::NoWorker), "unfit before");
        let new = beats.slot(2);
        assert_eq!(bridge(&mut change, 0, true), Ok(()), "another one starts");
        assert_eq!(bridge(&mut change, 4500, true), Ok(()));
        assert_eq!(bridge(&mut change, 5500, true), Err(Unfit::NoWorker), "it hangs");
        assert_eq!(bridge(&mut change, 5500, false), Err(Unfit::NoWorker));
        new.beat(0);
        new.serve(1);
        assert_eq!(bridge(&mut change, 0, true), Ok(()));
    }

    #[test]
    fn a_successor_counts_beside_its_predecessor() {
        let beats = Beats::new().unwrap();
        let (old, new) = (beats.slot(1), beats.slot(2));
        old.serve(1);
        new.beat(0);
        new.serve(1);
        assert_eq!(beats.judge(monotonic_millis(), STALL), Ok(()), "the old one was killed");
        let again = beats.slot(1 + SLOTS as u64);
        assert_eq!(again.start, old.start);
        new.quit();
        assert_eq!(beats.judge(monotonic_millis(), STALL), Err(Unfit::NoWorker), "slots are empty");
    }

    #[test]
    fn nonsense_from_a_compromised_worker_is_no_more_than_a_verdict() {
        let beats = Beats::new().unwrap();
        beats.0.all().iter().for_each(|word| word.store(u64::MAX, Relaxed));
        let _ = beats.judge(5, STALL);
        beats.slot(0).serve(usize::MAX);
        beats.slot(0).beat(usize::MAX);
        let required: [String; 0] = [];
        beats.slot(0).words()[STATE].store(SERVING, Relaxed);
        beats.slot(0).words()[LACKING].store(u64::MAX, Relaxed);
        let said = Unfit::Lacking(usize::MAX - 1).in_words(&required).to_string();
        assert!(said.contains('?'));
    }

    #[test]
    fn a_node_is_unfit_at_once_and_fit_after_a_pause() {
        let mut fitness = Fitness::default();
        assert!(!fitness.update(0, false));
        assert!(fitness.update(10, true), "a start needs no pause");
        assert!(!fitness.update(20, false));
        assert!(!fitness.update(30, true));
        assert!(!fitness.update(500, false));
        assert!(!fitness.update(1100, true));
        assert!(fitness.update(1500, true));
    }
}

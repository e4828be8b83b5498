//! The tasks of a loop and the queue of runnable ones.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};

use weir_sys::waker::{WakeByWord, waker};

use super::here::with_here;
use super::remote;
use crate::{panics, stats};

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A task in one word: its loop, its slot there, and the slot's generation. The word of an ended
/// task wakes nothing, or in one of a million cases another task without need.
///
/// ```text
///  63      52 51          32 31           0
///  │  loop   │  generation  │    slot     │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

const _: () = assert!(usize::BITS == u64::BITS, "a waker's word has 64 bits");

impl Word {
    const GENERATIONS: u32 = 1 << 20;
    /// The limit of loop numbers.
    pub(super) const LOOPS: u32 = 1 << 12;
    /// The slot number of the main future.
    const MAIN: u32 = u32::MAX;

    fn new(number: u32, generation: u32, slot: u32) -> Self {
        Self(u64::from(number) << 52 | u64::from(generation) << 32 | u64::from(slot))
    }

    fn number(self) -> u32 {
        (self.0 >> 52) as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32 % Self::GENERATIONS
    }

    fn slot(self) -> u32 {
        self.0 as u32
    }

    fn waker(self) -> ManuallyDrop<Waker> {
        waker::<Self>(self.0 as usize)
    }
}

impl WakeByWord for Word {
    fn wake(word: usize) {
        let word = Self(word as u64);
        let local = with_here(|here| {
            let local = here.number() == word.number();
            if local {
                here.tasks.wake(word);
            }
            local
        });
        if local != Some(true) {
            remote::wake(word.number(), word);
        }
    }
}

/// A handle to abort a task. Dropping it does not end the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task(Word);

impl Task {
    /// Lets the task run at the end of this turn of the loop, after all others: see
    /// [`is_end_of_turn`](super::is_end_of_turn). Cheap if that is already so.
    pub fn run_at_end(self) {
        with_here(|here| {
            if here.number() == self.0.number() {
                here.tasks.run_at_end(self.0);
            }
        });
    }

    /// Drops the task's future: at once, or at its next wait if it is running.
    pub fn abort(self) {
        let number = self.0.number();
        with_here(|here| {
            if here.number() == number {
                here.tasks.abort(self.0);
            }
        });
    }
}

/// The tasks of one loop.
#[derive(Default)]
pub(crate) struct Tasks {
    table: RefCell<Table>,
    number: Cell<u32>,
    /// The main future is to run.
    main: Cell<bool>,
    /// No more tasks can be spawned.
    closed: Cell<bool>,
    /// The slot of the running task.
    running: Cell<u32>,
    /// Whether the tasks that run at the end of the turn are running.
    ending: Cell<bool>,
}

/// From this number of tasks on, their memory is worth returning to the system.
const CROWD: usize = 64;

#[derive(Default)]
struct Table {
    entries: Vec<TaskSlot>,
    free: Vec<u32>,
    queue: VecDeque<u32>,
    /// Tasks that woke themselves: others run first, and these in the loop's next turn.
    yielded: Vec<u32>,
    /// Tasks that run at the end of the turn.
    last: Vec<u32>,
    /// The maximum number of tasks since memory was last returned, updated when a task ends.
    crowd: usize,
    /// Whether a task has ended in this turn.
    has_ended: bool,
}

struct TaskSlot {
    /// `None` while it runs, and in a free slot.
    future: Option<Running>,
    /// The bytes of the future, which is not here while it runs.
    size: usize,
    generation: u32,
    /// It is queued or has yielded. Stays true if the task ends before its turn.
    queued: bool,
    /// It is among those that run at the end of the turn. Stays true likewise.
    last: bool,
    /// To be dropped when it stops running.
    aborted: bool,
}

impl Tasks {
    pub(super) fn open(&self, number: u32) {
        self.number.set(number);
        self.main.set(true);
        self.closed.set(false);
        self.running.set(Word::MAIN);
    }

    /// Drops all tasks. Tasks spawned meanwhile are dropped at once.
    pub(super) fn close(&self) {
        self.closed.set(true);
        let slots = self.table.borrow().entries.len();
        for slot in 0..slots {
            let future = self.table.borrow_mut().take(slot);
            if let Some(future) = future {
                drop_quietly(future);
            }
        }
        let mut table = self.table.borrow_mut();
        table.queue = VecDeque::new();
        table.yielded = Vec::new();
        table.last = Vec::new();
        for entry in &mut table.entries {
            (entry.queued, entry.last) = (false, false);
        }
    }

    pub(super) fn spawn(&self, future: Running) -> Task {
        if self.closed.get() {
            drop_quietly(future);
            return Task(Word::new(0, 0, 0));
        }
        let mut table = self.table.borrow_mut();
        let slot = table.insert(future);
        table.enqueue(slot);
        let generation = table.entries[slot as usize].generation;
        Task(Word::new(self.number.get(), generation, slot))
    }

    pub(super) fn wake(&self, word: Word) {
        if word.slot() == Word::MAIN {
            return self.main.set(true);
        }
        let mut table = self.table.borrow_mut();
        let entry = table.entries.get(word.slot() as usize);
        if entry.is_some_and(|entry| entry.generation == word.generation()) {
            match word.slot() == self.running.get() {
                true => table.put_off(word.slot()),
                false => table.enqueue(word.slot()),
            }
        }
    }

    /// Starts a turn of the loop: tasks that yielded become runnable.
    pub(super) fn begin_turn(&self) {
        let table = &mut *self.table.borrow_mut();
        if !table.yielded.is_empty() {
            table.queue.extend(table.yielded.drain(..));
        }
    }

    fn abort(&self, word: Word) {
        let mut table = self.table.borrow_mut();
        let slot = word.slot() as usize;
        let Some(entry) = table.entries.get_mut(slot) else { return };
        if entry.generation != word.generation() {
            return;
        }
        entry.aborted = true;
        if let Some(future) = table.take(slot) {
            drop(table);
            drop_quietly(future);
        }
    }

    /// The number of runnable tasks.
    pub(super) fn waiting(&self) -> usize {
        self.table.borrow().queue.len()
    }

    /// Runs the next task; returns `false` if there is none.
    #[inline]
    pub(super) fn run_next(&self) -> bool {
        let mut table = self.table.borrow_mut();
        let Some(slot) = table.queue.pop_front() else { return false };
        table.entries[slot as usize].queued = false;
        drop(table);
        self.run(slot);
        true
    }

    /// Runs the tasks that want to run after the others of a turn, each once.
    #[inline]
    pub(super) fn run_last(&self) {
        let count = self.table.borrow().last.len();
        if count == 0 {
            return;
        }
        self.ending.set(true);
        for place in 0..count {
            let mut table = self.table.borrow_mut();
            let slot = table.last[place];
            table.entries[slot as usize].last = false;
            drop(table);
            self.run(slot);
        }
        self.table.borrow_mut().last.drain(..count);
        self.ending.set(false);
    }

    fn run_at_end(&self, word: Word) {
        let table = &mut *self.table.borrow_mut();
        if let Some(entry) = table.entries.get_mut(word.slot() as usize)
            && entry.generation == word.generation()
            && !std::mem::replace(&mut entry.last, true)
        {
            table.last.push(word.slot());
        }
    }

    /// Whether the tasks of [`Tasks::run_last`] are running.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// The running task, unless it is the main future.
    pub(super) fn current(&self) -> Option<Task> {
        let slot = self.running.get();
        let table = self.table.borrow();
        let entry = table.entries.get(slot as usize)?;
        Some(Task(Word::new(self.number.get(), entry.generation, slot)))
    }

    /// Runs a task, unless it has ended.
    #[inline]
    fn run(&self, slot: u32) {
        let mut table = self.table.borrow_mut();
        let entry = &mut table.entries[slot as usize];
        let Some(mut future) = entry.future.take() else { return };
        let waker = Word::new(self.number.get(), entry.generation, slot).waker();
        drop(table);
        self.running.set(slot);

        let mut cx = Context::from_waker(&waker);
        // A panic ends this task only.
        let run = || future.as_mut().poll(&mut cx).is_ready();
        let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            panics::report();
            true
        });
        self.running.set(Word::MAIN);

        let mut table = self.table.borrow_mut();
        let entry = &mut table.entries[slot as usize];
        if !ended && !entry.aborted {
            entry.future = Some(future);
            return;
        }
        drop(table);
        drop_quietly(future);
        self.table.borrow_mut().release(slot);
    }

    /// The number of tasks, including the running one.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn live(&self) -> usize {
        self.table.borrow().live()
    }

    /// Whether most tasks of a crowd have ended by this turn, leaving their memory.
    pub(super) fn has_emptied(&self) -> bool {
        let table = &mut *self.table.borrow_mut();
        std::mem::take(&mut table.has_ended) && table.has_emptied()
    }

    /// Whether nothing is runnable.
    pub(super) fn is_idle(&self) -> bool {
        let table = self.table.borrow();
        !self.main.get()
            && table.queue.is_empty()
            && table.yielded.is_empty()
            && table.last.is_empty()
    }

    pub(super) fn main_waker(&self) -> ManuallyDrop<Waker> {
        Word::new(self.number.get(), 0, Word::MAIN).waker()
    }

    /// Takes the main future's wakeup, if any.
    pub(super) fn take_main(&self) -> bool {
        self.main.replace(false)
    }
}

impl Table {
    fn insert(&mut self, future: Running) -> u32 {
        let size = size_of_val(&*future);
        stats::count_task(size);
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            (entry.future, entry.size) = (Some(future), size);
            return slot;
        }
        let entry = TaskSlot {
            future: Some(future),
            size,
            generation: 0,
            queued: false,
            last: false,
            aborted: false,
        };
        self.entries.push(entry);
        (self.entries.len() - 1) as u32
    }

    fn enqueue(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.entries[slot as usize].queued, true) {
            self.queue.push_back(slot);
        }
    }

    fn put_off(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.entries[slot as usize].queued, true) {
            self.yielded.push(slot);
        }
    }

    /// Removes a task that is not running.
    fn take(&mut self, slot: usize) -> Option<Running> {
        let future = self.entries[slot].future.take()?;
        self.release(slot as u32);
        Some(future)
    }

    fn live(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    fn has_emptied(&mut self) -> bool {
        let live = self.live();
        let emptied = self.crowd >= CROWD && live <= self.crowd / 4;
        if emptied {
            self.crowd = live;
        }
        emptied
    }

    fn release(&mut self, slot: u32) {
        self.crowd = self.crowd.max(self.live());
        self.has_ended = true;
        let entry = &mut self.entries[slot as usize];
        stats::count_task_end(entry.size);
        entry.generation = (entry.generation + 1) % Word::GENERATIONS;
        entry.aborted = false;
        self.free.push(slot);
    }
}

/// Drops a future; a panic in its drop is reported and contained.
fn drop_quietly(future: Running) {
    if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
        panics::report();
    }
}

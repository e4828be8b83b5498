//! A thread's state of its loop.

use std::cell::Cell;
use std::fmt;
use std::io;

use super::measured::Measuring;
use super::method::Method;
use super::outbox::Outbox;
use super::reactor::Reactor;
use super::remote;
use super::tasks::Tasks;
use super::timers::Timers;
use crate::clock::Instant;

thread_local! {
    static HERE: Cell<Option<&'static Loop>> = const { Cell::new(None) };
}

/// The state of a thread's loop. It is created once per thread and never freed, so that everything
/// that refers to it, including connections in other thread-locals, can be dropped in any order;
/// after the loop and the connections are closed, it holds almost no memory.
pub(crate) struct Loop {
    /// The number among the process's open loops; 0 while closed.
    number: Cell<u32>,
    pub(crate) tasks: Tasks,
    pub(crate) reactor: Reactor,
    pub(crate) timers: Timers,
    pub(crate) outbox: Outbox,
    /// When the memory of a crowd of tasks is to be returned; never if there was none.
    pub(super) tidies_at: Cell<Instant>,
    /// The figures of the open loop.
    pub(super) measuring: Measuring,
}

impl Loop {
    pub(super) fn open(method: Method) -> io::Result<&'static Self> {
        let here = HERE.get().unwrap_or_else(|| {
            let new: &'static Self = Box::leak(Box::new(Self {
                number: Cell::new(0),
                tasks: Tasks::default(),
                reactor: Reactor::default(),
                timers: Timers::default(),
                outbox: Outbox::default(),
                tidies_at: Cell::new(Instant::NEVER),
                measuring: Measuring::default(),
            }));
            HERE.set(Some(new));
            new
        });
        assert!(here.number.get() == 0, "a thread has one event loop");
        let (number, bell) = remote::open()?;
        if let Err(error) = here.reactor.open(&bell, method) {
            remote::close(number);
            return Err(error);
        }
        here.number.set(number);
        here.tidies_at.set(Instant::NEVER);
        here.tasks.open(number);
        Ok(here)
    }

    /// Drops the tasks and closes the kernel's objects.
    pub(super) fn close(&self) {
        self.tasks.close();
        self.measuring.close();
        self.outbox.close();
        self.reactor.close();
        remote::close(self.number.replace(0));
    }

    pub(super) fn number(&self) -> u32 {
        self.number.get()
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("number", &self.number.get()).finish_non_exhaustive()
    }
}

/// This thread's loop.
///
/// # Panics
/// If the thread never had one.
pub(crate) fn here() -> &'static Loop {
    HERE.get().expect("inside of an event loop")
}

/// Runs `act` on this thread's loop, if it has one.
pub(crate) fn with_here<T>(act: impl FnOnce(&'static Loop) -> T) -> Option<T> {
    HERE.get().map(act)
}

//! What a thread has of its loop.

use std::cell::Cell;
use std::fmt;
use std::io;

use super::method::Method;
use super::outbox::Outbox;
use super::reactor::Reactor;
use super::remote;
use super::tasks::Tasks;
use super::timers::Timers;

thread_local! {
    static HERE: Cell<Option<&'static Loop>> = const { Cell::new(None) };
}

/// The state of a thread's loop. It is made once for a thread and never freed, so that whatever
/// refers to it, connections in other thread-locals too, can be dropped in any order; it holds
/// next to nothing once the loop is closed and they are.
pub(crate) struct Loop {
    /// Among the open loops of the process; 0 while it is closed.
    number: Cell<u32>,
    pub(crate) tasks: Tasks,
    pub(crate) reactor: Reactor,
    pub(crate) timers: Timers,
    pub(crate) outbox: Outbox,
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
        here.tasks.open(number);
        Ok(here)
    }

    /// Drops the tasks and lets go of the kernel's part.
    pub(super) fn close(&self) {
        self.tasks.close();
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
/// If it never had one.
pub(crate) fn here() -> &'static Loop {
    HERE.get().expect("inside of an event loop")
}

/// The same, if there is one.
pub(crate) fn with_here<T>(act: impl FnOnce(&'static Loop) -> T) -> Option<T> {
    HERE.get().map(act)
}

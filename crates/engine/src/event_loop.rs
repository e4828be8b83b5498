//! The loop of one thread: tasks that stay on it, its sockets and its timers.
//!
//! ```text
//!   ┌─▶ run woken tasks, each once ─▶ send the small messages of this turn ─┐
//!   │                                                                       ▼
//!   │                        ask the kernel (wait only if no task is to run)
//!   │                                                                       │
//!   └── wake tasks of due timers ◀──── wake tasks of sockets with events ◀──┘
//! ```
//!
//! Everything of a loop belongs to its thread and is reached through a thread-local pointer, so
//! scheduling needs no atomic operation and no reference count. What comes from other threads
//! goes through `remote`.

use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

mod completion;
pub(crate) mod here;
pub(crate) mod join;
mod method;
pub(crate) mod outbox;
pub(crate) mod reactor;
pub(crate) mod readiness;
mod remote;
pub(crate) mod ring_read;
mod tasks;
mod threads;
pub(crate) mod timers;

pub use join::{Ended, JoinHandle};
pub use method::Method;
pub use tasks::Task;
pub use threads::on_a_thread;

use crate::panics;
use crate::{buffer, clock, timer};

use here::Loop;
pub(crate) use here::here;

/// How many tasks run before the loop looks at sockets and timers again, if not more were woken at
/// once. What a task has started runs without a look in between, and nobody starves.
const TASKS_PER_TURN: usize = 61;

/// The loop of one thread. It is made on the thread that runs it.
#[derive(Debug)]
pub struct EventLoop {
    here: &'static Loop,
    not_send: PhantomData<*const ()>,
}

impl EventLoop {
    /// A loop for the calling thread.
    ///
    /// # Errors
    /// What the kernel answers when it cannot give an epoll set or a ring, or `QuotaExceeded` when
    /// there are too many loops.
    ///
    /// # Panics
    /// If the thread has a loop already.
    pub fn new(method: Method) -> io::Result<Self> {
        Ok(Self { here: Loop::open(method)?, not_send: PhantomData })
    }

    /// Runs the loop until `main` ends. What it has spawned and has not ended is dropped with the
    /// loop.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        // A panic outside of tasks ends the thread.
        let _report = panics::ReportOnDrop;
        clock::begin_turn();
        let waker = self.here.tasks.main_waker();
        let mut cx = Context::from_waker(&waker);
        loop {
            if self.here.tasks.take_main()
                && let Poll::Ready(output) = main.as_mut().poll(&mut cx)
            {
                return output;
            }
            self.here.turn();
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.here.close();
        clock::end_turns();
    }
}

impl Loop {
    fn turn(&self) {
        for _ in 0..self.tasks.waiting().max(TASKS_PER_TURN) {
            if !self.tasks.run_next() {
                break;
            }
        }
        self.outbox.send();
        if self.tasks.has_emptied() {
            buffer::give_back();
            weir_sys::allocator::give_back();
        }
        let wait = match self.tasks.is_idle() {
            true => self.timers.next(),
            false => timers::Wait::No,
        };
        if self.reactor.wait(wait) {
            remote::take(self.number());
        }
        clock::begin_turn();
        self.timers.fire();
        self.tasks.begin_turn();
    }
}

/// Starts a task on this thread's loop, which nobody waits for. A task that panics ends alone.
///
/// # Panics
/// Outside of a loop.
pub fn spawn(task: impl Future<Output = ()> + 'static) -> Task {
    here().tasks.spawn(Box::pin(task))
}

/// Starts a task whose output somebody waits for. Dropping the handle does not end the task.
///
/// # Panics
/// Outside of a loop.
pub fn spawn_joined<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    JoinHandle::start(task)
}

/// Lets the other tasks of the loop run, and the loop look at its sockets. A task that wakes itself
/// while it runs does the same.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until the loop has told of everything that has happened to its descriptors until now, and
/// the kernel knows what the loop does not want any more.
pub async fn settle() {
    for _ in 0..SETTLING {
        timer::sleep(Duration::from_millis(1)).await;
    }
}

/// How many turns that takes at most: a queue of completions can have overflowed.
const SETTLING: usize = 2;

/// Runs a future on a loop of its own; for tests and for tools.
///
/// # Panics
/// If the kernel cannot give an epoll set, or if the thread has a loop already.
pub fn block_on<F: Future>(main: F) -> F::Output {
    EventLoop::new(usual_method()).expect("an event loop").block_on(main)
}

#[cfg(not(test))]
fn usual_method() -> Method {
    Method::Epoll
}

/// The tests of this crate can all be run with the other one.
#[cfg(test)]
fn usual_method() -> Method {
    match std::env::var("WEIR_TEST_USE").as_deref() {
        Ok("io_uring") => Method::IoUring,
        _ => Method::Epoll,
    }
}

#[cfg(test)]
mod tests;

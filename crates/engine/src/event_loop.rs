//! The event loop of a thread: its tasks, sockets and timers.
//!
//! ```text
//!   ┌─▶ run woken tasks, each once ─▶ run those that want to be last ───────┐
//!   │                                                                       ▼
//!   │                                  send the small messages of this turn
//!   │                                                                       │
//!   │                                                                       ▼
//!   │                        ask the kernel (wait only if no task is to run)
//!   │                                                                       │
//!   └── wake tasks of due timers ◀──── wake tasks of sockets with events ◀──┘
//! ```
//!
//! Everything in a loop belongs to its thread and is reached through a thread-local pointer, so
//! scheduling needs no atomic operations and no reference counts. Wakeups from other threads go
//! through `remote`.
//!
//! Its files are layers: the state of the loop (`reactor`, `completion`, `timers`, `tasks`,
//! `outbox`), the thread's pointer to it (`here`), and above it the handles that tasks hold
//! (`reactor::source`, `ring_read`, `join`, and the timer of a [`Deadline`](timer::Deadline)).

use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

mod completion;
pub(crate) mod here;
pub(crate) mod join;
mod measured;
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
pub use measured::{LoopView, TURN_ENDS, loops, measure_turns};
pub use method::Method;
pub use tasks::Task;
pub use threads::on_a_thread;

use crate::clock::Instant;
use crate::panics;
use crate::{buffer, clock, timer};

use here::Loop;
pub(crate) use here::here;

/// The number of tasks that run before the loop checks sockets and timers again, or more if more
/// are queued at the start of a turn. Tasks started by a task thus run without a check in between,
/// and none starves.
const TASKS_PER_TURN: usize = 61;

/// The time between the end of a crowd of tasks and the return of its memory, which takes about a
/// millisecond, and as much again for those who need the memory next.
const AFTER_CROWD: Duration = Duration::from_secs(1);

/// The loop of one thread, created on that thread.
#[derive(Debug)]
pub struct EventLoop {
    here: &'static Loop,
    not_send: PhantomData<*const ()>,
}

impl EventLoop {
    /// A loop for the calling thread.
    ///
    /// # Errors
    /// A system error of creating an epoll set or a ring, or `QuotaExceeded` if there are too many
    /// loops.
    ///
    /// # Panics
    /// If the thread already has a loop.
    pub fn new(method: Method) -> io::Result<Self> {
        Ok(Self { here: Loop::open(method)?, not_send: PhantomData })
    }

    /// Runs the loop until `main` ends. Remaining tasks are dropped with the loop.
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
        buffer::free_spare();
    }
}

impl Loop {
    fn turn(&self) {
        for _ in 0..self.tasks.waiting().max(TASKS_PER_TURN) {
            if !self.tasks.run_next() {
                break;
            }
        }
        self.tasks.run_last();
        self.outbox.send();
        self.tidy();
        let wait = match self.tasks.is_idle() {
            true => self.timers.next(self.tidies_at.get()),
            false => timers::Wait::No,
        };
        self.measuring.end_turn();
        if self.reactor.wait(wait) {
            remote::take(self.number());
        }
        if clock::begin_turn() {
            buffer::note_spare();
        }
        self.timers.fire();
        self.tasks.begin_turn();
    }

    /// Returns the memory of a crowd of tasks some time after it has ended. Not at once, since the
    /// next may follow: the requests of an HTTP/2 connection come and go in crowds.
    fn tidy(&self) {
        if self.tasks.has_emptied() && self.tidies_at.get() == Instant::NEVER {
            self.tidies_at.set(clock::now() + AFTER_CROWD);
        }
        if self.tidies_at.get() <= clock::now() {
            self.tidies_at.set(Instant::NEVER);
            buffer::give_back();
            weir_sys::allocator::give_back();
        }
    }
}

/// Starts a detached task on this thread's loop. A panic ends only the task.
///
/// # Panics
/// Outside of a loop.
pub fn spawn(task: impl Future<Output = ()> + 'static) -> Task {
    here().tasks.spawn(Box::pin(task))
}

/// Starts a task with an awaited output. Dropping the handle does not end the task.
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

/// The running task. None for the main future.
///
/// # Panics
/// Outside of a loop.
pub fn current_task() -> Option<Task> {
    here().tasks.current()
}

/// Drops all tasks of this thread's loop, which ends. None can be started from now on.
///
/// # Panics
/// Outside of a loop, and in a task.
pub fn drop_tasks() {
    assert!(current_task().is_none(), "only the main future outlives the tasks");
    here().tasks.close();
}

/// Whether the woken tasks of this turn have run, so that nothing more is to be expected before the
/// loop asks the kernel: true in tasks that run because of [`Task::run_at_end`].
///
/// # Panics
/// Outside of a loop.
pub fn is_end_of_turn() -> bool {
    here().tasks.is_ending()
}

/// Lets other tasks run and the loop check its sockets. A task that wakes itself while running has
/// the same effect.
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

/// Waits until the loop has reported all earlier events of its descriptors, and the kernel has
/// processed its cancellations.
pub async fn settle() {
    for _ in 0..SETTLING {
        timer::sleep(Duration::from_millis(1)).await;
    }
}

/// The maximum number of turns needed: the completion queue may have overflowed.
const SETTLING: usize = 2;

/// Runs a future on a loop of its own; for tests and tools.
///
/// # Panics
/// If the kernel cannot create an epoll set, or if the thread already has a loop.
pub fn block_on<F: Future>(main: F) -> F::Output {
    EventLoop::new(usual_method()).expect("an event loop").block_on(main)
}

#[cfg(not(test))]
fn usual_method() -> Method {
    Method::Epoll
}

/// The variable selects the event method for the tests of this crate.
#[cfg(test)]
fn usual_method() -> Method {
    match std::env::var("WEIR_TEST_USE").as_deref() {
        Ok("io_uring") => Method::IoUring,
        _ => Method::Epoll,
    }
}

#[cfg(test)]
mod tests;

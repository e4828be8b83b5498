//! Thread pools, for work that would block a loop.
//!
//! ```text
//!   run ──▶ [queue, at most max_queue] ──▶ a thread, started when all are busy ──▶ wakes the task
//!    └ overflow: nothing is queued                └ ends after ten seconds without work
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event_loop::join::Ended;
use crate::kernel;

pub mod directive;

/// How long a thread waits for more work.
const PATIENCE: Duration = Duration::from_secs(10);

/// The size of a pool (`thread_pool`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The maximum number of threads.
    pub threads: usize,
    /// The maximum number of tasks that wait while all threads are busy.
    pub max_queue: usize,
}

impl Size {
    /// nginx's size of the pool `default`.
    pub const DEFAULT: Self = Self { threads: 32, max_queue: 65_536 };
}

/// A thread pool. When its last handle is dropped, its threads finish the queue and end.
#[derive(Clone, Debug)]
pub struct ThreadPool(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<PoolState>);

struct PoolState {
    name: String,
    size: Size,
    jobs: Mutex<Jobs>,
    more: Condvar,
}

/// Does the work, marks its thread as free, then delivers the result: the task that gets it finds
/// the thread free.
type Job = Box<dyn FnOnce(&dyn Fn()) + Send>;

#[derive(Default)]
struct Jobs {
    /// Limited by the pool's size.
    queue: VecDeque<Job>,
    threads: usize,
    /// The number of threads that are working.
    busy: usize,
    /// The number of threads that wait for work.
    idle: usize,
    /// All handles have been dropped.
    ended: bool,
}

/// The error of a full queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The pool's name.
    pub pool: String,
    /// The number of waiting tasks.
    pub waiting: usize,
}

impl fmt::Display for Overflow {
    /// nginx's line for the error log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, waiting } = self;
        write!(f, "thread pool \"{pool}\" queue overflow: {waiting} tasks waiting")
    }
}

/// Work handed to a pool, as a future of its result. Dropping it cancels work that has not begun;
/// other work is completed.
#[derive(Debug)]
pub struct Work<T>(oneshot::Receiver<T>);

impl<T> Future for Work<T> {
    type Output = Result<T, Ended>;

    /// `Ended` if the work panicked, or if the system could start no thread.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| Ended)
    }
}

impl ThreadPool {
    /// A pool without threads.
    pub fn new(name: &str, size: Size) -> Self {
        let (jobs, more) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Owner(Arc::new(PoolState { name: name.to_owned(), size, jobs, more }))))
    }

    /// The configured name.
    pub fn name(&self) -> &str {
        &self.0.0.name
    }

    /// Runs `work` on a thread of the pool.
    ///
    /// # Errors
    /// If all threads are busy and the queue is full; the work is dropped.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Work<T>, Overflow> {
        let (send, receive) = oneshot::channel();
        self.0.0.hand_over(Box::new(move |free| {
            let wanted = !send.is_closed();
            let result = wanted.then(|| catch_unwind(AssertUnwindSafe(work)));
            free();
            if let Some(Ok(result)) = result {
                let _ = send.send(result);
            }
        }))?;
        Ok(Work(receive))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.jobs().ended = true;
        self.0.more.notify_all();
    }
}

impl PoolState {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(self: &Arc<Self>, job: Job) -> Result<(), Overflow> {
        if kernel::is_simulated() {
            job(&|| ());
            return Ok(());
        }
        let mut jobs = self.jobs();
        let free = self.size.threads - jobs.busy;
        if jobs.queue.len() >= self.size.max_queue.saturating_add(free) {
            let waiting = jobs.queue.len() - free;
            return Err(Overflow { pool: self.name.clone(), waiting });
        }
        jobs.queue.push_back(job);
        if jobs.idle >= jobs.queue.len() || jobs.threads >= self.size.threads {
            self.more.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(self);
        let name = format!("weir-{}", self.name);
        match std::thread::Builder::new().name(name).spawn(move || shared.work()) {
            Ok(_) => jobs.threads += 1,
            // No thread would ever take the jobs.
            Err(_) if jobs.threads == 0 => jobs.queue.clear(),
            Err(_) => {}
        }
        Ok(())
    }

    fn work(&self) {
        let mut jobs = self.jobs();
        loop {
            if let Some(job) = jobs.queue.pop_front() {
                jobs.busy += 1;
                drop(jobs);
                job(&|| self.jobs().busy -= 1);
                jobs = self.jobs();
                continue;
            }
            if jobs.ended {
                jobs.threads -= 1;
                return;
            }
            jobs.idle += 1;
            let waited = self.more.wait_timeout(jobs, PATIENCE);
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            jobs = again;
            jobs.idle -= 1;
            if waited.timed_out() && jobs.queue.is_empty() {
                jobs.threads -= 1;
                return;
            }
        }
    }
}

impl fmt::Debug for PoolState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Work that would hold up a loop, done by a few threads that all loops share.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Ended;
use crate::kernel;

/// How many of them there are at most: such work is seldom, and must not take all cores.
const MOST: usize = 8;

/// How long one of them waits for more work.
const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Jobs {
    /// Whoever wants work done waits for it in a task, so connections limit this queue.
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static JOBS: Mutex<Jobs> = Mutex::new(Jobs { queue: VecDeque::new(), threads: 0, idle: 0 });
static MORE: Condvar = Condvar::new();

/// Runs `work` on another thread and waits for what it gives. Work whose result nobody waits for
/// any more is left out if it has not begun.
///
/// # Errors
/// When the work has panicked, or when the system has no thread to give.
pub async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ended> {
    let (send, receive) = oneshot::channel();
    hand_over(Box::new(move || {
        if !send.is_closed()
            && let Ok(result) = catch_unwind(AssertUnwindSafe(work))
        {
            let _ = send.send(result);
        }
    }));
    receive.await.map_err(|_| Ended)
}

fn hand_over(job: Job) {
    if kernel::is_simulated() {
        return job();
    }
    let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.queue.push_back(job);
    if jobs.idle >= jobs.queue.len() || jobs.threads >= MOST {
        return MORE.notify_one();
    }
    let started = std::thread::Builder::new().name("weir-work".to_owned()).spawn(work);
    match started {
        Ok(_) => jobs.threads += 1,
        // Nobody would ever come for it.
        Err(_) if jobs.threads == 0 => jobs.queue.clear(),
        Err(_) => {}
    }
}

fn work() {
    let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(job) = jobs.queue.pop_front() {
            drop(jobs);
            job();
            jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        jobs.idle += 1;
        let (again, waited) =
            MORE.wait_timeout(jobs, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        jobs = again;
        jobs.idle -= 1;
        if waited.timed_out() && jobs.queue.is_empty() {
            jobs.threads -= 1;
            return;
        }
    }
}

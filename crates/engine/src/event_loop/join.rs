//! Tasks with an awaited output.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::here::here;
use super::tasks::Task;

/// A handle that waits for the output of a task. Dropping it does not end the task.
pub struct JoinHandle<T> {
    task: Task,
    shared: Rc<RefCell<JoinState<T>>>,
}

/// The task ended without an output: it was aborted or panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task has ended early")
    }
}

impl std::error::Error for Ended {}

struct JoinState<T> {
    outcome: Option<Result<T, Ended>>,
    waiting: Option<Waker>,
}

/// The task's side of the handle. Its drop wakes the waiting side, however the task ends.
struct Outcome<T>(Rc<RefCell<JoinState<T>>>);

impl<T> Outcome<T> {
    fn settle(&self, outcome: Result<T, Ended>) {
        let mut shared = self.0.borrow_mut();
        if shared.outcome.is_none() {
            shared.outcome = Some(outcome);
        }
        let waiting = shared.waiting.take();
        drop(shared);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        self.settle(Err(Ended));
    }
}

impl<T: 'static> JoinHandle<T> {
    pub(super) fn start(task: impl Future<Output = T> + 'static) -> Self {
        let shared = Rc::new(RefCell::new(JoinState { outcome: None, waiting: None }));
        let outcome = Outcome(Rc::clone(&shared));
        let task = async move { outcome.settle(Ok(task.await)) };
        let task = here().tasks.spawn(Box::pin(task));
        Self { task, shared }
    }

    /// Drops the task's future: at once, or at its next wait if it is running.
    pub fn abort(&self) {
        self.task.abort();
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Ended>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = self.shared.borrow_mut();
        match shared.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                shared.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.task).finish_non_exhaustive()
    }
}

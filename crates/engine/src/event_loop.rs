//! The loop of one thread: tasks that stay on it, its timers and its sockets.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

pub use tokio::task::JoinHandle;

/// How many tasks run before the loop looks at sockets and timers again. Keeps one busy
/// connection from starving the others without looking after every task.
const TASKS_PER_TURN: u32 = 61;

/// The loop of one thread. It is made on the thread that runs it.
#[derive(Debug)]
pub struct EventLoop(LocalRuntime);

impl EventLoop {
    /// A loop for the calling thread.
    ///
    /// # Errors
    /// What the kernel answers when it cannot give an epoll set.
    pub fn new() -> io::Result<Self> {
        Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_PER_TURN)
            .build_local(LocalOptions::default())
            .map(Self)
    }

    /// Runs the loop until `main` ends. What it has spawned and has not ended is dropped with the
    /// loop.
    pub fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.0.block_on(main)
    }
}

/// Starts a task on this thread's loop. Dropping the handle does not end the task.
///
/// # Panics
/// Outside of a loop.
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    tokio::task::spawn_local(task)
}

/// Lets the other tasks of the loop run.
pub async fn yield_now() {
    tokio::task::yield_now().await;
}

/// Runs a future on a loop of its own; for tests and for tools.
///
/// # Panics
/// If the kernel cannot give an epoll set.
pub fn block_on<F: Future>(main: F) -> F::Output {
    EventLoop::new().expect("an event loop").block_on(main)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn tasks_need_not_be_send() {
        let shared = Rc::new(5);
        let seen = block_on(async {
            let shared = Rc::clone(&shared);
            spawn(async move { *shared }).await.unwrap()
        });
        assert_eq!(seen, 5);
    }
}

//! Blocking work, done by a few threads that all loops share.

use std::sync::LazyLock;

use super::join::Ended;
use crate::thread_pool::{Size, ThreadPool};

/// Such work is rare and must not take all cores. Each piece is awaited by a task, so the number of
/// connections limits the queue.
const SIZE: Size = Size { threads: 8, max_queue: usize::MAX };

static POOL: LazyLock<ThreadPool> = LazyLock::new(|| ThreadPool::new("work", SIZE));

/// Runs `work` on another thread and waits for the result. Work whose future is dropped before it
/// begins is cancelled.
///
/// # Errors
/// If the work panicked, or if the system could start no thread.
pub async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ended> {
    POOL.run(work).map_err(|_| Ended)?.await
}

//! Work that would hold up a loop, done by a few threads that all loops share.

use std::sync::LazyLock;

use super::join::Ended;
use crate::thread_pool::{Size, ThreadPool};

/// Such work is seldom, and must not take all cores. Whoever wants it done waits for it in a task,
/// so connections limit the queue.
const SIZE: Size = Size { threads: 8, max_queue: usize::MAX };

static POOL: LazyLock<ThreadPool> = LazyLock::new(|| ThreadPool::new("work", SIZE));

/// Runs `work` on another thread and waits for what it gives. Work whose result nobody waits for
/// any more is left out if it has not begun.
///
/// # Errors
/// When the work has panicked, or when the system has no thread to give.
pub async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ended> {
    POOL.run(work).map_err(|_| Ended)?.await
}

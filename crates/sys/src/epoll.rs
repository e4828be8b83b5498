//! Descriptors that the event loop of a thread watches.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a socket for reading and writing.
///
/// # Errors
/// The system's when there is no room in the epoll set.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and keeps its number for as long as it lives.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

/// Watches a descriptor that other threads may watch too, for reading.
///
/// # Errors
/// The system's when there is no room in the epoll set.
pub fn watch_shared(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: as above, and the shared reference keeps it alive.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

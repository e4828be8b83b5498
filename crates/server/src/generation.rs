//! The end of a configuration: when its last request has ended, the master is notified, and the
//! worker's first thread frees its memory, which takes long for a large one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use weir_sys::allocator;

use crate::channel::{self, Report};
use crate::serve::Configuration;

/// Held by everything that serves with one configuration.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u64,
    reports: Arc<OwnedFd>,
    call: Arc<UnixDatagram>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        weir_http::instance::note_drained();
        let _ = channel::send_report(&self.reports, &Report::Drained(self.number));
        // If the queue is full, an earlier wakeup is pending.
        let _ = self.call.send(&[0]);
    }
}

/// Held by work beside requests, which no report waits for.
#[derive(Debug)]
pub(crate) struct Beside(Arc<UnixDatagram>);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.send(&[0]);
    }
}

/// Replaced configurations, held until nothing serves with them.
pub(crate) struct Retired {
    configurations: Vec<Configuration>,
    calls: UnixDatagram,
    call: Arc<UnixDatagram>,
}

impl Retired {
    /// Holds no configurations.
    ///
    /// # Errors
    /// An error of socketpair(2).
    pub(crate) fn new() -> std::io::Result<Self> {
        let (calls, call) = UnixDatagram::pair()?;
        calls.set_nonblocking(true)?;
        call.set_nonblocking(true)?;
        Ok(Self { configurations: Vec::new(), calls, call: Arc::new(call) })
    }

    /// A guard whose last drop reports the end of a configuration, to the master and to `self`.
    pub(crate) fn generation(&self, number: u64, reports: &Arc<OwnedFd>) -> Arc<Generation> {
        let (reports, call) = (Arc::clone(reports), Arc::clone(&self.call));
        weir_http::instance::note_generation();
        Arc::new(Generation { number, reports, call })
    }

    /// A guard whose last drop tells `self` alone.
    pub(crate) fn beside(&self) -> Arc<Beside> {
        Arc::new(Beside(Arc::clone(&self.call)))
    }

    /// Adds a configuration that has been replaced.
    pub(crate) fn add(&mut self, configuration: Configuration) {
        self.configurations.push(configuration);
    }

    /// Frees the configurations that are no longer in use.
    pub(crate) fn free(&mut self) {
        while self.calls.recv(&mut [0]).is_ok() {}
        let held = self.configurations.len();
        self.configurations.retain(|configuration| !configuration.is_unused());
        if self.configurations.len() < held {
            allocator::give_back();
        }
    }
}

impl AsFd for Retired {
    /// Readable when a configuration can be freed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.calls.as_fd()
    }
}

//! The end of a configuration: when its last request has ended, the master hears of it, and its
//! memory is freed by the worker's first thread, as that takes the longer the larger it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use weir_sys::allocator;

use crate::channel::{self, Report};
use crate::serve::Configuration;

/// Belongs to all that serves by one configuration.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u64,
    reports: Arc<OwnedFd>,
    call: Arc<UnixDatagram>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        let _ = channel::send_report(&self.reports, &Report::Drained(self.number));
        // Where this cannot be queued, another call waits to be heard.
        let _ = self.call.send(&[0]);
    }
}

/// The configurations that were in force, until nothing serves by them any more.
pub(crate) struct Retired {
    configurations: Vec<Configuration>,
    calls: UnixDatagram,
    call: Arc<UnixDatagram>,
}

impl Retired {
    /// None yet.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub(crate) fn new() -> std::io::Result<Self> {
        let (calls, call) = UnixDatagram::pair()?;
        calls.set_nonblocking(true)?;
        call.set_nonblocking(true)?;
        Ok(Self { configurations: Vec::new(), calls, call: Arc::new(call) })
    }

    /// What a configuration is served with, so that its end is heard of, here and by `reports`.
    pub(crate) fn generation(&self, number: u64, reports: &Arc<OwnedFd>) -> Arc<Generation> {
        let (reports, call) = (Arc::clone(reports), Arc::clone(&self.call));
        Arc::new(Generation { number, reports, call })
    }

    /// Holds a configuration that another one has replaced.
    pub(crate) fn add(&mut self, configuration: Configuration) {
        self.configurations.push(configuration);
    }

    /// Frees the configurations that nothing serves by any more.
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
    /// Readable when something is to be freed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.calls.as_fd()
    }
}

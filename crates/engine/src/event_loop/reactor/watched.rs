//! Watched descriptors that stay open when unwatched, such as listeners.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::source::Source;
use crate::event_loop::readiness::Watch;

/// A descriptor that stays open when it is no longer watched.
#[derive(Debug)]
pub(crate) struct Watched {
    fd: Arc<OwnedFd>,
    source: Option<Source>,
}

impl Watched {
    /// Watches a descriptor that may have other holders.
    pub(crate) fn new(fd: Arc<OwnedFd>, watch: Watch) -> io::Result<Self> {
        let source = Some(Source::new(fd.as_fd(), watch)?);
        Ok(Self { fd, source })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Stops watching.
    pub(crate) fn rest(&mut self) {
        if let Some(source) = self.source.take() {
            source.remove(self.fd.as_fd());
        }
    }

    /// Watches again.
    pub(crate) fn resume(&mut self, watch: Watch) -> io::Result<()> {
        self.source = Some(Source::new(self.fd.as_fd(), watch)?);
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.rest();
    }
}

//! A file read by the ring, as its waiting task holds it.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use super::completion::{Completions, ReadResult};
use super::here::with_here;

/// A read by the ring of this thread's loop.
#[derive(Debug)]
pub(crate) struct RingRead {
    /// `None` when the result has been taken.
    number: Option<u32>,
}

impl RingRead {
    /// Whether the loop has a ring.
    pub(crate) fn is_possible() -> bool {
        with_ring(|_| ()).is_some()
    }

    /// Starts to read at most `count` bytes at offset `at` of a file, appending to `memory`.
    ///
    /// # Errors
    /// Both arguments, if the loop has no ring or the kernel takes no more requests for now.
    pub(crate) fn start(
        file: OwnedFd,
        memory: Vec<u8>,
        at: u64,
        count: usize,
    ) -> Result<Self, (OwnedFd, Vec<u8>)> {
        let mut given = Some((file, memory));
        let number = with_ring(|ring| {
            let (file, memory) = given.take()?;
            ring.read_file(file, memory, at, count).map_err(|back| given = Some(back)).ok()
        });
        match (number.flatten(), given) {
            (None, Some(back)) => Err(back),
            (number, _) => Ok(Self { number }),
        }
    }

    /// The descriptor, and the memory with the data, possibly less than requested.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult> {
        let taken = self.number.and_then(|number| with_ring(|ring| ring.take_read(number, cx)));
        match taken {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(done)) => {
                self.number = None;
                Poll::Ready(done)
            }
            None => Poll::Ready((None, Err(io::ErrorKind::NotConnected.into()))),
        }
    }
}

impl Drop for RingRead {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            with_ring(|ring| ring.drop_read(number));
        }
    }
}

fn with_ring<T>(act: impl FnOnce(&mut Completions) -> T) -> Option<T> {
    with_here(|here| here.reactor.with_ring(act)).flatten()
}

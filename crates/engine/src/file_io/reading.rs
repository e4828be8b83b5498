//! Reads of files into memory.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::window::Window;
use super::{Aio, File};
use crate::buffer::Buf;
use crate::error_log::{Level, process_log};
use crate::event_loop::ring_read::RingRead;
use crate::thread_pool::{ThreadPool, Work};
use crate::timer::Deadline;

/// The time after which a slow disk is reported, as in nginx. The wait goes on.
pub(super) const TOO_LONG: Duration = Duration::from_secs(60);

/// A read in progress. Dropping it does not cancel the read, which ends in a buffer of its own.
#[derive(Debug)]
pub struct Reading {
    window: Window,
    state: State,
    slow: Deadline,
}

#[derive(Debug)]
enum State {
    /// The loop has read it.
    Done(Option<io::Result<Vec<u8>>>),
    /// A thread of a pool is reading.
    Pool(Work<io::Result<Vec<u8>>>),
    /// The kernel is reading part or all of it.
    Ring(RingRead),
}

impl Reading {
    pub(super) fn start(file: &File, aio: &Aio, at: u64, count: usize) -> Self {
        let (window, memory) = Window::new(file.direct.get(), at, count);
        let state = State::start(file, aio, &window, memory);
        let mut slow = Deadline::new();
        slow.after(TOO_LONG);
        Self { window, state, slow }
    }

    /// The buffer and the range of the bytes in it.
    ///
    /// # Errors
    /// A read error; a file that has become shorter is `UnexpectedEof`. `QuotaExceeded`, which has
    /// been logged, if the queue of the pool is full.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Buf, Range<usize>)>> {
        let read = self.state.poll(cx, &self.window);
        if read.is_pending() && self.slow.poll(cx).is_ready() {
            self.slow.clear();
            let what = if matches!(self.state, State::Ring(_)) { "aio" } else { "thread" };
            process_log().log(Level::Alert, 0, format_args!("{what} operation took too long"));
        }
        let memory = ready!(read)?;
        Poll::Ready(Ok((Buf::from(memory), self.window.wanted.clone())))
    }
}

impl State {
    fn start(file: &File, aio: &Aio, window: &Window, memory: Vec<u8>) -> Self {
        // Without a descriptor of its own, the read blocks the loop.
        let Some((pool, Ok(other))) = aio.pool().map(|pool| (pool, file.file.try_clone())) else {
            return Self::here(file, window, memory);
        };
        if matches!(aio, Aio::On(_)) && RingRead::is_possible() {
            return match Self::by_ring(other.into(), window, memory) {
                Ok(state) => state,
                Err((file, memory)) => Self::in_pool(file.into(), pool, window.clone(), memory),
            };
        }
        Self::in_pool(other, pool, window.clone(), memory)
    }

    /// Reads on the loop.
    fn here(file: &File, window: &Window, mut memory: Vec<u8>) -> Self {
        let read = window.read(file.file.as_fd(), &mut memory);
        Self::Done(Some(read.map(|()| memory)))
    }

    /// Submits a read of the missing bytes. Returns file and memory if the ring is full.
    fn by_ring(
        file: OwnedFd,
        window: &Window,
        memory: Vec<u8>,
    ) -> Result<Self, (OwnedFd, Vec<u8>)> {
        match window.next(&memory) {
            Ok(Some((at, count))) => RingRead::start(file, memory, at, count).map(Self::Ring),
            Ok(None) => Ok(Self::Done(Some(Ok(memory)))),
            Err(error) => Ok(Self::Done(Some(Err(error)))),
        }
    }

    fn in_pool(
        file: std::fs::File,
        pool: &ThreadPool,
        window: Window,
        mut memory: Vec<u8>,
    ) -> Self {
        match pool.run(move || window.read(file.as_fd(), &mut memory).map(|()| memory)) {
            Ok(work) => Self::Pool(work),
            Err(overflow) => {
                process_log().log(Level::Error, 0, &overflow);
                Self::Done(Some(Err(io::ErrorKind::QuotaExceeded.into())))
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, window: &Window) -> Poll<io::Result<Vec<u8>>> {
        loop {
            match self {
                Self::Done(read) => return Poll::Ready(read.take().unwrap_or_else(lost)),
                Self::Pool(work) => {
                    return Pin::new(work).poll(cx).map(|read| read.unwrap_or_else(|_| lost()));
                }
                Self::Ring(read) => {
                    let (file, read) = ready!(read.poll(cx));
                    *self = match (file, read) {
                        (Some(file), Ok(memory)) => Self::by_ring(file, window, memory)
                            .unwrap_or_else(|_| Self::Done(Some(lost()))),
                        (_, read) => Self::Done(Some(read)),
                    };
                }
            }
        }
    }
}

fn lost<T>() -> io::Result<T> {
    Err(io::Error::other("the read was lost"))
}

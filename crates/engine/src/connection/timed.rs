//! Operations of a connection with a timeout.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Conn;
use crate::clock::Instant;

/// The maximum number of bytes per sendfile call; nginx's `sendfile_max_chunk`: a fast client must
/// not occupy the thread.
pub(crate) const SENDFILE_MAX: usize = 2 * 1024 * 1024;

impl Conn {
    /// [`Conn::poll_recv`] with a timeout.
    ///
    /// # Errors
    /// `TimedOut` without data in time, or a system error.
    pub async fn recv(
        &mut self,
        into: &mut Vec<u8>,
        max: usize,
        timeout: Duration,
    ) -> io::Result<usize> {
        self.within(timeout, |conn, cx| conn.poll_recv(cx, into, max)).await
    }

    /// Waits for data to receive, with a timeout.
    ///
    /// # Errors
    /// `TimedOut` without data in time, or a system error.
    pub async fn readable(&mut self, timeout: Duration) -> io::Result<()> {
        self.within(timeout, Self::poll_readable).await
    }

    /// Sends all of `bufs`. The timeout applies between two steps of progress, like nginx's
    /// `send_timeout`.
    ///
    /// # Errors
    /// `TimedOut` without progress for this time, or a system error.
    pub async fn send_all(&mut self, bufs: &[&[u8]], timeout: Duration) -> io::Result<()> {
        let mut slices = Slices::new(bufs);
        while !slices.is_empty() {
            let sent = self.within(timeout, |conn, cx| conn.poll_send(cx, slices.get())).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            slices.advance(sent);
        }
        self.within(timeout, Self::poll_flush).await
    }

    /// Sends `len` bytes of a file from `offset`, or fewer if the file is shorter. Returns their
    /// number.
    ///
    /// # Errors
    /// Those of [`Conn::send_all`].
    pub async fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        timeout: Duration,
    ) -> io::Result<u64> {
        let mut sent = 0;
        while sent < len {
            let step = usize::try_from(len - sent).unwrap_or(usize::MAX).min(SENDFILE_MAX);
            let count = self
                .within(timeout, |conn, cx| conn.poll_sendfile(cx, file, offset + sent, step))
                .await?;
            if count == 0 {
                break;
            }
            sent += count as u64;
        }
        Ok(sent)
    }

    /// Starts a wait of at most `timeout`, unless one is in progress: see [`Conn::poll_wait`]. Its
    /// timer belongs to the connection and outlives requests, so a wait usually costs a store and
    /// no timer operation.
    pub fn begin_wait(&mut self, timeout: Duration) {
        if self.deadline.at() == Instant::NEVER {
            self.deadline.after(timeout);
        }
    }

    /// Restarts the timeout of the wait, or starts a wait.
    pub fn restart_wait(&mut self, timeout: Duration) {
        self.deadline.after(timeout);
    }

    /// Ends the wait: the awaited event has occurred.
    pub fn end_wait(&mut self) {
        self.deadline.clear();
    }

    /// Ready when the wait has timed out. Poll it when the awaited operation is pending.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll(cx)
    }

    /// Runs an operation of the connection with a deadline of `timeout` from now.
    ///
    /// # Errors
    /// `TimedOut` if the deadline passes first, else the operation's own error.
    pub async fn within<T>(
        &mut self,
        timeout: Duration,
        mut operation: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let mut armed = false;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = operation(self, cx) {
                return Poll::Ready(done);
            }
            // The clock is read only if the operation is pending.
            if !armed {
                self.deadline.after(timeout);
                armed = true;
            }
            ready!(self.deadline.poll(cx));
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }
}

/// The maximum number of slices per `writev`; more wait for the next.
const MAX_SLICES: usize = 64;

/// The unsent rest of several byte strings.
struct Slices<'a> {
    slices: [IoSlice<'a>; MAX_SLICES],
    from: usize,
    to: usize,
    rest: &'a [&'a [u8]],
}

impl<'a> Slices<'a> {
    fn new(bufs: &'a [&'a [u8]]) -> Self {
        let mut this = Self { slices: [IoSlice::new(&[]); MAX_SLICES], from: 0, to: 0, rest: bufs };
        this.fill();
        this
    }

    fn fill(&mut self) {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            while let Some((first, rest)) = self.rest.split_first() {
                if self.to == MAX_SLICES {
                    break;
                }
                if !first.is_empty() {
                    self.slices[self.to] = IoSlice::new(first);
                    self.to += 1;
                }
                self.rest = rest;
            }
        }
    }

    fn get(&self) -> &[IoSlice<'a>] {
        &self.slices[self.from..self.to]
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 && self.from < self.to {
            let first = &mut self.slices[self.from];
            let step = count.min(first.len());
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.from += 1;
            }
        }
        self.fill();
    }
}

//! Operations of a connection that are given a time to end in.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Conn;
use crate::clock::Instant;

/// How much one sendfile call moves at most, nginx's `sendfile_max_chunk`: one fast client must
/// not hold the thread.
pub const SENDFILE_MAX: usize = 2 * 1024 * 1024;

impl Conn {
    /// Receives as [`Conn::poll_recv`] does, within `timeout`.
    ///
    /// # Errors
    /// `TimedOut` when nothing came in time, else the system's.
    pub async fn recv(
        &mut self,
        into: &mut Vec<u8>,
        max: usize,
        timeout: Duration,
    ) -> io::Result<usize> {
        self.within(timeout, |conn, cx| conn.poll_recv(cx, into, max)).await
    }

    /// Waits until there is something to receive, within `timeout`.
    ///
    /// # Errors
    /// `TimedOut` when nothing came in time, else the system's.
    pub async fn readable(&mut self, timeout: Duration) -> io::Result<()> {
        self.within(timeout, Self::poll_readable).await
    }

    /// Sends all of `bufs`. The timeout is for the time between two steps of progress, as
    /// nginx's `send_timeout` is.
    ///
    /// # Errors
    /// `TimedOut` when nothing could be sent for so long, else the system's.
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

    /// Sends `len` bytes of a file from `offset`; less if the file is shorter. Returns how many.
    ///
    /// # Errors
    /// As [`Conn::send_all`].
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

    /// Starts a wait of at most `timeout`, unless one is under way: see [`Conn::poll_wait`].
    /// The timer behind it belongs to the connection and outlives requests, so that waiting
    /// usually costs a store and no timer operation.
    pub fn begin_wait(&mut self, timeout: Duration) {
        if self.deadline.at() == Instant::NEVER {
            self.deadline.after(timeout);
        }
    }

    /// Moves the end of the wait, or starts one.
    pub fn restart_wait(&mut self, timeout: Duration) {
        self.deadline.after(timeout);
    }

    /// What was waited for has come.
    pub fn end_wait(&mut self) {
        self.deadline.clear();
    }

    /// Ready when the wait has lasted too long. To be polled when what the task waits for is
    /// pending.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll(cx)
    }

    /// Runs an operation of the connection with a deadline of `timeout` from now.
    ///
    /// # Errors
    /// `TimedOut` when the deadline comes first, else the operation's own.
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
            // The clock is read only by those who really have to wait.
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

/// How many pieces one `writev` takes; more wait for the next.
const MAX_SLICES: usize = 64;

/// What of several byte strings is still to be sent.
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

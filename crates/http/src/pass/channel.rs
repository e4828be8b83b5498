//! The channel of a request and its response: a connection to an upstream that serves no other
//! request meanwhile. A protocol that multiplexes connections would have streams here; users of a
//! channel need nothing beyond this interface.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::connection::Conn;

/// The channel of one request. Its methods are those of [`Conn`].
pub struct Channel {
    conn: Box<Conn>,
}

impl Channel {
    /// A channel over an exclusive connection.
    pub fn exclusive(conn: Box<Conn>) -> Self {
        Self { conn }
    }

    /// The connection, to be kept for another request.
    pub fn into_connection(self) -> Box<Conn> {
        self.conn
    }

    /// The connection, for users of its raw bytes: tunnels and the kernel.
    pub fn connection(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Receives at most `most` bytes behind the content of `into`.
    #[inline]
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.conn.poll_fill(cx, into, most)
    }

    /// Whether the kernel can move bytes from here to a client, by [`Conn::poll_move`].
    pub fn can_move(&self) -> bool {
        self.conn.can_move()
    }

    /// Sends from `bufs`.
    #[inline]
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.conn.poll_send(cx, bufs)
    }

    /// Sends a whole request at the end of the loop's turn.
    #[inline]
    pub fn poll_post(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<usize>> {
        self.conn.poll_post(cx, message)
    }

    /// Sends bytes that a file follows at once.
    pub fn poll_send_more(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.conn.poll_send_more(cx, buf)
    }

    /// Whether the kernel can send files from here.
    pub fn can_sendfile(&self) -> bool {
        self.conn.can_sendfile()
    }

    /// Sends at most `length` bytes of `file` from `offset`, if possible.
    pub fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        self.conn.poll_sendfile(cx, file, offset, length)
    }

    /// Ready when the kernel has taken everything.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.poll_flush(cx)
    }

    /// Starts a wait of at most `timeout`, unless one is running.
    #[inline]
    pub fn begin_wait(&mut self, timeout: Duration) {
        self.conn.begin_wait(timeout);
    }

    /// Starts a wait, or restarts it.
    pub fn restart_wait(&mut self, timeout: Duration) {
        self.conn.restart_wait(timeout);
    }

    /// Ends the wait.
    #[inline]
    pub fn end_wait(&mut self) {
        self.conn.end_wait();
    }

    /// Ready when the wait has timed out.
    #[inline]
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.conn.poll_wait(cx)
    }
}

//! The channel of a request and its response: a connection to an upstream that serves no other
//! request meanwhile, or a stream of one that serves many. Users of a channel need nothing beyond
//! this interface.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::connection::Conn;

use super::stream::StreamChannel;

/// The channel of one request. Its methods are those of [`Conn`].
pub(crate) enum Channel {
    /// An exclusive connection.
    Exclusive(Box<Conn>),
    /// A stream of a shared connection.
    Stream(Box<StreamChannel>),
}

impl Channel {
    /// The connection, to be kept for another request, if it is an exclusive one.
    pub(crate) fn into_connection(self) -> Option<Box<Conn>> {
        match self {
            Self::Exclusive(conn) => Some(conn),
            Self::Stream(_) => None,
        }
    }

    /// The connection, for users of its raw bytes: tunnels and the kernel. None for streams.
    pub(crate) fn connection(&mut self) -> Option<&mut Conn> {
        match self {
            Self::Exclusive(conn) => Some(conn),
            Self::Stream(_) => None,
        }
    }

    /// The stream, if it is one.
    #[inline]
    pub(crate) fn stream(&mut self) -> Option<&mut StreamChannel> {
        match self {
            Self::Exclusive(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// Receives at most `most` bytes behind the content of `into`.
    #[inline]
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Exclusive(conn) => conn.poll_fill(cx, into, most),
            Self::Stream(stream) => stream.poll_fill(cx, into, most),
        }
    }

    /// Whether the kernel can move bytes from here to a client, by [`Conn::poll_move`].
    pub(crate) fn can_move(&self) -> bool {
        matches!(self, Self::Exclusive(conn) if conn.can_move())
    }

    /// Sends from `bufs`. `last` ends the request of a stream with them, if all are taken.
    #[inline]
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Exclusive(conn) => conn.poll_send(cx, bufs),
            Self::Stream(stream) => stream.poll_send(cx, bufs, last),
        }
    }

    /// Sends a whole request at the end of the loop's turn. Not for streams, whose head is sent
    /// when they are opened.
    #[inline]
    pub(crate) fn poll_post(
        &mut self,
        cx: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Exclusive(conn) => conn.poll_post(cx, message),
            Self::Stream(stream) => stream.poll_send(cx, &[IoSlice::new(message)], false),
        }
    }

    /// Sends bytes that a file follows at once.
    pub(crate) fn poll_send_more(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Exclusive(conn) => conn.poll_send_more(cx, buf),
            Self::Stream(stream) => stream.poll_send(cx, &[IoSlice::new(buf)], false),
        }
    }

    /// Whether the kernel can send files from here.
    pub(crate) fn can_sendfile(&self) -> bool {
        matches!(self, Self::Exclusive(conn) if conn.can_sendfile())
    }

    /// Sends at most `length` bytes of `file` from `offset`, if [`Channel::can_sendfile`].
    pub(crate) fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Exclusive(conn) => conn.poll_sendfile(cx, file, offset, length),
            Self::Stream(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Ready when the kernel has taken everything.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Exclusive(conn) => conn.poll_flush(cx),
            Self::Stream(stream) => stream.poll_flush(cx),
        }
    }

    /// Starts a wait of at most `timeout`, unless one is running.
    #[inline]
    pub(crate) fn begin_wait(&mut self, timeout: Duration) {
        match self {
            Self::Exclusive(conn) => conn.begin_wait(timeout),
            Self::Stream(stream) => stream.begin_wait(timeout),
        }
    }

    /// Starts a wait, or restarts it.
    pub(crate) fn restart_wait(&mut self, timeout: Duration) {
        self.end_wait();
        self.begin_wait(timeout);
    }

    /// Ends the wait.
    #[inline]
    pub(crate) fn end_wait(&mut self) {
        match self {
            Self::Exclusive(conn) => conn.end_wait(),
            Self::Stream(stream) => stream.end_wait(),
        }
    }

    /// Ready when the wait has timed out.
    #[inline]
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Exclusive(conn) => conn.poll_wait(cx),
            Self::Stream(stream) => stream.poll_wait(cx),
        }
    }
}

//! A stream of a shared connection as the channel of one request.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::clock::Instant;
use weir_engine::timer::Deadline;
use weir_upstream::Causes;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::{ErrorCode, Fault};
use weir_wire::header::Headers;

use super::doing::Doing;
use super::fields_of_head;
use super::shared_links::Lease;
use crate::errors::Cause;
use crate::h2::{Closed, Ended, Stream};

/// A stream, with the wait of its request. Dropped before its end, it is cancelled.
pub(crate) struct StreamChannel {
    // Dropped before the lease, which looks whether the connection is idle.
    stream: Stream,
    lease: Lease,
    wait: Deadline,
}

impl StreamChannel {
    /// The channel of an opened stream.
    pub(super) fn new(stream: Stream, lease: Lease) -> Self {
        Self { stream, lease, wait: Deadline::new() }
    }

    /// The next head of the response, and whether the stream ends with it.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(FieldBlock, bool), StreamFault>> {
        let head = ready!(self.stream.poll_head(cx));
        Poll::Ready(match head {
            Ok(head) => {
                self.lease.answered();
                Ok(head)
            }
            Err(why) => Err(self.fault(why)),
        })
    }

    /// The numbers of bytes of the stream's frames so far: sent, and received.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.stream.counts()
    }

    /// Whether another request has counted the end of the connection as a failure of the server. If
    /// not, this one does.
    pub(super) fn is_loss_counted(&self) -> bool {
        self.lease.is_loss_counted()
    }

    /// Gives the memory of a head back.
    pub(crate) fn reuse(&self, head: FieldBlock) {
        self.stream.reuse(head);
    }

    /// Moves bytes of the body that are there behind the content of `into`, at most `most`.
    pub(crate) fn take_received(&mut self, into: &mut Buf, most: usize) -> usize {
        self.stream.take_data(into, most)
    }

    /// Whether the response has ended, and all its bytes were taken.
    pub(crate) fn has_ended(&self) -> bool {
        self.stream.is_ended()
    }

    /// The trailers, after the end.
    pub(crate) fn take_trailers(&mut self) -> Option<FieldBlock> {
        self.stream.take_trailers()
    }

    /// Whether there are trailers.
    pub(crate) fn has_trailers(&self) -> bool {
        self.stream.has_trailers()
    }

    /// Receives bytes of the body; 0 is its end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if into.capacity() == 0 {
            *into = Buf::empty();
        }
        let received = ready!(self.stream.poll_data(cx, into, most));
        Poll::Ready(received.map_err(|why| self.fault(why).into()))
    }

    /// Sends from `bufs` as much as the windows allow. `last` ends the request with them.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        let mut left = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if left == 0 {
            if last {
                self.stream.send_data(&[], true);
            }
            return Poll::Ready(Ok(0));
        }
        let mut total = 0;
        for buf in bufs {
            let mut bytes = &buf[..];
            while !bytes.is_empty() {
                let room = match self.stream.poll_room(cx) {
                    Poll::Ready(Ok(room)) => room,
                    Poll::Ready(Err(why)) => return Poll::Ready(Err(self.fault(why).into())),
                    Poll::Pending if total > 0 => return Poll::Ready(Ok(total)),
                    Poll::Pending => return Poll::Pending,
                };
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                left -= now.len();
                self.stream.send_data(now, last && left == 0);
                total += now.len();
                bytes = later;
            }
        }
        Poll::Ready(Ok(total))
    }

    /// Ends the request with trailers, which are lines, some of those that were `received`.
    pub(super) fn send_trailers(&mut self, lines: &[u8], received: &Headers) {
        self.stream.send_head(true, |block| fields_of_head::write_trailers(lines, received, block));
    }

    /// Ready when the socket has taken what was sent, or will at the end of the turn.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.stream.poll_flush(cx));
        Poll::Ready(flushed.map_err(|why| self.fault(why).into()))
    }

    pub(super) fn begin_wait(&mut self, timeout: Duration) {
        if self.wait.at() == Instant::NEVER {
            self.wait.after(timeout);
        }
    }

    pub(super) fn end_wait(&mut self) {
        self.wait.clear();
    }

    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.poll(cx)
    }

    /// Why the stream is of no more use.
    fn fault(&self, why: Ended) -> StreamFault {
        let (reason, unprocessed) = match why {
            Ended::Reset { fault: Some(Fault(what)), .. } => {
                (Reason::StreamFault(what, self.stream.id().id), false)
            }
            Ended::Reset { code, unprocessed, .. } => match self.stream.link().goaway() {
                Some(code) if unprocessed => (Reason::GoAway(code), true),
                _ => (Reason::Reset(code), unprocessed),
            },
            Ended::Lost { unprocessed } => (self.lease.why_lost(), unprocessed),
        };
        StreamFault { reason, unprocessed }
    }
}

/// Why a stream has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamFault {
    reason: Reason,
    /// Whether the peer has not processed the request.
    pub(crate) unprocessed: bool,
}

/// What has ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The peer has reset it.
    Reset(ErrorCode),
    /// The peer is going away, and has not begun with the request.
    GoAway(ErrorCode),
    /// The connection was closed.
    Closed,
    /// The peer has broken the protocol.
    Faulty(&'static str),
    /// It has done so on this stream.
    StreamFault(&'static str, u32),
    /// The peer has answered no ping, or taken no bytes.
    TimedOut,
}

impl Reason {
    /// The reason behind the end of a connection.
    pub(super) fn of(closed: &Closed) -> Self {
        match closed {
            Closed::Over | Closed::Gone(_) | Closed::Idle => Self::Closed,
            Closed::Faulty(error) => Self::Faulty(error.reason),
            Closed::SendTimedOut | Closed::Silent => Self::TimedOut,
        }
    }
}

impl StreamFault {
    /// The cause for `next_upstream`. What was not processed can be repeated like a request that
    /// met a closed connection.
    pub(crate) fn cause(&self) -> Causes {
        match self.reason {
            _ if self.unprocessed => Causes::ERROR,
            Reason::Reset(_) | Reason::GoAway(_) | Reason::Faulty(_) | Reason::StreamFault(..) => {
                Causes::INVALID_HEADER
            }
            Reason::Closed => Causes::ERROR,
            Reason::TimedOut => Causes::TIMEOUT,
        }
    }

    /// What the end of the stream is for the client.
    pub(super) fn blame(&self, doing: Doing) -> Cause {
        match self.reason {
            Reason::TimedOut => doing.cause(ErrorKind::TimedOut),
            Reason::Closed | Reason::GoAway(_) => Cause::UpstreamClosed,
            Reason::Reset(_) | Reason::Faulty(_) | Reason::StreamFault(..) => {
                Cause::UpstreamBadResponse
            }
        }
    }

    /// Whether the end of the connection was the reason, which for one that has served requests
    /// says nothing about the peer.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self.reason, Reason::GoAway(_) | Reason::Closed)
    }
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Reset(code) => write!(f, "upstream rejected request with error {}", code.0),
            Reason::GoAway(code) => write!(f, "upstream sent goaway with error {}", code.0),
            Reason::Closed => f.write_str("upstream prematurely closed connection"),
            Reason::StreamFault(what, id) => write!(f, "upstream {what} stream {id}"),
            Reason::Faulty(why) => write!(f, "upstream violated HTTP/2: {why}"),
            Reason::TimedOut => f.write_str("upstream timed out (110: Connection timed out)"),
        }
    }
}

impl Error for StreamFault {}

impl From<StreamFault> for io::Error {
    fn from(fault: StreamFault) -> Self {
        Self::new(ErrorKind::ConnectionReset, fault)
    }
}

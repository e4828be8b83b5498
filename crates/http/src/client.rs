//! The client's side of a request: the queue of outgoing pieces, and the input after the head. One
//! type serves every protocol, so that phases and modules need not know which it is.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weir_engine::TcpInfo;
use weir_engine::buffer::{self, Buf};
use weir_engine::file_io::Aio;
use weir_engine::timer::Deadline;

use crate::piece::{FILE_READ, Piece};

pub(crate) mod exchange;
mod flush;
pub(crate) mod head;
mod pipe;
mod queue;
mod rate;
#[cfg(test)]
mod tests;

pub(crate) use exchange::Exchange;
pub(crate) use exchange::Sign;
pub(crate) use exchange::h1::reason;
#[cfg(any(test, fuzzing))]
pub(crate) use exchange::memory;
pub(crate) use pipe::Pipe;
pub(crate) use rate::Rate;

use queue::Queue;

/// `send_timeout` before a location sets it.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The length of frames before a location sets it.
const USUAL_FRAME: usize = 8 * 1024;

/// The destination of a response.
pub enum Sink {
    /// A client.
    Client(Exchange),
    /// Memory, up to a limit in bytes: for a subrequest whose body is needed.
    Capture(Vec<u8>, usize),
    /// Nowhere: for a subrequest of which only the status is needed.
    Discard,
    /// The response of another request, which takes it from the pipe.
    Pipe(Rc<Pipe>),
}

/// What follows the queued pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// More of the response, or unknown.
    More,
    /// The client's next request.
    Request,
    /// The end of the connection, without delay.
    Close,
}

/// The settings of a location for sending files and heads.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// `sendfile`: whether the kernel may send files from the page cache.
    pub sendfile: bool,
    /// `sendfile_max_chunk`: the maximum length of one call, so that a fast client does not keep
    /// the others waiting; 0 means no limit.
    pub sendfile_chunk: u64,
    /// The size of `output_buffers`: the length of one file read, if the kernel does not send the
    /// file.
    pub file_read: u64,
    /// `http2_chunk_size`: the maximum number of bytes in a frame.
    pub frame: usize,
    /// `tcp_nopush`: whether a head waits for the file after it, to fill a packet with both.
    pub nopush: bool,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            sendfile: false,
            sendfile_chunk: 0,
            file_read: FILE_READ,
            frame: USUAL_FRAME,
            nopush: false,
        }
    }
}

/// The output to the client, and the input after the request's head.
pub struct Client {
    sink: Sink,
    queue: Queue,
    /// The number of bytes passed to the kernel, including heads (`$bytes_sent`).
    pub bytes_sent: u64,
    /// `send_timeout`: the maximum time between two successful writes.
    pub send_timeout: Duration,
    /// The settings for files and heads.
    pub sending: Sending,
    /// `limit_rate`.
    pub rate: Option<Rate>,
    /// Whether the client is gone, so that no response can reach it.
    pub broken: bool,
    /// Whether the client took or sent nothing for too long, so that the connection may be reset
    /// (`reset_timedout_connection`).
    pub timed_out: bool,
    /// Whether `set $limit_rate` or `X-Accel-Limit-Rate` has set the rate.
    pub rate_set: bool,
    /// Whether the client of a subrequest's main request has left meanwhile; None if that is not
    /// watched.
    pub(crate) deserted: Option<Rc<Cell<bool>>>,
    overflowed: bool,
    deadline: Deadline,
}

impl Client {
    /// The client's side for `sink`.
    pub fn new(sink: Sink) -> Self {
        Self {
            sink,
            queue: Queue::default(),
            bytes_sent: 0,
            send_timeout: SEND_TIMEOUT,
            sending: Sending::default(),
            rate: None,
            rate_set: false,
            deserted: None,
            overflowed: false,
            broken: false,
            timed_out: false,
            deadline: Deadline::new(),
        }
    }

    /// The exchange, if the response goes to a client.
    #[inline]
    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.sink {
            Sink::Client(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Whether the client speaks HTTP/1.
    pub(crate) fn is_h1(&self) -> bool {
        matches!(self.sink, Sink::Client(Exchange::H1(_)))
    }

    /// Whether the client has a stream among others, whose reset no data can hide.
    pub(crate) fn has_stream(&self) -> bool {
        matches!(self.sink, Sink::Client(Exchange::H2(_)))
    }

    /// Whether the response goes to a client, and not to memory or into another response.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.sink, Sink::Client(_))
    }

    /// The number of bytes that were sent besides those of the head and the body.
    pub(crate) fn framing(&self) -> u64 {
        match &self.sink {
            Sink::Client(exchange) => exchange.framing(),
            _ => 0,
        }
    }

    /// The number of received bytes that have not been processed; None without a client.
    pub(crate) fn unread(&self) -> Option<usize> {
        match &self.sink {
            Sink::Client(exchange) => Some(exchange.unread()),
            _ => None,
        }
    }

    /// The TCP state of the client's connection.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        match &self.sink {
            Sink::Client(exchange) => exchange.tcp_info(),
            _ => None,
        }
    }

    /// Whether the client of a subrequest's main request is gone.
    pub fn is_deserted(&self) -> bool {
        self.deserted.as_ref().is_some_and(|gone| gone.get())
    }

    /// Marks the response of an included subrequest as wanted for other purposes, too.
    pub(crate) fn goes_on_alone(&self) {
        if let Sink::Pipe(pipe) = &self.sink {
            pipe.wanted.set(true);
        }
    }

    /// Replaces the destination of the response, and returns the old one.
    pub fn replace_sink(&mut self, sink: Sink) -> Sink {
        std::mem::replace(&mut self.sink, sink)
    }

    /// Releases the client, which has its response or gets none. Queued bytes are dropped, and so
    /// is everything sent from now on.
    pub(crate) fn put_aside(&mut self) -> Sink {
        self.queue.reset();
        self.replace_sink(Sink::Discard)
    }

    /// Resets everything but the destination, and keeps the memory of the queue.
    pub(crate) fn reset(&mut self) {
        let Self {
            sink: _,
            queue,
            bytes_sent,
            send_timeout,
            sending,
            rate,
            broken,
            timed_out,
            rate_set,
            deserted,
            overflowed,
            deadline,
        } = self;
        queue.reset();
        (*bytes_sent, *send_timeout, *sending) = (0, SEND_TIMEOUT, Sending::default());
        (*broken, *timed_out, *overflowed) = (false, false, false);
        (*rate, *rate_set, *deserted) = (None, false, None);
        *deadline = Deadline::new();
    }

    /// Queues a piece. [`Client::poll_flush`] sends it.
    pub fn push(&mut self, piece: Piece) {
        let length = piece.len();
        if length == 0 {
            return;
        }
        match &mut self.sink {
            Sink::Client(_) => self.queue.push(piece, length),
            Sink::Capture(body, limit) => {
                self.overflowed |= body.len() as u64 + length > *limit as u64;
                capture(body, *limit, piece);
            }
            Sink::Discard => {}
            Sink::Pipe(pipe) => pipe.push(piece),
        }
    }

    /// Queues a copy of a few bytes, such as those of a chunk's head.
    pub(crate) fn push_copy(&mut self, bytes: &[u8]) {
        match &self.sink {
            Sink::Client(_) if !bytes.is_empty() => self.queue.push_copy(bytes),
            _ => self.push(Piece::copy(bytes)),
        }
    }

    /// Whether the queue is known to be empty, without asking the connection.
    pub(crate) fn has_left(&self) -> bool {
        self.queue.is_empty() && matches!(&self.sink, Sink::Client(exchange) if exchange.has_left())
    }

    /// Whether the client left or was too slow, so that not all queued bytes were sent.
    pub fn has_failed(&self) -> bool {
        self.broken || self.timed_out
    }

    /// The number of bytes that wait to be sent.
    pub fn queued(&self) -> u64 {
        match &self.sink {
            Sink::Pipe(pipe) => pipe.bytes.get(),
            _ => self.queue.bytes(),
        }
    }

    /// Sets how files of the response are read (`aio`).
    pub(crate) fn set_aio(&mut self, aio: Aio) {
        self.queue.set_aio(aio);
    }

    /// How files of the response are read.
    pub(crate) fn aio(&self) -> &Aio {
        self.queue.aio()
    }

    /// The number of bytes that wait in memory to be sent.
    pub(crate) fn held(&self) -> u64 {
        self.queue.held()
    }

    /// Moves the queued bytes in memory, except the first `keep`, to where `store` puts them. What
    /// it returns nothing for stays.
    pub(crate) fn spill(&mut self, keep: u64, store: impl FnMut(&[u8]) -> Option<Piece>) {
        self.queue.spill(keep, store);
    }

    /// Lowers the limit of a captured body, in bytes.
    pub fn limit_capture(&mut self, limit: usize) {
        if let Sink::Capture(_, old) = &mut self.sink {
            *old = limit.min(*old);
        }
    }

    /// Whether a captured body exceeded its limit.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Ready with `ConnectionAborted` when the client has closed its connection. Data from the
    /// client hides that.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Sink::Client(exchange) = &mut self.sink else { return Poll::Pending };
        if ready!(exchange.poll_sign(cx)) == Sign::Hidden {
            return Poll::Pending;
        }
        self.broken = true;
        Poll::Ready(io::ErrorKind::ConnectionAborted.into())
    }

    /// The sign of the client, or of a subrequest's client. Pending while it is silent.
    pub(crate) fn poll_sign(&mut self, cx: &mut Context<'_>) -> Poll<Sign> {
        match (&mut self.sink, &self.deserted) {
            (Sink::Client(exchange), _) => exchange.poll_sign(cx),
            (_, Some(gone)) if gone.get() => Poll::Ready(Sign::Gone),
            (_, Some(_)) => Poll::Pending,
            (_, None) => Poll::Ready(Sign::Hidden),
        }
    }
}

/// Appends a piece to a captured body. Bytes over the limit are dropped; the reader of a capture
/// checks the length itself.
fn capture(body: &mut Vec<u8>, limit: usize, piece: Piece) {
    let mut rest = Some(piece);
    while let Some(piece) = rest.take() {
        let Ok((memory, more)) = piece.load() else { return };
        let bytes = memory.bytes().unwrap_or_default();
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        rest = more;
    }
}

/// A pooled buffer for one read.
pub(crate) fn read_buffer() -> Buf {
    buffer::take(READ_SIZE)
}

/// The maximum length of one read from a client.
pub(crate) const READ_SIZE: usize = 16 * 1024;

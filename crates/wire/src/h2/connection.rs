//! A connection as a machine: bytes and the time come in, events and bytes go out.
//!
//! It does no I/O, knows no clock and holds no bodies: bytes of DATA frames are handed out where
//! they lie in the input, and bytes to be sent are copied once, into the output.

use super::hpack::BlockWriter;
use super::{ConnectionError, ErrorCode, StreamId};
use crate::field_block::FieldBlock;

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It opens streams.
    Client,
    /// It accepts streams.
    Server,
}

/// The settings of this side, and its limits for the peer.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The side.
    pub role: Role,
    /// The maximum number of streams that the peer may have open.
    pub max_streams: u32,
    /// The receive window of new streams, in bytes (SETTINGS_INITIAL_WINDOW_SIZE).
    pub stream_window: u32,
    /// The receive window of the connection, in bytes.
    pub connection_window: u32,
    /// The maximum payload of a received frame, in bytes (SETTINGS_MAX_FRAME_SIZE).
    pub max_frame: u32,
    /// The maximum payload of a sent DATA frame, in bytes (`http2_chunk_size`), within what the
    /// peer allows.
    pub chunk: u32,
    /// The maximum sum of names and values of a head, in bytes.
    pub max_head: u32,
    /// The maximum number of fields in a head.
    pub max_fields: u32,
    /// Whether extended CONNECT is offered (RFC 8441).
    pub extended_connect: bool,
}

/// The time in milliseconds since a moment of the caller's.
pub type Millis = u64;

/// What a peer has sent. Bytes lie in the caller's input.
#[derive(Debug)]
pub enum Event<'i> {
    /// A head: a request on a server's side; on a client's, a response, interim ones included. Its
    /// fields are [`Connection::fields`] until the next call of `receive`.
    Head {
        /// The stream, a new one on a server's side.
        stream: StreamId,
        /// Whether the peer's side of the stream has ended.
        ended: bool,
        /// The length of the head as received, without frame heads and padding, in bytes.
        length: u32,
    },
    /// Bytes of a body. They count as unread until [`Connection::release`].
    Data {
        /// The stream.
        stream: StreamId,
        /// The bytes; empty only together with `ended`.
        bytes: &'i [u8],
        /// Whether the peer's side of the stream has ended.
        ended: bool,
    },
    /// Trailers, which end the peer's side of the stream; see [`Connection::fields`].
    Trailers {
        /// The stream.
        stream: StreamId,
    },
    /// The stream has ended abnormally: by the peer, or by this side because of the peer's fault.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The code.
        code: ErrorCode,
        /// Whether the peer has not processed the request, so that it can be repeated safely.
        unprocessed: bool,
    },
    /// The peer is going to close the connection: no new streams. Streams that it will not process
    /// are reset by further events.
    GoAway {
        /// The code.
        code: ErrorCode,
    },
    /// The answer to [`Connection::ping`].
    Pong,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {}

/// Receiving.
impl Connection {
    /// A new connection; its preface and settings are already in the output.
    pub fn new(_config: Config) -> Self {
        todo!()
    }

    /// Processes the input up to the next event, and removes what it has used from its front. None:
    /// the input is used up (an incomplete frame is kept inside, but for DATA, which is handed out as it
    /// comes).
    ///
    /// # Errors
    /// The peer's fault ends the connection. The output then ends with a GOAWAY.
    pub fn receive<'i>(
        &mut self,
        _input: &mut &'i [u8],
        _now: Millis,
    ) -> Result<Option<Event<'i>>, ConnectionError> {
        todo!()
    }

    /// The fields of the last head or trailers. May be taken by `std::mem::take` or swapped for
    /// another one with memory.
    pub fn fields(&mut self) -> &mut FieldBlock {
        todo!()
    }

    /// Declares received bytes of a stream's body as consumed, so that the peer may send as many again.
    pub fn release(&mut self, _stream: StreamId, _bytes: usize) {
        todo!()
    }

    /// Sets the receive window that a stream is to have whenever nothing is unread.
    pub fn set_stream_window(&mut self, _stream: StreamId, _bytes: u32) {
        todo!()
    }
}

/// Sending.
impl Connection {
    /// Whether the peer accepts another stream now (client).
    pub fn can_open(&self) -> bool {
        todo!()
    }

    /// Opens a stream with a request's head (client). Allowed if [`Connection::can_open`].
    pub fn open(&mut self, _end: bool, _head: impl FnOnce(&mut BlockWriter<'_>)) -> StreamId {
        todo!()
    }

    /// Sends a response's head, an interim one, or trailers (with `end`). Ignored if the stream has been
    /// reset.
    pub fn send_head(
        &mut self,
        _stream: StreamId,
        _end: bool,
        _head: impl FnOnce(&mut BlockWriter<'_>),
    ) {
        todo!()
    }

    /// The number of body bytes that can be sent now: what both windows and the limit of the
    /// output leave. If 0, the stream is noted, and [`Connection::poll_writable`] returns it once it can send.
    pub fn room(&mut self, _stream: StreamId) -> usize {
        todo!()
    }

    /// Sends bytes of the body, at most [`Connection::room`].
    pub fn send_data(&mut self, _stream: StreamId, _bytes: &[u8], _end: bool) {
        todo!()
    }

    /// The next stream, in the order of priorities (RFC 9218), that waited for room and has some
    /// now.
    pub fn poll_writable(&mut self) -> Option<StreamId> {
        todo!()
    }

    /// Sets the priority of a stream from a `Priority` field (RFC 9218 section 4). PRIORITY_UPDATE frames are
    /// heeded by the connection itself.
    pub fn set_priority(&mut self, _stream: StreamId, _value: &[u8]) {
        todo!()
    }

    /// Ends a stream abnormally.
    pub fn reset(&mut self, _stream: StreamId, _code: ErrorCode) {
        todo!()
    }

    /// Forgets a stream, whose work has ended. It counts against `max_streams` until then. One that has
    /// not ended is reset: with NO_ERROR if the response is complete and the request is not, else CANCEL (client) or
    /// INTERNAL_ERROR (server).
    pub fn forget(&mut self, _stream: StreamId) {
        todo!()
    }

    /// Begins a graceful end (RFC 9113 section 6.8): announces it at once; after a round trip or when
    /// called again, no new streams are accepted.
    pub fn shut_down(&mut self) {
        todo!()
    }

    /// Sends GOAWAY with this code and ignores further input.
    pub fn abort(&mut self, _code: ErrorCode) {
        todo!()
    }

    /// Sends a PING, whose answer is [`Event::Pong`].
    pub fn ping(&mut self) {
        todo!()
    }

    /// The bytes to send. Empty if there is nothing to do.
    pub fn output(&self) -> &[u8] {
        todo!()
    }

    /// Removes sent bytes from the front of the output; frees its memory once it is empty.
    pub fn sent(&mut self, _bytes: usize) {
        todo!()
    }
}

/// State.
impl Connection {
    /// The side.
    pub fn role(&self) -> Role {
        todo!()
    }

    /// Whether a part of a frame or of a head was received.
    pub fn holds_part(&self) -> bool {
        todo!()
    }

    /// The number of streams that have not been forgotten.
    pub fn streams(&self) -> usize {
        todo!()
    }

    /// Whether the connection has come to its end: a graceful end is announced and no stream is left, or it
    /// was aborted.
    pub fn is_over(&self) -> bool {
        todo!()
    }

    /// Whether the peer offers extended CONNECT (RFC 8441).
    pub fn peer_takes_extended_connect(&self) -> bool {
        todo!()
    }
}

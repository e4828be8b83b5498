//! What a peer has done.

use crate::h2::error::{ErrorCode, Fault};
use crate::h2::stream::StreamId;

/// What a peer has sent. Bytes lie in the caller's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A head: a request on a server's side; on a client's, a response, interim ones included. Its
    /// fields are [`super::Connection::fields`] until the next call of `receive`. Whether they are
    /// right is for the user to judge, also whether the body has the declared length.
    Head {
        /// The stream, a new one on a server's side.
        stream: StreamId,
        /// Whether the peer's side of the stream has ended.
        ended: bool,
        /// The length of the head as received, without frame heads and padding, in bytes.
        length: u32,
    },
    /// Bytes of a body. They count as unread until [`super::Connection::release`].
    Data {
        /// The stream.
        stream: StreamId,
        /// The bytes; empty only together with `ended`.
        bytes: &'i [u8],
        /// The number of bytes of the frame besides them, with its first bytes; else 0.
        framing: u32,
        /// Whether the peer's side of the stream has ended.
        ended: bool,
    },
    /// Trailers, which end the peer's side of the stream; see [`super::Connection::fields`].
    Trailers {
        /// The stream.
        stream: StreamId,
        /// The length as received, like that of a head.
        length: u32,
    },
    /// The stream has ended abnormally: by the peer, or by this side because of the peer's fault.
    /// On a client's side it may follow the end of a response, which is valid then: the rest of the
    /// request is not wanted.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The code.
        code: ErrorCode,
        /// Whether the peer has not processed the request, so that it can be repeated safely.
        unprocessed: bool,
        /// The peer's fault because of which this side has reset it; `None` if the peer has.
        fault: Option<Fault>,
    },
    /// The peer is going to close the connection: no new streams. Streams that it will not process
    /// are reset by further events.
    GoAway {
        /// The code.
        code: ErrorCode,
    },
    /// The answer to [`super::Connection::ping`].
    Pong,
}

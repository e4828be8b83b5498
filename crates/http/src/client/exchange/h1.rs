//! The HTTP/1 exchange: a connection that one request has for itself, a textual head, and a body of
//! known length, in chunks, or up to the end of the connection.

mod body;
mod head;
mod reason;
mod send;

use std::io;
use std::task::{Context, Poll, ready};

use weir_engine::buffer::Buf;
use weir_engine::connection::Conn;
use weir_wire::h1::{Chunked, Connection as Wish, Version};
use weir_wire::header::{Headers, Known};

use super::Sign;
use crate::body::Body;
use crate::client::Client;
use crate::piece::Piece;
use crate::request::head::Head;

pub(super) use head::queue_head;
pub(crate) use reason::reason;

/// The connection of a client, lent to one request after the other.
pub struct Link {
    /// The connection.
    pub conn: Conn,
    /// Bytes received and not yet processed: the start of the body, or the next request.
    pub input: Buf,
    /// The decoder of the request's chunked body.
    chunks: Option<Box<Chunked>>,
    /// Whether the socket is corked: the kernel holds back bytes that do not fill a packet.
    corked: bool,
}

impl Link {
    /// A connection without received bytes.
    pub fn new(conn: Conn) -> Box<Self> {
        Box::new(Self { conn, input: Buf::default(), chunks: None, corked: false })
    }

    /// Applies the head: decides on the framing of the body, and on whether another request may
    /// follow.
    pub(super) fn begin(&mut self, head: &Head, body: &mut Body, keepalive: &mut bool) {
        self.begin_body(body, head.framing);
        *keepalive = match head.connection {
            Wish::Close => false,
            Wish::KeepAlive => head.version >= Version::HTTP_10,
            Wish::Unsaid => head.version >= Version::HTTP_11,
        };
        body.expects_continue = head.version >= Version::HTTP_11
            && head.get(Known::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
    }

    pub(super) fn poll_sign(&mut self, cx: &mut Context<'_>) -> Poll<Sign> {
        if !self.input.is_empty() {
            return Poll::Ready(Sign::Hidden);
        }
        let readable = ready!(self.conn.poll_readable(cx));
        Poll::Ready(match readable {
            _ if self.conn.is_closed() => Sign::Gone,
            Ok(()) => Sign::Hidden,
            Err(_) => Sign::Broken,
        })
    }

    /// Receives bytes after the head, for a tunnel.
    pub(super) fn poll_recv_raw(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            return self.conn.poll_recv(cx, into, max);
        }
        *into = std::mem::take(&mut self.input);
        Poll::Ready(Ok(into.len()))
    }
}

/// An interim response `103 Early Hints` with these fields (RFC 8297).
pub(super) fn early_hints<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Piece {
    let mut out = weir_engine::buffer::take(EARLY_HINTS);
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    for (name, value) in fields {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// The initial capacity for early hints, in bytes.
const EARLY_HINTS: usize = 512;

/// `100 Continue`.
pub(super) const CONTINUE: Piece = Piece::Static(b"HTTP/1.1 100 Continue\r\n\r\n");

/// Queues pieces as one chunk.
pub(super) fn queue_chunk(
    client: &mut Client,
    pieces: impl AsRef<[Piece]> + IntoIterator<Item = Piece>,
) {
    let length: u64 = pieces.as_ref().iter().map(Piece::len).sum();
    if length == 0 {
        return;
    }
    let head = weir_wire::h1::chunk_head(length as usize);
    client.push_copy(&head);
    for piece in pieces {
        client.push(piece);
    }
    client.push(Piece::Static(b"\r\n"));
}

/// The end of a chunked body: the last chunk and the trailers.
pub(super) fn end(trailers: &Headers) -> Piece {
    if trailers.is_empty() {
        return Piece::Static(b"0\r\n\r\n");
    }
    let mut out = weir_engine::buffer::take(256);
    out.extend_from_slice(b"0\r\n");
    for (name, value, _) in trailers.iter() {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

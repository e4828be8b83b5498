//! One exchange with a client. Only this module knows its protocol.

pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod memory;

use std::io;
use std::task::{Context, Poll};

use weir_engine::buffer::Buf;
use weir_engine::connection::splice::Moved;
use weir_engine::{Conn, TcpInfo};

use super::head::Reply;
use super::queue::Queue;
use super::{Behind, Client, Sending};
use crate::body::{Body, BodyError, BodyStep};
use crate::duplex::Duplex;
use crate::piece::Piece;
use crate::request::head::Head;
use crate::response::Response;

/// The protocol's side of a request: its body comes in, and the response goes out.
pub enum Exchange {
    /// HTTP/1, which has the connection for itself.
    H1(Box<h1::Link>),
    /// HTTP/2: a stream.
    H2(h2::H2),
    /// A client in memory.
    Memory(memory::Stream),
}

/// The state of the client's side while nothing is expected of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The client has left.
    Gone,
    /// Input from the client cannot be read, although its connection is open.
    Broken,
    /// Data from the client hides a later close, or the protocol cannot tell: there is nothing to
    /// watch for.
    Hidden,
}

/// The operations of the protocol on a request and its response.
impl Client {
    /// Applies the head: decides on the framing of the body, and whether another request may follow
    /// on the connection.
    pub(crate) fn begin(&mut self, head: &Head, body: &mut Body, keepalive: &mut bool) {
        match self.exchange() {
            Some(Exchange::H1(link)) => link.begin(head, body, keepalive),
            Some(Exchange::H2(stream)) => stream.begin(head, body),
            Some(Exchange::Memory(_)) => memory::begin(head, body),
            None => {}
        }
    }

    /// Lets the client have up to this many unread bytes of the body under way, besides what it has
    /// been allowed before.
    pub(crate) fn allow_body(&mut self, bytes: u64) {
        if let Some(Exchange::H2(stream)) = self.exchange() {
            stream.allow_body(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// Queues the head of the response, and decides on the framing of the body.
    #[inline]
    pub(crate) fn queue_head(&mut self, reply: Reply<'_>) {
        match self.exchange() {
            Some(Exchange::H1(_)) => h1::queue_head(self, reply),
            Some(Exchange::H2(stream)) => self.bytes_sent += stream.queue_head(reply),
            Some(Exchange::Memory(stream)) => stream.queue_head(reply),
            None => {}
        }
    }

    /// Queues an interim response with these fields (RFC 9110 section 15.2).
    pub(crate) fn queue_early_hints<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        match self.exchange() {
            Some(Exchange::H1(_)) => self.push(h1::early_hints(fields)),
            Some(Exchange::H2(stream)) => self.bytes_sent += stream.queue_early_hints(fields),
            Some(Exchange::Memory(stream)) => stream.queue_early_hints(fields),
            None => {}
        }
    }

    /// Tells a waiting client to continue with its body (RFC 9110 section 10.1.1).
    pub(crate) fn queue_continue(&mut self) {
        match self.exchange() {
            Some(Exchange::H1(_)) => self.push(h1::CONTINUE),
            // Flow control does that.
            Some(Exchange::H2(_) | Exchange::Memory(_)) | None => {}
        }
    }

    /// Queues a piece of the body of `response`.
    pub(crate) fn queue(&mut self, response: &Response, piece: Piece) {
        match self.exchange() {
            Some(Exchange::H1(_)) if response.chunked => h1::queue_chunk(self, [piece]),
            _ => self.push(piece),
        }
    }

    /// Queues pieces of the body as a unit.
    pub(crate) fn queue_all(&mut self, response: &Response, pieces: Vec<Piece>) {
        match self.exchange() {
            Some(Exchange::H1(_)) if response.chunked => h1::queue_chunk(self, pieces),
            _ => {
                for piece in pieces {
                    self.push(piece);
                }
            }
        }
    }

    /// Queues the end of the body, with its trailers.
    pub(crate) fn queue_end(&mut self, response: &Response) {
        match self.exchange() {
            Some(Exchange::H1(_)) if response.chunked => self.push(h1::end(&response.trailers)),
            Some(Exchange::H2(stream)) => stream.queue_end(&response.trailers),
            Some(Exchange::Memory(stream)) => stream.queue_end(&response.trailers),
            Some(Exchange::H1(_)) | None => {}
        }
    }

    /// Whether the kernel may move the body from another connection to the client's.
    pub(crate) fn is_movable(&mut self, response: &Response) -> bool {
        match self.exchange() {
            Some(Exchange::H1(_)) => !response.chunked,
            Some(Exchange::H2(_) | Exchange::Memory(_)) | None => false,
        }
    }
}

impl Exchange {
    /// The connection of an HTTP/1 exchange.
    pub(crate) fn into_h1(self) -> Option<Box<h1::Link>> {
        match self {
            Self::H1(link) => Some(link),
            Self::H2(_) | Self::Memory(_) => None,
        }
    }

    /// The TCP state of the connection; `None` for a unix socket.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        match self {
            Self::H1(link) => link.conn.tcp_info(),
            Self::H2(stream) => stream.tcp_info(),
            Self::Memory(_) => None,
        }
    }

    /// The sign of the client. Pending while it is silent.
    #[inline]
    pub(super) fn poll_sign(&mut self, cx: &mut Context<'_>) -> Poll<Sign> {
        match self {
            Self::H1(link) => link.poll_sign(cx),
            Self::H2(stream) => stream.poll_sign(cx),
            Self::Memory(stream) => stream.poll_sign(cx),
        }
    }

    /// The number of received bytes that have not been processed: the start of the body, or of the
    /// next request.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::H1(link) => link.input.len(),
            Self::H2(stream) => stream.unread(),
            Self::Memory(stream) => stream.unread(),
        }
    }
}

/// Sending.
impl Exchange {
    /// Whether the connection is known to hold nothing back, without asking it.
    #[inline]
    pub(super) fn has_left(&self) -> bool {
        match self {
            Self::H1(link) => link.has_left(),
            Self::H2(stream) => stream.has_left(),
            Self::Memory(stream) => stream.has_left(),
        }
    }

    /// Announces that the end of the connection follows the next bytes.
    pub(super) fn end_follows(&mut self) {
        match self {
            Self::H1(link) => link.conn.end_follows(),
            Self::H2(_) | Self::Memory(_) => {}
        }
    }

    /// Sends the only piece, in the cheapest way for `behind`; pending if there is no such way.
    #[inline]
    pub(super) fn poll_only(
        &mut self,
        cx: &mut Context<'_>,
        piece: &[u8],
        behind: Behind,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::H1(link) => link.poll_only(cx, piece, behind),
            Self::H2(_) | Self::Memory(_) => Poll::Pending,
        }
    }

    /// Sends at most `budget` bytes from the front of the queue, removes them and returns their
    /// number.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
        sending: &Sending,
        budget: u64,
    ) -> Poll<io::Result<u64>> {
        match self {
            Self::H1(link) => link.poll_write(cx, queue, sending, budget),
            Self::H2(stream) => stream.poll_write(cx, queue, sending, budget),
            Self::Memory(stream) => stream.poll_write(cx, queue, sending, budget),
        }
    }

    /// Ready when everything written has been sent.
    #[inline]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::H1(link) => link.poll_flush(cx),
            Self::H2(stream) => stream.poll_flush(),
            Self::Memory(stream) => stream.poll_flush(),
        }
    }

    /// The number of bytes that were sent besides those of the head and the body.
    pub(super) fn framing(&self) -> u64 {
        match self {
            Self::H2(stream) => stream.framing(),
            // The chunks of HTTP/1 count as its body.
            Self::H1(_) | Self::Memory(_) => 0,
        }
    }

    /// The number of bytes that were sent besides those that [`Exchange::poll_write`] has counted.
    pub(super) fn take_uncounted(&mut self) -> u64 {
        match self {
            Self::H2(stream) => stream.take_uncounted(),
            Self::H1(_) | Self::Memory(_) => 0,
        }
    }

    /// Whether the client takes bytes, and those of other requests only come first.
    pub(super) fn waits_for_turn(&self) -> bool {
        match self {
            Self::H2(stream) => stream.waits_for_turn(),
            Self::H1(_) | Self::Memory(_) => false,
        }
    }

    /// Whether the kernel can move bytes from another connection to the client's now.
    #[inline]
    pub(super) fn can_move(&self) -> bool {
        match self {
            Self::H1(link) => link.can_move(),
            Self::H2(_) | Self::Memory(_) => false,
        }
    }

    /// Lets the kernel move at most `max` bytes. Allowed if [`Exchange::can_move`].
    pub(super) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        max: usize,
    ) -> Poll<io::Result<Moved>> {
        match self {
            Self::H1(link) => from.poll_move(cx, &mut link.conn, max),
            Self::H2(_) | Self::Memory(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}

/// Receiving.
impl Exchange {
    /// The next part of the body, from the bytes already received.
    ///
    /// # Errors
    /// The framing is broken, or the body is too large.
    pub(crate) fn take_body(&mut self, body: &mut Body) -> Result<Option<BodyStep>, BodyError> {
        match self {
            Self::H1(link) => link.take_body(body),
            Self::H2(stream) => stream.take_body(body),
            Self::Memory(stream) => stream.take_body(body),
        }
    }

    /// Receives more of the body for [`Exchange::take_body`]; returns the number of bytes, 0 at the
    /// end.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        body: &Body,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::H1(link) => link.poll_fill(cx, body),
            Self::H2(stream) => stream.poll_fill(cx),
            Self::Memory(stream) => stream.poll_fill(cx),
        }
    }

    /// Whether the rest of the body can be received directly into the caller's memory.
    pub(crate) fn receives_into(&self, body: &Body) -> bool {
        match self {
            Self::H1(link) => link.receives_into(body),
            Self::H2(_) | Self::Memory(_) => false,
        }
    }

    /// Receives more of the body directly into `into`, behind its content; it must have room for
    /// the rest and one byte more. Returns the number of bytes of the body, 0 at the end of the
    /// connection. Allowed if [`Exchange::receives_into`].
    pub(crate) fn poll_recv_into(
        &mut self,
        cx: &mut Context<'_>,
        body: &Body,
        into: &mut Buf,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::H1(link) => link.poll_recv_into(cx, body, into),
            Self::H2(_) | Self::Memory(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}

/// The byte stream of an exchange that has become a tunnel.
impl Duplex for Exchange {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::H1(link) => link.poll_recv_raw(cx, into, max),
            Self::H2(stream) => stream.stream().poll_recv(cx, into, max),
            Self::Memory(stream) => stream.poll_recv_raw(cx, into, max),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::H1(link) => Duplex::poll_send(&mut link.conn, cx, bytes),
            Self::H2(stream) => stream.stream().poll_send(cx, bytes),
            Self::Memory(stream) => stream.poll_send(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::H1(link) => link.conn.poll_flush(cx),
            Self::H2(stream) => Duplex::poll_flush(stream.stream(), cx),
            Self::Memory(stream) => stream.poll_flush(),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::H1(link) => link.conn.poll_shutdown(cx),
            Self::H2(stream) => stream.stream().poll_shutdown(cx),
            Self::Memory(stream) => stream.shutdown(),
        }
    }
}

//! An exchange without a connection: both ends are in the memory of one thread. Tests and
//! simulations drive requests with it. It behaves like a stream among others: heads are not text, a
//! body ends without framing, the client grants the number of bytes to be sent, and the kernel
//! moves nothing.

#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), allow(dead_code, reason = "fuzz targets use a part of it"))]
mod peer;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use weir_engine::buffer::{self, Buf};
use weir_wire::h1::Framing;
use weir_wire::header::Headers;

#[cfg(any(test, fuzzing))]
use super::Exchange;
use super::Sign;
use crate::body::{Body, BodyError, BodyStep, Rest};
use crate::client::head::{self, HeadWriter, Name, Reply};
use crate::client::queue::Queue;
use crate::client::{READ_SIZE, Sending};
use crate::request::head::Head;

#[cfg(test)]
pub(crate) use peer::Ended;
#[cfg(any(test, fuzzing))]
pub(crate) use peer::{Answer, Peer};

/// The server's end.
pub struct Stream {
    wire: Rc<RefCell<Wire>>,
    /// The trailers, which are sent after everything queued.
    end: Option<Fields>,
}

/// The state between the two ends.
#[derive(Default)]
struct Wire {
    /// Bytes of the request's body that the server has not read.
    upwards: VecDeque<u8>,
    /// Whether the request's body has ended.
    upwards_ended: bool,
    /// Heads of interim responses.
    interim: Vec<Fields>,
    /// The head of the response, with its status.
    head: Option<Fields>,
    /// Bytes of the response's body that the client has not taken.
    downwards: Vec<u8>,
    /// The number of bytes that the client still takes.
    window: u64,
    /// The trailers, once the body has ended.
    trailers: Option<Fields>,
    /// Whether the server has dropped the exchange.
    closed: bool,
    /// Whether the client has left.
    left: bool,
    server: Option<Waker>,
    client: Option<Waker>,
}

impl Wire {
    #[cfg(any(test, fuzzing))]
    fn wake_server(&mut self) {
        if let Some(waker) = self.server.take() {
            waker.wake();
        }
    }

    fn wake_client(&mut self) {
        if let Some(waker) = self.client.take() {
            waker.wake();
        }
    }

    /// Lets the server wait for the client.
    fn server_waits<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.server = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A head, or trailers with status 0: the status, and the fields in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// The status.
    pub status: u16,
    /// Names and values.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Fields {
    /// The value of the first field of this name.
    #[cfg(test)]
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let named = |(own, _): &&(Vec<u8>, Vec<u8>)| own.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(named).map(|(_, value)| &value[..])
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fields.push((name.to_vec(), value.to_vec()));
    }
}

impl HeadWriter for Fields {
    fn name(&mut self, name: Name) {
        self.push(name.known.name().as_bytes(), b"");
    }

    fn value(&mut self) -> &mut Vec<u8> {
        if self.fields.is_empty() {
            self.push(b"", b"");
        }
        let last = self.fields.len() - 1;
        &mut self.fields[last].1
    }

    fn end(&mut self) {}

    fn fields(&mut self, fields: &Headers) {
        fields.iter().for_each(|(name, value, _)| self.push(name, value));
    }
}

/// The two ends of a new exchange. The client takes `window` bytes of a body until it grants more.
#[cfg(any(test, fuzzing))]
pub(crate) fn pair(window: u64) -> (Exchange, Peer) {
    let wire = Rc::new(RefCell::new(Wire { window, ..Wire::default() }));
    (Exchange::Memory(Stream { wire: Rc::clone(&wire), end: None }), Peer::new(wire))
}

/// Begins the request's body, as the head announces it.
pub(super) fn begin(head: &Head, body: &mut Body) {
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => body.announce_length(length),
        Framing::Chunked | Framing::UntilClose => body.announce_unknown(),
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.tell(|wire| wire.closed = true);
    }
}

impl Stream {
    fn tell(&self, change: impl FnOnce(&mut Wire)) {
        let mut wire = self.wire.borrow_mut();
        change(&mut wire);
        wire.wake_client();
    }

    pub(super) fn queue_head(&mut self, mut reply: Reply<'_>) {
        let ends = head::settle(&mut reply) && !reply.upgraded;
        let mut out = Fields { status: reply.response.status, fields: Vec::new() };
        head::write(&mut reply, &mut out, |_, _| {});
        self.tell(|wire| wire.head = Some(out));
        self.end = ends.then(Fields::default);
    }

    pub(super) fn queue_early_hints<'a>(&self, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        let mut out = Fields { status: 103, fields: Vec::new() };
        fields.for_each(|(name, value)| out.push(name, value));
        self.tell(|wire| wire.interim.push(out));
    }

    /// Sets the trailers. They are sent after everything queued.
    pub(super) fn queue_end(&mut self, trailers: &Headers) {
        let mut out = Fields::default();
        out.fields(trailers);
        self.end = Some(out);
    }

    pub(super) fn poll_sign(&self, cx: &Context<'_>) -> Poll<Sign> {
        let mut wire = self.wire.borrow_mut();
        match wire.left {
            true => Poll::Ready(Sign::Gone),
            false => wire.server_waits(cx),
        }
    }

    pub(super) fn unread(&self) -> usize {
        self.wire.borrow().upwards.len()
    }

    pub(super) fn has_left(&self) -> bool {
        self.end.is_none()
    }

    /// Sends as many bytes as the client grants.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
        sending: &Sending,
        budget: u64,
    ) -> Poll<io::Result<u64>> {
        if queue.front().is_some_and(|piece| piece.bytes().is_none()) {
            ready!(queue.poll_file(cx, None, sending.file_read))?;
        }
        let bytes = queue.front().and_then(|piece| piece.bytes()).unwrap_or_default();
        let most = usize::try_from(budget).unwrap_or(usize::MAX).min(bytes.len());
        let sent = ready!(self.poll_send(cx, &bytes[..most]))? as u64;
        queue.consume(sent);
        Poll::Ready(Ok(sent))
    }

    /// Ready when everything has been sent, including the end.
    pub(super) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        if let Some(end) = self.end.take() {
            self.tell(|wire| wire.trailers = Some(end));
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_send(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        if wire.left {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let granted = usize::try_from(wire.window).unwrap_or(usize::MAX).min(bytes.len());
        if granted == 0 {
            return wire.server_waits(cx);
        }
        wire.downwards.extend_from_slice(&bytes[..granted]);
        wire.window -= granted as u64;
        wire.wake_client();
        Poll::Ready(Ok(granted))
    }

    pub(super) fn take_body(&self, body: &mut Body) -> Result<Option<BodyStep>, BodyError> {
        let mut wire = self.wire.borrow_mut();
        let most = match body.rest() {
            Rest::None => return Ok(Some(BodyStep::End)),
            // More than was announced.
            Rest::Length(left) if wire.upwards.len() as u64 > left => {
                return Err(BodyError::Malformed);
            }
            Rest::Length(_) | Rest::Unknown => wire.upwards.len().min(READ_SIZE),
        };
        if most == 0 {
            return match (wire.upwards_ended, body.rest()) {
                (false, _) => Ok(None),
                (true, Rest::Length(_)) => Err(BodyError::Closed),
                (true, _) => {
                    body.ends(Headers::new());
                    Ok(Some(BodyStep::End))
                }
            };
        }
        if body.rest() == Rest::Unknown {
            body.admit(most as u64)?;
        }
        let mut data = buffer::take(most);
        data.extend(wire.upwards.drain(..most));
        body.take_in(most as u64, most as u64);
        Ok(Some(BodyStep::Data(data)))
    }

    /// Ready when there is more of the body, or its end; with 0 if the client has left before.
    pub(super) fn poll_fill(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        match wire.upwards.len() {
            _ if wire.left => Poll::Ready(Ok(0)),
            0 if !wire.upwards_ended => wire.server_waits(cx),
            count => Poll::Ready(Ok(count.max(1))),
        }
    }

    /// Receives bytes after the head, for a tunnel.
    pub(super) fn poll_recv_raw(
        &self,
        cx: &Context<'_>,
        into: &mut Buf,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        match wire.upwards.len().min(max) {
            _ if wire.left => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            0 if !wire.upwards_ended => wire.server_waits(cx),
            count => {
                into.extend(wire.upwards.drain(..count));
                Poll::Ready(Ok(count))
            }
        }
    }

    /// Ends the direction to the client, for a tunnel.
    pub(super) fn shutdown(&mut self) -> Poll<io::Result<()>> {
        self.end = Some(Fields::default());
        self.poll_flush()
    }
}

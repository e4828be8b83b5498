//! The HTTP/2 exchange: a stream of a connection that other requests share.

use std::io;
use std::task::{Context, Poll, ready};

use weir_engine::TcpInfo;
use weir_engine::buffer::{self, Buf};
use weir_wire::h1::Framing;
use weir_wire::h2::hpack::BlockWriter;
use weir_wire::h2::response::read_trailers;
use weir_wire::h2::{ErrorCode, Fault};
use weir_wire::header::{Headers, Known};

use super::Sign;
use crate::body::{Body, BodyError, BodyStep, Rest};
use crate::client::head::{self, HeadWriter, Name, Reply};
use crate::client::queue::Queue;
use crate::client::{READ_SIZE, Sending};
use crate::h2::{Ended, Stream};
use crate::request::head::Head;

/// The stream of a request.
pub struct H2 {
    stream: Stream,
    end: End,
    /// The number of sent bytes that nobody has counted yet: those of trailers.
    uncounted: u64,
    /// The number of sent bytes that are neither those of the head nor of the body.
    framing: u64,
    /// The number of bytes of the body that `Content-Length` leaves, if there is one.
    left: Option<u64>,
    /// Whether the request is malformed, after which the stream is reset.
    malformed: bool,
    /// Whether the client asks for another protocol (RFC 8441): a successful response says that it
    /// has it.
    extended: bool,
}

/// The end of the response.
///
/// ```text
///   Open ──▶ Data, or Trailers ──▶ Sent
///     └── a response without a body ─▲
/// ```
#[derive(Default)]
enum End {
    /// There is more to come.
    #[default]
    Open,
    /// What is queued is all.
    Data,
    /// These follow what is queued.
    Trailers(Box<Headers>),
    /// It has been sent.
    Sent,
}

impl H2 {
    /// The exchange of a new stream.
    pub(crate) fn new(stream: Stream) -> Self {
        let (malformed, extended) = (false, false);
        Self { stream, end: End::Open, uncounted: 0, framing: 0, left: None, malformed, extended }
    }

    /// The stream.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The TCP state of the connection.
    pub(super) fn tcp_info(&self) -> Option<TcpInfo> {
        self.stream.link().tcp_info()
    }

    /// Applies the head: its body, and the priority of the response (RFC 9218).
    pub(super) fn begin(&mut self, head: &Head, body: &mut Body) {
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => {
                body.announce_checked(length, self.stream.peer_ended());
                self.left = Some(length);
            }
            Framing::Chunked | Framing::UntilClose => body.announce_unknown(),
        }
        if let Some(priority) = head.get(Known::Priority) {
            self.stream.set_priority(priority);
        }
    }

    /// Sends the head. Returns the number of bytes.
    pub(super) fn queue_head(&mut self, mut reply: Reply<'_>) -> u64 {
        let bodiless = head::settle(&mut reply);
        let response = &mut *reply.response;
        if response.status == 204 {
            response.content_type.clear();
        }
        let trailers = response.expect_trailers || !response.trailers.is_empty();
        let empty = response.content_length == Some(0) && !trailers;
        let ends = (bodiless || empty) && !reply.upgraded;
        match (reply.upgraded, response.status) {
            (true, _) => {
                response.status = 200;
                response.headers.remove_name(b"sec-websocket-accept");
            }
            // The location does not have the protocol (RFC 9220 section 3).
            (false, 200..300) if self.extended => response.status = 501,
            _ => {}
        }
        let sent = self.stream.send_head(ends, |block| {
            block.status(reply.response.status);
            let mut out = Fields { block, name: Known::Other, value: buffer::take(USUAL_VALUE) };
            head::write(&mut reply, &mut out, |_, _| {});
        });
        if ends {
            self.end = End::Sent;
        }
        reply.response.head_size = sent as u64;
        sent as u64
    }

    /// Sends an interim response. Returns the number of bytes.
    pub(super) fn queue_early_hints<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> u64 {
        let sent = self.stream.send_head(false, |block| {
            block.status(103);
            for (name, value) in fields {
                write_field(block, name, value, Known::from_name(name));
            }
        });
        self.framing += sent as u64;
        sent as u64
    }

    /// The number of bytes that were sent besides those of the head and the body.
    pub(super) fn framing(&self) -> u64 {
        self.framing
    }

    /// Notes the end of the body, and its trailers.
    pub(super) fn queue_end(&mut self, trailers: &Headers) {
        self.end = match &self.end {
            End::Sent => End::Sent,
            _ if trailers.is_empty() => End::Data,
            _ => End::Trailers(Box::new(trailers.clone())),
        };
    }

    pub(super) fn poll_sign(&mut self, cx: &mut Context<'_>) -> Poll<Sign> {
        self.stream.poll_gone(cx).map(|_| Sign::Gone)
    }

    pub(super) fn unread(&self) -> usize {
        self.stream.received()
    }

    pub(super) fn has_left(&self) -> bool {
        matches!(self.end, End::Open | End::Sent)
    }

    /// Sends from the front of the queue what the windows, and `budget`, allow; frames have at most
    /// `sending.frame` bytes. Returns the number of bytes with those of frame heads.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
        sending: &Sending,
        budget: u64,
    ) -> Poll<io::Result<u64>> {
        let mut room = ready!(self.stream.poll_room(cx))?;
        room = room.min(usize::try_from(budget).unwrap_or(usize::MAX));
        let mut sent = 0;
        while room > 0 && !queue.is_empty() {
            if queue.front().is_some_and(|piece| piece.bytes().is_none()) {
                // What is read beyond the room would be a frame of its own later.
                let most = if room as u64 >= LEAST_READ { room as u64 } else { u64::MAX };
                match queue.poll_file(cx, None, sending.file_read.min(most)) {
                    Poll::Ready(read) => drop(read?),
                    Poll::Pending if sent > 0 => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            let bytes = queue.front().and_then(|piece| piece.bytes()).unwrap_or_default();
            let count = bytes.len().min(room).min(sending.frame);
            let last = count as u64 == queue.bytes() && matches!(self.end, End::Data);
            let with_heads = self.stream.send_data(&bytes[..count], last) as u64;
            self.framing += with_heads.saturating_sub(count as u64);
            sent += with_heads;
            if last {
                self.end = End::Sent;
            }
            queue.consume(count as u64);
            room -= count;
        }
        Poll::Ready(Ok(sent))
    }

    pub(super) fn waits_for_turn(&self) -> bool {
        self.stream.waits_for_turn()
    }

    /// Ends the response, if nothing else is left.
    pub(super) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        match std::mem::take(&mut self.end) {
            End::Open => return Poll::Ready(Ok(())),
            End::Sent => {}
            End::Data => self.count_framing(|stream| stream.send_data(&[], true)),
            End::Trailers(trailers) => self.count_framing(|stream| {
                stream.send_head(true, |block| write_fields(block, &trailers))
            }),
        }
        self.end = End::Sent;
        Poll::Ready(Ok(()))
    }

    fn count_framing(&mut self, send: impl FnOnce(&mut Stream) -> usize) {
        let sent = send(&mut self.stream) as u64;
        self.uncounted += sent;
        self.framing += sent;
    }

    /// The number of sent bytes that were not counted so far.
    pub(super) fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    pub(super) fn take_body(&mut self, body: &mut Body) -> Result<Option<BodyStep>, BodyError> {
        let received = self.stream.received();
        let left = self.left.unwrap_or(u64::MAX);
        if received as u64 > left || received > 0 && body.rest() == Rest::None {
            return Err(self.malformed(BodyError::TooLong));
        }
        if body.rest() == Rest::None {
            return Ok(Some(BodyStep::End));
        }
        let most = received.min(READ_SIZE);
        if most == 0 {
            return match (self.stream.peer_ended(), self.left) {
                (false, _) => Ok(None),
                (true, Some(1..)) => Err(self.malformed(BodyError::TooShort)),
                (true, _) => {
                    let trailers = self.trailers()?;
                    body.ends(trailers);
                    Ok(Some(BodyStep::End))
                }
            };
        }
        if self.left.is_none() {
            body.admit(most as u64)?;
        }
        let mut data = Buf::empty();
        let count = self.stream.take_data(&mut data, most) as u64;
        self.left = self.left.map(|left| left - count);
        body.take_in(count, count);
        Ok(Some(BodyStep::Data(data)))
    }

    /// The trailers of the request.
    fn trailers(&mut self) -> Result<Headers, BodyError> {
        let mut trailers = Headers::new();
        if let Some(mut block) = self.stream.take_trailers() {
            let read = read_trailers(&mut block, &mut trailers);
            self.stream.reuse(block);
            read.map_err(|_| self.malformed(BodyError::Malformed))?;
        }
        Ok(trailers)
    }

    fn malformed(&mut self, fault: BodyError) -> BodyError {
        self.malformed = true;
        fault
    }

    /// Notes that the request is malformed. It gets its response, and then its stream is reset (RFC
    /// 9113 section 8.1.1).
    pub(crate) fn note_malformed(&mut self) {
        self.malformed = true;
    }

    /// What the log says of a stream that its client has reset, or that ended by its fault.
    pub(crate) fn reset_message(&self) -> Option<String> {
        let Some(Ended::Reset { code, fault, .. }) = self.stream.gone() else { return None };
        let number = self.stream.id().id;
        if let Some(Fault(what)) = fault {
            return Some(format!("client {what} stream {number}"));
        }
        Some(match code {
            ErrorCode::CANCEL => format!("client canceled stream {number}"),
            ErrorCode::INTERNAL_ERROR => {
                format!("client terminated stream {number} due to internal error")
            }
            ErrorCode(code) => format!("client terminated stream {number} with status {code}"),
        })
    }

    /// Notes that the request asks for another protocol.
    pub(crate) fn note_extended(&mut self) {
        self.extended = true;
    }

    /// Ends the stream of a request that was answered and logged, or too slow.
    pub(crate) fn close(self, timed_out: bool) {
        let is_cut = !matches!(self.end, End::Sent);
        if self.malformed || timed_out && is_cut {
            self.stream.reset(ErrorCode::PROTOCOL_ERROR);
        }
    }

    /// Ready when there is more of the body, or its end; with 0 if the stream has been reset.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_received(cx).map(|received| match received {
            Ok(count) => Ok(count.max(1)),
            Err(_) => Ok(0),
        })
    }

    /// Lets the client have up to this many unread bytes of the body under way.
    pub(super) fn allow_body(&mut self, bytes: u32) {
        self.stream.set_window(bytes);
    }
}

/// The least number of bytes that are read from a file: less at a time is not worth the call.
const LEAST_READ: u64 = 16 * 1024;

/// The initial capacity for a value that is computed, in bytes.
const USUAL_VALUE: usize = 64;

/// A writer of a block's fields.
struct Fields<'a, 'b> {
    block: &'a mut BlockWriter<'b>,
    name: Known,
    value: Buf,
}

impl HeadWriter for Fields<'_, '_> {
    const LOCATION_IN_PLACE: bool = true;

    fn name(&mut self, name: Name) {
        self.name = name.known;
        self.value.clear();
    }

    fn value(&mut self) -> &mut Vec<u8> {
        &mut self.value
    }

    fn end(&mut self) {
        self.block.known(self.name, &self.value);
    }

    fn fields(&mut self, fields: &Headers) {
        write_fields(self.block, fields);
    }

    fn field(&mut self, name: Name, value: &[u8]) {
        self.block.known(name.known, value);
    }
}

fn write_fields(block: &mut BlockWriter<'_>, fields: &Headers) {
    for entry in fields.entries() {
        let (name, value) = (entry.name.of(fields.arena()), entry.value.of(fields.arena()));
        match entry.never_indexed {
            true => block.sensitive(name, value),
            false => write_field(block, name, value, entry.known),
        }
    }
}

/// Writes a field, unless it is one of the connection (RFC 9113 section 8.2.2).
fn write_field(block: &mut BlockWriter<'_>, name: &[u8], value: &[u8], known: Known) {
    match known {
        Known::Other => block.field(name, value),
        known if Known::CONNECTION_SPECIFIC.contains(known) => {}
        known => block.known(known, value),
    }
}

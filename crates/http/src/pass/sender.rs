//! Sending a request to an upstream: the head, and a body that has been read or is still coming
//! from the client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::channel::Channel;
use super::protocol::{Frames, OutgoingBody, Protocol, TrailerRules, Translator};
use crate::body::{BodyError, BodyStep};
use crate::piece::Piece;
use crate::request::Request;

/// The maximum number of pieces in one write.
const GATHER: usize = 8;

/// The maximum number of bytes that are translated at a time, if they need not be copied for that.
const TRANSLATED: u64 = 64 * 1024;

/// The number of queued bytes at which a streamed body is no longer read from the client.
const STREAM_QUEUE: u64 = 64 * 1024;

/// The part of a request that is still to be sent.
#[derive(Default)]
pub(crate) struct Sender {
    /// The number of unsent bytes of the head, which is in the request's state.
    head: usize,
    queue: VecDeque<Piece>,
    queued: u64,
    /// The part of the body that is not in the queue yet.
    body: Option<Piece>,
    /// Whether the body is streamed from the client (`proxy_request_buffering off`).
    streaming: bool,
    /// The framing of the body.
    frames: Option<&'static Frames>,
    /// The translation of the body.
    translator: Option<Box<dyn Translator>>,
    /// Why the body cannot be translated.
    fault: Option<BodyError>,
    /// The rules for trailers, if they are passed on.
    trailers: Option<Arc<dyn TrailerRules>>,
    /// Whether the end of the request is still to be sent as such, on a stream.
    ends: bool,
    /// The number of bytes sent.
    pub sent: u64,
}

/// Why sending has failed.
pub(crate) enum SendError {
    /// An error of the upstream's connection.
    Upstream(io::Error),
    /// An error of the client's body.
    Client(BodyError),
}

impl Sender {
    /// Sends the head in the request's state, followed by the client's body if `body` includes it.
    pub(crate) fn new(
        request: &Request,
        body: OutgoingBody,
        trailers: Option<Arc<dyn TrailerRules>>,
    ) -> Self {
        Self::translating(request, body, trailers, None)
    }

    fn translating(
        request: &Request,
        body: OutgoingBody,
        trailers: Option<Arc<dyn TrailerRules>>,
        translator: Option<Box<dyn Translator>>,
    ) -> Self {
        let frames = match body {
            OutgoingBody::Framed(frames) => Some(frames),
            OutgoingBody::None
            | OutgoingBody::Plain
            | OutgoingBody::Given(_)
            | OutgoingBody::Translated => None,
        };
        let head = request.attempts.head.len();
        let mut sender = Self { head, frames, translator, ..Self::default() };
        if matches!(body, OutgoingBody::None | OutgoingBody::Given(_)) {
            return sender;
        }
        sender.trailers = trailers;
        match &request.body.content {
            Some(content) => {
                let body = match &content.file {
                    Some(file) => Piece::File(Rc::clone(file), 0..content.len),
                    None => Piece::Content(Rc::clone(content), 0..content.memory.len()),
                };
                match body.is_empty() {
                    true => sender.end_body(request),
                    false => sender.take_up(request, body),
                }
            }
            None => {
                sender.streaming = !request.body.is_done() && !request.body.refused;
            }
        }
        sender
    }

    /// Sends the client's body on a stream. `None` without one: then the stream is opened with the
    /// end of the request.
    pub(crate) fn on_stream(
        request: &Request,
        protocol: &dyn Protocol,
        body: OutgoingBody,
        trailers: Option<Arc<dyn TrailerRules>>,
    ) -> Self {
        let mut sender = match body {
            OutgoingBody::Given(length) => {
                let head = &request.attempts.head;
                let mut sender = Self::default();
                sender.push(Piece::copy(&head[head.len().saturating_sub(length)..]));
                sender
            }
            OutgoingBody::Translated => {
                let translator = protocol.translator();
                Self { head: 0, ..Self::translating(request, body, trailers, translator) }
            }
            _ => Self { head: 0, ..Self::new(request, body, trailers) },
        };
        sender.ends = !sender.is_done() || sender.has_trailers(request);
        sender
    }

    /// Queues unframed bytes after the head (`proxy_set_body`).
    pub(crate) fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.queued += piece.len();
            self.queue.push_back(piece);
        }
    }

    fn take_up(&mut self, request: &Request, body: Piece) {
        self.body = Some(body);
        self.fill(request);
    }

    /// Moves the body into the queue, in frames. Those of a long body follow as the queue empties.
    fn fill(&mut self, request: &Request) {
        while self.queue.len() < GATHER
            && let Some(mut body) = self.body.take()
        {
            if self.translator.is_some() {
                self.translate(request, body);
                continue;
            }
            let Some(frames) = self.frames else { return self.push(body) };
            let length = body.len().min(frames.most);
            let last = length == body.len();
            self.push((frames.head)(length));
            if !last {
                let frame = body.part(0..length);
                body.advance(length);
                self.push(frame);
                self.body = Some(body);
            } else {
                self.push(body);
            }
            self.push(Piece::Static((frames.tail)(length)));
            if last && !self.streaming {
                self.end_body(request);
            }
        }
    }

    /// Translates a part of the body, and takes up the rest.
    #[cold]
    fn translate(&mut self, request: &Request, mut body: Piece) {
        let mut rest = None;
        if matches!(body, Piece::Content(..)) && body.len() > TRANSLATED {
            let part = body.part(0..TRANSLATED);
            body.advance(TRANSLATED);
            (rest, body) = (Some(body), part);
        }
        let Ok((memory, behind)) = body.load() else { return self.fail(BodyError::File) };
        let mut out = Vec::new();
        if let Some(translator) = &mut self.translator
            && let Err(what) = translator.push(memory, &mut out)
        {
            return self.fail(BodyError::Untranslatable(what));
        }
        for piece in out {
            self.push(piece);
        }
        self.body = rest.or(behind);
        if self.body.is_none() && !self.streaming {
            self.end_body(request);
        }
    }

    fn fail(&mut self, error: BodyError) {
        (self.fault, self.streaming) = (Some(error), false);
    }

    fn end_body(&mut self, request: &Request) {
        if let Some(frames) = self.frames {
            match self.trailer_lines(request) {
                // In chunks.
                Some(lines) => self.push(Piece::copy(&[b"0\r\n", &lines[..], b"\r\n"].concat())),
                None => self.push(Piece::Static(frames.end)),
            }
        }
        if let Some(translator) = &mut self.translator
            && let Err(what) = translator.end()
        {
            self.fail(BodyError::Untranslatable(what));
        }
    }

    /// Whether the client's body has ended with trailers that may be passed on.
    fn has_trailers(&self, request: &Request) -> bool {
        self.trailers.is_some() && request.body.trailers.is_some()
    }

    /// The trailers to pass on, as lines.
    fn trailer_lines(&self, request: &Request) -> Option<Vec<u8>> {
        let (rules, found) = (self.trailers.as_ref()?, request.body.trailers.as_ref()?);
        let lines = rules.lines(found);
        (!lines.is_empty()).then_some(lines)
    }

    /// Drops the unsent part: the upstream takes no more.
    pub(crate) fn abandon(&mut self) {
        self.head = 0;
        self.queue.clear();
        self.queued = 0;
        self.body = None;
        self.streaming = false;
        self.ends = false;
        self.fault = None;
    }

    /// Whether everything available has been sent, and more is to come from the client.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.streaming && self.head == 0 && self.queue.is_empty() && self.body.is_none()
    }

    /// Whether everything has been sent.
    pub(crate) fn is_done(&self) -> bool {
        self.head == 0
            && self.queue.is_empty()
            && self.body.is_none()
            && !self.streaming
            && !self.ends
            && self.fault.is_none()
    }

    /// Sends as much as possible. Ready when nothing is left, pending on either side otherwise.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
        channel: &mut Channel,
    ) -> Poll<Result<(), SendError>> {
        loop {
            if self.body.is_some() {
                self.fill(request);
            }
            while self.streaming && self.body.is_none() && self.queued < STREAM_QUEUE {
                match request.poll_body(cx) {
                    Poll::Ready(Ok(BodyStep::Data(data))) => {
                        if !data.is_empty() {
                            self.take_up(request, data.into());
                        }
                    }
                    Poll::Ready(Ok(BodyStep::End)) => {
                        self.streaming = false;
                        self.end_body(request);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Client(error))),
                    Poll::Pending => break,
                }
            }
            if let Some(fault) = self.fault.take() {
                return Poll::Ready(Err(SendError::Client(fault)));
            }
            if self.ends && self.queue.is_empty() && self.body.is_none() && !self.streaming {
                let received = request.body.trailers.as_deref();
                match (self.trailer_lines(request), channel.stream(), received) {
                    (Some(lines), Some(stream), Some(received)) => {
                        stream.send_trailers(&lines, received);
                    }
                    _ => {
                        let sent = ready!(channel.poll_send(cx, &[], true));
                        sent.map_err(SendError::Upstream)?;
                    }
                }
                self.ends = false;
            }
            if self.head == 0 && self.queue.is_empty() {
                let flushed = channel.poll_flush(cx).map_err(SendError::Upstream);
                return match self.streaming && !matches!(flushed, Poll::Ready(Err(_))) {
                    true => Poll::Pending,
                    false => flushed,
                };
            }
            ready!(self.poll_write(cx, request, channel)).map_err(SendError::Upstream)?;
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
        channel: &mut Channel,
    ) -> Poll<io::Result<()>> {
        if self.head == 0
            && let Some(Piece::File(file, range)) = self.queue.front()
        {
            if channel.can_sendfile() {
                let want = (range.end - range.start).min(1 << 20) as usize;
                let n = ready!(channel.poll_sendfile(cx, file.as_fd(), range.start, want))?;
                return Poll::Ready(self.advance(n));
            }
            let Some(piece) = self.queue.pop_front() else { return Poll::Ready(Ok(())) };
            let (memory, rest) = piece.load()?;
            if let Some(rest) = rest {
                self.queue.push_front(rest);
            }
            self.queue.push_front(memory);
        }
        let mut slices = [IoSlice::new(&[]); GATHER];
        let mut count = 0;
        if self.head > 0 {
            let head = &request.attempts.head;
            let head = &head[head.len().saturating_sub(self.head)..];
            // A head without a body can wait for the end of the loop's turn. A failure to send it
            // shows when the response is read.
            if self.queue.is_empty() && !self.streaming {
                let n = ready!(channel.poll_post(cx, head))?;
                return Poll::Ready(self.advance(n));
            }
            if let Some(Piece::File(..)) = self.queue.front() {
                let n = ready!(channel.poll_send_more(cx, head))?;
                return Poll::Ready(self.advance(n));
            }
            slices[0] = IoSlice::new(head);
            count = 1;
        }
        for piece in self.queue.iter().take(GATHER - 1) {
            let Some(bytes) = piece.bytes() else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let last = self.ends
            && count == self.queue.len()
            && self.body.is_none()
            && !self.streaming
            && !self.has_trailers(request);
        let n = ready!(channel.poll_send(cx, &slices[..count], last))?;
        let advanced = self.advance(n);
        self.ends &= !(last && self.queue.is_empty());
        Poll::Ready(advanced)
    }

    /// Removes `n` sent bytes from the queue. 0 is an error.
    fn advance(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut n = n as u64;
        self.sent += n;
        let of_head = n.min(self.head as u64);
        self.head -= of_head as usize;
        n -= of_head;
        self.queued -= n;
        while n > 0 {
            let Some(front) = self.queue.front_mut() else { break };
            let step = front.len().min(n);
            front.advance(step);
            n -= step;
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        Ok(())
    }
}

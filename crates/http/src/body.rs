//! The request's body: its framing, and reading it whole (into memory or a file) or piece by piece.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::timer::Deadline;
use weir_wire::header::Headers;

use crate::client::Exchange;
use crate::errors::Cause;
use crate::rejection::Rejection;

mod collect;
pub(crate) mod content;
mod read;

use content::Content;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More than `client_max_body_size` (413).
    TooLarge,
    /// Broken chunked framing (400).
    Malformed,
    /// More than `Content-Length` says (400).
    TooLong,
    /// Less than `Content-Length` says (400).
    TooShort,
    /// The client closed the connection (400, logged at info).
    Closed,
    /// The client sent nothing for `client_body_timeout` (408).
    TimedOut,
    /// A temporary file could not be written (500).
    File,
    /// The bytes, described here, are not what the upstream's protocol needs (400).
    Untranslatable(&'static str),
}

impl BodyError {
    /// What the error is counted as.
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::TooLarge => Cause::BodyTooLarge,
            Self::Closed => Cause::ClientClosed,
            Self::TimedOut => Cause::ClientTimeout,
            Self::File => Cause::Internal,
            Self::Malformed | Self::TooLong | Self::TooShort | Self::Untranslatable(_) => {
                Cause::BadBody
            }
        }
    }

    /// The rejection of the request.
    pub fn rejection(self) -> Rejection {
        match self {
            Self::TooLarge => Rejection::TOO_LARGE,
            Self::Malformed
            | Self::TooLong
            | Self::TooShort
            | Self::Closed
            | Self::Untranslatable(_) => Rejection::BAD_REQUEST,
            Self::TimedOut => Rejection::TIMEOUT,
            Self::File => Rejection::INTERNAL,
        }
    }
}

/// How much of a body can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// There is no body.
    Nothing,
    /// All of it; this many bytes.
    Here(u64),
    /// All of it, as it arrives.
    Coming,
    /// Nothing any more: it was dropped, or a part of it has been consumed.
    Gone,
}

/// The result of a read.
pub enum BodyStep {
    /// Bytes of the body.
    Data(Buf),
    /// The body has ended.
    End,
}

/// The part of a body that has not been received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    #[default]
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// An unknown number of bytes, until the protocol ends the body.
    Unknown,
}

/// A request body: its framing while it is received, then its content if it is read whole.
#[derive(Default)]
pub struct Body {
    rest: Rest,
    /// The value of `Content-Length`.
    pub content_length: Option<u64>,
    /// Whether the length is unknown in advance. In HTTP/1, the body is then chunked.
    pub chunked: bool,
    /// The number of bytes received so far, without framing.
    pub received: u64,
    /// The number of bytes received so far, with framing.
    pub raw: u64,
    /// `client_max_body_size`; 0 means no limit.
    pub max_size: u64,
    /// The length of the chunk that exceeds `max_size`.
    announced: u64,
    /// Whether the body is read piece by piece.
    pub is_streamed: bool,
    /// Whether the rest of the body is discarded as it arrives.
    pub refused: bool,
    /// `client_body_timeout`.
    pub timeout: Duration,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The trailers behind the body, if there are any, once it has ended.
    pub(crate) trailers: Option<Box<Headers>>,
    /// The content, once it has been read whole.
    pub content: Option<Rc<Content>>,
    /// Data read in advance for streaming ([`Request::read_body_ahead`]).
    ///
    /// [`Request::read_body_ahead`]: crate::request::Request::read_body_ahead
    ahead: VecDeque<Buf>,
    deadline: Option<Deadline>,
}

impl Body {
    /// Announces a body of `length` bytes.
    pub fn announce_length(&mut self, length: u64) {
        self.rest = if length == 0 { Rest::None } else { Rest::Length(length) };
        self.content_length = Some(length);
    }

    /// Announces a body of `length` bytes whose end the protocol shows, too: the exchange compares.
    /// `ended`: it has shown it.
    pub(crate) fn announce_checked(&mut self, length: u64, ended: bool) {
        self.announce_length(length);
        if length > 0 || !ended {
            self.rest = Rest::Unknown;
        }
    }

    /// Announces a body of unknown length.
    pub fn announce_unknown(&mut self) {
        self.rest = Rest::Unknown;
        self.chunked = true;
    }

    /// Resets to no body, and keeps the memory.
    #[inline]
    pub(crate) fn reset(&mut self) {
        let Self {
            rest,
            content_length,
            chunked,
            received,
            raw,
            max_size,
            announced,
            is_streamed,
            refused,
            timeout,
            expects_continue,
            trailers,
            content,
            ahead,
            deadline,
        } = self;
        *rest = Rest::None;
        (*content_length, *content, *deadline, *trailers) = (None, None, None, None);
        (*chunked, *is_streamed, *refused, *expects_continue) = (false, false, false, false);
        (*received, *raw, *max_size, *announced) = (0, 0, 0, 0);
        *timeout = Duration::ZERO;
        if !ahead.is_empty() {
            ahead.clear();
        }
    }

    /// A body that is there.
    pub(crate) fn of(content: Content) -> Self {
        let length = content.len;
        Self {
            content: Some(Rc::new(content)),
            content_length: Some(length),
            received: length,
            ..Self::default()
        }
    }

    /// The body of a subrequest: the content, if it has been read, and else none.
    pub fn shared(&self) -> Self {
        let mut body = Self {
            content: self.content.clone(),
            content_length: self.content_length,
            chunked: self.chunked,
            received: self.received,
            ..Self::default()
        };
        if self.refused || body.content.is_none() && body.is_announced() {
            body.refuse();
        }
        body
    }

    /// Discards the body. The request is answered without it, and the rest is dropped as it
    /// arrives.
    pub fn refuse(&mut self) {
        self.refused = true;
        self.content_length = (self.chunked || self.content_length.is_some()).then_some(0);
        (self.chunked, self.content) = (false, None);
        self.expects_continue = false;
        self.ahead.clear();
    }

    /// Whether a part of the body has been forwarded, so that it cannot be sent again.
    pub fn is_spent(&self) -> bool {
        self.is_streamed && !self.refused && self.outlook() == Outlook::Gone
    }

    /// Whether the body that was announced can be passed on no more: it was dropped, or a part of
    /// it has been consumed.
    pub fn is_lost(&self) -> bool {
        self.refused || self.outlook() == Outlook::Gone
    }

    /// Whether nothing is left to be read from the connection.
    pub fn is_done(&self) -> bool {
        self.rest == Rest::None && self.ahead.is_empty()
    }

    /// Whether the body needs no reading: it has been read, or there is none.
    pub fn is_ready(&self) -> bool {
        self.content.is_some()
            || self.refused
            || !self.chunked && self.content_length.is_none() && !self.expects_continue
    }

    /// How much of the body can be forwarded.
    pub fn outlook(&self) -> Outlook {
        let ahead = || self.ahead.iter().map(|data| data.len() as u64).sum::<u64>();
        match &self.content {
            Some(content) => Outlook::Here(content.len),
            None if !self.is_expected() => Outlook::Nothing,
            None if self.refused => Outlook::Gone,
            None if self.is_done() || self.received != ahead() => Outlook::Gone,
            None => Outlook::Coming,
        }
    }

    /// Whether the request announced a body.
    pub fn is_announced(&self) -> bool {
        self.chunked || self.content_length.is_some_and(|n| n > 0)
    }

    /// Whether a body was announced, or one without bytes has not ended.
    pub(crate) fn is_expected(&self) -> bool {
        self.is_announced() || self.rest != Rest::None
    }

    /// The part that has not been received.
    pub(crate) fn rest(&self) -> Rest {
        self.rest
    }

    /// Counts received bytes, without and with framing.
    pub(crate) fn take_in(&mut self, count: u64, raw: u64) {
        self.received += count;
        self.raw += raw;
        if let Rest::Length(left) = self.rest {
            debug_assert!(count <= left);
            self.rest = if count == left { Rest::None } else { Rest::Length(left - count) };
        }
    }

    /// Ends the body, with these trailers.
    pub(crate) fn ends(&mut self, trailers: Headers) {
        self.rest = Rest::None;
        if !trailers.is_empty() {
            self.trailers = Some(Box::new(trailers));
        }
    }

    /// Checks that this many more bytes of a body of unknown length are allowed.
    ///
    /// # Errors
    /// The body would exceed `client_max_body_size`.
    pub(crate) fn admit(&mut self, more: u64) -> Result<(), BodyError> {
        if self.max_size != 0 && self.received.saturating_add(more) > self.max_size {
            self.announced = more;
            return Err(BodyError::TooLarge);
        }
        Ok(())
    }

    /// The next bytes of the body.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Poll<Result<BodyStep, BodyError>> {
        loop {
            match self.take_buffered(exchange)? {
                Some(step) => {
                    self.deadline = None;
                    return Poll::Ready(Ok(step));
                }
                None => {
                    let received = exchange.poll_fill(cx, self);
                    ready!(self.received_or_late(cx, received))?;
                }
            }
        }
    }

    /// The next bytes of those already received.
    fn take_buffered(&mut self, exchange: &mut Exchange) -> Result<Option<BodyStep>, BodyError> {
        match self.ahead.pop_front() {
            Some(data) => Ok(Some(BodyStep::Data(data))),
            None => exchange.take_body(self),
        }
    }

    /// Receives more of the body directly into `into`, behind its content, and returns the number
    /// of bytes. `into` must have room for the rest and one byte more. Allowed if
    /// [`Body::is_plain`].
    fn poll_append(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        into: &mut Buf,
    ) -> Poll<Result<u64, BodyError>> {
        let received = exchange.poll_recv_into(cx, self, into);
        let count = ready!(self.received_or_late(cx, received))? as u64;
        self.deadline = None;
        self.take_in(count, count);
        Poll::Ready(Ok(count))
    }

    /// The result of a read, or an error after `client_body_timeout` without data.
    fn received_or_late(
        &mut self,
        cx: &mut Context<'_>,
        received: Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, BodyError>> {
        match received {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => Poll::Ready(Err(BodyError::Closed)),
            Poll::Ready(Ok(count)) => Poll::Ready(Ok(count)),
            Poll::Pending => {
                let timeout = self.timeout;
                let deadline = self.deadline.get_or_insert_with(|| {
                    let mut deadline = Deadline::new();
                    deadline.after(timeout);
                    deadline
                });
                ready!(deadline.poll(cx));
                Poll::Ready(Err(BodyError::TimedOut))
            }
        }
    }

    /// Whether the rest of the body can be received directly into the caller's memory.
    fn is_plain(&self, exchange: &Exchange) -> bool {
        self.ahead.is_empty() && exchange.receives_into(self)
    }

    /// Checks and discards the received part of the body, for a response that does not wait for it.
    ///
    /// # Errors
    /// The framing is broken.
    pub(crate) fn discard_received(&mut self, exchange: &mut Exchange) -> Result<(), BodyError> {
        let limit = std::mem::take(&mut self.max_size);
        let raw = self.raw;
        let mut result = Ok(());
        while !self.is_done() && exchange.unread() > 0 {
            match self.take_buffered(exchange) {
                Ok(Some(BodyStep::Data(_))) => {}
                Ok(_) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.max_size = limit;
        // `$request_length` counts only a body that is read.
        self.raw = raw;
        result
    }

    /// Abandons the rest of the body. The connection cannot be kept.
    pub fn abandon(&mut self) {
        self.ahead.clear();
        self.rest = Rest::None;
    }
}

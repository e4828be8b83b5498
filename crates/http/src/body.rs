//! The request's body: how it is framed, and reading it whole (into memory, then into a file) or
//! piece by piece.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::timer::Deadline;

use crate::client::Exchange;

mod collect;
mod read;

pub use collect::{Collector, Content};

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More than `client_max_body_size` (413).
    TooLarge,
    /// Broken chunked framing (400).
    Malformed,
    /// The client closed in the middle (400, logged as 499-like at info).
    Closed,
    /// Nothing came for `client_body_timeout` (408).
    TimedOut,
    /// A temporary file could not be written (500).
    File,
}

impl BodyError {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Malformed | Self::Closed => 400,
            Self::TimedOut => 408,
            Self::File => 500,
        }
    }
}

/// What can be sent on of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// There is none.
    Nothing,
    /// All of it is here: so many bytes.
    Here(u64),
    /// It is still to come, or as good as that.
    Coming,
    /// A part of it, or all, has gone elsewhere and cannot be had again.
    Gone,
}

/// What one step of reading gave.
pub enum BodyStep {
    /// Bytes of the body.
    Data(Buf),
    /// The body has ended.
    End,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    #[default]
    None,
    /// So many bytes, which are some.
    Length(u64),
    /// What comes until the protocol says that it was all.
    Unknown,
}

/// A request body: first what is to come of it, then, once read whole, its content.
#[derive(Default)]
pub struct Body {
    rest: Rest,
    /// What `Content-Length` said.
    pub content_length: Option<u64>,
    /// Whether its length was not announced: by HTTP/1, it comes in chunks.
    pub chunked: bool,
    /// Bytes of content received so far.
    pub received: u64,
    /// Bytes received for it, with what frames the chunks.
    pub raw: u64,
    /// 0 = no limit (`client_max_body_size`).
    pub max_size: u64,
    /// The length of the chunk that was too large.
    announced: u64,
    /// Whether somebody reads it piece by piece.
    pub is_streamed: bool,
    /// Whether nobody gets it any more: what the connection still brings of it is dropped.
    pub refused: bool,
    /// `client_body_timeout`.
    pub timeout: Duration,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The content, once it has been read whole.
    pub content: Option<Rc<Content>>,
    /// What was read before anybody could send it on ([`Request::read_body_ahead`]).
    ///
    /// [`Request::read_body_ahead`]: crate::request::Request::read_body_ahead
    ahead: VecDeque<Buf>,
    deadline: Option<Deadline>,
}

impl Body {
    /// There is a body of `length` bytes.
    pub fn announce_length(&mut self, length: u64) {
        self.rest = if length == 0 { Rest::None } else { Rest::Length(length) };
        self.content_length = Some(length);
    }

    /// There is a body of unknown length.
    pub fn announce_unknown(&mut self) {
        self.rest = Rest::Unknown;
        self.chunked = true;
    }

    /// Back to no body at all, keeping the memory.
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
            content,
            ahead,
            deadline,
        } = self;
        *rest = Rest::None;
        (*content_length, *content, *deadline) = (None, None, None);
        (*chunked, *is_streamed, *refused, *expects_continue) = (false, false, false, false);
        (*received, *raw, *max_size, *announced) = (0, 0, 0, 0);
        *timeout = Duration::ZERO;
        ahead.clear();
    }

    /// What a subrequest sees of it: the content, as far as it has been read.
    pub fn shared(&self) -> Self {
        Self {
            content: self.content.clone(),
            content_length: self.content_length,
            chunked: self.chunked,
            received: self.received,
            ..Self::default()
        }
    }

    /// Nobody gets it from here on, in full or at all: whoever answers the request now does so
    /// without it, and what the connection still brings of it is dropped.
    pub fn refuse(&mut self) {
        self.refused = true;
        self.content_length = (self.chunked || self.content_length.is_some()).then_some(0);
        (self.chunked, self.content) = (false, None);
        self.expects_continue = false;
        self.ahead.clear();
    }

    /// Whether it was begun to be sent on and cannot be had again.
    pub fn is_spent(&self) -> bool {
        self.is_streamed && self.outlook() == Outlook::Gone
    }

    /// Whether nothing is left to be read from the connection.
    pub fn is_done(&self) -> bool {
        self.rest == Rest::None && self.ahead.is_empty()
    }

    /// Whether there is nothing to read and nothing to ask the client for: it is here, or there is
    /// none.
    pub fn is_ready(&self) -> bool {
        self.content.is_some()
            || self.refused
            || !self.chunked && self.content_length.is_none() && !self.expects_continue
    }

    /// What can be sent on of it.
    pub fn outlook(&self) -> Outlook {
        let ahead = || self.ahead.iter().map(|data| data.len() as u64).sum::<u64>();
        match &self.content {
            Some(content) => Outlook::Here(content.len),
            None if !self.is_announced() => Outlook::Nothing,
            None if self.is_done() || self.received != ahead() => Outlook::Gone,
            None => Outlook::Coming,
        }
    }

    /// Whether the request announced a body at all.
    pub fn is_announced(&self) -> bool {
        self.chunked || self.content_length.is_some_and(|n| n > 0)
    }

    /// What is still to come of it.
    pub(crate) fn rest(&self) -> Rest {
        self.rest
    }

    /// Counts bytes of it that have come, and how many they were with what frames them.
    pub(crate) fn take_in(&mut self, count: u64, raw: u64) {
        self.received += count;
        self.raw += raw;
        if let Rest::Length(left) = self.rest {
            debug_assert!(count <= left);
            self.rest = if count == left { Rest::None } else { Rest::Length(left - count) };
        }
    }

    /// Nothing more will come.
    pub(crate) fn ends(&mut self) {
        self.rest = Rest::None;
    }

    /// Whether so many bytes more may come of a body of unknown length.
    ///
    /// # Errors
    /// It would be larger than `client_max_body_size`.
    pub(crate) fn admit(&mut self, more: u64) -> Result<(), BodyError> {
        if self.max_size != 0 && self.received.saturating_add(more) > self.max_size {
            self.announced = more;
            return Err(BodyError::TooLarge);
        }
        Ok(())
    }

    /// The next bytes of the body, as they come.
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

    /// What can be had from bytes already received.
    fn take_buffered(&mut self, exchange: &mut Exchange) -> Result<Option<BodyStep>, BodyError> {
        match self.ahead.pop_front() {
            Some(data) => Ok(Some(BodyStep::Data(data))),
            None => exchange.take_body(self),
        }
    }

    /// Receives more of the body right behind what `into` holds, which has room for all of it and
    /// one byte more; how many bytes. Only where [`Body::is_plain`] says so.
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

    /// What came of receiving; too late if nothing has come for too long.
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

    /// Whether the rest of it can be received into a place of its own.
    fn is_plain(&self, exchange: &Exchange) -> bool {
        self.ahead.is_empty() && exchange.receives_into(self)
    }

    /// What of the body has come already is looked at and dropped, for a response that does not
    /// wait for it.
    ///
    /// # Errors
    /// When it breaks the framing.
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
        // Only a body that somebody wants counts for `$request_length`.
        self.raw = raw;
        result
    }

    /// Gives up on the rest of the body: the connection cannot be kept.
    pub fn abandon(&mut self) {
        self.ahead.clear();
        self.rest = Rest::None;
    }
}

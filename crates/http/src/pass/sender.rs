//! Sending a request to an upstream: the head and a body that is there, or a body that is still
//! on its way from the client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use super::channel::Channel;
use super::{Frames, OutgoingBody};
use crate::body::{BodyError, BodyStep};
use crate::piece::Piece;
use crate::request::Request;

/// Pieces that one write takes.
const GATHER: usize = 8;

/// How much of a streamed body may wait for the upstream before the client is asked for more.
const STREAM_QUEUE: u64 = 64 * 1024;

/// What is still to be sent.
pub struct Sender {
    /// How much of the head, which lies in the request's state, has not gone out.
    head: usize,
    queue: VecDeque<Piece>,
    queued: u64,
    /// The body comes from the client as it is sent (`proxy_request_buffering off`).
    streaming: bool,
    /// How the body is framed.
    frames: Option<&'static Frames>,
    /// Bytes that have gone out.
    pub sent: u64,
}

/// Why sending stopped.
pub enum SendError {
    /// The upstream's connection.
    Upstream(io::Error),
    /// The client's body.
    Client(BodyError),
}

impl Sender {
    /// Sends the head that the request's state holds, and then the client's body if there is one to
    /// go with it.
    pub fn new(request: &Request, body: OutgoingBody) -> Self {
        let frames = match body {
            OutgoingBody::Framed(frames) => Some(frames),
            OutgoingBody::None | OutgoingBody::Plain => None,
        };
        let mut sender =
            Self { head: 0, queue: VecDeque::new(), queued: 0, streaming: false, frames, sent: 0 };
        sender.head = request.attempts.head.len();
        if matches!(body, OutgoingBody::None) {
            return sender;
        }
        match &request.body.content {
            Some(content) => {
                let memory = !content.memory.is_empty();
                if let Some(file) = &content.file {
                    sender.frame(Piece::File(std::rc::Rc::clone(file), 0..content.len));
                } else if memory {
                    let all = 0..content.memory.len();
                    sender.frame(Piece::Content(std::rc::Rc::clone(content), all));
                }
                sender.end_body();
            }
            None => {
                sender.streaming = !request.body.is_done() && !request.body.refused;
            }
        }
        sender
    }

    /// Queues bytes that follow the head as they are (`proxy_set_body`).
    pub fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.queued += piece.len();
            self.queue.push_back(piece);
        }
    }

    fn frame(&mut self, piece: Piece) {
        let Some(frames) = self.frames else { return self.push(piece) };
        self.push((frames.head)(piece.len()));
        self.push(piece);
        self.push(Piece::Static(frames.tail));
    }

    fn end_body(&mut self) {
        if let Some(frames) = self.frames {
            self.push(Piece::Static(frames.end));
        }
    }

    /// Gives up on what is left: the upstream takes no more.
    pub fn abandon(&mut self) {
        self.head = 0;
        self.queue.clear();
        self.queued = 0;
        self.streaming = false;
    }

    /// Whether all that there is has gone out, and more is to come from the client.
    pub fn waits_for_client(&self) -> bool {
        self.streaming && self.head == 0 && self.queue.is_empty()
    }

    /// Whether everything has gone out.
    pub fn is_done(&self) -> bool {
        self.head == 0 && self.queue.is_empty() && !self.streaming
    }

    /// Sends as much as can be. Ready when nothing is left; pending on either side otherwise.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
        channel: &mut Channel,
    ) -> Poll<Result<(), SendError>> {
        loop {
            while self.streaming && self.queued < STREAM_QUEUE {
                match request.poll_body(cx) {
                    Poll::Ready(Ok(BodyStep::Data(data))) => self.frame(data.into()),
                    Poll::Ready(Ok(BodyStep::End)) => {
                        self.streaming = false;
                        self.end_body();
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Client(error))),
                    Poll::Pending => break,
                }
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
        let n = ready!(channel.poll_send(cx, &slices[..count]))?;
        Poll::Ready(self.advance(n))
    }

    /// Takes `n` bytes off the queue; none means that nobody takes any more.
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

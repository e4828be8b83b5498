//! The client's side of a request: the queue of pieces on their way out, and what comes in after
//! the head. One type for every protocol, so that phases and modules need not know which it is.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weir_engine::buffer::{self, Buf};
use weir_engine::clock::Instant;
use weir_engine::connection::Conn;
use weir_engine::timer::Deadline;

use crate::piece::{FILE_READ, Piece, read_behind};

mod pipe;
mod rate;
#[cfg(test)]
mod tests;

pub use pipe::Pipe;
pub use rate::Rate;

/// `send_timeout` before a location has said anything.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How many pieces one `writev` takes.
const GATHER: usize = 32;

/// What is copied behind another piece rather than sent as one of its own, in bytes.
const JOINED: usize = 1024;

/// Up to this many bytes, a head and the file behind it are one piece.
const SMALL_RESPONSE: usize = 8 * 1024;

/// What the kernel takes in one call at most, when nothing else limits it.
const LARGEST_WRITE: u64 = 1 << 30;

/// The connection of a client as a protocol lends it to a request.
pub struct Link {
    /// The connection.
    pub conn: Conn,
    /// Bytes received and not yet taken: the start of the body, or the next request.
    pub input: Buf,
}

/// Where the response goes.
pub enum Sink {
    /// To a client's connection.
    Link(Box<Link>),
    /// Into memory, up to a limit in bytes: a subrequest whose body is wanted.
    Capture(Vec<u8>, usize),
    /// Nowhere: a subrequest of which only the status is wanted.
    Discard,
    /// Into the response of another request, which takes it from the pipe.
    Pipe(Rc<Pipe>),
}

/// What comes behind all that is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// More, or nobody knows.
    More,
    /// The client's next request.
    Request,
    /// The end of the connection, without a wait.
    Close,
}

/// The way out to the client, and the way in behind the request's head.
pub struct Client {
    sink: Sink,
    queue: VecDeque<Piece>,
    queued: u64,
    /// Bytes handed to the kernel, heads included (`$bytes_sent`).
    pub bytes_sent: u64,
    /// `send_timeout`: the longest wait between two writes that succeed.
    pub send_timeout: Duration,
    /// `sendfile`: whether files may go from the page cache to the socket.
    pub sendfile: bool,
    /// `sendfile_max_chunk`: what one call sends at most, so that one fast client does not keep
    /// the others waiting; 0 for no limit.
    pub sendfile_chunk: u64,
    /// The size of `output_buffers`: how much of a file is read at once when it is not sent by the
    /// kernel.
    pub file_read: u64,
    /// `tcp_nopush`: whether a head waits for the file behind it, to fill a packet with both.
    pub nopush: bool,
    /// Whether the kernel holds back what does not fill a packet.
    corked: bool,
    /// `limit_rate`.
    pub rate: Option<Rate>,
    /// Whether the client is gone: there is nobody to answer.
    pub broken: bool,
    /// Whether the client took or sent nothing for too long: then the connection may be reset
    /// (`reset_timedout_connection`).
    pub timed_out: bool,
    /// Whether `set $limit_rate` or `X-Accel-Limit-Rate` has settled the rate.
    pub rate_set: bool,
    /// Whether the client of the request that this one was made for has gone meanwhile; None where
    /// nobody looks.
    pub(crate) deserted: Option<Rc<Cell<bool>>>,
    overflowed: bool,
    deadline: Deadline,
}

impl Client {
    /// A way out to `sink`.
    pub fn new(sink: Sink) -> Self {
        Self {
            sink,
            queue: VecDeque::new(),
            queued: 0,
            bytes_sent: 0,
            send_timeout: SEND_TIMEOUT,
            sendfile: false,
            sendfile_chunk: 0,
            file_read: FILE_READ,
            nopush: false,
            corked: false,
            rate: None,
            rate_set: false,
            deserted: None,
            overflowed: false,
            broken: false,
            timed_out: false,
            deadline: Deadline::new(),
        }
    }

    /// The connection, for a request that has one of its own.
    pub fn link(&mut self) -> Option<&mut Link> {
        match &mut self.sink {
            Sink::Link(link) => Some(link),
            _ => None,
        }
    }

    /// Whether the client that a subrequest works for is gone.
    pub fn is_deserted(&self) -> bool {
        self.deserted.as_ref().is_some_and(|gone| gone.get())
    }

    /// The connection, to look at.
    pub fn conn(&self) -> Option<&Conn> {
        match &self.sink {
            Sink::Link(link) => Some(&link.conn),
            _ => None,
        }
    }

    /// The response is wanted for more than what becomes of it here.
    pub(crate) fn goes_on_alone(&self) {
        if let Sink::Pipe(pipe) = &self.sink {
            pipe.wanted.set(true);
        }
    }

    /// Replaces where the response goes and gives back what it was.
    pub fn replace_sink(&mut self, sink: Sink) -> Sink {
        std::mem::replace(&mut self.sink, sink)
    }

    /// As new, but for where the response goes; keeps the memory of the queue.
    pub(crate) fn reset(&mut self) {
        let Self {
            sink: _,
            queue,
            queued,
            bytes_sent,
            send_timeout,
            sendfile,
            sendfile_chunk,
            file_read,
            nopush,
            corked,
            rate,
            broken,
            timed_out,
            rate_set,
            deserted,
            overflowed,
            deadline,
        } = self;
        queue.clear();
        (*queued, *bytes_sent, *sendfile_chunk, *file_read) = (0, 0, 0, FILE_READ);
        *send_timeout = SEND_TIMEOUT;
        (*sendfile, *nopush, *corked, *broken) = (false, false, false, false);
        (*timed_out, *overflowed) = (false, false);
        (*rate, *rate_set, *deserted) = (None, false, None);
        *deadline = Deadline::new();
    }

    /// Queues a piece. Nothing is sent before [`Client::poll_flush`].
    pub fn push(&mut self, piece: Piece) {
        let length = piece.len();
        if length == 0 {
            return;
        }
        match &mut self.sink {
            Sink::Link(_) => {
                self.queued += length;
                if !self.join(&piece) && !self.join_file(&piece) {
                    self.queue.push_back(piece);
                }
            }
            Sink::Capture(body, limit) => {
                self.overflowed |= body.len() as u64 + length > *limit as u64;
                capture(body, *limit, piece);
            }
            Sink::Discard => {}
            Sink::Pipe(pipe) => pipe.push(piece),
        }
    }

    /// Copies a small piece into the room behind the last one: sending one piece costs the kernel
    /// less than gathering two. A stretch of a file that follows another becomes one with it.
    #[inline]
    fn join(&mut self, piece: &Piece) -> bool {
        let Some(bytes) = piece.bytes() else {
            return self.queue.back_mut().is_some_and(|last| last.extend(piece));
        };
        match self.queue.back_mut() {
            Some(Piece::Buf(buf, range)) if bytes.len() <= JOINED => {
                let fits = range.end == buf.len() && bytes.len() <= buf.room();
                if fits {
                    buf.extend_from_slice(bytes);
                    range.end = buf.len();
                }
                fits
            }
            _ => false,
        }
    }

    /// Reads a small file behind the head in front of it. One `send` for both costs less than
    /// `sendfile` saves, above all where the head would be held back for it.
    fn join_file(&mut self, piece: &Piece) -> bool {
        let Piece::File(file, stretch) = piece else { return false };
        if self.queue.len() != 1 || stretch.end - stretch.start > SMALL_RESPONSE as u64 {
            return false;
        }
        let Some(Piece::Buf(buf, range)) = self.queue.front_mut() else { return false };
        let length = (stretch.end - stretch.start) as usize;
        if range.end != buf.len() || range.len() + length > SMALL_RESPONSE {
            return false;
        }
        if buf.room() < length {
            let mut larger = buffer::take(range.len() + length);
            larger.extend_from_slice(&buf[range.clone()]);
            (*buf, *range) = (larger, 0..range.len());
        }
        // Whoever sends the file meets a fault again, and tells of it.
        if read_behind(file, stretch.start, length, buf).is_err() {
            return false;
        }
        range.end = buf.len();
        true
    }

    /// Whether it is known without a look at the connection that nothing waits to be sent.
    pub(crate) fn has_left(&self) -> bool {
        self.queue.is_empty()
            && !self.corked
            && matches!(&self.sink, Sink::Link(link) if link.conn.tls().is_none())
    }

    /// Whether the client is gone or took too long: not all that was queued has left.
    pub fn has_failed(&self) -> bool {
        self.broken || self.timed_out
    }

    /// How many bytes wait to be sent.
    pub fn queued(&self) -> u64 {
        match &self.sink {
            Sink::Pipe(pipe) => pipe.bytes.get(),
            _ => self.queued,
        }
    }

    /// How many bytes wait in memory to be sent.
    pub(crate) fn held(&self) -> u64 {
        self.queue.iter().filter_map(Piece::bytes).map(|bytes| bytes.len() as u64).sum()
    }

    /// Moves what waits in memory, all but its first `keep` bytes, to where `store` puts it.
    ///
    /// # Errors
    /// The error of `store`; the queue is then no longer what it was.
    pub(crate) fn spill(
        &mut self,
        keep: u64,
        mut store: impl FnMut(&[u8]) -> io::Result<Piece>,
    ) -> io::Result<()> {
        let mut room = keep;
        for mut piece in std::mem::take(&mut self.queue) {
            let stays = piece.len().min(room);
            let stored = match piece.bytes() {
                None => {
                    self.queue.push_back(piece);
                    continue;
                }
                Some(bytes) if stays < bytes.len() as u64 => Some(store(&bytes[stays as usize..])?),
                Some(_) => None,
            };
            room -= stays;
            piece.truncate(stays);
            if !piece.is_empty() {
                self.queue.push_back(piece.fitted());
            }
            if let Some(stored) = stored
                && !self.join(&stored)
            {
                self.queue.push_back(stored);
            }
        }
        Ok(())
    }

    /// Lowers the limit of a captured body, in bytes.
    pub fn limit_capture(&mut self, limit: usize) {
        if let Sink::Capture(_, old) = &mut self.sink {
            *old = limit.min(*old);
        }
    }

    /// Whether a captured body was longer than its limit.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// As [`Client::poll_flush`], in the way that is cheapest before what comes behind: before a
    /// request, a single piece leaves at the end of the loop's turn; before the end of the stream,
    /// the last piece leaves in one packet with it.
    pub(crate) fn poll_flush_before(
        &mut self,
        cx: &mut Context<'_>,
        behind: Behind,
    ) -> Poll<io::Result<()>> {
        if behind == Behind::Request
            && self.queue.len() == 1
            && self.rate.is_none()
            && self.poll_only(|conn, bytes| conn.poll_post(cx, bytes))?.is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        if let (Behind::Close, Sink::Link(link)) = (behind, &mut self.sink) {
            link.conn.end_follows();
        }
        self.poll_flush(cx)
    }

    /// Sends until the queue is empty. Ready with an error when the client is gone or has not
    /// taken a byte for `send_timeout` (`TimedOut`).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.queue.len() == 1 && self.rate.is_none() {
            let send = |conn: &mut Conn, bytes: &[u8]| conn.poll_send(cx, &[IoSlice::new(bytes)]);
            if self.poll_only(send)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
        }
        let mut turn = 0;
        while !self.queue.is_empty() {
            let budget = match &mut self.rate {
                Some(rate) => ready!(rate.poll_budget(cx, self.bytes_sent)),
                None => u64::MAX,
            };
            match self.poll_write(cx, budget) {
                Poll::Ready(Ok(sent)) => {
                    self.bytes_sent += sent;
                    self.deadline.clear();
                    turn += sent;
                    if (1..=turn).contains(&self.sendfile_chunk) && !self.queue.is_empty() {
                        // The other connections have their turn before the next chunk.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(e)) => {
                    self.broken = true;
                    return Poll::Ready(Err(e));
                }
                Poll::Pending => {
                    if self.deadline.at() == Instant::NEVER {
                        self.deadline.after(self.send_timeout);
                    }
                    ready!(self.deadline.poll(cx));
                    self.timed_out = true;
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        match &mut self.sink {
            Sink::Link(link) => {
                if std::mem::take(&mut self.corked) {
                    link.conn.set_nopush(false);
                }
                link.conn.poll_flush(cx)
            }
            // Whoever takes from the pipe lets the subrequest go on.
            Sink::Pipe(pipe) if pipe.bytes.get() > 0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether bytes can go straight from another connection: to a plain one, as fast as it takes
    /// them, and before everything else.
    pub(crate) fn can_move(&self) -> bool {
        self.queue.is_empty()
            && self.rate.is_none()
            && !self.corked
            && matches!(&self.sink, Sink::Link(link) if link.conn.can_move())
    }

    /// Moves at most `max` bytes from another connection to the client's; how many came. What the
    /// client does not take waits in the queue. Only where [`Client::can_move`] says so; that the
    /// client is gone shows in [`Client::broken`].
    pub(crate) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let Sink::Link(link) = &mut self.sink else { return Poll::Ready(Ok(0)) };
        let moved = ready!(from.poll_move(cx, &mut link.conn, max))?;
        self.bytes_sent += moved.sent as u64;
        if moved.sent > 0 {
            self.deadline.clear();
        }
        self.broken |= moved.broken.is_some();
        self.push(moved.rest.into());
        Poll::Ready(Ok(moved.received))
    }

    /// Sends the only piece there is over a plain connection, as most responses are sent. Pending
    /// when something is left to do.
    fn poll_only(
        &mut self,
        send: impl FnOnce(&mut Conn, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let (Sink::Link(link), Some(Piece::Buf(buf, range))) = (&mut self.sink, self.queue.front())
        else {
            return Poll::Pending;
        };
        if self.corked || link.conn.tls().is_some() {
            return Poll::Pending;
        }
        let sent = match send(&mut link.conn, &buf[range.clone()]) {
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(error)) => {
                self.broken = true;
                return Poll::Ready(Err(error));
            }
            Poll::Pending => return Poll::Pending,
        };
        self.bytes_sent += sent as u64;
        self.deadline.clear();
        if sent < range.len() {
            self.consume(sent as u64);
            return Poll::Pending;
        }
        self.queue.clear();
        self.queued = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether a file goes by `sendfile` right behind bytes from memory.
    fn wants_cork(&self) -> bool {
        self.nopush
            && self.sendfile
            && !self.corked
            && matches!(self.queue.back(), Some(Piece::File(..)))
            && !matches!(self.queue.front(), Some(Piece::File(..)))
    }

    /// Waits until the queue is empty. While it has to wait, it watches whether the client goes
    /// away.
    ///
    /// # Errors
    /// As [`Client::poll_flush`]; `ConnectionAborted` when the client has closed its connection.
    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Pending => self.poll_gone(cx).map(Err),
            flushed => flushed,
        })
        .await
    }

    /// Ready with `ConnectionAborted` when the client has closed its connection. Bytes that it
    /// has sent hide that.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Sink::Link(link) = &mut self.sink else { return Poll::Pending };
        if !link.input.is_empty() {
            return Poll::Pending;
        }
        match ready!(link.conn.poll_readable(cx)) {
            Ok(()) if !link.conn.is_closed() => Poll::Pending,
            _ => {
                self.broken = true;
                Poll::Ready(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    /// One write of at most `budget` bytes from the head of the queue.
    fn poll_write(&mut self, cx: &mut Context<'_>, budget: u64) -> Poll<io::Result<u64>> {
        let corks = self.wants_cork();
        let Sink::Link(link) = &mut self.sink else { return Poll::Ready(Ok(0)) };
        if corks && link.conn.can_sendfile() {
            link.conn.set_nopush(true);
            self.corked = true;
        }
        if let Some(Piece::File(file, range)) = self.queue.front() {
            let chunk = if self.sendfile_chunk == 0 { LARGEST_WRITE } else { self.sendfile_chunk };
            let want = (range.end - range.start).min(budget).min(chunk);
            if self.sendfile && link.conn.can_sendfile() {
                let sent =
                    ready!(link.conn.poll_sendfile(cx, file.as_fd(), range.start, want as usize))?;
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.consume(sent as u64);
                return Poll::Ready(Ok(sent as u64));
            }
            let file = self.queue.pop_front().expect("the front was just looked at");
            let (memory, rest) = file.load_at_most(self.file_read)?;
            if let Some(rest) = rest {
                self.queue.push_front(rest);
            }
            self.queue.push_front(memory);
        }
        let mut slices = [IoSlice::new(&[]); GATHER];
        let mut count = 0;
        let mut left = budget;
        for piece in self.queue.iter().take(GATHER) {
            let Some(bytes) = piece.bytes() else { break };
            let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            slices[count] = IoSlice::new(bytes);
            count += 1;
            left -= bytes.len() as u64;
            if left == 0 {
                break;
            }
        }
        let sent = ready!(link.conn.poll_send(cx, &slices[..count]))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.consume(sent as u64);
        Poll::Ready(Ok(sent as u64))
    }

    /// Takes `sent` bytes off the head of the queue.
    fn consume(&mut self, mut sent: u64) {
        self.queued -= sent;
        while sent > 0 {
            let Some(front) = self.queue.front_mut() else { return };
            let len = front.len();
            if sent < len {
                front.advance(sent);
                return;
            }
            sent -= len;
            self.queue.pop_front();
        }
    }
}

/// Appends a piece to a captured body; what is over the limit is dropped, as the reader of a
/// capture checks the length against its own limit.
fn capture(body: &mut Vec<u8>, limit: usize, piece: Piece) {
    let mut rest = Some(piece);
    while let Some(piece) = rest.take() {
        let Ok((memory, more)) = piece.load() else { return };
        let bytes = memory.bytes().unwrap_or_default();
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        rest = more;
    }
}

/// A pooled buffer of one read's size.
pub fn read_buffer() -> Buf {
    buffer::take(READ_SIZE)
}

/// How much one read from a client takes at most.
pub const READ_SIZE: usize = 16 * 1024;

//! The sending of queued pieces.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use weir_engine::clock::Instant;
use weir_engine::connection::Conn;

use super::{Behind, Client, Sink};
use crate::piece::Piece;

impl Client {
    /// Like [`Client::poll_flush`], in the cheapest way for `behind`: before another request, a
    /// single piece is sent at the end of the loop's turn; before the end of the connection, the
    /// last piece is sent in one packet with it.
    pub(crate) fn poll_flush_before(
        &mut self,
        cx: &mut Context<'_>,
        behind: Behind,
    ) -> Poll<io::Result<()>> {
        if behind == Behind::Request
            && self.queue.len() == 1
            && self.rate.is_none()
            && self.poll_only(cx, behind)?.is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        if let (Behind::Close, Sink::Client(exchange), None) = (behind, &mut self.sink, &self.rate)
        {
            // With a rate the end may be far: the kernel would hold each share back for a while.
            exchange.end_follows();
        }
        self.poll_flush(cx)
    }

    /// Whether what is queued only waits for other streams, on a connection that takes bytes: for
    /// no longer than they do.
    pub(crate) fn waits_for_turn(&self) -> bool {
        let Sink::Client(exchange) = &self.sink else { return false };
        self.rate.is_none() && !self.queue.waits_for_disk() && exchange.waits_for_turn()
    }

    /// Sends until the queue is empty. Ready with an error when the client is gone, or has not
    /// taken a byte for `send_timeout` (`TimedOut`).
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.queue.len() == 1
            && self.rate.is_none()
            && self.poll_only(cx, Behind::More)?.is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let mut turn = 0;
        while !self.queue.is_empty() {
            let budget = match &mut self.rate {
                Some(rate) => ready!(rate.poll_budget(cx, self.bytes_sent)),
                None => u64::MAX,
            };
            let written = match &mut self.sink {
                Sink::Client(exchange) => {
                    exchange.poll_write(cx, &mut self.queue, &self.sending, budget)
                }
                _ => Poll::Ready(Ok(0)),
            };
            match written {
                Poll::Ready(Ok(sent)) => {
                    self.bytes_sent += sent;
                    self.deadline.clear();
                    turn += sent;
                    if (1..=turn).contains(&self.sending.sendfile_chunk) && !self.queue.is_empty() {
                        // Other connections have their turn before the next chunk.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(e)) => {
                    self.broken = true;
                    return Poll::Ready(Err(e));
                }
                Poll::Pending if self.queue.waits_for_disk() => {
                    self.deadline.clear();
                    return Poll::Pending;
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
            Sink::Client(exchange) => {
                let flushed = exchange.poll_flush(cx);
                self.bytes_sent += exchange.take_uncounted();
                flushed
            }
            // The request that takes from the pipe wakes the subrequest.
            Sink::Pipe(pipe) if pipe.bytes.get() > 0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether the kernel can move bytes from another connection: the client's is plain, without a
    /// rate, and nothing is queued.
    pub(crate) fn can_move(&self) -> bool {
        self.queue.is_empty()
            && self.rate.is_none()
            && matches!(&self.sink, Sink::Client(exchange) if exchange.can_move())
    }

    /// Moves at most `max` bytes from another connection to the client's, and returns the number
    /// received. Bytes that the client does not take are queued. Allowed if [`Client::can_move`]. A
    /// client that is gone shows in [`Client::broken`].
    pub(crate) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let Sink::Client(exchange) = &mut self.sink else { return Poll::Ready(Ok(0)) };
        let moved = ready!(exchange.poll_move(cx, from, max))?;
        self.bytes_sent += moved.sent as u64;
        if moved.sent > 0 {
            self.deadline.clear();
        }
        self.broken |= moved.broken.is_some();
        self.push(moved.rest.into());
        Poll::Ready(Ok(moved.received))
    }

    /// Sends the only piece, as for most responses. Pending when something is left to do.
    fn poll_only(&mut self, cx: &mut Context<'_>, behind: Behind) -> Poll<io::Result<()>> {
        let (Sink::Client(exchange), Some(Piece::Buf(buf, range))) =
            (&mut self.sink, self.queue.front())
        else {
            return Poll::Pending;
        };
        let sent = match ready!(exchange.poll_only(cx, &buf[range.clone()], behind)) {
            Ok(sent) => sent,
            Err(error) => {
                self.broken = true;
                return Poll::Ready(Err(error));
            }
        };
        self.bytes_sent += sent as u64;
        self.deadline.clear();
        if sent < range.len() {
            self.queue.consume(sent as u64);
            return Poll::Pending;
        }
        self.queue.only_left();
        Poll::Ready(Ok(()))
    }

    /// Waits until the queue is empty, and meanwhile watches for the client to leave.
    ///
    /// # Errors
    /// As [`Client::poll_flush`]; `ConnectionAborted` if the client has closed its connection.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Pending => self.poll_gone(cx).map(Err),
            flushed => flushed,
        })
        .await
    }
}

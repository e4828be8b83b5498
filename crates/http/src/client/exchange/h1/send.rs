//! Sending over a connection: gathered pieces, files sent by the kernel, and heads held back for
//! files.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use super::Link;
use crate::client::queue::Queue;
use crate::client::{Behind, Sending};
use crate::piece::Piece;

/// The maximum number of pieces in one `writev`.
const GATHER: usize = 32;

/// The maximum length of one call, if nothing else limits it.
const LARGEST_WRITE: u64 = 1 << 30;

impl Link {
    pub(in crate::client) fn has_left(&self) -> bool {
        !self.corked && self.conn.tls().is_none()
    }

    pub(in crate::client) fn can_move(&self) -> bool {
        !self.corked && self.conn.can_move()
    }

    /// Sends the only piece over a plain connection, as for most responses. Before another request,
    /// it leaves at the end of the loop's turn.
    pub(in crate::client) fn poll_only(
        &mut self,
        cx: &mut Context<'_>,
        piece: &[u8],
        behind: Behind,
    ) -> Poll<io::Result<usize>> {
        if self.corked || self.conn.tls().is_some() {
            return Poll::Pending;
        }
        match behind {
            Behind::Request => self.conn.poll_post(cx, piece),
            _ => self.conn.poll_send(cx, &[IoSlice::new(piece)]),
        }
    }

    /// Writes at most `budget` bytes from the front of the queue, once.
    pub(in crate::client) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
        sending: &Sending,
        budget: u64,
    ) -> Poll<io::Result<u64>> {
        let chunk = match sending.sendfile_chunk {
            0 => LARGEST_WRITE,
            chunk => chunk,
        };
        if self.wants_cork(queue, sending) && self.conn.can_sendfile() {
            if let Some(head) = before_one_call(queue, budget.min(chunk)) {
                let sent = ready!(self.conn.poll_send_more(cx, head))?;
                return consumed(queue, sent);
            }
            self.conn.set_nopush(true);
            self.corked = true;
        }
        if let Some(Piece::File(_, range)) = queue.front() {
            let most = (range.end - range.start).min(budget).min(chunk);
            let by_kernel = sending.sendfile && self.conn.can_sendfile();
            let most = by_kernel.then_some(most);
            if let Some(count) = ready!(queue.poll_file(cx, most, sending.file_read))? {
                return self.poll_send_file(cx, queue, count as usize);
            }
        }
        let sent = ready!(self.poll_gathered(cx, queue, budget))?;
        consumed(queue, sent)
    }

    /// Lets the kernel send `count` bytes of the file in front.
    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut Queue,
        count: usize,
    ) -> Poll<io::Result<u64>> {
        let Some(Piece::File(file, range)) = queue.front() else { return Poll::Ready(Ok(0)) };
        let sent = ready!(self.conn.poll_sendfile(cx, file.as_fd(), range.start, count))? as u64;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        queue.sent_file(sent);
        Poll::Ready(Ok(sent))
    }

    /// Sends pieces from memory with one call.
    fn poll_gathered(
        &mut self,
        cx: &mut Context<'_>,
        queue: &Queue,
        budget: u64,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); GATHER];
        let mut count = 0;
        let mut left = budget;
        for piece in queue.iter().take(GATHER) {
            let Some(bytes) = piece.bytes() else { break };
            let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            slices[count] = IoSlice::new(bytes);
            count += 1;
            left -= bytes.len() as u64;
            if left == 0 {
                break;
            }
        }
        self.conn.poll_send(cx, &slices[..count])
    }

    /// Whether a file is sent by `sendfile` after bytes from memory.
    fn wants_cork(&self, queue: &Queue, sending: &Sending) -> bool {
        sending.nopush
            && sending.sendfile
            && !self.corked
            && matches!(queue.back(), Some(Piece::File(..)))
            && !matches!(queue.front(), Some(Piece::File(..)))
    }

    /// Sends the bytes held back.
    pub(in crate::client) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.corked) {
            self.conn.set_nopush(false);
        }
        self.conn.poll_flush(cx)
    }
}

/// The only piece in front of a file that leaves by one call, if `most` bytes may leave in all: the
/// kernel can be told to fill a packet with both when it gets the piece, which spares the two calls
/// that cork a socket.
fn before_one_call(queue: &Queue, most: u64) -> Option<&[u8]> {
    if queue.len() != 2 || !queue.aio().is_off() {
        return None;
    }
    let head = queue.front()?.bytes()?;
    let whole = queue.back()?.len() + head.len() as u64;
    (whole <= most).then_some(head)
}

/// Removes bytes that the kernel has taken from the queue.
fn consumed(queue: &mut Queue, sent: usize) -> Poll<io::Result<u64>> {
    if sent == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    queue.consume(sent as u64);
    Poll::Ready(Ok(sent as u64))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use weir_engine::file_io::{Aio, File};
    use weir_engine::thread_pool::{Size, ThreadPool};

    use super::*;

    fn file(length: u64) -> Piece {
        let file = std::fs::File::open("/dev/null").unwrap();
        Piece::File(Rc::new(File::new(file)), 0..length)
    }

    fn queue(pieces: Vec<Piece>) -> Queue {
        let mut queue = Queue::default();
        for piece in pieces {
            let length = piece.len();
            queue.push(piece, length);
        }
        queue
    }

    #[test]
    fn a_head_is_held_back_without_a_cork_only_for_a_file_that_leaves_by_one_call() {
        const LENGTH: u64 = 100_000;
        let whole = queue(vec![Piece::Static(b"head"), file(LENGTH)]);
        assert_eq!(before_one_call(&whole, LENGTH + 4), Some(&b"head"[..]));
        assert_eq!(before_one_call(&whole, LENGTH + 3), None, "the file takes two calls");
        let alone = queue(vec![file(LENGTH)]);
        assert_eq!(before_one_call(&alone, u64::MAX), None);
        let more = queue(vec![Piece::Static(b"head"), file(LENGTH), Piece::Static(b"tail")]);
        assert_eq!(before_one_call(&more, u64::MAX), None, "something follows the file");
        let mut waits = queue(vec![Piece::Static(b"head"), file(LENGTH)]);
        waits.set_aio(Aio::Threads(ThreadPool::new("none", Size::DEFAULT)));
        assert_eq!(before_one_call(&waits, u64::MAX), None, "the file may wait for a disk");
    }
}

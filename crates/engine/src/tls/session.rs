//! The TLS layer of a connection once its handshake is done.

use std::fmt;
use std::io::{self, BufRead, IoSlice, Write};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::info::TlsInfo;
use crate::buffer::{self, Buf};
use crate::connection::socket::Socket;

/// How much is received from the kernel at once: a few whole records.
const INBOUND: usize = 32 * 1024;

/// How much plaintext may be on its way to the kernel, encrypted. Beyond it a sender waits.
const OUTBOUND_LIMIT: usize = 64 * 1024;

/// How long the stretches are that rustls gets. It copies each behind the five bytes of a record's
/// head, so the target lies as far behind the source as the two buffers do, and five bytes: where
/// that is a little more than a multiple of 4,096, which it often is, the one instruction by which
/// the C library copies longer stretches takes thirty times as long on some processors (AMD's Zen
/// 3 and 4). That was a third of the time of a large response.
const STRETCH: usize = 2 * 1024;

/// How many stretches are encrypted at once: what may be on its way, and the ends of some buffers.
const PARTS: usize = OUTBOUND_LIMIT / STRETCH + 8;

/// Cuts `bufs` into stretches, as many as there is room for.
fn cut<'a, 'b>(bufs: &'a [IoSlice<'_>], parts: &'b mut [IoSlice<'a>; PARTS]) -> &'b [IoSlice<'a>] {
    let mut count = 0;
    let stretches = bufs.iter().flat_map(|buf| buf.chunks(STRETCH));
    for (part, stretch) in parts.iter_mut().zip(stretches) {
        *part = IoSlice::new(stretch);
        count += 1;
    }
    &parts[..count]
}

/// One end of a TLS connection.
pub(crate) struct Session {
    tls: rustls::Connection,
    info: Rc<TlsInfo>,
    /// Bytes received and not decrypted yet, from `taken` on. Without memory while idle.
    inbound: Buf,
    taken: usize,
    closing: bool,
}

impl Session {
    /// `inbound` is what was received behind the handshake's last message.
    pub(crate) fn new(mut tls: rustls::Connection, info: Rc<TlsInfo>, inbound: Buf) -> Self {
        tls.set_buffer_limit(Some(OUTBOUND_LIMIT));
        Self { tls, info, inbound, taken: 0, closing: false }
    }

    pub(crate) fn info(&self) -> &Rc<TlsInfo> {
        &self.info
    }

    /// Whether nothing was received that nobody has read yet, and nothing waits to be sent.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.inbound.is_empty()
            && !self.tls.wants_write()
            && !matches!(self.tls.reader().fill_buf(), Ok(bytes) if !bytes.is_empty())
    }

    /// Receives at most `max` bytes of plaintext.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(done) = self.take_plaintext(into, max) {
                return Poll::Ready(done);
            }
            ready!(self.poll_records(cx, socket))?;
        }
    }

    /// Ready when a receive would not wait for the socket, or when the socket has something.
    pub(crate) fn poll_readable(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        if !self.inbound.is_empty() || self.tls.reader().fill_buf().is_ok() {
            return Poll::Ready(Ok(()));
        }
        socket.poll_readable(cx)
    }

    /// Whether a connection that should be silent is still open: what the peer says of TLS
    /// itself, such as new session tickets, does not count.
    pub(crate) fn is_silent(&mut self, socket: &mut Socket) -> bool {
        if self.inbound.is_empty() && self.is_idle() && socket.is_silent() {
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_recv(&mut cx, socket, &mut Vec::new(), 1).is_pending()
    }

    /// Plaintext that is there already; `None` if more records are needed.
    fn take_plaintext(&mut self, into: &mut Vec<u8>, max: usize) -> Option<io::Result<usize>> {
        let mut total = 0;
        while total < max {
            let mut reader = self.tls.reader();
            match reader.fill_buf() {
                // The peer has closed the TLS connection in order.
                Ok([]) => return Some(Ok(total)),
                Ok(bytes) => {
                    let count = bytes.len().min(max - total);
                    into.extend_from_slice(&bytes[..count]);
                    reader.consume(count);
                    total += count;
                }
                // Closed without saying so; like nginx we take that for the end, too.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Some(Ok(total));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Some(Err(error)),
            }
        }
        (total > 0).then_some(Ok(total))
    }

    /// Takes in what the socket has, as far as it makes whole records.
    fn poll_records(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<()>> {
        if self.taken == self.inbound.len() {
            ready!(self.poll_fill(cx, socket))?;
        }
        let before = self.taken;
        let mut rest = &self.inbound[before..];
        let fed = self.tls.read_tls(&mut rest)?;
        if fed == 0 && !self.inbound.is_empty() {
            // Nothing is taken any more: what follows the peer's close is not for us.
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        self.taken += fed;
        if self.taken == self.inbound.len() {
            (self.inbound, self.taken) = (Buf::empty(), 0);
        }
        let processed = self.tls.process_new_packets();
        if self.tls.wants_write() {
            // An alert, a ticket or a key update; what the socket does not take now goes out
            // before whatever is sent next.
            let _ = self.poll_write(cx, socket);
        }
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<()>> {
        let mut inbound = buffer::take(INBOUND);
        // On `Pending` the buffer goes back to its pool: a waiting connection holds none.
        let count = ready!(socket.poll_recv(cx, &mut inbound, INBOUND))?;
        if count == 0 {
            self.tls.read_tls(&mut io::empty())?;
        }
        (self.inbound, self.taken) = (inbound, 0);
        Poll::Ready(Ok(()))
    }

    /// Encrypts from `bufs` and sends; returns how much plaintext was taken.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx, socket))?;
        let mut parts;
        let bufs = if bufs.iter().all(|buf| buf.len() <= STRETCH) {
            bufs
        } else {
            parts = [IoSlice::new(&[]); PARTS];
            cut(bufs, &mut parts)
        };
        let taken = self.tls.writer().write_vectored(bufs)?;
        if let Poll::Ready(Err(error)) = self.poll_write(cx, socket) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    /// Ready when nothing encrypted waits any more.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            ready!(self.poll_write(cx, socket))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<()>> {
        match self.tls.write_tls(&mut Outbound { cx, socket }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Ok(0) if self.tls.wants_write() => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            done => Poll::Ready(done.map(drop)),
        }
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn poll_close_notify(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closing, true) {
            self.tls.send_close_notify();
        }
        self.poll_flush(cx, socket)
    }

    /// The same for a socket that the loop does not watch (any more): as far as one call gets.
    pub(crate) fn close_notify_on(&mut self, fd: impl std::os::fd::AsFd) {
        if !std::mem::replace(&mut self.closing, true) {
            self.tls.send_close_notify();
            let mut bytes = Vec::new();
            while self.tls.wants_write() && self.tls.write_tls(&mut bytes).is_ok() {}
            let _ = rustix::net::send(fd, &bytes, rustix::net::SendFlags::NOSIGNAL);
        }
    }
}

/// The socket as rustls writes to it.
pub(super) struct Outbound<'a, 'b> {
    pub(super) cx: &'a mut Context<'b>,
    pub(super) socket: &'a mut Socket,
}

impl Write for Outbound<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_send(self.cx, bufs) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("info", &self.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_pieces_are_cut_and_none_is_lost() {
        let bytes: Vec<u8> = (0..OUTBOUND_LIMIT).map(|number| (number % 251) as u8).collect();
        let bufs = [&bytes[..100], &bytes[100..100], &bytes[100..5000], &bytes[5000..]];
        let bufs = bufs.map(IoSlice::new);
        let mut parts = [IoSlice::new(&[]); PARTS];
        let parts = cut(&bufs, &mut parts);
        assert!(parts.iter().all(|part| (1..=STRETCH).contains(&part.len())));
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        assert!(joined == bytes);
    }

    #[test]
    fn there_is_an_end_to_what_is_cut() {
        let bytes = vec![0; 2 * OUTBOUND_LIMIT];
        let mut parts = [IoSlice::new(&[]); PARTS];
        assert_eq!(cut(&[IoSlice::new(&bytes)], &mut parts).len(), PARTS);
    }
}

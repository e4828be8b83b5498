//! A non-blocking socket and its readiness as known to the loop.
//!
//! The loop starts to watch it when the kernel first reports that a call would block: nothing can
//! have been missed by then, because present readiness is reported when watching starts.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::addr::Addr;
use crate::buffer::{self, Buf};
use crate::event_loop::here::{here, with_here};
use crate::event_loop::outbox::{self, Round};
use crate::event_loop::reactor::lot::LotId;
use crate::event_loop::reactor::source::Source;
use crate::event_loop::readiness::{Heard, Watch};
use crate::kernel::{self, Descriptor};

/// Knowledge about the next call without the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// A read returned less than requested, so another one would block. Only for a socket that is
    /// not watched.
    Drained,
    /// A write would have blocked, and no space has been reported since. Only for a watched socket.
    Full,
}

/// It is a Unix stream.
const UNIX: u8 = 1;
/// The end of the stream follows directly after the data.
const ENDS: u8 = 2;

#[derive(Debug)]
pub(crate) struct Socket {
    /// Before the descriptor, so that its slot is free before the number is reused.
    source: Option<Source>,
    fd: Descriptor,
    /// The round of the last message in the outbox, until it is known to have been sent.
    posted: Option<Round>,
    known: Known,
    /// [`UNIX`] and [`ENDS`], in one byte: each idle connection has them.
    flags: u8,
}

impl Socket {
    /// Wraps a non-blocking socket.
    pub(crate) fn new(fd: Descriptor, peer: &Addr) -> Self {
        let flags = if peer.is_unix() { UNIX } else { 0 };
        Self { source: None, fd, posted: None, known: Known::Nothing, flags }
    }

    /// Ready when a pending connection is established or has failed.
    pub(crate) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = match self.source.take() {
            Some(source) => source,
            None => Source::new(self.fd.as_fd(), Watch::Connecting)?,
        };
        ready!(self.source.insert(source).poll_write(cx));
        kernel::socket_error(&self.fd)??;
        let way = self.way();
        self.watch()?.connected(way);
        Poll::Ready(Ok(()))
    }

    /// How it is watched.
    fn way(&self) -> Watch {
        if self.flags & UNIX == 0 { Watch::Socket } else { Watch::Local }
    }

    fn watch(&mut self) -> io::Result<&Source> {
        let source = match self.source.take() {
            Some(source) => source,
            None => Source::new(self.fd.as_fd(), self.way())?,
        };
        Ok(self.source.insert(source))
    }

    /// Redirects events to the lot. Returns `false` if an event is pending already, or if the
    /// socket cannot be watched.
    pub(crate) fn park(&mut self, lot: &LotId, key: u32) -> bool {
        self.watch().is_ok_and(|source| source.park(lot, key))
    }

    /// Redirects events to tasks again.
    pub(crate) fn unpark(&self) {
        if let Some(source) = &self.source {
            source.unpark();
        }
    }

    /// Whether no unread data has been reported. Meaningless if it is not watched.
    pub(crate) fn was_heard(&self) -> bool {
        self.source.as_ref().is_some_and(|source| !source.is_silent())
    }

    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let heard = ready!(self.poll_heard(cx))?;
            if let Some(received) = self.try_recv(heard, into, max) {
                return Poll::Ready(received);
            }
        }
    }

    /// Like [`Self::poll_recv`], with a buffer that is allocated only while it holds data.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let heard = ready!(self.poll_heard(cx))?;
            if into.is_empty() && into.capacity() < max {
                *into = buffer::take(max);
            }
            if let Some(received) = self.try_recv(heard, into, max) {
                return Poll::Ready(received);
            }
            if into.is_empty() {
                *into = Buf::empty();
            }
        }
    }

    /// Pending if it is known, without a call, that nothing can be received.
    #[inline]
    pub(crate) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Heard>> {
        match &self.source {
            Some(source) => source.poll_read(cx).map(Ok),
            None if self.known == Known::Drained => self.watch()?.poll_read(cx).map(Ok),
            None => Poll::Ready(Ok(Heard::Readable)),
        }
    }

    /// Like [`Self::poll_may_recv`], for a reader that moves the data without copying it to our
    /// memory.
    pub(crate) fn poll_to_move(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Heard>> {
        match &self.source {
            Some(source) => source.poll_move(cx).map(Ok),
            None => self.poll_heard(cx),
        }
    }

    /// Receives, or records that the read would block.
    #[inline]
    fn try_recv(
        &mut self,
        heard: Heard,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Option<io::Result<usize>> {
        if heard == Heard::Held {
            return Some(self.take_held(into, max));
        }
        match kernel::recv_append(self.fd.as_fd(), into, max) {
            Ok(count) => {
                // A short read has emptied the socket. Later data is a new event, and a close
                // already seen stays known.
                if count > 0 && count < max {
                    match &self.source {
                        Some(source) => source.drained(count),
                        None => self.known = Known::Drained,
                    }
                }
                Some(Ok(count))
            }
            Err(error) if would_block(&error) => self.read_blocked().err().map(Err),
            Err(error) => Some(Err(error)),
        }
    }

    /// Takes the data held by the loop, followed by that in the socket, if there may be any.
    pub(crate) fn take_held(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let source = self.source.as_ref().expect("what is held has a source");
        let (taken, may_be_more) = source.take(into, max);
        let count = taken?;
        if !may_be_more || count == 0 || count == max {
            return Ok(count);
        }
        match self.try_recv(Heard::Readable, into, max - count) {
            Some(Ok(more)) => Ok(count + more),
            Some(Err(error)) => {
                let source = self.source.as_ref().expect("it is watched");
                source.fail_later(Errno::from_io_error(&error).unwrap_or(Errno::CONNRESET));
                Ok(count)
            }
            None => Ok(count),
        }
    }

    /// Pending if it is known, without a call, that nothing can be received.
    pub(crate) fn poll_may_recv(&self, cx: &mut Context<'_>) -> Poll<()> {
        let watched = self.source.as_ref().map(|source| source.poll_read(cx).map(drop));
        watched.unwrap_or(Poll::Ready(()))
    }

    pub(crate) fn read_blocked(&mut self) -> io::Result<()> {
        match &self.source {
            Some(source) => source.read_blocked(),
            None => drop(self.watch()?),
        }
        Ok(())
    }

    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.source.is_none() && self.known != Known::Drained {
            match kernel::peek(self.fd.as_fd()) {
                Err(error) if would_block(&error) => {}
                done => return Poll::Ready(done.map(drop)),
            }
        }
        self.watch()?.poll_read(cx).map(|_| Ok(()))
    }

    /// Peeks at the first waiting byte.
    pub(crate) fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        loop {
            let heard = ready!(self.poll_heard(cx))?;
            if let (Some(source), Heard::Held) = (&self.source, heard) {
                return Poll::Ready(source.first_byte());
            }
            match kernel::peek_byte(self.fd.as_fd()) {
                Err(error) if would_block(&error) => self.read_blocked()?,
                done => return Poll::Ready(done),
            }
        }
    }

    /// Leaves a small message to the end of the loop's turn. A failure is noticed when the socket
    /// is read from.
    pub(crate) fn poll_post(
        &mut self,
        cx: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        let source = match &self.source {
            Some(source) if message.len() <= outbox::LARGEST && self.known != Known::Full => {
                source.id()
            }
            _ => return self.poll_send(cx, &[IoSlice::new(message)]),
        };
        ready!(self.poll_posted(cx));
        self.posted = Some(here().outbox.put(self.fd.as_fd(), source, message));
        Poll::Ready(Ok(message.len()))
    }

    #[cfg(test)]
    pub(crate) fn forget_fullness(&mut self) {
        self.known = Known::Nothing;
    }

    /// Ready when the kernel has all messages left to the end of a turn.
    #[inline]
    pub(crate) fn poll_posted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let (Some(source), Some(round)) = (&self.source, self.posted) {
            ready!(here().outbox.poll_gone(cx, || source.id(), round));
            self.posted = None;
        }
        Poll::Ready(())
    }

    /// Announces that only the end follows the next data: the kernel may send both in one packet.
    pub(crate) fn end_follows(&mut self) {
        self.flags |= ENDS;
    }

    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let more = if self.flags & ENDS == 0 { SendFlags::empty() } else { SendFlags::MORE };
        let sent = ready!(self.poll_write(cx, |fd| {
            Ok(match bufs {
                // A single slice is sent directly, past the kernel's file layer.
                [only] => kernel::send(fd, only, SendFlags::NOSIGNAL | more)?,
                _ => kernel::writev(fd, bufs)?,
            })
        }))?;
        let all = match bufs {
            [only] => only.len(),
            _ => bufs.iter().map(|buf| buf.len()).sum(),
        };
        if sent < all {
            self.filled()?;
        }
        Poll::Ready(Ok(sent))
    }

    /// The kernel reports space, so no call is needed before.
    #[cold]
    fn filled(&mut self) -> io::Result<()> {
        self.watch()?.filled();
        self.known = Known::Full;
        Ok(())
    }

    pub(crate) fn poll_send_more(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        self.poll_write(cx, |fd| Ok(kernel::send(fd, buf, flags)?))
    }

    pub(crate) fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, |fd| {
            let mut offset = offset;
            Ok(kernel::sendfile(fd, file, Some(&mut offset), len)?)
        })
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_posted(cx));
        loop {
            if self.known == Known::Full {
                ready!(self.watch()?.poll_write(cx));
                self.known = Known::Nothing;
            }
            match call(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => {
                    self.watch()?.write_blocked(cx);
                    self.known = Known::Full;
                    return Poll::Pending;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Whether nothing has arrived since all was read. Costs a system call only if the loop has
    /// reported an event or does not watch the socket.
    pub(crate) fn is_silent(&mut self) -> bool {
        match self.source.as_ref().map(Source::heard) {
            Some(None) => return true,
            Some(Some(Heard::Held)) => return false,
            Some(Some(Heard::Readable)) | None => {}
        }
        match kernel::peek(self.fd.as_fd()) {
            Err(error) if would_block(&error) => self.read_blocked().is_ok(),
            _ => false,
        }
    }

    /// Whether nothing is waiting, including the end, in the loop or in the socket.
    pub(crate) fn has_nothing_unread(&self) -> bool {
        let held = self.source.as_ref().and_then(Source::heard) == Some(Heard::Held);
        let peeked = || kernel::peek(self.fd.as_fd());
        !held && peeked().is_err_and(|error| would_block(&error))
    }

    /// Whether the peer has closed or reset the connection, unless unread data hides it.
    pub(crate) fn is_closed(&self) -> bool {
        if let Some(source) = &self.source
            && source.heard() == Some(Heard::Held)
        {
            return !matches!(source.first_byte(), Ok(Some(_)));
        }
        match kernel::peek(self.fd.as_fd()) {
            Ok(count) => count == 0,
            Err(error) => !would_block(&error),
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let (Some(source), Some(round)) = (&self.source, self.posted) {
            with_here(|here| here.outbox.forget(|| source.id(), round));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

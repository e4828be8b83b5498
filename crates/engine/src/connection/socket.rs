//! A non-blocking socket and what the loop knows of its readiness.
//!
//! The loop's readiness is edge-triggered: it is set by events and cleared here. It can be
//! cleared right after a call that would have blocked or that came back short, because events
//! are only taken in on this very thread, while no task runs: an edge after the call has not
//! been seen yet and will be.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, Waker, ready};

use rustix::net::SendFlags;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub(crate) struct Socket {
    fd: AsyncFd<OwnedFd>,
    /// Nothing was asked of the kernel yet: data may be there that no event has told of.
    fresh: bool,
}

impl Socket {
    /// Watches a socket that is non-blocking already.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: weir_sys::epoll::watch(fd)?, fresh: true })
    }

    /// Lets go of the socket without closing it.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd.into_inner()
    }

    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.fresh) {
            match weir_sys::socket::recv_append(self.fd.as_fd(), into, max) {
                Err(error) if would_block(&error) => {}
                done => {
                    // There may be more that still no event has told of.
                    self.fresh = matches!(done, Ok(count) if count == max);
                    return Poll::Ready(done);
                }
            }
        }
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match weir_sys::socket::recv_append(self.fd.as_fd(), into, max) {
                Ok(count) => {
                    // A short read has emptied the socket. What comes later makes a new edge,
                    // and a close seen already stays known.
                    if count > 0 && count < max {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if would_block(&error) => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.fresh) {
            match weir_sys::socket::peek(self.fd.as_fd()) {
                Err(error) if would_block(&error) => {}
                done => {
                    // The data is still there, so the next receive should try at once.
                    self.fresh = true;
                    return Poll::Ready(done.map(drop));
                }
            }
        }
        self.fd.poll_read_ready(cx).map_ok(drop)
    }

    /// Looks at the first byte that waits.
    pub(crate) fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        loop {
            ready!(self.poll_readable(cx))?;
            match weir_sys::socket::peek_byte(self.fd.as_fd()) {
                Err(error) if would_block(&error) => {
                    if let Poll::Ready(guard) = self.fd.poll_read_ready(cx) {
                        guard?.clear_ready();
                    }
                }
                done => return Poll::Ready(done),
            }
        }
    }

    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, |fd| {
            Ok(match bufs {
                // One piece goes straight to the socket, past the file layer of the kernel.
                [only] => rustix::net::send(fd, only, SendFlags::NOSIGNAL)?,
                _ => rustix::io::writev(fd, bufs)?,
            })
        })
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
            Ok(rustix::fs::sendfile(fd, file, Some(&mut offset), len)?)
        })
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match call(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => {
                    ready!(self.fd.poll_write_ready(cx))?.clear_ready();
                    // Pending unless the socket is broken, which the next call then tells.
                    ready!(self.fd.poll_write_ready(cx)).map(drop)?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fd.poll_write_ready(cx).map_ok(drop)
    }

    /// Whether the loop has heard nothing since all was read; if it has, whether it was nothing.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let guard = match self.fd.poll_read_ready(&mut cx) {
            Poll::Pending if !self.fresh => return true,
            Poll::Pending => None,
            Poll::Ready(Err(_)) => return false,
            Poll::Ready(Ok(guard)) => Some(guard),
        };
        match weir_sys::socket::peek(self.fd.as_fd()) {
            Err(error) if would_block(&error) => {
                if let Some(mut guard) = guard {
                    guard.clear_ready();
                }
                true
            }
            _ => false,
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

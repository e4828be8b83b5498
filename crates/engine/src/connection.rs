//! A connection to a client or to an upstream: TCP or unix socket, plain or TLS.
//!
//! Every operation makes its system call first and asks the event loop only when the kernel says
//! that it would block, so a busy connection costs the calls that move its bytes and no more.

use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};

use crate::addr::Addr;
use crate::buffer::{self, Buf};
use crate::kernel::{self, Descriptor};
use crate::socket::Socket;
use crate::stats::Slot;
use crate::timer::Deadline;
use crate::tls::info::TlsInfo;
use crate::tls::session::Session;

pub mod connect;
mod idle;
mod inherited;
pub mod splice;
mod timed;

pub(crate) use idle::Idle;
pub(crate) use inherited::Inherited;
pub use timed::SENDFILE_MAX;

/// A connection. It is closed when it is dropped.
#[derive(Debug)]
pub struct Conn {
    /// Counts the connection. Before the socket: a connection whose peer knows that it is closed
    /// is counted no longer.
    slot: Slot,
    socket: Socket,
    tls: Option<Box<Session>>,
    /// Bytes that were received before somebody decided whose they are; read first.
    early: Vec<u8>,
    peer: Addr,
    local: OnceCell<Addr>,
    id: u64,
    deadline: Deadline,
    inherited: Inherited,
}

/// Numbers of connections, to clients and to upstreams alike; the first is 1.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

fn next_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Conn {
    pub(crate) fn accepted(fd: Descriptor, peer: Addr, inherited: Inherited) -> Self {
        let conn = Self::new(Socket::new(fd), peer, next_number(), Slot::accepted());
        Self { inherited, ..conn }
    }

    pub(crate) fn outgoing(fd: Descriptor, peer: Addr) -> Self {
        Self::new(Socket::new(fd), peer, next_number(), Slot::outgoing())
    }

    fn new(socket: Socket, peer: Addr, id: u64, slot: Slot) -> Self {
        Self {
            slot,
            socket,
            tls: None,
            early: Vec::new(),
            peer,
            local: OnceCell::new(),
            id,
            deadline: Deadline::new(),
            inherited: Inherited::default(),
        }
    }

    /// A connection over a descriptor that is open already, non-blocking, and ours: one end of a
    /// socket pair, or one that another process has handed over.
    pub fn from_fd(fd: OwnedFd, peer: Addr) -> Self {
        Self::outgoing(kernel::adopt(fd), peer)
    }

    /// Whether there are bytes that have been received and not read, or not sent yet.
    pub(crate) fn is_busy(&mut self) -> bool {
        !self.early.is_empty() || self.tls.as_mut().is_some_and(|tls| !tls.is_idle())
    }

    /// The bytes given back with [`Conn::unread`], for the layer that is put on the connection.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    pub(crate) fn set_tls(&mut self, session: Session) {
        self.tls = Some(Box::new(session));
    }

    /// What it has from its listener.
    #[cfg(test)]
    pub(crate) fn inherited(&self) -> Inherited {
        self.inherited
    }

    #[cfg(test)]
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        self.tls.as_deref_mut()
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// What the TLS handshake has agreed on; `None` for a plain connection.
    pub fn tls(&self) -> Option<&Rc<TlsInfo>> {
        self.tls.as_deref().map(Session::info)
    }

    /// Closes the connection in order: on TLS the peer is told first, as far as that can be done
    /// without waiting. A drop alone closes without a word, as fits a broken connection.
    pub fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify_on(&self.socket);
        }
    }

    /// The number that the error log shows as `*5` and `$connection` gives.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The other end's address.
    pub fn peer(&self) -> &Addr {
        &self.peer
    }

    /// Replaces the other end's address, as `real_ip` and the PROXY protocol do.
    pub fn set_peer(&mut self, peer: Addr) -> Addr {
        std::mem::replace(&mut self.peer, peer)
    }

    /// This end's address; where the listener's is not enough, asked for when it is first needed.
    pub fn local(&self) -> &Addr {
        self.local.get_or_init(|| {
            let ask = || Addr::of_socket(&self.socket).unwrap_or(Addr::Unix(None));
            self.inherited.address().unwrap_or_else(ask)
        })
    }

    /// The descriptor's number, for messages.
    pub fn raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }

    /// Gives back bytes that were received and turned out to belong to whoever reads next.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.early.splice(..0, bytes.iter().copied());
    }

    /// Pending when it is known without asking the kernel that there is nothing to receive: a
    /// buffer is not needed yet.
    pub fn poll_may_recv(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.early.is_empty() && self.tls.is_none() {
            true => self.socket.poll_may_recv(cx),
            false => Poll::Ready(()),
        }
    }

    /// Receives at most `max` bytes behind what `into` holds; `Ok(0)` is the end of the stream.
    /// `into` grows if its room is smaller than `max`.
    pub fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            return Poll::Ready(Ok(self.take_early(into, max)));
        }
        if let Some(tls) = &mut self.tls {
            return tls.poll_recv(cx, &mut self.socket, into, max);
        }
        self.socket.poll_recv(cx, into, max)
    }

    /// Receives at most `max` bytes behind what `into` holds, as [`Conn::poll_recv`] does. An empty
    /// buffer gets its memory when there is something to receive and loses it when there is not:
    /// many may wait.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        if self.early.is_empty() && self.tls.is_none() {
            return self.socket.poll_fill(cx, into, max);
        }
        if into.is_empty() && into.capacity() < max {
            *into = buffer::take(max);
        }
        let received = self.poll_recv(cx, into, max);
        if received.is_pending() && into.is_empty() {
            *into = Buf::empty();
        }
        received
    }

    fn take_early(&mut self, into: &mut Vec<u8>, max: usize) -> usize {
        let count = max.min(self.early.len());
        into.extend_from_slice(&self.early[..count]);
        if count == self.early.len() {
            self.early = Vec::new();
        } else {
            self.early.drain(..count);
        }
        count
    }

    /// Ready when there is something to receive, be it the end of the stream or an error. Takes
    /// nothing and needs no buffer, so this is how to wait for the next request.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(tls) = &mut self.tls {
            return tls.poll_readable(cx, &mut self.socket);
        }
        self.socket.poll_readable(cx)
    }

    /// Sends from `bufs` with one system call; returns the number of bytes taken.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(tls) = &mut self.tls {
            return tls.poll_send(cx, &mut self.socket, bufs);
        }
        self.socket.poll_send(cx, bufs)
    }

    /// Sends a message at the end of the loop's turn, together with those of other connections,
    /// which costs less; a large one at once. That it did not leave shows when the connection is
    /// read from, so this is for a message that is waited on there: a request, or a response on a
    /// connection that is kept.
    pub fn poll_post(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<usize>> {
        match self.tls {
            Some(_) => self.poll_send(cx, &[IoSlice::new(message)]),
            None => self.socket.poll_post(cx, message),
        }
    }

    /// Ready when the kernel has what was left to the end of a turn.
    pub fn poll_posted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_posted(cx)
    }

    /// Whether there was no room for a message that was left to the end of a turn: it waits for the
    /// peer to take what was sent before.
    pub fn is_stuck(&mut self) -> bool {
        self.poll_posted(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// As [`Conn::poll_send`] with one piece behind which a file follows at once: a plain
    /// connection may keep it back to fill a packet with both.
    pub fn poll_send_more(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.tls {
            Some(_) => self.poll_send(cx, &[IoSlice::new(buf)]),
            None => self.socket.poll_send_more(cx, buf),
        }
    }

    /// The connection is closed or shut down right behind what is sent from now on: what does not
    /// fill a packet may leave with that.
    pub fn end_follows(&mut self) {
        self.socket.end_follows();
    }

    /// Ready when everything taken by [`Conn::poll_send`] is with the kernel. A plain connection
    /// holds nothing back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            Some(tls) => tls.poll_flush(cx, &mut self.socket),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Sends at most `len` bytes of `file` from `offset` without copying them through memory.
    /// Only where [`Conn::can_sendfile`] says so. `Ok(0)` means that the file is shorter.
    pub fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_sendfile(cx, file, offset, len)
    }

    /// Whether [`Conn::poll_sendfile`] can be used.
    pub fn can_sendfile(&self) -> bool {
        self.tls.is_none()
    }

    /// Says that nothing more will be sent; what comes can still be received.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            ready!(tls.poll_close_notify(cx, &mut self.socket))?;
        }
        ready!(self.socket.poll_posted(cx));
        Poll::Ready(self.shutdown_write())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        match kernel::shutdown(&self.socket, Shutdown::Write) {
            // The peer was faster.
            Err(rustix::io::Errno::NOTCONN) => Ok(()),
            done => done.map_err(io::Error::from),
        }
    }

    /// Whether a connection that should be silent is still open and silent. Costs no system call
    /// unless the loop has heard something from it.
    pub fn is_idle_alive(&mut self) -> bool {
        self.early.is_empty()
            && match &mut self.tls {
                Some(tls) => tls.is_silent(&mut self.socket),
                None => self.socket.is_silent(),
            }
    }

    /// Whether nothing waits to be received, not even the end, by a look at the socket itself: the
    /// loop may not have heard of it yet. A record of TLS that has come in part waits, too.
    pub fn has_nothing_unread(&mut self) -> bool {
        !self.is_busy() && self.socket.has_nothing_unread()
    }

    /// The first byte that waits, without taking it: whether a client speaks TLS (22) or not, on
    /// a port where both come. `Ok(None)` is the end of the stream.
    pub fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        if let Some(&first) = self.early.first() {
            return Poll::Ready(Ok(Some(first)));
        }
        self.socket.poll_first_byte(cx)
    }

    /// Whether the peer has closed or broken the connection, by a look at the socket that takes
    /// nothing away. Bytes that wait hide a close behind them, as with nginx.
    pub fn is_closed(&self) -> bool {
        self.socket.is_closed()
    }

    /// Switches Nagle's algorithm off or on (`tcp_nodelay`), if that is not how it is.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        if self.inherited.nodelay != nodelay {
            self.inherited.nodelay = nodelay;
            if !self.peer.is_unix() {
                // A connection that is dead already says so when it is used next.
                let _ = sockopt::set_tcp_nodelay(&self.socket, nodelay);
            }
        }
    }

    /// Holds back what does not fill a segment, or lets it go (`tcp_nopush`).
    pub fn set_nopush(&mut self, on: bool) {
        if !self.peer.is_unix() {
            let _ = sockopt::set_tcp_cork(&self.socket, on);
        }
    }

    /// Makes the drop of the connection reset it instead of closing it in order (`return 444`
    /// with `reset_timedout_connection`).
    pub fn reset_on_drop(&mut self) {
        let _ = kernel::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// The state of the TCP connection for `$tcpinfo_*`; `None` for a unix socket.
    pub fn tcp_info(&self) -> Option<weir_sys::socket::TcpInfo> {
        weir_sys::socket::tcp_info(self.socket.as_fd()).ok()
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;

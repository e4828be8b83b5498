//! A connection to a client or to an upstream: TCP or unix socket, plain or TLS.
//!
//! Every operation makes its system call first and asks the event loop only when the kernel reports
//! that it would block, so a busy connection costs only the calls that transfer its data.

use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};

use crate::addr::Addr;
use crate::buffer::{self, Buf};
use crate::capacity::Slot;
use crate::kernel::{self, Descriptor};
use crate::socket::Socket;
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

/// A connection, closed on drop.
#[derive(Debug)]
pub struct Conn {
    /// Counts the connection. Before the socket: when the peer sees the close, the connection is no
    /// longer counted.
    slot: Slot,
    socket: Socket,
    tls: Option<Box<Session>>,
    /// Data that was received ahead and given back; read first.
    early: Vec<u8>,
    peer: Addr,
    local: OnceCell<Addr>,
    id: u64,
    deadline: Deadline,
    inherited: Inherited,
}

/// The next connection number, for clients and upstreams alike; the first is 1.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

fn next_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Conn {
    pub(crate) fn accepted(fd: Descriptor, peer: Addr, inherited: Inherited) -> Self {
        let conn = Self::new(Socket::new(fd, &peer), peer, next_number(), Slot::accepted());
        Self { inherited, ..conn }
    }

    pub(crate) fn outgoing(fd: Descriptor, peer: Addr) -> Self {
        Self::new(Socket::new(fd, &peer), peer, next_number(), Slot::outgoing())
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

    /// A connection over an open, non-blocking descriptor: one end of a socket pair, or one
    /// received from another process.
    pub fn from_fd(fd: OwnedFd, peer: Addr) -> Self {
        Self::outgoing(kernel::adopt(fd), peer)
    }

    /// Whether data is received and unread, or not yet sent.
    pub(crate) fn is_busy(&mut self) -> bool {
        !self.early.is_empty() || self.tls.as_mut().is_some_and(|tls| !tls.is_idle())
    }

    /// The bytes given back with [`Conn::unread`], for a layer put on the connection.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    pub(crate) fn set_tls(&mut self, session: Session) {
        self.tls = Some(Box::new(session));
    }

    /// The properties inherited from its listener.
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

    /// The negotiated parameters of TLS; `None` for a plain connection.
    pub fn tls(&self) -> Option<&Rc<TlsInfo>> {
        self.tls.as_deref().map(Session::info)
    }

    /// Closes the connection: on TLS the peer gets a close_notify, if it can be sent without
    /// waiting. A drop alone sends none, as fits a broken connection.
    pub fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify_on(&self.socket);
        }
    }

    /// The number in the error log (`*5`) and in `$connection`.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The peer's address.
    pub fn peer(&self) -> &Addr {
        &self.peer
    }

    /// The local address. The kernel is asked on first use if the listener's is a wildcard.
    pub fn local(&self) -> &Addr {
        self.local.get_or_init(|| {
            let ask = || Addr::of_socket(&self.socket).unwrap_or(Addr::Unix(None));
            self.inherited.address().unwrap_or_else(ask)
        })
    }

    /// Gives back received bytes for the next reader.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.early.splice(..0, bytes.iter().copied());
    }

    /// Pending if it is known, without a system call, that nothing can be received: no buffer is
    /// needed yet.
    pub fn poll_may_recv(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.early.is_empty() && self.tls.is_none() {
            true => self.socket.poll_may_recv(cx),
            false => Poll::Ready(()),
        }
    }

    /// Appends at most `max` received bytes to `into`; `Ok(0)` is the end of the stream. `into`
    /// grows if its spare capacity is less than `max`.
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

    /// Like [`Conn::poll_recv`], with an empty buffer that is allocated when there is data and
    /// freed when there is none: many connections may be waiting.
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

    /// Ready when there is data, the end of the stream or an error. Reads nothing and needs no
    /// buffer; use it to wait for the next request.
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
    /// which costs less; a large one is sent at once. A failure is noticed when the connection is
    /// read from, so use it for messages that are followed by a read: a request, or a response on a
    /// kept connection.
    pub fn poll_post(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<usize>> {
        match self.tls {
            Some(_) => self.poll_send(cx, &[IoSlice::new(message)]),
            None => self.socket.poll_post(cx, message),
        }
    }

    /// Ready when posted messages have been passed to the kernel.
    pub fn poll_posted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_posted(cx)
    }

    /// Whether a posted message did not fit: it waits for the peer to accept earlier data.
    pub fn is_stuck(&mut self) -> bool {
        self.poll_posted(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Like [`Conn::poll_send`] with one slice that is directly followed by a file: a plain
    /// connection may hold it back to fill a packet with both.
    pub fn poll_send_more(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.tls {
            Some(_) => self.poll_send(cx, &[IoSlice::new(buf)]),
            None => self.socket.poll_send_more(cx, buf),
        }
    }

    /// Announces that the connection is closed or shut down right after the following data: a
    /// partial packet may be held back and leave with the end.
    pub fn end_follows(&mut self) {
        self.socket.end_follows();
    }

    /// Ready when all data taken by [`Conn::poll_send`] has been passed to the kernel. A plain
    /// connection holds nothing back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            Some(tls) => tls.poll_flush(cx, &mut self.socket),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Sends at most `len` bytes of `file` from `offset` without copying them through memory.
    /// Requires [`Conn::can_sendfile`]. `Ok(0)` means that the file is shorter.
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

    /// Closes the sending direction; data can still be received.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            ready!(tls.poll_close_notify(cx, &mut self.socket))?;
        }
        ready!(self.socket.poll_posted(cx));
        Poll::Ready(self.shutdown_write())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        match kernel::shutdown(&self.socket, Shutdown::Write) {
            // The peer has closed already.
            Err(rustix::io::Errno::NOTCONN) => Ok(()),
            done => done.map_err(io::Error::from),
        }
    }

    /// Whether an idle connection is open and has received nothing. Costs no system call unless the
    /// loop has reported an event.
    pub fn is_idle_alive(&mut self) -> bool {
        self.early.is_empty()
            && match &mut self.tls {
                Some(tls) => tls.is_silent(&mut self.socket),
                None => self.socket.is_silent(),
            }
    }

    /// Whether nothing is waiting to be received, including the end, as the socket itself reports:
    /// the loop may not know yet. A partial TLS record counts as waiting.
    pub fn has_nothing_unread(&mut self) -> bool {
        !self.is_busy() && self.socket.has_nothing_unread()
    }

    /// The first waiting byte, without reading it: tells whether a client speaks TLS (22), on a
    /// port for both. `Ok(None)` is the end of the stream.
    pub fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        if let Some(&first) = self.early.first() {
            return Poll::Ready(Ok(Some(first)));
        }
        self.socket.poll_first_byte(cx)
    }

    /// Whether the peer has closed or reset the connection, as the socket reports, without reading.
    /// Unread data hides a close, as in nginx.
    pub fn is_closed(&self) -> bool {
        self.socket.is_closed()
    }

    /// Turns Nagle's algorithm off or on (`tcp_nodelay`), if that is a change.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        if self.inherited.nodelay != nodelay {
            self.inherited.nodelay = nodelay;
            if !self.peer.is_unix() {
                // If the connection is broken, the next operation reports it.
                let _ = sockopt::set_tcp_nodelay(&self.socket, nodelay);
            }
        }
    }

    /// Holds back partial segments, or releases them (`tcp_nopush`).
    pub fn set_nopush(&mut self, on: bool) {
        if !self.peer.is_unix() {
            let _ = sockopt::set_tcp_cork(&self.socket, on);
        }
    }

    /// Makes the drop of the connection a reset (`return 444` with `reset_timedout_connection`).
    pub fn reset_on_drop(&mut self) {
        let _ = kernel::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// The TCP state for `$tcpinfo_*`; `None` for a unix socket.
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

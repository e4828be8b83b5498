//! The received bytes of a handshake.

use std::io;
use std::task::{Context, Poll, ready};

use crate::buffer::{self, Buf};
use crate::connection::Conn;
use crate::event_loop;
use crate::tls::aead::HEAD;
use crate::tls::hello::{self, Received};

/// The size of a receive; most hellos fit.
const INBOUND: usize = 4096;

/// The longest hello, record headers included, that is parsed here. A longer one goes to rustls
/// unparsed.
const LONGEST_HELLO: usize = 32 * 1024;

/// The handshake yields to other tasks after this many records: a hello may arrive in one-byte
/// pieces.
const RECORDS_PER_TURN: usize = 16;

/// Received bytes that rustls has not consumed. It gets them record by record, so that it holds
/// nothing of the data after the handshake.
pub(super) struct Inbound {
    pub(super) bytes: Buf,
    pub(super) taken: usize,
    /// The missing bytes of a record that rustls has partly consumed.
    pub(super) left: usize,
    /// The number of calls that passed bytes to rustls.
    fed: usize,
}

impl Inbound {
    pub(super) fn new(conn: &mut Conn) -> Self {
        Self { bytes: Buf::from(conn.take_unread()), taken: 0, left: 0, fed: 0 }
    }

    pub(super) fn rest(mut self) -> Buf {
        if self.taken == self.bytes.len() {
            return Buf::empty();
        }
        self.bytes.drain(..self.taken);
        self.bytes
    }

    /// Receives until a record header, or more of a started record, is available.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
    ) -> Poll<io::Result<()>> {
        loop {
            let waiting = self.bytes.len() - self.taken;
            if waiting >= HEAD || (self.left > 0 && waiting > 0) {
                return Poll::Ready(Ok(()));
            }
            if self.taken > 0 || self.bytes.capacity() < INBOUND {
                let mut bytes = buffer::take(INBOUND);
                bytes.extend_from_slice(&self.bytes[self.taken..]);
                (self.bytes, self.taken) = (bytes, 0);
            }
            let received = conn.socket().poll_recv(cx, &mut self.bytes, INBOUND - waiting);
            if received.is_pending() && waiting == 0 {
                self.bytes = Buf::empty();
            }
            if ready!(received)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Receives until the hello is complete or turns out to be something else.
    pub(super) fn poll_hello(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
    ) -> Poll<io::Result<Received>> {
        loop {
            ready!(self.poll_fill(cx, conn))?;
            let waiting = &self.bytes[self.taken..];
            match hello::receive(waiting) {
                Received::Part if waiting.len() < LONGEST_HELLO => {}
                received => return Poll::Ready(Ok(received)),
            }
            if self.bytes.room() == 0 || self.taken > 0 {
                let mut bytes = buffer::take(2 * waiting.len().max(INBOUND / 2));
                bytes.extend_from_slice(waiting);
                (self.bytes, self.taken) = (bytes, 0);
            }
            let room = self.bytes.room();
            if ready!(conn.socket().poll_recv(cx, &mut self.bytes, room))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Passes the available part of one record to rustls.
    pub(super) fn feed(
        &mut self,
        tls: impl FnOnce(&mut dyn io::Read) -> io::Result<usize>,
    ) -> io::Result<()> {
        let waiting = &self.bytes[self.taken..];
        if self.left == 0
            && let [_, _, _, high, low, ..] = waiting
        {
            self.left = HEAD + usize::from(u16::from_be_bytes([*high, *low]));
        }
        let fed = tls(&mut &waiting[..waiting.len().min(self.left)])?;
        if fed == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.taken += fed;
        self.left -= fed;
        self.fed += 1;
        Ok(())
    }

    /// Yields to other tasks once every [`RECORDS_PER_TURN`] records.
    pub(super) async fn pause(&self) {
        if self.fed.is_multiple_of(RECORDS_PER_TURN) {
            event_loop::yield_now().await;
        }
    }
}

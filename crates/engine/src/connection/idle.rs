//! Idle connections in a compact form.

use std::net::{SocketAddr, SocketAddrV4};

use super::{Conn, Inherited};
use crate::addr::Addr;
use crate::capacity::Slot;
use crate::event_loop::reactor::lot::LotId;
use crate::socket::Socket;
use crate::tls::session::Session;

/// A connection reduced to the parts needed while idle. It is closed on drop.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Before the socket, as in a [`Conn`].
    slot: Slot,
    socket: Socket,
    tls: Option<Box<Session>>,
    peer: CompactAddr,
    id: u64,
    inherited: Inherited,
}

/// An address in the space that most of them need.
#[derive(Debug)]
enum CompactAddr {
    V4(SocketAddrV4),
    Other(Box<Addr>),
}

impl From<Addr> for CompactAddr {
    fn from(addr: Addr) -> Self {
        match addr {
            Addr::Inet(SocketAddr::V4(addr)) => Self::V4(addr),
            other => Self::Other(Box::new(other)),
        }
    }
}

impl From<CompactAddr> for Addr {
    fn from(peer: CompactAddr) -> Self {
        match peer {
            CompactAddr::V4(addr) => Self::Inet(SocketAddr::V4(addr)),
            CompactAddr::Other(addr) => *addr,
        }
    }
}

impl Idle {
    /// Whether an event is pending.
    pub(crate) fn was_heard(&self) -> bool {
        self.socket.was_heard()
    }

    /// Closes the connection, with close_notify on TLS.
    pub(crate) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify_on(&self.socket);
        }
    }
}

impl Conn {
    /// Redirects events to the lot and drops the parts that only tasks need. Returns the connection
    /// if an event is pending already.
    pub(crate) fn into_idle(mut self, lot: &LotId, key: u32) -> Result<Idle, Box<Self>> {
        if !self.socket.park(lot, key) {
            return Err(Box::new(self));
        }
        Ok(Idle {
            socket: self.socket,
            tls: self.tls,
            peer: self.peer.into(),
            id: self.id,
            inherited: self.inherited,
            slot: self.slot,
        })
    }

    pub(crate) fn from_idle(idle: Idle) -> Self {
        idle.socket.unpark();
        let mut conn = Self::new(idle.socket, idle.peer.into(), idle.id, idle.slot);
        conn.inherited = idle.inherited;
        conn.tls = idle.tls;
        conn
    }
}

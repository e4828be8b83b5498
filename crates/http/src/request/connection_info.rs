//! The connection of a request.

use std::cell::RefCell;
use std::rc::Rc;

use weir_engine::Addr;
use weir_engine::clock::Instant;
use weir_engine::error_log::Level;

/// The facts shared by all requests of a connection.
pub struct ConnectionInfo {
    /// nginx's connection number (`$connection`, `*N` in the error log).
    pub id: u64,
    /// The peer's address, from `accept` or the PROXY protocol header.
    pub peer: Addr,
    /// The local address.
    pub local: Addr,
    /// The PROXY protocol header, if the listener expects one.
    pub proxy_protocol: Option<Box<weir_wire::proxy_protocol::ProxyHeader>>,
    /// Whether the listener is for TLS. Without `tls`, the client speaks plain HTTP to it.
    pub ssl: bool,
    /// TLS parameters.
    pub tls: Option<Rc<weir_engine::tls::TlsInfo>>,
    /// The server name that the handshake was for, in lower case.
    pub negotiated: Option<Box<[u8]>>,
    /// The time when it was accepted.
    pub start: Instant,
    /// The messages of a request without a client, whose maker logs them.
    pub messages: Option<RefCell<Vec<(Level, String)>>>,
}

impl ConnectionInfo {
    /// The facts known from the connection itself.
    pub fn of(
        conn: &weir_engine::Conn,
        start: Instant,
        proxy_protocol: Option<Box<weir_wire::proxy_protocol::ProxyHeader>>,
    ) -> Self {
        Self {
            id: conn.id(),
            peer: conn.peer().clone(),
            local: conn.local().clone(),
            proxy_protocol,
            ssl: conn.tls().is_some(),
            tls: conn.tls().cloned(),
            negotiated: None,
            start,
            messages: None,
        }
    }
}

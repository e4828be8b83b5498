//! What is known of the connection that a request came by.

use std::rc::Rc;

use weir_engine::Addr;
use weir_engine::clock::Instant;

/// What all requests of a connection share.
pub struct ConnectionInfo {
    /// nginx's connection number (`$connection`, `*N` in the error log).
    pub id: u64,
    /// The peer, as `accept` or the PROXY protocol header told.
    pub peer: Addr,
    /// Our own end.
    pub local: Addr,
    /// The PROXY protocol header, when the listener takes one.
    pub proxy_protocol: Option<Box<weir_wire::proxy_protocol::ProxyHeader>>,
    /// Whether the listener is for TLS; without `tls` a plain request has come to it.
    pub ssl: bool,
    /// TLS parameters.
    pub tls: Option<Rc<weir_engine::tls::TlsInfo>>,
    /// The name by which the handshake has chosen a server, in lower case.
    pub negotiated: Option<Box<[u8]>>,
    /// When it was accepted.
    pub start: Instant,
}

impl ConnectionInfo {
    /// What the connection itself tells.
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
        }
    }
}

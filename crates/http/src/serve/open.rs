//! Opening a connection: the PROXY protocol header and the TLS handshake, if the listener has them,
//! and the protocol that the client speaks.

use std::rc::Rc;

use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_wire::h2::PREFACE;
use weir_wire::proxy_protocol::{self, Parsed, ProxyError};

use crate::core::{CONNECTION, LIMITS};
use crate::request::connection_info::ConnectionInfo;
use crate::route::Endpoint;
use crate::serve::h1::read::READ;
use crate::serve::{ClientProtocol, HTTP2, Service, tls};
use crate::snapshot::{Held, Snapshot};

/// An opened connection, ready for requests.
pub(super) struct Opened {
    pub conn: Conn,
    pub protocol: ClientProtocol,
    pub info: Rc<ConnectionInfo>,
    /// The snapshot that it was opened with.
    pub snapshot: Rc<Snapshot>,
    pub endpoint: Held<Endpoint>,
    /// The deadline of the first head (`client_header_timeout`, from the start).
    pub until: Instant,
}

/// The request number of a connection that has not been opened.
pub(super) const UNOPENED: u64 = 0;

/// A new connection that waits for its first bytes.
pub(super) struct Begun {
    /// The time when it was accepted.
    pub start: Instant,
    /// The deadline of its first bytes.
    pub until: Instant,
    /// 1, or [`UNOPENED`].
    pub number: u64,
}

/// Prepares a new connection. None if that depends on its local address.
pub(super) fn begin(service: &Service, conn: &mut Conn, key: &str) -> Option<Begun> {
    let snapshot = service.snapshot();
    let endpoint = snapshot.only_endpoint(key)?;
    let settings = &endpoint.default.settings;
    conn.set_nodelay(settings.get(&CONNECTION).tcp_nodelay);
    let start = clock::now();
    let until = start + settings.get(&LIMITS).client_header_timeout.0;
    let opens = endpoint.proxy_protocol || endpoint.ssl || endpoint.takes_http2(&endpoint.default);
    Some(Begun { start, until, number: if opens { UNOPENED } else { 1 } })
}

/// Opens a connection that was accepted at `start`, up to its first request. None if it has ended
/// before.
pub(super) async fn open(
    snapshot: Rc<Snapshot>,
    mut conn: Conn,
    key: &Rc<str>,
    start: Instant,
) -> Option<Opened> {
    let mut info = ConnectionInfo::of(&conn, start, None);
    let endpoint = snapshot.endpoint(key, &info)?;
    let settings = &endpoint.default.settings;
    conn.set_nodelay(settings.get(&CONNECTION).tcp_nodelay);
    let timeout = settings.get(&LIMITS).client_header_timeout.0;
    let left = (start + timeout).since(clock::now());
    if endpoint.proxy_protocol {
        info.proxy_protocol = read_proxy_header(&endpoint, &mut conn, left).await?;
    }
    if endpoint.ssl {
        info.ssl = true;
        // After a PROXY header, the handshake has a timeout of its own.
        let left = if endpoint.proxy_protocol { timeout } else { left };
        (conn, info) = tls::open(&snapshot, &endpoint, conn, info, key, left).await?;
    }
    // The time of the handshake does not count.
    let begun = if endpoint.ssl { clock::now() } else { start };
    let until = begun + timeout;
    let protocol = match &info.tls {
        Some(tls) => ClientProtocol::of_alpn(tls.alpn.as_deref()),
        None if endpoint.ssl || !endpoint.takes_http2(&endpoint.default) => ClientProtocol::H1,
        None => ClientProtocol::of_first_bytes(&mut conn, until).await,
    };
    Some(Opened { conn, protocol, info: Rc::new(info), snapshot, endpoint, until })
}

impl ClientProtocol {
    /// The protocol that a handshake has agreed on.
    fn of_alpn(name: Option<&[u8]>) -> Self {
        if name == Some(HTTP2) { Self::H2 } else { Self::H1 }
    }

    /// The protocol that the client begins with: HTTP/2 has a preface (RFC 9113 section 3.4). The
    /// bytes are given back. A client that sends too few of them by then, or ends its connection,
    /// is left to HTTP/1.
    async fn of_first_bytes(conn: &mut Conn, until: Instant) -> Self {
        let mut first = weir_engine::buffer::take(READ);
        while PREFACE.starts_with(&first) && first.len() < PREFACE.len() {
            match conn.recv(&mut first, READ, until.since(clock::now())).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        conn.unread(&first);
        if first.starts_with(PREFACE) { Self::H2 } else { Self::H1 }
    }
}

/// Reads the PROXY protocol header. The outer None closes the connection.
async fn read_proxy_header(
    endpoint: &Endpoint,
    conn: &mut Conn,
    timeout: std::time::Duration,
) -> Option<Option<Box<proxy_protocol::ProxyHeader>>> {
    let mut buf = weir_engine::buffer::take(proxy_protocol::HEADER_MAX);
    // The whole header must come in time, even byte by byte.
    let until = clock::now() + timeout;
    loop {
        let room = proxy_protocol::HEADER_MAX.saturating_sub(buf.len());
        let left = until.since(clock::now());
        let received = match conn.recv(&mut buf, room.max(1), left).await {
            Ok(received) => received,
            Err(error) => {
                if error.kind() == std::io::ErrorKind::TimedOut {
                    let what = Failed("client timed out", &error).to_string();
                    tell(endpoint, conn, Level::Info, &what);
                }
                return None;
            }
        };
        match proxy_protocol::parse(&buf) {
            Ok(Parsed::Header { consumed, header }) => {
                conn.unread(&buf[consumed..]);
                return Some(header);
            }
            Ok(Parsed::NeedMore) if received > 0 && room > 0 => {}
            Ok(Parsed::NeedMore) => {
                tell(endpoint, conn, Level::Info, "client closed connection");
                return None;
            }
            // nginx logs nothing here.
            Err(ProxyError::Short) => return None,
            Err(error) => {
                tell(endpoint, conn, Level::Error, &error.to_string());
                return None;
            }
        }
    }
}

/// Logs the result of reading the header.
fn tell(endpoint: &Endpoint, conn: &Conn, level: Level, what: &str) {
    let (client, local) = (conn.peer().ip_text(), conn.local().to_string());
    let message = format!("{what} while reading PROXY protocol");
    let handlers = &endpoint.default.location.handlers;
    handlers.log_connection(level, conn.id(), &message, [&client, &local]);
}

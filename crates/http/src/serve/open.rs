//! The start of a connection: the PROXY protocol header and the TLS handshake, where the listener
//! has them.

use std::rc::Rc;

use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_wire::proxy_protocol::{self, Parsed, ProxyError};

use crate::core::{CONNECTION, LIMITS};
use crate::request::connection_info::ConnectionInfo;
use crate::route::Endpoint;
use crate::serve::{Service, tls};
use crate::snapshot::{Held, Snapshot};

/// A connection that can read requests.
pub(super) struct Opened {
    pub conn: Conn,
    pub info: Rc<ConnectionInfo>,
    /// What it was opened by.
    pub snapshot: Rc<Snapshot>,
    pub endpoint: Held<Endpoint>,
    /// When the first head must be there (`client_header_timeout`, from the start).
    pub until: Instant,
}

/// The number of the request that a connection waits for before it is opened.
pub(super) const UNOPENED: u64 = 0;

/// A new connection that waits for its first bytes.
pub(super) struct Begun {
    /// When it was accepted.
    pub start: Instant,
    /// When they must be there.
    pub until: Instant,
    /// That of the first request, or [`UNOPENED`].
    pub number: u64,
}

/// Prepares a new connection. None if that depends on the address it came to.
pub(super) fn begin(service: &Service, conn: &mut Conn, key: &str) -> Option<Begun> {
    let snapshot = service.snapshot();
    let endpoint = snapshot.only_endpoint(key)?;
    let settings = &endpoint.default.settings;
    conn.set_nodelay(settings.get(&CONNECTION).tcp_nodelay);
    let start = clock::now();
    let until = start + settings.get(&LIMITS).client_header_timeout.0;
    let opens = endpoint.proxy_protocol || endpoint.ssl;
    Some(Begun { start, until, number: if opens { UNOPENED } else { 1 } })
}

/// Brings a connection that was accepted at `start` to the point where a request can be read. None
/// when it ended before.
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
        // Behind a header, the handshake has its own time.
        let left = if endpoint.proxy_protocol { timeout } else { left };
        (conn, info) = tls::open(&snapshot, &endpoint, conn, info, key, left).await?;
    }
    // A handshake takes its time by itself.
    let begun = if endpoint.ssl { clock::now() } else { start };
    let until = begun + timeout;
    Some(Opened { conn, info: Rc::new(info), snapshot, endpoint, until })
}

/// Reads the PROXY protocol header; the outer None closes the connection.
async fn read_proxy_header(
    endpoint: &Endpoint,
    conn: &mut Conn,
    timeout: std::time::Duration,
) -> Option<Option<Box<proxy_protocol::ProxyHeader>>> {
    let mut buf = weir_engine::buffer::take(proxy_protocol::HEADER_MAX);
    // It must be there in time, however it comes.
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
            // nginx has no words for this one.
            Err(ProxyError::Short) => return None,
            Err(error) => {
                tell(endpoint, conn, Level::Error, &error.to_string());
                return None;
            }
        }
    }
}

/// Writes to the error log what became of the header.
fn tell(endpoint: &Endpoint, conn: &Conn, level: Level, what: &str) {
    let (client, local) = (conn.peer().ip_text(), conn.local());
    let message = format!("{what} while reading PROXY protocol, client: {client}, server: {local}");
    endpoint.default.location.handlers.log(level, conn.id(), &message);
}

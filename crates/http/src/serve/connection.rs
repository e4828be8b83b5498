//! Connections of any protocol: accepted, parked while they are silent, opened, and passed to their
//! protocol.
//!
//! ```text
//!  accepted ─▶ parked ─▶ open (PROXY header, TLS) ─▶ the protocol's requests
//!                ▲                                     │
//!                └──────────────── idle ◀──────────────┘
//! ```

use std::rc::Rc;

use weir_edge::listen::named_address;
use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;

use super::idle::{Parked, Patience, Wake};
use super::{Service, h1, h2, open};
use crate::client::exchange::h1::Link;
use crate::request::connection_info::ConnectionInfo;
use crate::route::Endpoint;
use crate::snapshot::{Held, Snapshot};

/// A snapshot, and the endpoint of a connection in it.
pub(super) type FoundEndpoint = (Rc<Snapshot>, Held<Endpoint>);

/// Serves a connection, accepted at `start`, from its first byte to its last.
async fn serve(
    service: Rc<Service>,
    conn: Conn,
    key: Rc<str>,
    start: Instant,
    old: Option<Rc<Snapshot>>,
) {
    // Rare steps are boxed, because every connection pays for the state of its task.
    let snapshot = old.unwrap_or_else(|| service.snapshot());
    let Some(opened) = Box::pin(open::open(snapshot, conn, &key, start)).await else { return };
    opened.protocol.serve(service, opened, key).await;
}

/// Takes a new connection, which waits for its first bytes without a task.
pub(super) fn accept(service: &Rc<Service>, mut conn: Conn, key: &Rc<str>) {
    let begun = open::begin(service, &mut conn, key);
    let (service, key) = (Rc::clone(service), Rc::clone(key));
    let Some(open::Begun { start, until, number }) = begun else {
        weir_engine::spawn(serve(service, conn, key, clock::now(), None));
        return;
    };
    let parked = service.idle.parked(&key, number, start, None);
    if let Err((conn, parked)) = service.idle.park(conn, until, parked) {
        weir_engine::spawn(resume(Rc::clone(&service), *conn, parked, until, None));
    }
}

/// Resumes a parked connection that has input, with `old` if the configuration in force does not
/// have its listener.
pub(super) async fn resume(
    service: Rc<Service>,
    conn: Conn,
    mut parked: Parked,
    until: Instant,
    old: Option<Rc<Snapshot>>,
) {
    let (key, number) = (service.idle.listener(&parked), parked.number());
    if let Some(asleep) = parked.asleep.take() {
        let facts = (info_of(&conn, parked), key);
        return h2::resume(service, conn, asleep, facts, number - 1, until, old).await;
    }
    if number == open::UNOPENED {
        return Box::pin(serve(service, conn, key, parked.start, old)).await;
    }
    let info = info_of(&conn, parked);
    let link = Link::new(conn);
    let found = old.and_then(|old| Some((Rc::clone(&old), old.endpoint(&key, &info)?)));
    h1::requests(service, link, info, key, number, Patience::of(number, until), found).await;
}

/// The facts about a parked connection.
fn info_of(conn: &Conn, parked: Parked) -> Rc<ConnectionInfo> {
    let Parked { start, info, .. } = parked;
    info.unwrap_or_else(|| Rc::new(ConnectionInfo::of(conn, start, None)))
}

/// Ends a parked connection that was silent for too long.
pub(super) fn time_out(service: &Rc<Service>, conn: Conn, parked: Parked, until: Instant) {
    let (key, number) = (service.idle.listener(&parked), parked.number());
    if number == open::UNOPENED || parked.asleep.is_some() {
        // The reader of its first bytes logs the timeout, and HTTP/2 takes leave.
        weir_engine::spawn(resume(Rc::clone(service), conn, parked, until, None));
        return;
    }
    let info = info_of(&conn, parked);
    match service.snapshot().endpoint(&key, &info) {
        Some(endpoint) => end_idle(conn, &endpoint, &info, &key, number, Wake::TimedOut),
        None => conn.close(),
    }
}

/// Closes a connection without a request, and logs that as nginx does.
pub(super) fn end_idle(
    conn: Conn,
    endpoint: &Endpoint,
    info: &ConnectionInfo,
    key: &str,
    number: u64,
    wake: Wake,
) {
    let (client, server) = (info.peer.ip_text(), named_address(key));
    let handlers = &endpoint.default.location.handlers;
    let waiting = |what: &str| {
        let message = format!("{what} while waiting for request");
        handlers.log_connection(Level::Info, info.id, &message, [&client, server]);
    };
    match wake {
        Wake::Gone(None) if number > 1 => {
            let message = format!("client {client} closed keepalive connection");
            handlers.log(Level::Info, info.id, &message);
        }
        Wake::Gone(None) => waiting("client closed connection"),
        // Some browsers end a kept connection with a reset.
        Wake::Gone(Some(error))
            if number == 1 || error.kind() != std::io::ErrorKind::ConnectionReset =>
        {
            waiting(&Failed("recv() failed", &error).to_string());
        }
        Wake::TimedOut if number == 1 => waiting("client timed out (110: Connection timed out)"),
        _ => {}
    }
    conn.close();
}

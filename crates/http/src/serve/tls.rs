//! The TLS handshake with a client (nginx: `ngx_http_ssl_handshake`).

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_acme::answers;
use weir_edge::listen::named_address;
use weir_edge::tls::{Unready, Verify};
use weir_engine::clock::{self, Instant};
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::os_error::OsError;
use weir_engine::tls::counters::{CLIENTS, Ended, FailedFor};
use weir_engine::tls::{Alpn, ClientHello, HandshakeError, ServerTls, TlsInfo, accept};
use weir_wire::uri::parse_host;

use super::{ALPN, ALPN_WITH_HTTP2};
use crate::client::{Client, Sink};
use crate::core::LIMITS;
use crate::core::status_zone::STATUS_ZONE;
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;
use crate::request::head::Head;
use crate::route::{Endpoint, Server};
use crate::snapshot::{Held, Snapshot};
use crate::tls::{SSL, status, verify};

/// The first byte of a handshake record.
const HANDSHAKE: u8 = 0x16;

/// The bit that is set in the first byte of an SSLv2 hello.
const SSLV2: u8 = 0x80;

/// Performs the handshake if the client speaks TLS. A plain connection is returned unchanged, and
/// its client gets the error in plain HTTP. The first byte must come within `first_byte`. None if
/// the connection has ended, which has been logged.
pub(super) async fn open(
    snapshot: &Rc<Snapshot>,
    endpoint: &Held<Endpoint>,
    mut conn: Conn,
    info: ConnectionInfo,
    key: &str,
    first_byte: Duration,
) -> Option<(Conn, ConnectionInfo)> {
    let timeout = endpoint.default.settings.get(&LIMITS).client_header_timeout.0;
    let mut opening = Opening { snapshot, endpoint, info, key, server: None, unready: None };
    match conn.within(first_byte, Conn::poll_first_byte).await {
        Ok(Some(first)) if first == HANDSHAKE || first & SSLV2 != 0 => {}
        Ok(Some(_)) => {
            opening.count(Ended::Failed(FailedFor::NotTls));
            return Some((conn, opening.info));
        }
        Ok(None) => {
            opening.log(Level::Info, "client closed connection");
            return None;
        }
        Err(error) => {
            opening.log(Level::Info, &failure(&error));
            return None;
        }
    }
    let until = clock::now() + timeout;
    let shaken = accept(conn, |hello| opening.choose(hello), timeout).await;
    match shaken {
        Ok(conn) => {
            opening.info.tls = conn.tls().cloned();
            opening.count_done();
            let protocol = conn.tls().and_then(|tls| tls.alpn.as_deref());
            if protocol == Some(answers::TLS_PROTOCOL) {
                // The handshake was the answer (RFC 8737 section 3).
                conn.close();
                return None;
            }
            opening.ask(until).await.then_some((conn, opening.info))
        }
        Err(error) => {
            opening.count_failed(&error);
            let (level, message) = match (opening.unready.take(), &error) {
                // That it is missing, and why, was logged when it could not be had.
                (Some(Unready::NotIssued), _) => (Level::Info, Unready::NotIssued.to_string()),
                (Some(fault), _) => (Level::Error, fault.to_string()),
                (None, HandshakeError::TimedOut) => {
                    (Level::Info, failure(&io::ErrorKind::TimedOut.into()))
                }
                (None, error) => (error.level(), error.to_string()),
            };
            opening.log(level, &message);
            None
        }
    }
}

fn failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("client timed out ({})", OsError(error)),
        _ => format!("recv() failed ({})", OsError(error)),
    }
}

/// A connection during its handshake.
struct Opening<'a> {
    snapshot: &'a Rc<Snapshot>,
    endpoint: &'a Held<Endpoint>,
    info: ConnectionInfo,
    /// The listener's address, for the log.
    key: &'a str,
    /// The server that the client names.
    server: Option<Held<Server>>,
    /// Why it has no certificates.
    unready: Option<Unready>,
}

impl Opening<'_> {
    /// The TLS settings of the server that the client names (ngx_http_ssl_servername), and the
    /// protocols that it offers.
    fn choose(&mut self, hello: &ClientHello<'_>) -> Option<(Arc<ServerTls>, Alpn)> {
        if let Some(answer) = answers::in_tls(hello.server_name, hello.alpn) {
            return Some((answer, answers::TLS_ALPN));
        }
        // Parsed without a port, as in a request.
        let mut host = Vec::new();
        let name = hello.server_name.filter(|name| parse_host(name, &mut host).is_ok());
        let found = name.and_then(|_| self.endpoint.find(&host));
        if let Some((at, _)) = found {
            self.info.negotiated = Some(host.as_slice().into());
            self.server = Some(Held::map(self.endpoint, |endpoint| endpoint.server(at)));
        }
        let default = Held::map(self.endpoint, |endpoint| &*endpoint.default);
        let server = self.server.clone().unwrap_or_else(|| default.clone());
        let alpn = if self.endpoint.takes_http2(&server) { ALPN_WITH_HTTP2 } else { ALPN };
        let ssl = server.settings.get(&SSL);
        if ssl.reject_handshake {
            return None;
        }
        // A server without certificates uses those of the default server.
        let own = ssl.context.as_ref();
        let context = own.or(default.settings.get(&SSL).context.as_ref())?;
        if !context.is_computed() {
            return Some((Arc::clone(context.tls()), alpn));
        }
        let mut request = self.stand_in(&server, hello);
        match context.compute(&mut request) {
            Ok(tls) => Some((tls, alpn)),
            Err(unready) => {
                self.unready = Some(unready);
                None
            }
        }
    }

    fn count_done(&self) {
        let Some(tls) = &self.info.tls else { return };
        let is_required = self.server().settings.get(&SSL).verify_client == Verify::On;
        let events = Ended::with_client(tls, is_required);
        events.into_iter().flatten().for_each(|ended| self.count(ended));
    }

    fn count_failed(&self, error: &HandshakeError) {
        match &self.unready {
            Some(_) => self.count(Ended::Failed(FailedFor::OwnCertificate)),
            None => Ended::failed(error).into_iter().flatten().for_each(|ended| self.count(ended)),
        }
    }

    /// Counts an event, for the process and for the server's zone.
    fn count(&self, ended: Ended<'_>) {
        CLIENTS.count(ended);
        if let Some(zone) = &self.server().settings.get(&STATUS_ZONE).handshakes {
            zone.count(ended);
        }
    }

    /// The server that the client names, or the default one.
    fn server(&self) -> &Server {
        self.server.as_deref().unwrap_or(&self.endpoint.default)
    }

    /// A stand-in for the request, to evaluate variables before there is one.
    fn stand_in(&self, server: &Held<Server>, hello: &ClientHello<'_>) -> Request {
        let info = ConnectionInfo {
            id: self.info.id,
            peer: self.info.peer.clone(),
            local: self.info.local.clone(),
            proxy_protocol: self.info.proxy_protocol.clone(),
            ssl: true,
            tls: Some(Rc::new(TlsInfo::before(hello.server_name))),
            negotiated: self.info.negotiated.clone(),
            start: self.info.start,
            messages: None,
        };
        let client = Client::new(Sink::Discard);
        let head = Rc::new(Head::default());
        Request::new(Rc::clone(self.snapshot), server.clone(), Rc::new(info), head, client)
    }

    /// Asks OCSP responders about the client until then, if the server wants it. Returns whether
    /// the connection goes on.
    async fn ask(&self, until: Instant) -> bool {
        verify::follow(self.endpoint, &self.info);
        if !status::is_to_ask(&self.info) {
            return true;
        }
        let limit = until.since(clock::now());
        let log = |level: Level, message: &str| self.log(level, message);
        let asked = status::ask(self.snapshot, self.endpoint, &self.info, limit, &log);
        let asked = Box::pin(asked).await;
        if !asked {
            self.log(Level::Info, &failure(&io::ErrorKind::TimedOut.into()));
        }
        asked
    }

    fn log(&self, level: Level, message: &str) {
        let (client, address) = (self.info.peer.ip_text(), named_address(self.key));
        let message = format!("{message} while SSL handshaking");
        let handlers = &self.server().location.handlers;
        handlers.log_connection(level, self.info.id, &message, [&client, address]);
    }
}

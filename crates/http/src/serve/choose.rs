//! The choice of a request's server.

use weir_wire::request::Limits;

use super::fault::HeadFault;
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Matched, Server, ServerAt};
use crate::snapshot::Held;
use crate::tls;

/// The server of a request, as far as its head is known.
pub(super) struct Choice<'a> {
    endpoint: &'a Held<Endpoint>,
    info: &'a ConnectionInfo,
    /// The server of the host, or the listener's default.
    at: ServerAt,
    /// The captures of a regular expression among the server names.
    pub captures: Option<Matched<'a>>,
    /// Whether the host's server only serves connections whose handshake was for it.
    misdirected: bool,
}

impl<'a> Choice<'a> {
    /// The choice before any part of the head is known.
    pub(super) fn new(endpoint: &'a Held<Endpoint>, info: &'a ConnectionInfo) -> Self {
        let (at, captures) = start(endpoint, info);
        Self { endpoint, info, at, captures, misdirected: false }
    }

    /// The server.
    pub(super) fn server(&self) -> Held<Server> {
        Held::map(self.endpoint, |endpoint| endpoint.server(self.at))
    }

    /// The limits for the head while no host is known.
    pub(super) fn limits(&self) -> Limits {
        limits(self.endpoint.server(self.at))
    }

    /// Takes the host of the head. Returns the limits of its server, if that is another.
    pub(super) fn host(&mut self, host: &[u8]) -> Option<Limits> {
        let (chosen, captures) = choose(self.endpoint, self.info, host)?;
        if self.info.negotiated.is_some()
            && tls::verify::is_closed_to_others(self.endpoint.server(chosen))
        {
            self.misdirected = true;
            return None;
        }
        self.captures = captures;
        self.at = chosen;
        Some(self.limits())
    }

    /// Completes the choice with the host of the complete head.
    ///
    /// # Errors
    /// The server may not serve the connection.
    pub(super) fn end(&mut self, host: &[u8]) -> Result<(), Box<HeadFault>> {
        // A request without a host goes to the server with the empty name.
        if host.is_empty() {
            self.host(b"");
        }
        match self.misdirected {
            true => Err(HeadFault::misdirected()),
            false => Ok(()),
        }
    }
}

/// The server of a connection before its host is known: that of the handshake, or the default.
pub(super) fn start<'a>(
    endpoint: &'a Endpoint,
    info: &ConnectionInfo,
) -> (ServerAt, Option<Matched<'a>>) {
    let named = info.negotiated.as_ref().and_then(|name| endpoint.find(name));
    named.unwrap_or((endpoint.default_at(), None))
}

/// The server for a host (ngx_http_set_virtual_server); `None` keeps the current one.
fn choose<'a>(
    endpoint: &'a Endpoint,
    info: &ConnectionInfo,
    host: &[u8],
) -> Option<(ServerAt, Option<Matched<'a>>)> {
    match &info.negotiated {
        None => endpoint.find(host),
        Some(name) if **name == *host => None,
        // A connection whose handshake was for one name leaves its server for any other name.
        Some(_) => Some(endpoint.find(host).unwrap_or((endpoint.default_at(), None))),
    }
}

/// The limits of a server for heads.
fn limits(server: &Server) -> Limits {
    let limits = server.location.usual.limits.head_limits();
    Limits { allow_connect: server.allow_connect, ..limits }
}

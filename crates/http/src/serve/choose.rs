//! Choosing the server that a request is for.

use weir_wire::request::Limits;

use super::fault::Fault;
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Matched, Server, ServerAt};
use crate::snapshot::Held;
use crate::tls;

/// The server of a request, as far as its head has told.
pub(super) struct Choice<'a> {
    endpoint: &'a Held<Endpoint>,
    info: &'a ConnectionInfo,
    /// The server of the host, or the listener's default.
    at: ServerAt,
    /// What a regular expression among the server names captured.
    pub captures: Option<Matched<'a>>,
    /// The host's server is for those alone whose handshake was for it.
    misdirected: bool,
}

impl<'a> Choice<'a> {
    /// Nothing is known of the head.
    pub(super) fn new(endpoint: &'a Held<Endpoint>, info: &'a ConnectionInfo) -> Self {
        let (at, captures) = start(endpoint, info);
        Self { endpoint, info, at, captures, misdirected: false }
    }

    /// The server.
    pub(super) fn server(&self) -> Held<Server> {
        Held::map(self.endpoint, |endpoint| endpoint.server(self.at))
    }

    /// The rules for the head as long as no host is known.
    pub(super) fn limits(&self) -> Limits {
        limits(self.endpoint.server(self.at))
    }

    /// The head names this host. Gives the rules of its server, if that is another.
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

    /// The head is whole, and this is the host that it has named.
    ///
    /// # Errors
    /// The server may not serve it.
    pub(super) fn end(&mut self, host: &[u8]) -> Result<(), Box<Fault>> {
        // A request that names no host goes to the server with the empty name.
        if host.is_empty() {
            self.host(b"");
        }
        match self.misdirected {
            true => Err(Fault::misdirected()),
            false => Ok(()),
        }
    }
}

/// The server for a connection before its host is known: the one that the handshake was for.
pub(super) fn start<'a>(
    endpoint: &'a Endpoint,
    info: &ConnectionInfo,
) -> (ServerAt, Option<Matched<'a>>) {
    let named = info.negotiated.as_ref().and_then(|name| endpoint.find(name));
    named.unwrap_or((endpoint.default_at(), None))
}

/// The server for a host (ngx_http_set_virtual_server); `None` keeps the one there is.
fn choose<'a>(
    endpoint: &'a Endpoint,
    info: &ConnectionInfo,
    host: &[u8],
) -> Option<(ServerAt, Option<Matched<'a>>)> {
    match &info.negotiated {
        None => endpoint.find(host),
        Some(name) if **name == *host => None,
        // Whoever has a name for the handshake leaves its server by any other name.
        Some(_) => Some(endpoint.find(host).unwrap_or((endpoint.default_at(), None))),
    }
}

/// The rules of a server for heads.
fn limits(server: &Server) -> Limits {
    let limits = server.location.usual.limits.head_limits();
    Limits { allow_connect: server.allow_connect, ..limits }
}

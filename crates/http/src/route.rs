//! Routing: from an address to a server, from a server to a location.
//!
//! [`Routes`] is built once from the assembled configuration, off the loops, and shared by all
//! threads. A request's server and location are [`Held`] through the thread's own snapshot, so that
//! no counter is touched that another core writes.
//!
//! [`Held`]: crate::snapshot::Held

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod locations;
pub(crate) mod server_names;
pub(crate) mod servers;

use std::net::IpAddr;
use std::sync::Arc;

use weir_conf::{BlockId, Settings, Settled, Span};
use weir_edge::listen::{Bound, ListenSpec, named_port};
use weir_engine::Addr;
use weir_script::{CaptureRegex, Captures, Scope, VarId};

use crate::core;
use crate::core::blocks::Methods;
use crate::core::connection::Connection;
use crate::core::files::Files;
use crate::core::limits::Limits;
use crate::core::redirect::Redirect;
use crate::core::status_zone::Zones;
use crate::h2::settings::HTTP2;
use crate::module::Handlers;
use crate::recorder::settings::RECORDS;

pub(crate) use crate::core::location::Kind;
pub(crate) use locations::{FoundLocation, Locations};
pub(crate) use server_names::ServerNames;

/// One location, or another block that a request can be in.
pub struct Location {
    /// The prefix, URI, regular expression or `@name`. An `if` or `limit_except` has that of its
    /// location; that of a server is empty.
    pub name: Vec<u8>,
    /// The name, escaped for `Location`.
    pub escaped_name: Vec<u8>,
    /// The kind of block.
    pub kind: Kind,
    /// The block of the configuration.
    pub block: BlockId,
    /// The position in the configuration.
    pub span: Span,
    /// The settings in force.
    pub settings: Settings,
    /// The settings that every request uses.
    pub usual: Usual,
    /// The handlers and filters in force.
    pub handlers: Handlers,
    /// The nested locations.
    pub nested: Locations,
    /// The `if` and `limit_except` blocks directly inside.
    pub blocks: Vec<(BlockId, Self)>,
    /// Whether a URI that lacks only the name's final slash is redirected to the name, as in
    /// locations that pass requests on.
    pub auto_redirect: bool,
}

/// Settings that every request uses, some of them several times, and that need no lookup here.
pub struct Usual {
    /// `client_*` and the like.
    pub limits: Arc<Settled<Limits>>,
    /// `keepalive_*` and the like.
    pub connection: Arc<Settled<Connection>>,
    /// `server_tokens` and redirects.
    pub redirect: Arc<Settled<Redirect>>,
    /// `sendfile` and the like.
    pub files: Arc<Settled<Files>>,
    /// `http2_chunk_size`.
    pub frame: usize,
    /// Whether requests are recorded (`request_records`).
    pub records: bool,
    /// Whether there is a `post_action`.
    pub post_action: bool,
    /// Whether only internal requests may enter (`internal`).
    pub internal: bool,
    /// The methods that `limit_except` exempts, if there is one.
    pub unlimited: Option<Methods>,
    /// The zones that count requests (`status_zone`).
    pub zones: Zones,
}

impl Usual {
    /// Takes them from the settings of a block.
    pub fn of(settings: &Settings) -> Self {
        Self {
            limits: settings.arc(&core::LIMITS),
            connection: settings.arc(&core::CONNECTION),
            redirect: settings.arc(&core::REDIRECT),
            files: settings.arc(&core::FILES),
            frame: settings.get(&HTTP2).chunk_size.0 as usize,
            records: settings.get(&RECORDS).recording.on,
            post_action: settings.get(&core::ERRORS).post_action.is_some(),
            internal: settings.get(&core::ACCESS).internal,
            unlimited: settings.get(&core::LOCATION).unlimited,
            zones: Zones::of(settings),
        }
    }
}

impl Location {
    /// Whether only internal requests may enter (`internal`).
    pub fn is_internal(&self) -> bool {
        self.usual.internal
    }

    /// The `if` or `limit_except` block with this number, directly inside.
    pub fn inner(&self, block: BlockId) -> Option<&Self> {
        self.blocks.iter().find(|(id, _)| *id == block).map(|(_, location)| location)
    }

    /// This location and all inside.
    pub(crate) fn with_nested(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        let inside = self.nested.iter().flat_map(Self::with_nested);
        Box::new(std::iter::once(self).chain(inside))
    }

    /// The `limit_except` block of this location.
    pub fn limit_except(&self) -> Option<&Self> {
        self.blocks.iter().map(|(_, inner)| inner).find(|inner| inner.kind == Kind::LimitExcept)
    }
}

/// A `server` block.
pub struct Server {
    /// Its first name, for `$server_name`: without a leading dot, with the `~` of an expression.
    pub name: Vec<u8>,
    /// The settings of the server level.
    pub settings: Settings,
    /// The server's own level, for requests that match no location.
    pub location: Location,
    /// Its locations, named ones among them.
    pub locations: Locations,
    /// Whether CONNECT is served in any of its blocks.
    pub allow_connect: bool,
    /// The block of the configuration.
    pub block: BlockId,
}

impl Server {
    /// The location for a normalised URI.
    pub fn find(&self, uri: &[u8]) -> FoundLocation<'_> {
        self.locations.find(uri, &self.location)
    }
}

/// The captures of a regular expression, from a location or a server name.
#[derive(Clone, Debug)]
pub struct Matched<'a> {
    /// The captures by number.
    pub captures: Box<Captures>,
    /// The variables of named captures, each with the number of the capture.
    pub variables: &'a [(VarId, usize)],
}

impl<'a> Matched<'a> {
    /// Matches `subject`; None if it does not match.
    fn new(regex: &'a CaptureRegex, subject: &[u8]) -> Option<Self> {
        let captures = regex.regex().captures(subject)?;
        Some(Self { captures: Box::new(captures), variables: regex.variables() })
    }

    /// Stores the captures and the variables in a request.
    pub fn apply<S: Scope + ?Sized>(self, scope: &mut S) {
        for (id, group) in self.variables {
            scope.assign(*id, self.captures.get(*group).unwrap_or_default());
        }
        *scope.captures() = *self.captures;
    }
}

/// An address with its servers.
pub struct Endpoint {
    /// Whether connections start with a TLS handshake.
    pub ssl: bool,
    /// Whether the deprecated parameter `http2` is given.
    pub http2: bool,
    /// Whether connections start with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The server for unknown hosts.
    pub default: Arc<Server>,
    /// The index of the default server.
    default_at: ServerAt,
    /// Its servers, in the order of the file.
    servers: Box<[Arc<Server>]>,
    /// None if the default server is the only one and captures nothing from the host.
    names: Option<ServerNames<ServerAt>>,
}

/// The index of a server in an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAt(u32);

impl Endpoint {
    /// The server for a host (lower case, no port); None keeps the request's server.
    pub fn find(&self, host: &[u8]) -> Option<(ServerAt, Option<Matched<'_>>)> {
        let (at, captures) = self.names.as_ref()?.find(host)?;
        Some((*at, captures))
    }

    /// Whether connections that were made for this server may speak HTTP/2.
    pub fn takes_http2(&self, server: &Server) -> bool {
        self.http2 || server.settings.get(&HTTP2).on
    }

    /// The index of the default server.
    pub fn default_at(&self) -> ServerAt {
        self.default_at
    }

    /// The server at an index from [`Endpoint::find`].
    pub fn server(&self, at: ServerAt) -> &Server {
        &self.servers[at.0 as usize]
    }
}

/// A listening socket with the addresses whose connections it accepts.
pub(crate) struct Listener {
    name: String,
    bound: Bound<usize>,
    endpoints: Vec<Endpoint>,
}

impl Listener {
    /// The name that identifies the socket in every configuration.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The socket.
    pub(crate) fn spec(&self) -> &ListenSpec {
        &self.bound.spec
    }

    /// Whether [`Listener::endpoint`] needs the local address of the connection.
    pub(crate) fn needs_local(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// The endpoint of a connection, by its local address.
    pub(crate) fn endpoint(&self, local: Option<IpAddr>) -> &Endpoint {
        &self.endpoints[self.bound.index(local)]
    }
}

/// The routes of `http {}`.
#[derive(Default)]
pub(crate) struct Routes {
    /// The servers, in the order of the file.
    pub servers: Vec<Arc<Server>>,
    /// The listening sockets, in the order of [`servers::listeners`].
    pub listeners: Vec<Listener>,
}

impl Routes {
    /// The listener of that name.
    pub(crate) fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name() == name)
    }

    /// The endpoint of a connection. If its listener is gone, another listener for its local
    /// address takes its place.
    pub(crate) fn endpoint(&self, listener: &str, local: &Addr) -> Option<&Endpoint> {
        let listener = self.listener(listener).or_else(|| self.heir(local))?;
        let local: Option<IpAddr> = if listener.needs_local() { local.ip() } else { None };
        Some(listener.endpoint(local))
    }

    /// The listener that gets connections to an address: one bound to it, or else to a wildcard.
    fn heir(&self, local: &Addr) -> Option<&Listener> {
        let (ip, port) = (local.ip()?, local.port()?);
        let find = |alone| self.listeners.iter().find(|l| l.spec().gets(ip, port, alone));
        find(true).or_else(|| find(false))
    }

    /// Whether a listener has that name, or its port.
    pub(crate) fn listens_on(&self, listener: &str) -> bool {
        let old = named_port(listener);
        let goes_on =
            |l: &Listener| l.name() == listener || (old.is_some() && named_port(l.name()) == old);
        self.listeners.iter().any(goes_on)
    }
}

#[cfg(test)]
mod tests;

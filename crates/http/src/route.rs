//! From an address to a server, from a server to a location.
//!
//! [`Routes`] is built once from the assembled configuration, beside the loops, and shared by all
//! threads. What a request holds of it, its server and its location, are [`Held`] by the thread's
//! own snapshot, so that no counter is touched that another core writes.
//!
//! [`Held`]: crate::snapshot::Held

pub(crate) mod build;
pub(crate) mod check;
pub mod listen;
pub mod locations;
pub mod server_names;
pub(crate) mod servers;

use std::net::IpAddr;
use std::sync::Arc;

use weir_conf::{BlockId, Settings, Settled, Span};
use weir_engine::Addr;
use weir_script::{CaptureRegex, Captures, Scope, VarId};

use crate::core;
use crate::core::blocks::Methods;
use crate::core::connection::Connection;
use crate::core::files::Files;
use crate::core::limits::Limits;
use crate::core::redirect::Redirect;
use crate::module::Handlers;

pub use crate::core::location::Kind;
pub use listen::{Bound, ListenSpec, Ports};
pub use locations::{Found, Locations};
pub use server_names::ServerNames;

/// One location, or another block that a request can be in.
pub struct Location {
    /// The prefix, URI, expression or `@name`; that of the location around for `if` and
    /// `limit_except`; empty for a server.
    pub name: Vec<u8>,
    /// The name escaped for a `Location` header.
    pub escaped_name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The block of the configuration.
    pub block: BlockId,
    /// Where it is written.
    pub span: Span,
    /// The settings in force.
    pub settings: Settings,
    /// Those of them that every request asks for.
    pub usual: Usual,
    /// What runs here.
    pub handlers: Handlers,
    /// The locations inside.
    pub nested: Locations,
    /// The `if` and `limit_except` blocks directly inside.
    pub blocks: Vec<(BlockId, Self)>,
    /// It passes requests on and its name ends in a slash: the URI without the slash is redirected.
    pub auto_redirect: bool,
    /// A directive that would serve the content, were it supported: answer 500, never a file.
    pub pending_content: Option<Arc<str>>,
}

/// Settings that every request asks for, some of them several times: at hand, so that they need
/// not be looked up.
pub struct Usual {
    /// `client_*` and the like.
    pub limits: Arc<Settled<Limits>>,
    /// `keepalive_*` and the like.
    pub connection: Arc<Settled<Connection>>,
    /// `server_tokens` and what redirects look like.
    pub redirect: Arc<Settled<Redirect>>,
    /// `sendfile` and the like.
    pub files: Arc<Settled<Files>>,
    /// Whether there is a `post_action`.
    pub post_action: bool,
    /// Whether only internal requests may enter (`internal`).
    pub internal: bool,
    /// The methods that `limit_except` leaves alone, if there is one.
    pub unlimited: Option<Methods>,
}

impl Usual {
    /// Those among the settings of a block.
    pub fn of(settings: &Settings) -> Self {
        Self {
            limits: settings.arc(&core::LIMITS),
            connection: settings.arc(&core::CONNECTION),
            redirect: settings.arc(&core::REDIRECT),
            files: settings.arc(&core::FILES),
            post_action: settings.get(&core::ERRORS).post_action.is_some(),
            internal: settings.get(&core::ACCESS).internal,
            unlimited: settings.get(&core::LOCATION).unlimited,
        }
    }
}

impl Location {
    /// Whether only internal requests may enter (`internal`).
    pub fn is_internal(&self) -> bool {
        self.usual.internal
    }

    /// The `if` or `limit_except` block of that number directly inside.
    pub fn inner(&self, block: BlockId) -> Option<&Self> {
        self.blocks.iter().find(|(id, _)| *id == block).map(|(_, location)| location)
    }

    /// The `limit_except` of this location.
    pub fn limit_except(&self) -> Option<&Self> {
        self.blocks.iter().map(|(_, inner)| inner).find(|inner| inner.kind == Kind::LimitExcept)
    }
}

/// A `server` block.
pub struct Server {
    /// Its first name, for `$server_name`: without the leading dot, with the `~` of an expression.
    pub name: Vec<u8>,
    /// The settings of the server level.
    pub settings: Settings,
    /// The server's own level, for requests that no location takes.
    pub location: Location,
    /// Its locations, named ones among them.
    pub locations: Locations,
    /// Whether CONNECT is served somewhere in it.
    pub allow_connect: bool,
    /// The block of the configuration.
    pub block: BlockId,
}

impl Server {
    /// The location for a normalised URI.
    pub fn find(&self, uri: &[u8]) -> Found<'_> {
        self.locations.find(uri, &self.location)
    }
}

/// What the regular expression of a location or of a server name captured.
#[derive(Clone, Debug)]
pub struct Matched<'a> {
    /// The captures by number.
    pub captures: Box<Captures>,
    /// The variables that get a capture's value, each with the number of the capture.
    pub variables: &'a [(VarId, usize)],
}

impl<'a> Matched<'a> {
    /// Matches, or says no.
    fn new(regex: &'a CaptureRegex, subject: &[u8]) -> Option<Self> {
        let captures = regex.regex().captures(subject)?;
        Some(Self { captures: Box::new(captures), variables: regex.variables() })
    }

    /// Gives a request the captures and the values of its variables.
    pub fn apply<S: Scope + ?Sized>(self, scope: &mut S) {
        for (id, group) in self.variables {
            scope.assign(*id, self.captures.get(*group).unwrap_or_default());
        }
        *scope.captures() = *self.captures;
    }
}

/// An address with its servers.
pub struct Endpoint {
    /// Connections start with a TLS handshake.
    pub ssl: bool,
    /// The deprecated parameter `http2` was given.
    pub http2: bool,
    /// Connections start with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Who answers for hosts that nobody has.
    pub default: Arc<Server>,
    /// Where that is among the servers.
    default_at: ServerAt,
    /// Its servers, in the order of the file.
    servers: Box<[Arc<Server>]>,
    /// `None` when the default server is the only one and captures nothing from the host.
    names: Option<ServerNames<ServerAt>>,
}

/// The place of a server among those of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAt(u32);

impl Endpoint {
    /// The server for a host (lower case, no port); `None` leaves the request where it is.
    pub fn find(&self, host: &[u8]) -> Option<(ServerAt, Option<Matched<'_>>)> {
        let (at, captures) = self.names.as_ref()?.find(host)?;
        Some((*at, captures))
    }

    /// The place of the default server.
    pub fn default_at(&self) -> ServerAt {
        self.default_at
    }

    /// The server at a place that [`Endpoint::find`] gave.
    pub fn server(&self, at: ServerAt) -> &Server {
        &self.servers[at.0 as usize]
    }
}

/// A listening socket with the addresses whose connections it accepts.
pub struct Listener {
    key: String,
    bound: Bound<usize>,
    endpoints: Vec<Endpoint>,
}

impl Listener {
    /// The name under which the socket is known from one configuration to the next.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The socket.
    pub fn spec(&self) -> &ListenSpec {
        &self.bound.spec
    }

    /// Whether [`Listener::endpoint`] needs the local address of the connection.
    pub fn needs_local(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// The address that a connection came to, by its local address.
    pub fn endpoint(&self, local: Option<IpAddr>) -> &Endpoint {
        &self.endpoints[self.bound.index(local)]
    }
}

/// Everything of `http {}` that a connection and a request are led by.
#[derive(Default)]
pub struct Routes {
    /// The servers, in the order of the file.
    pub servers: Vec<Arc<Server>>,
    /// The sockets, each at the place that it has in [`servers::listeners`].
    pub listeners: Vec<Listener>,
}

impl Routes {
    /// The listener of that name.
    pub fn listener(&self, key: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.key() == key)
    }

    /// The address that a connection came to. Where the listener that accepted it has gone and
    /// there is another one for its local address, the connection goes on with that one.
    pub fn endpoint(&self, listener: &str, local: &Addr) -> Option<&Endpoint> {
        let listener = self.listener(listener).or_else(|| self.heir(local))?;
        let local: Option<IpAddr> = if listener.needs_local() { local.ip() } else { None };
        Some(listener.endpoint(local))
    }

    /// The listener that gets connections to an address, the one at that address alone first.
    fn heir(&self, local: &Addr) -> Option<&Listener> {
        let (ip, port) = (local.ip()?, local.port()?);
        let find = |alone| self.listeners.iter().find(|l| l.spec().gets(ip, port, alone));
        find(true).or_else(|| find(false))
    }

    /// Whether a listener has that name, or its port.
    pub fn listens_on(&self, listener: &str) -> bool {
        let port = |key: &str| key.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let old = port(listener);
        let goes_on = |l: &Listener| l.key() == listener || (old.is_some() && port(l.key()) == old);
        self.listeners.iter().any(goes_on)
    }
}

#[cfg(test)]
mod tests;

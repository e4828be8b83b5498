//! A request: its input, its state and its response.

use std::cell::Cell;
use std::rc::Rc;

use weir_conf::{Group, Settings, Slot};
use weir_engine::Addr;
use weir_engine::clock::Instant;
use weir_script::{Captures, Host, Scope, Template, VarId};
use weir_wire::h1::Method;

use crate::body::Body;
use crate::client::Client;
use crate::errors::Blamed;
use crate::field;
use crate::filter::Chain;
use crate::module::Handler;
use crate::pass::state::Attempts;
use crate::recorder::notes::Noting;
use crate::request::head::Head;
use crate::response::Response;
use crate::route::{Location, Server};
use crate::snapshot::{Held, Snapshot};
use crate::subrequest::family::Family;
use crate::subrequest::line::Line;
use crate::variables::values::Values;

pub(crate) mod aio;
pub(crate) mod basic;
pub(crate) mod browser;
pub(crate) mod connection_info;
mod errors;
pub(crate) mod head;
pub(crate) mod id;
mod lifecycle;
mod location_config;
pub(crate) mod log_context;
pub(crate) mod path;
pub(crate) mod pause;
pub(crate) mod session;
pub(crate) mod spare;
mod state;
mod zones;

use connection_info::ConnectionInfo;
pub(crate) use state::State;
use state::{Common, ModuleState};

/// The origin of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    #[default]
    Main,
    /// A module, on behalf of the main request.
    Subrequest,
}

/// A request on its way through the phases.
///
/// Modules keep their state in slots of their own ([`Request::state`]). The fields here serve the
/// phases and the variables of the core.
pub struct Request {
    /// The configuration that the request began with, and keeps to its end.
    pub snapshot: Rc<Snapshot>,
    /// The chosen server.
    pub server: Held<Server>,
    /// The chosen location; the server's own level before one is chosen.
    pub location: Held<Location>,
    /// The exclusive content handler, chosen by the location and its `if` blocks.
    pub content: Option<Handler>,
    /// The head as received, shared with subrequests.
    pub head: Rc<Head>,
    /// The connection.
    pub info: Rc<ConnectionInfo>,
    /// The client's address: the peer's, or the one found by realip.
    pub remote: Addr,
    /// The body.
    pub body: Body,
    /// The method, which an error page may change to GET.
    pub method: Method,
    /// The method of the main request, in a subrequest.
    pub(crate) main_method: Method,
    /// Whether an error page has replaced the client's method.
    pub(crate) method_replaced: bool,
    /// The normalised path, decoded.
    pub uri: Vec<u8>,
    /// The query string without `?`.
    pub args: Vec<u8>,
    /// Whether the URI is as received. `proxy_pass` without a URI part then passes it on undecoded.
    pub uri_intact: bool,
    /// Whether the URI is still the one that the location was found by; `rewrite … break` ends
    /// that.
    pub location_valid: bool,
    /// The origin of the request.
    pub origin: Origin,
    /// Whether the request may enter `internal` locations.
    pub internal: bool,
    /// The number of changes of the URI that are left (`NGX_HTTP_MAX_URI_CHANGES`). 0 means that
    /// there were too many.
    pub uri_changes: u8,
    /// Whether `try_files` found its file below an `alias` for the whole path, to which the URI is
    /// then appended.
    pub uri_in_alias: bool,
    /// The number of nested subrequests that are left (`NGX_HTTP_MAX_SUBREQUESTS`).
    pub depth: u8,
    /// Whether the connection can serve another request after this one.
    pub keepalive: bool,
    /// Whether the request came before the previous one was answered (`$pipe`).
    pub pipelined: bool,
    /// The number of the request on its connection, from 1.
    pub number: u64,
    /// The time when its first byte was read.
    pub start: Instant,
    /// The length of the request as received: head and body (`$request_length`).
    pub length: u64,
    /// The response.
    pub response: Response,
    /// The filters that its body goes through.
    pub chain: Chain,
    /// Functions that run before its body ends, to compute trailers.
    pub before_last: Vec<fn(&mut Self)>,
    /// The client's side.
    pub client: Client,
    /// The attempts at upstreams.
    pub(crate) attempts: Attempts,
    /// The output that waits for included subrequests.
    pub(crate) line: Line,
    /// Values of variables.
    pub values: Values,
    /// The captures of the last regular expression.
    pub captures: Captures,
    /// Whether an error page is in progress (`recursive_error_pages`).
    pub error_page: bool,
    /// The status of the error page in progress, or 0. Kept across internal redirects.
    pub error_status: u16,
    /// Whether the log phase skips this request.
    pub discard_log: bool,
    /// Why it is failing, if it is.
    pub(crate) blamed: Cell<Blamed>,
    /// Whether its server's zone counts it as being processed.
    pub(crate) processing: bool,
    /// Whether the log phase is running, for the error log.
    pub(crate) logging: bool,
    /// Whether the connection has switched protocols (101).
    pub upgraded: bool,
    /// The notes for a record, where requests are recorded.
    pub(crate) noting: Option<Noting>,
    /// The last location that it has been in and that has requests recorded.
    pub(crate) recorded_by: Option<Held<Location>>,
    states: Vec<Option<ModuleState>>,
    /// The module state shared by a main request and its subrequests, created when first needed.
    common: Option<Common>,
    /// The state shared by a client's request and all its subrequests, created with the first.
    pub(crate) family: Option<Rc<Family>>,
}

impl Request {
    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.location.settings
    }

    /// A table of the settings in force.
    pub fn get<T: Group>(&self, slot: &'static Slot<T>) -> &T {
        self.location.settings.get(slot)
    }

    /// Whether a module has made this request.
    pub fn is_subrequest(&self) -> bool {
        self.origin == Origin::Subrequest
    }

    /// The value of a template.
    pub fn eval(&mut self, template: &Template) -> Vec<u8> {
        let mut out = Vec::new();
        template.eval(self, &mut out);
        out
    }

    /// The value of a template, not copied if it has no variables.
    pub fn eval_into<'a>(&mut self, template: &'a Template, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match template.literal() {
            Some(literal) => literal,
            None => {
                scratch.clear();
                template.eval(self, scratch);
                scratch
            }
        }
    }

    /// Appends the value of a template for a header field.
    pub fn eval_field(&mut self, template: &Template, out: &mut Vec<u8>) {
        let start = out.len();
        template.eval(self, out);
        field::clean(out, start);
    }

    /// Sets the URI to be served, as `rewrite` does.
    pub fn set_uri(&mut self, uri: Vec<u8>, args: Vec<u8>) {
        self.uri = uri;
        self.args = args;
        self.uri_intact = false;
    }

    /// The extension of the last path segment, for `types`.
    pub fn extension(&self) -> &[u8] {
        weir_wire::uri::extension(&self.uri)
    }

    /// The current method: the client's, or the one set by an error page.
    pub fn method_name(&self) -> &[u8] {
        self.name_of(self.method)
    }

    /// The current method of the main request (`$request_method`); empty if its request line has no
    /// readable one.
    pub fn main_method_name(&self) -> &[u8] {
        if self.head.method_text().is_empty() && !self.method_replaced {
            return b"";
        }
        self.name_of(if self.is_subrequest() { self.main_method } else { self.method })
    }

    fn name_of(&self, method: Method) -> &[u8] {
        method.name().unwrap_or_else(|| self.head.method_text())
    }

    /// The host of the request, in lower case and without its port; the server's name if there is
    /// none (`$host`).
    pub fn host(&self) -> &[u8] {
        match self.head.host.is_empty() {
            true => &self.server.name,
            false => &self.head.host,
        }
    }
}

/// The maximum number of internal redirects of a request (nginx: 10).
pub(crate) const MAX_URI_CHANGES: u8 = 10;

/// The maximum depth of subrequests (nginx: 50).
pub(crate) const MAX_SUBREQUESTS: u8 = 50;

impl Host for Request {
    fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool {
        Self::variable(self, id, out)
    }

    fn capture(&mut self, n: usize, out: &mut Vec<u8>) -> bool {
        match self.captures.get(n) {
            Some(text) => {
                out.extend_from_slice(text);
                true
            }
            None => false,
        }
    }
}

impl Scope for Request {
    fn captures(&mut self) -> &mut Captures {
        &mut self.captures
    }

    fn assign(&mut self, id: VarId, value: &[u8]) {
        self.values.store(id, Some(value));
    }
}

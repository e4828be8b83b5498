//! One request: what was asked, where it stands, and what will be answered.

use std::rc::Rc;

use weir_conf::{Group, Settings, Slot};
use weir_engine::Addr;
use weir_engine::clock::Instant;
use weir_script::{Captures, Host, Scope, Template, VarId};
use weir_wire::h1::Method;

use crate::body::Body;
use crate::client::Client;
use crate::field;
use crate::filter::Chain;
use crate::head::Head;
use crate::module::Handler;
use crate::pass::state::Attempts;
use crate::response::Response;
use crate::route::{Location, Server};
use crate::snapshot::{Held, Snapshot};
use crate::subrequest::family::Family;
use crate::subrequest::line::Line;
use crate::variables::values::Values;

pub mod connection_info;
mod lifecycle;
mod state;

use connection_info::ConnectionInfo;
pub use state::State;
use state::{Common, Kept};

/// How a request came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// From a client.
    #[default]
    Main,
    /// Made by a module on behalf of the main request.
    Subrequest,
}

/// A request on its way through the phases.
///
/// Modules keep what is theirs in slots of their own ([`Request::state`]); the fields here are
/// those that the phases and the variables of the core are made of.
pub struct Request {
    /// The configuration that this request began with, and will end with.
    pub snapshot: Rc<Snapshot>,
    /// The chosen server.
    pub server: Held<Server>,
    /// The chosen location; the server's own level before one is chosen.
    pub location: Held<Location>,
    /// The exclusive handler of the content, as the location and its `if` blocks chose it.
    pub content: Option<Handler>,
    /// The head as received, shared with subrequests.
    pub head: Rc<Head>,
    /// The connection.
    pub info: Rc<ConnectionInfo>,
    /// The client's address: the peer's, or what realip found.
    pub remote: Addr,
    /// What came in behind the head.
    pub body: Body,
    /// The method, which an error page may change to GET.
    pub method: Method,
    /// In a subrequest, that of the request it was made for.
    pub(crate) main_method: Method,
    /// Whether the method is an error page's, not the client's.
    pub(crate) method_replaced: bool,
    /// The normalised path, decoded.
    pub uri: Vec<u8>,
    /// The query string without `?`.
    pub args: Vec<u8>,
    /// The URI as received, undecoded, while nothing has rewritten it: what `proxy_pass` without
    /// a URI part passes on.
    pub uri_intact: bool,
    /// Whether the URI still is the one that the location was found by; `rewrite … break` ends
    /// that.
    pub location_valid: bool,
    /// Which of the two: client's or a module's.
    pub origin: Origin,
    /// Whether the request may enter `internal` locations.
    pub internal: bool,
    /// How many more times the URI may change (`NGX_HTTP_MAX_URI_CHANGES`).
    /// At 0 there were too many.
    pub uri_changes: u8,
    /// `try_files` found its file below an `alias` that is a whole path: the URI is appended to it.
    pub uri_in_alias: bool,
    /// How many more subrequests may be nested (`NGX_HTTP_MAX_SUBREQUESTS`).
    pub depth: u8,
    /// Whether the connection can take another request after this one.
    pub keepalive: bool,
    /// Whether it had come before the one before it was answered (`$pipe`).
    pub pipelined: bool,
    /// Which request of its connection this is, from 1.
    pub number: u64,
    /// When its first byte was read.
    pub start: Instant,
    /// Bytes of the request as received: head and body (`$request_length`).
    pub length: u64,
    /// The answer.
    pub response: Response,
    /// The filters that its body goes through.
    pub chain: Chain,
    /// Functions that run before its body ends, to compute trailers.
    pub before_last: Vec<fn(&mut Self)>,
    /// The way to and from the client.
    pub client: Client,
    /// What upstreams were asked and have answered.
    pub(crate) attempts: Attempts,
    /// What waits for included subrequests.
    pub(crate) line: Line,
    /// Values of variables.
    pub values: Values,
    /// What the last regular expression captured.
    pub captures: Captures,
    /// Whether an error page is being made (`recursive_error_pages`).
    pub error_page: bool,
    /// The status for which an error page is being made, 0 for none: kept over internal
    /// redirects.
    pub error_status: u16,
    /// Whether the log phase has nothing to say about this request.
    pub discard_log: bool,
    /// Whether the log phase runs, for the error log.
    pub(crate) logging: bool,
    /// Whether another protocol took over the connection (101).
    pub upgraded: bool,
    states: Vec<Option<Kept>>,
    /// What modules keep for a main request and its subrequests together; made when first needed.
    common: Option<Common>,
    /// What the client's request and all its subrequests have in common; made with the first.
    pub(crate) family: Option<Rc<Family>>,
}

impl Request {
    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.location.settings
    }

    /// One table of the settings in force.
    pub fn get<T: Group>(&self, slot: &'static Slot<T>) -> &T {
        self.location.settings.get(slot)
    }

    /// Whether this request was made by a module.
    pub fn is_subrequest(&self) -> bool {
        self.origin == Origin::Subrequest
    }

    /// The value of a template.
    pub fn eval(&mut self, template: &Template) -> Vec<u8> {
        let mut out = Vec::new();
        template.eval(self, &mut out);
        out
    }

    /// The value of a template, without a copy when it has no variables.
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

    /// Sets the URI to be served from now on, as `rewrite` does.
    pub fn set_uri(&mut self, uri: Vec<u8>, args: Vec<u8>) {
        self.uri = uri;
        self.args = args;
        self.uri_intact = false;
    }

    /// What stands behind the last dot of the last path segment, for `types`.
    pub fn extension(&self) -> &[u8] {
        weir_wire::uri::extension(&self.uri)
    }

    /// The method as it is now: the client's, or what an error page made of it.
    pub fn method_name(&self) -> &[u8] {
        self.name_of(self.method)
    }

    /// The method of the client's request as it is now (`$request_method`); empty when its request
    /// line had none that can be read.
    pub fn main_method_name(&self) -> &[u8] {
        if self.head.method_text().is_empty() && !self.method_replaced {
            return b"";
        }
        self.name_of(if self.is_subrequest() { self.main_method } else { self.method })
    }

    fn name_of(&self, method: Method) -> &[u8] {
        match method {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            _ => self.head.method_text(),
        }
    }

    /// The host that the client asked for, lower-cased and without its port; the server's name
    /// when it named none (`$host`).
    pub fn host(&self) -> &[u8] {
        match self.head.host.is_empty() {
            true => &self.server.name,
            false => &self.head.host,
        }
    }
}

/// How often a request may be redirected inside the server (nginx: 10).
pub const MAX_URI_CHANGES: u8 = 10;

/// How deep subrequests may nest (nginx: 50).
pub const MAX_SUBREQUESTS: u8 = 50;

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

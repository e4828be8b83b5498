//! One request: what was asked, where it stands, and what will be answered.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_conf::{Group, Settings, Slot};
use weir_engine::Addr;
use weir_engine::buffer::Buf;
use weir_engine::clock::Instant;
use weir_script::{Captures, Host, Scope, Template, VarId};
use weir_wire::h1::{Method, RequestHead};

use crate::body::Body;
use crate::client::{Client, Exchange, Sink};
use crate::head::Head;
use crate::include::Line;
use crate::module::Handler;
use crate::pass::state::{Attempts, Shown};
use crate::response::Response;
use crate::route::{Location, Server};
use crate::snapshot::{Held, Snapshot};
use crate::spare;
use crate::subrequest::Family;
use crate::variables::Values;

/// What all requests of a connection share.
pub struct ConnectionInfo {
    /// nginx's connection number (`$connection`, `*N` in the error log).
    pub id: u64,
    /// The peer, as `accept` or the PROXY protocol header told.
    pub peer: Addr,
    /// Our own end.
    pub local: Addr,
    /// The PROXY protocol header, when the listener takes one.
    pub proxy_protocol: Option<Box<weir_wire::proxy_protocol::ProxyHeader>>,
    /// Whether the listener is for TLS; without `tls` a plain request has come to it.
    pub ssl: bool,
    /// TLS parameters.
    pub tls: Option<Rc<weir_engine::tls::TlsInfo>>,
    /// The name by which the handshake has chosen a server, in lower case.
    pub negotiated: Option<Box<[u8]>>,
    /// When it was accepted.
    pub start: Instant,
}

impl ConnectionInfo {
    /// What the connection itself tells.
    pub fn of(
        conn: &weir_engine::Conn,
        start: Instant,
        proxy_protocol: Option<Box<weir_wire::proxy_protocol::ProxyHeader>>,
    ) -> Self {
        Self {
            id: conn.id(),
            peer: conn.peer().clone(),
            local: conn.local().clone(),
            proxy_protocol,
            ssl: conn.tls().is_some(),
            tls: conn.tls().cloned(),
            negotiated: None,
            start,
        }
    }
}

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

/// States by place.
type Common = Rc<RefCell<Vec<Option<Box<dyn Any>>>>>;

/// A module's place for state of its own in every request.
pub struct State<T> {
    index: AtomicUsize,
    make: fn() -> T,
    kept: bool,
    hand_down: Option<HandDown>,
}

/// Copies a state for a subrequest.
type HandDown = fn(&dyn Any) -> Box<dyn Any>;

/// One module's state, whether an internal redirect leaves it alone, and how subrequests get it.
pub(crate) struct Kept {
    value: Box<dyn Any>,
    kept: bool,
    hand_down: Option<HandDown>,
}

static NEXT_STATE: AtomicUsize = AtomicUsize::new(0);
const UNASSIGNED: usize = usize::MAX;

impl<T: 'static> State<T> {
    /// A place filled by `make` when it is first asked for.
    pub const fn new(make: fn() -> T) -> Self {
        Self { index: AtomicUsize::new(UNASSIGNED), make, kept: false, hand_down: None }
    }

    /// Likewise, and what is there survives internal redirects.
    pub const fn kept(make: fn() -> T) -> Self {
        Self { index: AtomicUsize::new(UNASSIGNED), make, kept: true, hand_down: None }
    }

    /// Likewise, and subrequests begin with a copy of what is there.
    pub const fn handed_down(make: fn() -> T) -> Self
    where
        T: Clone,
    {
        let hand_down: HandDown = |value| {
            let value: &T = value.downcast_ref().expect("a place has one type");
            Box::new(value.clone())
        };
        let index = AtomicUsize::new(UNASSIGNED);
        Self { index, make, kept: true, hand_down: Some(hand_down) }
    }

    fn index(&self) -> usize {
        let index = self.index.load(Ordering::Relaxed);
        if index != UNASSIGNED {
            return index;
        }
        let new = NEXT_STATE.fetch_add(1, Ordering::Relaxed);
        match self.index.compare_exchange(UNASSIGNED, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(other) => other,
        }
    }
}

impl Request {
    /// A request as its parts, before its first phase.
    pub fn new(
        snapshot: Rc<Snapshot>,
        server: Held<Server>,
        info: Rc<ConnectionInfo>,
        head: Rc<Head>,
        client: Client,
    ) -> Self {
        let mut values = Values::default();
        values.reset(snapshot.variable_count());
        Self {
            location: Held::map(&server, |server| &server.location),
            content: None,
            server,
            remote: info.peer.clone(),
            info,
            body: Body::default(),
            method: head.method,
            main_method: Method::Get,
            method_replaced: false,
            head,
            uri: Vec::new(),
            args: Vec::new(),
            uri_intact: true,
            location_valid: true,
            origin: Origin::Main,
            internal: false,
            uri_changes: MAX_URI_CHANGES + 1,
            uri_in_alias: false,
            depth: MAX_SUBREQUESTS + 1,
            keepalive: false,
            pipelined: false,
            number: 1,
            start: weir_engine::clock::precise(),
            length: 0,
            response: Response::default(),
            client,
            attempts: Attempts::default(),
            line: Line::default(),
            values,
            captures: Captures::default(),
            error_page: false,
            error_status: 0,
            discard_log: false,
            logging: false,
            upgraded: false,
            states: Vec::new(),
            common: None,
            family: None,
            snapshot,
        }
    }

    /// The next request of a client, in the memory of an earlier one of this thread where there
    /// is any. What its head says comes with [`Request::take_head`].
    pub(crate) fn next(
        snapshot: Rc<Snapshot>,
        server: Held<Server>,
        info: &Rc<ConnectionInfo>,
        exchange: Exchange,
    ) -> Box<Self> {
        let Some(mut request) = spare::request() else {
            let client = Client::new(Sink::Client(exchange));
            return Box::new(Self::new(snapshot, server, Rc::clone(info), Rc::default(), client));
        };
        request.values.reset(snapshot.variable_count());
        request.location = Held::map(&server, |server| &server.location);
        request.server = server;
        request.snapshot = snapshot;
        request.remote = info.peer.clone();
        request.info = Rc::clone(info);
        request.client.replace_sink(Sink::Client(exchange));
        request
    }

    /// Takes in a head: its bytes, and `fill` puts in what was found there, where there is memory
    /// of an earlier one.
    pub(crate) fn take_head(&mut self, bytes: Buf, fill: impl FnOnce(&mut RequestHead)) {
        // `forget` has left a head that nobody shares.
        let head = Rc::get_mut(&mut self.head)
            .expect("a request that has not begun shares its head with nobody");
        head.replace(bytes, fill);
        self.method = head.method;
        self.length = head.length as u64;
    }

    /// Ends the request: its memory is left to others, and gives the exchange back.
    pub(crate) fn retire(mut self: Box<Self>) -> Option<Exchange> {
        let sink = self.client.replace_sink(Sink::Discard);
        self.forget();
        spare::leave_request(self);
        match sink {
            Sink::Client(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Back to the state before the first phase, but for what [`Request::next`] settles. Every
    /// field is named, so that a new one is not left to the next request by mistake.
    fn forget(&mut self) {
        let Self {
            snapshot: _,
            server: _,
            location: _,
            content,
            head,
            info: _,
            remote: _,
            body,
            method: _,
            main_method: _,
            method_replaced,
            uri,
            args,
            uri_intact,
            location_valid,
            origin,
            internal,
            uri_changes,
            uri_in_alias,
            depth,
            keepalive,
            pipelined,
            number: _,
            start: _,
            length: _,
            response,
            client,
            attempts,
            line,
            values: _,
            captures,
            error_page,
            error_status,
            discard_log,
            logging,
            upgraded,
            states,
            common,
            family,
        } = self;
        *content = None;
        match Rc::get_mut(head) {
            Some(head) => head.forget(),
            // A subrequest that outlives the request holds it.
            None => *head = Rc::default(),
        }
        body.reset();
        uri.clear();
        args.clear();
        (*uri_intact, *location_valid) = (true, true);
        *origin = Origin::Main;
        (*internal, *uri_in_alias, *method_replaced) = (false, false, false);
        (*uri_changes, *depth) = (MAX_URI_CHANGES + 1, MAX_SUBREQUESTS + 1);
        (*keepalive, *pipelined) = (false, false);
        response.reset();
        client.reset();
        attempts.reset();
        line.reset();
        captures.clear();
        (*error_page, *error_status) = (false, 0);
        (*discard_log, *logging, *upgraded) = (false, false, false);
        states.clear();
        (*common, *family) = (None, None);
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.location.settings
    }

    /// One table of the settings in force.
    pub fn get<T: Group>(&self, slot: &'static Slot<T>) -> &T {
        self.location.settings.get(slot)
    }

    /// A module's state for this request, made when first asked for.
    pub fn state<T: 'static>(&mut self, place: &'static State<T>) -> &mut T {
        let index = place.index();
        if self.states.len() <= index {
            self.states.resize_with(index + 1, || None);
        }
        self.states[index]
            .get_or_insert_with(|| Kept {
                value: Box::new((place.make)()),
                kept: place.kept,
                hand_down: place.hand_down,
            })
            .value
            .downcast_mut()
            .expect("a place has one type")
    }

    /// A module's state if it was ever asked for.
    pub fn state_if<T: 'static>(&self, place: &'static State<T>) -> Option<&T> {
        self.states.get(place.index())?.as_ref()?.value.downcast_ref()
    }

    /// Gives a subrequest the states that it shall begin with.
    pub(crate) fn hand_down_states(&self, child: &mut Self) {
        let copy = |state: &Kept| {
            let hand_down = state.hand_down?;
            let value = hand_down(&*state.value);
            Some(Kept { value, kept: state.kept, hand_down: state.hand_down })
        };
        child.states = self.states.iter().map(|state| copy(state.as_ref()?)).collect();
    }

    /// A module's state for the main request, its subrequests and all redirects together, made when
    /// first asked for. `f` must not ask for another.
    pub fn with_main<T: 'static, R>(
        &mut self,
        place: &'static State<T>,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        let index = place.index();
        let mut states = self.common.get_or_insert_default().borrow_mut();
        if states.len() <= index {
            states.resize_with(index + 1, || None);
        }
        let state = states[index].get_or_insert_with(|| Box::new((place.make)()));
        f(state.downcast_mut().expect("a place has one type"))
    }

    /// Lets a subrequest see what [`Request::with_main`] keeps.
    pub(crate) fn share_main(&mut self, child: &mut Self) {
        child.common = Some(Rc::clone(self.common.get_or_insert_default()));
    }

    /// Forgets the modules' states: an internal redirect begins anew (nginx clears all contexts).
    pub fn clear_states(&mut self) {
        self.response.chain.clear();
        self.attempts.shown = Shown::default();
        for state in &mut self.states {
            if state.as_ref().is_some_and(|state| !state.kept) {
                *state = None;
            }
        }
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

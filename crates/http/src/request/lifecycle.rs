//! The lifecycle of requests: each begins in the memory of an earlier one, and leaves its own to
//! the next.

use std::cell::Cell;
use std::rc::Rc;

use weir_engine::buffer::Buf;
use weir_script::Captures;
use weir_wire::h1::{Method, RequestHead};

use super::connection_info::ConnectionInfo;
use super::{MAX_SUBREQUESTS, MAX_URI_CHANGES, Origin, Request};
use crate::body::Body;
use crate::client::{Client, Exchange, Sink};
use crate::filter::Chain;
use crate::pass::state::Attempts;
use crate::request::head::Head;
use crate::request::spare;
use crate::response::Response;
use crate::route::Server;
use crate::snapshot::{Held, Snapshot};
use crate::subrequest::line::Line;
use crate::variables::values::Values;

impl Request {
    /// A request from its parts, before its first phase.
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
            chain: Chain::default(),
            before_last: Vec::new(),
            client,
            attempts: Attempts::default(),
            line: Line::default(),
            values,
            captures: Captures::default(),
            error_page: false,
            error_status: 0,
            discard_log: false,
            blamed: Cell::default(),
            processing: false,
            logging: false,
            upgraded: false,
            noting: None,
            recorded_by: None,
            states: Vec::new(),
            common: None,
            family: None,
            snapshot,
        }
    }

    /// The next request of a client, in the memory of an earlier one of this thread if there is
    /// any. Its head follows with [`Request::take_head`].
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

    /// Sets the head: its bytes, and the parser's results, which `fill` writes into the memory of
    /// an earlier head.
    pub(crate) fn take_head(&mut self, bytes: Buf, fill: impl FnOnce(&mut RequestHead)) {
        // `forget` has left a head with one owner.
        let head = Rc::get_mut(&mut self.head)
            .expect("a request that has not begun shares its head with nobody");
        head.replace(bytes, fill);
        self.method = head.method;
        self.length = head.length as u64;
    }

    /// Ends the request: its memory is kept for reuse, and its exchange returned.
    pub(crate) fn retire(mut self: Box<Self>) -> Option<Exchange> {
        let sink = self.client.replace_sink(Sink::Discard);
        self.count_attempts();
        self.leave_zone();
        self.forget();
        spare::leave_request(self);
        match sink {
            Sink::Client(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Resets to the state before the first phase, except for what [`Request::next`] sets. Every
    /// field is named, so that no new one is carried over by mistake.
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
            chain,
            before_last,
            client,
            attempts,
            line,
            values: _,
            captures,
            error_page,
            error_status,
            discard_log,
            blamed,
            processing,
            logging,
            upgraded,
            noting,
            recorded_by,
            states,
            common,
            family,
        } = self;
        (*content, *blamed) = (None, Cell::default());
        match Rc::get_mut(head) {
            Some(head) => head.forget(),
            // A subrequest that outlives the request still holds it.
            None => *head = Rc::default(),
        }
        body.reset();
        uri.clear();
        args.clear();
        (*uri_intact, *location_valid) = (true, true);
        *origin = Origin::Main;
        (*internal, *uri_in_alias, *method_replaced, *discard_log) = (false, false, false, false);
        (*uri_changes, *depth) = (MAX_URI_CHANGES + 1, MAX_SUBREQUESTS + 1);
        (*keepalive, *pipelined, *logging, *upgraded) = (false, false, false, false);
        response.reset();
        chain.clear();
        before_last.clear();
        client.reset();
        attempts.reset();
        line.reset();
        captures.clear();
        (*error_page, *error_status, *processing) = (false, 0, false);
        states.clear();
        (*common, *family, *noting, *recorded_by) = (None, None, None, None);
    }
}

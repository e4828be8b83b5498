//! From connections to requests: what one thread keeps between them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use weir_engine::connection::Conn;
use weir_engine::stats::Gauged;
use weir_engine::tls::Alpn;

use crate::request::Request;
use crate::route::Endpoint;
use crate::snapshot::Snapshot;

mod answer;
mod choose;
mod connection;
mod fault;
mod h1;
mod idle;
mod open;
mod stream;
mod tls;
mod unended;

pub use stream::Ask;

use open::Opened;

/// What is spoken on a connection.
enum Protocol {
    /// HTTP/1.1 and before.
    H1,
}

impl Protocol {
    /// What a client speaks that has been let in: what the handshake has agreed on, if it has.
    fn of(_opened: &Opened) -> Self {
        Self::H1
    }

    /// Serves a connection from its first request to its last.
    async fn serve(self, service: Rc<Service>, opened: Opened, listener: Rc<str>) {
        match self {
            Self::H1 => h1::serve(service, opened, listener).await,
        }
    }
}

/// What an endpoint's connections are offered with ALPN.
fn alpn(_endpoint: &Endpoint) -> Alpn {
    HTTP_1
}

const HTTP_1: Alpn = &[b"http/1.1", b"http/1.0", b"http/0.9"];

/// One thread's HTTP service: the snapshot in force and the connections that live here.
pub struct Service {
    snapshot: RefCell<Rc<Snapshot>>,
    /// Set when the thread is to finish what it has and stop.
    quitting: Cell<bool>,
    idle: idle::IdleConnections,
}

impl Service {
    /// A service that begins with `snapshot`.
    pub fn new(snapshot: Rc<Snapshot>) -> Rc<Self> {
        crate::spare::follow(Some(&snapshot));
        Rc::new_cyclic(|service| Self {
            snapshot: RefCell::new(snapshot),
            quitting: Cell::new(false),
            idle: idle::IdleConnections::new(service.clone()),
        })
    }

    /// The configuration in force for new requests.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    /// Whether that configuration is still the one for new requests.
    pub(crate) fn is_in_force(&self, snapshot: &Rc<Snapshot>) -> bool {
        Rc::ptr_eq(&self.snapshot.borrow(), snapshot)
    }

    /// Puts a new configuration in force. Requests under way end with the one they began with.
    /// Connections to listeners that it no longer has are closed when they are idle; the others,
    /// new ones too, have their next request answered by the old one.
    pub fn swap(self: &Rc<Self>, snapshot: Rc<Snapshot>) {
        let old = self.snapshot.replace(Rc::clone(&snapshot));
        crate::spare::follow(Some(&snapshot));
        let leaving = self.idle.look_around(|listener, _| !snapshot.listens_on(listener));
        leaving.see_off(self, Some(old));
    }

    /// Takes a connection accepted on `listener` (an index into the snapshot's listeners).
    pub fn accept(self: &Rc<Self>, conn: Conn, listener: &Rc<str>) {
        connection::accept(self, conn, listener);
    }

    /// Closes what is idle, and lets every connection end after its current request. A new
    /// connection may have its first one.
    pub fn quit(self: &Rc<Self>) {
        self.quitting.set(true);
        crate::spare::follow(None);
        self.snapshot.borrow().drain();
        self.idle.look_around(|_, number| number > 1).see_off(self, None);
        crate::pass::pool::close_all();
    }

    /// Whether [`Service::quit`] was called.
    pub fn is_quitting(&self) -> bool {
        self.quitting.get()
    }
}

/// Ends the exchange of a request that has been answered and logged, and nothing can follow on it.
async fn close(request: Box<Request>, gauge: Option<Gauged>) {
    match request.client.is_h1() {
        true => h1::linger::close(request, gauge).await,
        false => drop(request.retire()),
    }
}

//! From connections to requests: the state that a thread keeps between them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use weir_engine::connection::Conn;
use weir_engine::stats::Gauged;
use weir_engine::tls::Alpn;

use crate::client::Exchange;
use crate::request::Request;
use crate::snapshot::Snapshot;

mod answer;
mod choose;
mod connection;
mod fault;
mod h1;
mod h2;
mod idle;
mod open;
mod stream;
mod tls;
mod unended;

pub use stream::Ask;

use open::Opened;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientProtocol {
    /// HTTP/1.1 and earlier.
    H1,
    /// HTTP/2.
    H2,
}

impl ClientProtocol {
    /// Serves an opened connection from its first request to its last.
    async fn serve(self, service: Rc<Service>, opened: Opened, listener: Rc<str>) {
        match self {
            Self::H1 => h1::serve(service, opened, listener).await,
            Self::H2 => h2::serve(service, opened, listener).await,
        }
    }
}

/// The ALPN protocols of servers without HTTP/2.
const ALPN: Alpn = &[b"http/1.1", b"http/1.0", b"http/0.9"];

/// The ALPN protocols of servers with HTTP/2.
const ALPN_WITH_HTTP2: Alpn = &[HTTP2, b"http/1.1", b"http/1.0", b"http/0.9"];

/// The ALPN name of HTTP/2 (RFC 9113 section 3.2).
const HTTP2: &[u8] = b"h2";

/// One thread's HTTP service: the snapshot in force, and the connections of the thread.
pub struct Service {
    snapshot: RefCell<Rc<Snapshot>>,
    /// Whether the thread finishes its work and then stops.
    quitting: Cell<bool>,
    idle: idle::IdleConnections,
}

impl Service {
    /// A service that starts with `snapshot`.
    pub fn new(snapshot: Rc<Snapshot>) -> Rc<Self> {
        crate::request::spare::follow(Some(&snapshot));
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

    /// Whether a snapshot is the one in force.
    pub(crate) fn is_in_force(&self, snapshot: &Rc<Snapshot>) -> bool {
        Rc::ptr_eq(&self.snapshot.borrow(), snapshot)
    }

    /// Puts a new configuration in force. Requests in progress end with the one they began with.
    /// Connections to removed listeners are closed when they are idle; the next request of the
    /// others, and of new ones, is answered by the old configuration.
    pub fn swap(self: &Rc<Self>, snapshot: Rc<Snapshot>) {
        let old = self.snapshot.replace(Rc::clone(&snapshot));
        crate::request::spare::follow(Some(&snapshot));
        let leaving = self.idle.look_around(|listener, _| !snapshot.listens_on(listener));
        leaving.see_off(self, Some(old));
    }

    /// Takes a connection accepted by the listener with this name.
    pub fn accept(self: &Rc<Self>, conn: Conn, listener: &Rc<str>) {
        connection::accept(self, conn, listener);
    }

    /// Closes idle connections, and ends every other one after its current request. A new
    /// connection may still have its first one.
    pub fn quit(self: &Rc<Self>) {
        self.quitting.set(true);
        crate::request::spare::follow(None);
        self.snapshot.borrow().drain();
        self.idle.look_around(|_, number| number > 1).see_off(self, None);
        crate::pass::pool::close_all();
        crate::pass::shared_links::close_all();
    }

    /// Whether [`Service::quit`] was called.
    pub fn is_quitting(&self) -> bool {
        self.quitting.get()
    }
}

/// Ends the exchange of a request that has been answered and logged, after which nothing can
/// follow.
async fn close(request: Box<Request>, gauge: Option<Gauged>) {
    if request.client.is_h1() {
        return h1::linger::close(request, gauge).await;
    }
    let timed_out = request.client.timed_out;
    if let Some(Exchange::H2(stream)) = request.retire() {
        stream.close(timed_out);
    }
}

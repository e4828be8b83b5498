//! A connection: the machine of `weir_wire::h2`, its socket, and what its streams have received.
//!
//! One task reads and writes the socket. Streams put their output into the machine and wake the task,
//! which runs after them in the same turn of the loop, so that what a turn has written leaves with one send.

use std::io;
use std::rc::Rc;

use weir_engine::connection::Conn;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::hpack::BlockWriter;
use weir_wire::h2::{Config, ErrorCode};

use super::Stream;

/// A connection, shared by its task and its streams.
pub(crate) struct Link {}

/// A request that a client has begun.
pub(crate) struct Begun {
    pub stream: Stream,
    /// The head's fields.
    pub fields: FieldBlock,
    /// Whether there is no body.
    pub ended: bool,
}

/// Why a connection's task has ended.
pub(crate) enum Closed {
    /// Gracefully, by either side.
    Over,
    /// By the peer, with an error of the socket if there was one.
    Gone(Option<io::Error>),
    /// By the peer's fault, which is to be logged.
    Faulty(&'static str),
    // The server's task needs more: idle timeouts, parking. Its author shapes that.
}

impl Link {
    /// A link over an opened connection. The caller drives it.
    pub(crate) fn new(_conn: Conn, _config: Config) -> Rc<Self> {
        todo!()
    }

    /// The next request of a client. (server)
    pub(crate) async fn accept(self: &Rc<Self>) -> Result<Begun, Closed> {
        todo!()
    }

    /// Drives a connection to an upstream until it ends. (client)
    pub(crate) async fn drive(self: &Rc<Self>) -> Closed {
        todo!()
    }

    /// Whether another stream can be opened now. (client)
    pub(crate) fn can_open(&self) -> bool {
        todo!()
    }

    /// Whether the connection will accept streams again; false after GOAWAY and errors. (client)
    pub(crate) fn is_usable(&self) -> bool {
        todo!()
    }

    /// The number of open streams.
    pub(crate) fn streams(&self) -> usize {
        todo!()
    }

    /// Opens a stream with a request's head. (client) Allowed if [`Link::can_open`].
    pub(crate) fn open(
        self: &Rc<Self>,
        _end: bool,
        _head: impl FnOnce(&mut BlockWriter<'_>),
    ) -> Stream {
        todo!()
    }

    /// Begins a graceful end.
    pub(crate) fn shut_down(&self) {
        todo!()
    }

    /// Ends the connection with this code.
    pub(crate) fn abort(&self, _code: ErrorCode) {
        todo!()
    }

    /// Facts about the connection (addresses, TLS, number), without borrowing the socket for long.
    pub(crate) fn with_conn<T>(&self, _f: impl FnOnce(&Conn) -> T) -> T {
        todo!()
    }
}

//! HTTP/2 (RFC 9113): frames, header compression, and connections without I/O.

pub mod connection;
pub mod error;
pub mod hpack;

pub use connection::{Config, Connection, Event, Role};
pub use error::{ConnectionError, ErrorCode};

/// The number of a stream (RFC 9113 section 5.1.1); never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// The bytes that a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

//! HTTP/2 (RFC 9113): frames, header compression, and connections without I/O.

mod budget;
mod closed;
pub mod connection;
pub mod error;
mod frame;
pub mod fuzz;
pub mod hpack;
mod limits;
mod output;
mod priority;
mod queue;
pub mod response;
mod settings;
mod stream;
mod streams;
mod window;

pub use connection::{Config, Connection, Event, Role};
pub use error::{ConnectionError, ErrorCode};

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    /// The number (RFC 9113 section 5.1.1); never 0.
    pub id: u32,
    /// The place in the connection's table, which no other stream has until this one is forgotten. Callers
    /// can have a table of their own with the same places. Below twice [`Config::max_streams`].
    pub slot: u32,
}

/// The number of unsent bytes of output up to which bodies are written: about what a socket takes at once.
/// What waits beyond that only makes late what comes after it.
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// The bytes that a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

//! HTTP/2 (RFC 9113): frames, header compression, and connections without I/O.

mod budget;
mod closed;
mod config;
pub mod connection;
mod dependency;
pub mod error;
mod frame;
pub mod fuzz;
pub mod hpack;
mod limits;
mod order;
mod output;
mod priority;
pub mod response;
mod settings;
mod stream;
mod streams;
mod window;

pub use config::{Config, Millis, Role};
pub use connection::{Connection, Event};
pub use error::{ConnectionError, ErrorCode, Fault};
pub use frame::{HEAD as FRAME_HEAD, PREFACE};
pub use limits::OUTPUT_LIMIT;
pub use stream::StreamId;

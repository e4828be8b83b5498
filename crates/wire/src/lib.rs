//! Protocols as bytes: parsers and writers that own no socket, clock or thread.
//!
//! A caller feeds bytes as they arrive and gets values, spans into its own buffer, or an error that
//! says whose fault it is. Nothing here waits, allocates per request what a reused vector could
//! hold, or panics on what the network sends.
#![forbid(unsafe_code)]

pub mod date;
pub mod h1;
pub mod header;
pub mod memcached;
pub mod proxy_protocol;
pub mod request;
mod shown;
pub mod status;
pub mod uri;
mod words;

pub use shown::shown;

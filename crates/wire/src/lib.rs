//! Sans-IO codecs: parsers and writers without sockets, clocks or threads.
//!
//! A caller feeds bytes as they arrive and gets values, spans into its own buffer, or an error that
//! says whose fault it is. The codecs never wait, never panic on input, and reuse the memory of
//! earlier messages.
#![forbid(unsafe_code)]

pub mod agent;
pub mod cgi;
pub mod date;
pub mod exposition;
pub mod fastcgi;
pub mod field_block;
pub mod grpc_health;
pub mod grpc_web;
pub mod h1;
pub mod h2;
pub mod header;
pub mod load_report;
pub mod memcached;
pub mod mp4;
pub mod otlp;
pub mod params;
pub mod proxy_protocol;
pub mod request;
pub mod scgi;
mod shown;
pub mod status;
pub mod trace_context;
pub mod uri;
pub mod uwsgi;
mod words;

pub use shown::shown;

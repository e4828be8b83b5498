//! What http and stream share between their clients and the upstreams: settings that both have in their own
//! contexts, and what they do. Nothing here knows a request of http or a session of stream; what is
//! needed of one comes through [`Session`].
//!
//! * [`access`], [`realip`]: who a client is, and whether it may enter
//! * [`access_log`]: what is told of it
//! * [`zone`], [`limit_conn`]: what is counted by a key, across reloads

#![forbid(unsafe_code)]

pub mod access;
pub mod access_log;
pub mod limit_conn;
mod network;
pub mod realip;
mod session;
pub mod value;
pub mod zone;

pub use session::Session;

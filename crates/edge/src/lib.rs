//! Code that http and stream share: settings that both have in contexts of their own, and their
//! behaviour. It knows neither a request of http nor a session of stream, and reaches both through
//! [`Session`].
//!
//! * [`access`], [`realip`]: who a client is, and whether it may enter
//! * [`access_log`]: what is told of it
//! * [`tls`]: certificates, their files and sessions
//! * [`zone`], [`limit_conn`]: what is counted by a key, across reloads

#![forbid(unsafe_code)]

pub mod access;
pub mod access_log;
pub mod limit_conn;
mod network;
pub mod realip;
mod session;
pub mod tls;
pub mod value;
pub mod zone;

pub use session::Session;

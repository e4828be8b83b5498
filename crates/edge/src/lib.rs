//! The settings that http and stream share, and their behaviour. This crate knows neither the
//! requests of http nor the sessions of stream, and reaches both through [`Session`].
//!
//! * [`access`], [`realip`]: access control by address, and the client's original address
//! * [`access_log`]: access logs
//! * [`listen`]: addresses, the servers of each, and sockets
//! * [`tls`]: TLS settings, certificates and session caches
//! * [`ocsp`]: the status of certificates, asked of responders
//! * [`shared`]: upstreams and zones, made once
//! * [`zone`], [`limit_conn`]: counts by a key, which survive reloads

#![forbid(unsafe_code)]

pub mod access;
pub mod access_log;
pub mod limit_conn;
pub mod listen;
mod network;
pub mod ocsp;
pub mod realip;
mod session;
pub mod shared;
pub mod tls;
pub mod value;
pub mod zone;

pub use session::Session;

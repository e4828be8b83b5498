//! HTTP: requests through phases, responses through filters.
//!
//! Where to start reading: [`module`] says what a module may add, [`modules`] lists every module in
//! order, [`phase`] walks a request through them and [`serve`] turns connections into requests.

#![forbid(unsafe_code)]

mod aio;
pub mod basic;
pub mod body;
pub mod browser;
pub mod client;
pub mod core;
pub mod counters;
mod duplex;
pub mod error_page;
pub mod field;
pub mod filter;
#[cfg(any(test, fuzzing))]
mod fixture;
pub mod folder;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gzip_clients;
pub mod head;
pub mod location_config;
pub mod log_context;
pub mod module;
pub mod modules;
pub mod open_file;
pub mod output;
pub mod pass;
pub mod path;
pub mod pause;
pub mod pending;
pub mod phase;
pub mod piece;
pub mod request;
pub mod response;
pub mod route;
pub mod send_file;
pub mod serve;
pub mod server_name;
mod session;
pub mod snapshot;
mod spare;
pub mod subrequest;
pub mod tls;
pub mod variables;

//! HTTP: requests through phases, responses through filters.
//!
//! Where to start reading: [`module`] says what a module may add, [`modules`] lists every module in
//! order, [`phase`] walks a request through them and [`serve`] turns connections into requests.

#![forbid(unsafe_code)]

pub mod body;
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
pub mod module;
pub mod modules;
pub mod open_file;
pub mod pass;
pub mod pending;
pub mod phase;
pub mod piece;
pub mod request;
pub mod response;
pub mod route;
pub mod serve;
pub mod server_name;
pub mod snapshot;
pub mod subrequest;
pub mod tls;
pub mod variables;

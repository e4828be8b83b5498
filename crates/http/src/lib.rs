//! HTTP: requests through phases, responses through filters.
//!
//! Where to start reading: [`module`] says what a module may add, [`modules`] lists every module in
//! order, [`phase`] walks a request through them and [`serve`] turns connections into requests.

#![forbid(unsafe_code)]

mod body;
mod cache;
pub mod certificates;
mod client;
mod compress;
pub mod core;
pub mod counters;
mod duplex;
mod error_page;
mod errors;
mod field;
mod filter;
#[cfg(any(test, fuzzing))]
mod fixture;
mod folder;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod h2;
pub mod instance;
pub mod keyval;
mod memory;
pub mod metrics;
mod module;
pub mod modules;
mod open_file;
pub mod pass;
pub mod pending;
mod phase;
mod piece;
mod precompressed;
mod recorder;
mod rejection;
mod request;
mod response;
mod route;
pub mod serve;
mod server_name;
pub mod snapshot;
mod spans;
mod status_tree;
pub mod subrequest;
mod tls;
mod trace;
mod variables;

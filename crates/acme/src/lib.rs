//! Certificates that Weir orders itself, by ACME (RFC 8555): the issuers of a configuration, the
//! certificates that its servers want from them, and the work of getting and renewing these.
//!
//! ```text
//!   configuration ─▶ Issuer, Wanted ─▶ Certificate (found by name, outlives reloads)
//!                                        │ ▲
//!                     handshakes ◀── in force │ order, renew
//!                                          duty ─▶ Session ─▶ the authority
//!                     challenges ◀── answers ──┘
//! ```
//!
//! The caretaker runs one duty for each certificate. A handshake or a request only looks: at the
//! certificate in force ([`certificate`]), or at the answers that the authority asks for
//! ([`answers`]).
#![forbid(unsafe_code)]

mod account;
pub mod answers;
pub mod certificate;
mod duty;
mod error;
mod exchange;
pub mod fuzz;
mod hook;
mod identifier;
mod issuer;
mod jws;
mod nginx_files;
mod order;
mod pair;
mod renewal;
mod schedule;
mod session;
pub mod settings;
mod state;
mod url;

pub use certificate::{Certificate, Pem, Status, View};
pub use duty::duty;
pub use identifier::{Identifiers, MOST_NAMES, NameError};
pub use issuer::{Issuer, Resolving, Wanted};

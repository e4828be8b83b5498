//! Links between the nodes of a pair: one connection between any two of them, over TLS 1.3 with the
//! certificates of both, which carries messages of several classes.
//!
//! ```text
//!            listens ─▶ TLS, both pinned ─▶ hello both ways ─┐
//!                                                            ├─▶ of two links one is kept ─▶ up
//!   dials, with pauses ─▶ TLS, both pinned ─▶ hello both ways ┘
//! ```
//!
//! TLS numbers its records and binds them to the handshake of their connection, so a frame that is
//! recorded and sent again, here or on another connection, ends the connection it is sent on. A
//! frame needs no number of its own.

mod accepting;
mod asked;
mod crossing;
mod dialling;
pub mod frame;
mod guests;
pub mod hello;
mod hub;
mod keeper;
pub mod message;
mod pace;
mod plan;
mod queue;
mod session;
mod settings;
mod shared;
pub mod show;
mod status;
pub mod wish;

pub use asked::ask_keeper;
pub use frame::Class;
pub use hub::{Event, Hub, Shown};
pub use keeper::duty;
pub(crate) use plan::identities;
pub use plan::{Block, LinkPlan, Request, set_identity};
pub use queue::SendError;
pub use session::{BEAT, SILENCE};
pub use status::Status;

/// The protocol of links in ALPN. Versions are agreed upon later, so that nodes of different ones
/// can tell each other.
pub const LINK: &[u8] = b"weir-link";
/// The protocol of a node that joins.
pub const JOIN: &[u8] = b"weir-join";
/// The protocol of a node that leaves.
pub const LEAVE: &[u8] = b"weir-leave";

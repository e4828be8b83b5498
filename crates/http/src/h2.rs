//! Multiplexed connections of HTTP/2 on the event loop, for clients and upstreams alike.
//!
//! ```text
//!   socket ◀──▶ Driver, in one task ──▶ Link: machine, entries ◀── Stream, in the tasks of requests
//!                reads, sends                (shared)                puts in, takes out
//! ```
//!
//! Only the driver touches the socket. A stream puts its output into the machine
//! (`weir_wire::h2::Connection`) and has the driver's task run at the end of the loop's turn, so
//! that what all streams have written in a turn leaves with one call. What a stream receives is
//! copied once, from the driver's input to buffers of its entry, which the request takes over as
//! they are.
//!
//! Memory is bounded by what is granted: received bytes that no request has taken by
//! [`CONNECTION_WINDOW`] per connection and the stream's window per stream, output by
//! `weir_wire::h2::OUTPUT_LIMIT` for bodies and what `Connection::takes_input` allows in all,
//! beyond which nothing more is read. A driver holds an input buffer only while there are bytes in
//! it.

mod asleep;
mod close;
pub(crate) mod driver;
mod entry;
pub(crate) mod link;
mod receive;
mod send;
pub(crate) mod settings;
pub(crate) mod stream;
mod tunnel;
mod upkeep;

pub(crate) use asleep::Asleep;
pub(crate) use close::Linger;
pub(crate) use driver::{Begun, Closed, Driver};
pub(crate) use link::Link;
pub(crate) use stream::{Ended, Stream};
pub(crate) use upkeep::Upkeep;

/// The maximum number of received bytes of a connection that its requests have not taken: twice
/// what 128 streams with the default window of 64 KiB can hold, so that streams that are not read
/// do not stop the others.
pub(crate) const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;

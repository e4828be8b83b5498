//! Multiplexed connections of HTTP/2 on the event loop, for clients and upstreams alike.
//!
//! [`link`] is a connection with its task, which alone touches the socket; [`stream`] is the handle that a
//! request has.

pub(crate) mod link;
pub(crate) mod stream;

pub(crate) use link::Link;
pub(crate) use stream::{Ended, Stream};

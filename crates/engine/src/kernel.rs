//! The entry to the kernel: all calls on sockets of the data path, on epoll and on clocks.
//!
//! Shipped builds re-export the calls and add nothing. Test builds (`cfg(test)`, or the feature
//! `sim`) first ask whether the thread is in a simulation ([`crate::sim`]), which then answers for
//! the kernel. So the loop, the connections and everything above run unchanged in both. A call that
//! bypasses this module reaches the real kernel with a placeholder descriptor.

#[cfg(not(any(test, feature = "sim")))]
pub(crate) use direct::*;

#[cfg(any(test, feature = "sim"))]
pub(crate) use crate::sim::calls::*;

/// The real calls.
#[cfg_attr(any(test, feature = "sim"), allow(dead_code))]
pub(crate) mod direct {
    use std::os::fd::OwnedFd;

    pub(crate) use rustix::fs::sendfile;
    pub(crate) use rustix::io::writev;
    pub(crate) use rustix::net::sockopt::{set_socket_linger, socket_error};
    pub(crate) use rustix::net::{
        acceptfrom_with, connect, getsockname, send, shutdown, socket_with,
    };
    pub(crate) use rustix::pipe::splice;
    pub(crate) use rustix::time::{ClockId, clock_gettime};
    pub(crate) use weir_sys::socket::{peek, peek_byte, recv_append, send_by_number};

    /// A socket of the data path, closed on drop.
    pub(crate) type Descriptor = OwnedFd;

    /// Takes over a descriptor opened elsewhere.
    pub(crate) fn adopt(fd: OwnedFd) -> Descriptor {
        fd
    }

    /// Whether the thread is in a simulation.
    pub(crate) const fn is_simulated() -> bool {
        false
    }

    pub(crate) mod epoll {
        use std::os::fd::OwnedFd;

        use rustix::event::Timespec;
        pub(crate) use rustix::event::epoll::{Event, add, create, delete};

        /// Fills the spare capacity of `events`, waiting up to `timeout`.
        pub(crate) fn wait(
            set: &OwnedFd,
            events: &mut Vec<Event>,
            timeout: Option<&Timespec>,
        ) -> rustix::io::Result<usize> {
            rustix::event::epoll::wait(set, rustix::buffer::spare_capacity(events), timeout)
        }
    }
}

//! The door to the kernel: every call on a socket of the data path, on epoll and on a clock goes
//! through here.
//!
//! What is shipped has these calls under another name and nothing else. Built for tests
//! (`cfg(test)`, or the feature `sim`), the same names ask first whether the thread lives in a
//! simulation ([`crate::sim`]), which then answers in the kernel's place. So the loop, the
//! connections and all above them run unchanged in both. A call that is made past this door
//! reaches the real kernel, with a descriptor that stands for nothing there.

#[cfg(not(any(test, feature = "sim")))]
pub(crate) use direct::*;

#[cfg(any(test, feature = "sim"))]
pub(crate) use crate::sim::calls::*;

/// The calls themselves.
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

    /// A socket of the data path. It is closed when it is dropped.
    pub(crate) type Descriptor = OwnedFd;

    /// Takes over a descriptor that somebody else has opened.
    pub(crate) fn adopt(fd: OwnedFd) -> Descriptor {
        fd
    }

    /// Whether the thread lives in a simulation.
    pub(crate) const fn is_simulated() -> bool {
        false
    }

    pub(crate) mod epoll {
        use std::os::fd::OwnedFd;

        use rustix::event::Timespec;
        pub(crate) use rustix::event::epoll::{Event, add, create, delete};

        /// Fills the room that `events` has, after at most `timeout`.
        pub(crate) fn wait(
            set: &OwnedFd,
            events: &mut Vec<Event>,
            timeout: Option<&Timespec>,
        ) -> rustix::io::Result<usize> {
            rustix::event::epoll::wait(set, rustix::buffer::spare_capacity(events), timeout)
        }
    }
}

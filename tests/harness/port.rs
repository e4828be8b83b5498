//! A TCP port that is free and stays ours until the test ends.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, sockopt};

/// A port of 127.0.0.1 given by the kernel.
///
/// The socket stays bound and never listens: with SO_REUSEADDR on both sides the server under test
/// may bind the port beside it, while the kernel gives it to nobody else, neither to another
/// test nor as the local port of an outgoing connection.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: OwnedFd,
}

impl Port {
    /// Asks the kernel for a port.
    pub(crate) fn reserve() -> Self {
        let held = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&held, true).unwrap();
        rustix::net::bind(&held, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = rustix::net::getsockname(&held).unwrap();
        let address = SocketAddr::try_from(address).unwrap();
        Self { number: address.port(), _held: held }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

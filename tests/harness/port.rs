//! A reserved TCP port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// A port assigned by the kernel, on all addresses of the machine.
///
/// The socket stays bound and never listens: with SO_REUSEADDR on both sides, the server under test
/// can bind the same port, while the kernel assigns it neither to another test nor as a local port
/// of an outgoing connection.
///
/// It is bound to the wildcard of both families. If it were held on 127.0.0.1 alone, it could be in
/// use on another address, for example by a connection from 127.0.0.7, and `listen *:PORT` would
/// fail.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: OwnedFd,
}

impl Port {
    /// Asks the kernel for a port.
    pub(crate) fn reserve() -> Self {
        // Without IPv6, no other process can take the port there.
        let held = hold(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
            .or_else(|_| hold(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))
            .unwrap();
        let address = rustix::net::getsockname(&held).unwrap();
        let address = SocketAddr::try_from(address).unwrap();
        Self { number: address.port(), _held: held }
    }

    /// The port number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// Binds a socket such that others with SO_REUSEADDR can bind the same address. Servers started by
/// other tests do not inherit it.
fn hold(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let held = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&held, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&held, false)?;
    }
    rustix::net::bind(&held, &address)?;
    Ok(held)
}

#[test]
fn a_reserved_port_is_ours_on_every_address() {
    let port = Port::reserve();
    let [home, other, any] = ["127.0.0.1", "127.0.0.7", "0.0.0.0"]
        .map(|address| SocketAddr::new(address.parse().unwrap(), port.number()));
    for address in [home, other, any] {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let refused = rustix::net::bind(&socket, &address).unwrap_err();
        assert_eq!(refused, rustix::io::Errno::ADDRINUSE, "{address}");
    }
    // std sets SO_REUSEADDR, as the server does.
    for address in [home, other, any] {
        drop(std::net::TcpListener::bind(address).unwrap());
    }
}

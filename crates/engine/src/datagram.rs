//! UDP to a single address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, SocketFlags, SocketType};

use crate::addr::Addr;
use crate::event_loop::reactor::source::Source;
use crate::event_loop::readiness::Watch;

/// A UDP socket connected to one address, closed on drop.
#[derive(Debug)]
pub struct Datagrams {
    source: Source,
    fd: OwnedFd,
}

impl Datagrams {
    /// Opens a socket on an ephemeral port.
    ///
    /// # Errors
    /// A system error.
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(Addr::Inet(to).family(), SocketType::DGRAM, flags, None)?;
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        rustix::net::bind(&fd, &SocketAddr::new(any, 0))?;
        rustix::net::connect(&fd, &to)?;
        Ok(Self { source: Source::new(fd.as_fd(), Watch::Datagrams)?, fd })
    }

    /// Sends a datagram. It is lost if the kernel's buffer is full, as it may be lost anywhere on
    /// its way.
    ///
    /// # Errors
    /// A system error, possibly of an earlier datagram: `ECONNREFUSED`.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match rustix::net::send(&self.fd, datagram, SendFlags::NOSIGNAL) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends the first `max` bytes of the next datagram to `into`.
    ///
    /// # Errors
    /// A system error.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.source.poll_read(cx));
            match weir_sys::socket::recv_append(self.fd.as_fd(), into, max) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.read_blocked();
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::block_on;
    use std::future::poll_fn;
    use std::net::UdpSocket;

    #[test]
    fn datagrams_come_one_by_one() {
        block_on(async {
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            let socket = Datagrams::connect(other.local_addr().unwrap()).unwrap();
            socket.send(b"hello").unwrap();
            let mut got = [0; 10];
            let (count, from) = other.recv_from(&mut got).unwrap();
            assert_eq!(&got[..count], b"hello");
            for word in [&b"one"[..], b"", b"three"] {
                other.send_to(word, from).unwrap();
            }
            for word in [&b"one"[..], b"", b"th"] {
                let mut into = Vec::new();
                poll_fn(|cx| socket.poll_recv(cx, &mut into, 2 + word.len() % 2)).await.unwrap();
                assert_eq!(into, word);
            }
        });
    }
}

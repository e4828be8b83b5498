//! The adverts of other nodes, read beside keepalived from sockets of the guard's own, so that the
//! status can name the holder, and two holders at once are noticed. The guard acts on none.
//!
//! VRRPv3 is RFC 9568. keepalived itself judges the packets; here, a stranger's packet can at most
//! make the status wrong.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recvfrom};

/// The protocol number of VRRP.
const VRRP: NonZeroU32 = NonZeroU32::new(112).unwrap();

/// The longest packet that is read; only its beginning counts.
const LONGEST: usize = 256;

/// The limit of packets in one step, so that a flood costs the guard no other work.
const AT_ONCE: usize = 64;

/// An advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// The VRRP identifier.
    pub router_id: u8,
    /// The priority of the sender; 0 if it gives the addresses up.
    pub priority: u8,
}

/// Reads the VRRP part of a packet.
pub fn parse(packet: &[u8]) -> Option<Advert> {
    // Version 3, type 1: an advert.
    match packet {
        [0x31, router_id, priority, _, _, _, _, _, ..] => {
            Some(Advert { router_id: *router_id, priority: *priority })
        }
        _ => None,
    }
}

/// Skips the head of an IPv4 packet, which raw sockets of IPv4 deliver.
pub fn without_head(packet: &[u8]) -> Option<&[u8]> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    packet.get(length..)
}

/// Reads a packet, for the fuzzer.
pub fn fuzz(packet: &[u8]) {
    let _ = parse(packet);
    let _ = without_head(packet).and_then(parse);
}

/// The sockets, one for each family.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<(OwnedFd, bool)>);

impl Sockets {
    /// Opens the sockets; a family that the system lacks has none.
    pub(super) fn open() -> Self {
        let open = |family| -> io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let protocol = Some(Protocol::from_raw(VRRP));
            Ok(rustix::net::socket_with(family, SocketType::RAW, flags, protocol)?)
        };
        let families = [(AddressFamily::INET, false), (AddressFamily::INET6, true)];
        let sockets =
            families.into_iter().filter_map(|(family, is_v6)| Some((open(family).ok()?, is_v6)));
        Self(sockets.collect())
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(fd, _)| fd.as_fd())
    }

    /// The adverts that have arrived, with their senders.
    pub(super) fn read(&self) -> Vec<(IpAddr, Advert)> {
        let mut found = Vec::new();
        for (fd, is_v6) in &self.0 {
            for _ in 0..AT_ONCE {
                let mut space = [MaybeUninit::uninit(); LONGEST];
                let received = recvfrom(fd, &mut space[..], RecvFlags::DONTWAIT);
                let Ok(((packet, _), _, Some(from))) = received else { break };
                let body = if *is_v6 { Some(&*packet) } else { without_head(packet) };
                let from = SocketAddr::try_from(from).ok().map(|from| from.ip());
                if let (Some(from), Some(advert)) = (from, body.and_then(parse)) {
                    found.push((from, advert));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advert_is_read_and_anything_else_is_not() {
        let advert = [0x31, 94, 250, 1, 0, 10, 0xab, 0xcd, 192, 0, 2, 1];
        assert_eq!(parse(&advert), Some(Advert { router_id: 94, priority: 250 }));
        assert_eq!(parse(&advert[..7]), None);
        assert_eq!(parse(&[0x21, 94, 250, 1, 0, 10, 0, 0]), None, "version 2");
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn the_head_of_a_packet_has_the_length_that_it_says() {
        let packet = [0x46; 30];
        assert_eq!(without_head(&packet).map(<[u8]>::len), Some(6));
        assert_eq!(without_head(&[0x4f; 30]), None);
        assert_eq!(without_head(&[]), None);
    }
}

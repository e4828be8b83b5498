//! Network interfaces and their addresses.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The addresses of this host, with the names of their interfaces.
///
/// # Errors
/// Those of getifaddrs(3).
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let all = getifaddrs()?;
    let known = all.filter_map(|entry| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        Some((entry.interface_name, v4.or_else(v6)?))
    });
    Ok(known.collect())
}

/// Whether there is an interface of that name.
pub fn exists(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// Removes an address from an interface. An address that is not there is no error.
///
/// # Errors
/// Those of if_nametoindex(3), socket(2), send(2) and of the kernel's answer, rtnetlink(7).
pub fn remove_address(interface: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    let request = removal(index, address, prefix);
    let flags = SocketFlags::CLOEXEC;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0_u8; 256];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // An acknowledgement is the header of 16 bytes and the negated error, 0 for none.
    let code = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) if -code == Errno::ADDRNOTAVAIL.raw_os_error() => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The message `RTM_DELADDR`.
fn removal(interface: u32, address: IpAddr, prefix: u8) -> Vec<u8> {
    const DELETE: u16 = libc::RTM_DELADDR;
    /// `NLM_F_REQUEST | NLM_F_ACK`
    const FLAGS: u16 = 1 | 4;
    const HEADS: usize = 16 + 8;
    let (family, bytes) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let attribute = 4 + bytes.len();
    let mut message = Vec::with_capacity(HEADS + attribute);
    let number = |value: usize| u32::try_from(value).unwrap_or(0).to_ne_bytes();
    message.extend_from_slice(&number(HEADS + attribute));
    message.extend_from_slice(&DELETE.to_ne_bytes());
    message.extend_from_slice(&FLAGS.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[u8::try_from(family).unwrap_or(0), prefix, 0, 0]);
    message.extend_from_slice(&interface.to_ne_bytes());
    message.extend_from_slice(&u16::try_from(attribute).unwrap_or(0).to_ne_bytes());
    message.extend_from_slice(&libc::IFA_LOCAL.to_ne_bytes());
    message.extend_from_slice(&bytes);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let known = addresses().unwrap();
        let (name, _) = known.iter().find(|(_, address)| *address == local).unwrap();
        assert!(exists(name) && !exists("weir-has-no-such"));
    }

    #[test]
    fn an_address_that_is_not_there_needs_no_removal() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for address in ["192.0.2.77", "2001:db8::77"] {
            remove_address("lo", address.parse().unwrap(), 32).unwrap();
        }
        let nowhere = remove_address("weir-has-no-such", [192, 0, 2, 77].into(), 32);
        assert!(nowhere.is_err());
    }
}

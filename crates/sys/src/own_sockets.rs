//! The sockets that this process has open, whoever owns them in the program.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::net::{Shutdown, SocketType, sockopt};

/// Shuts down every TCP connection whose local address is among `addresses`. Its owner sees the end
/// of the stream, and fails to send. Returns the number of connections.
///
/// # Errors
/// Those of reading the folder of descriptors, proc(5).
pub fn shut_down(addresses: &[IpAddr]) -> io::Result<usize> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let bound =
        |socket: &OwnedFd| local_of_connection(socket).is_some_and(|ip| addresses.contains(&ip));
    // The numbers first: duplicates appear in the same folder.
    let numbers: Vec<RawFd> = numbers.collect();
    let connections = numbers.into_iter().filter_map(duplicate).filter(bound);
    Ok(connections.filter(|one| rustix::net::shutdown(one, Shutdown::Both).is_ok()).count())
}

/// A duplicate keeps the socket, so that another thread can close the number meanwhile.
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: the number is only duplicated here; the kernel returns an error if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 0).ok()
}

/// The local address, if it is a connected TCP socket.
fn local_of_connection(socket: &OwnedFd) -> Option<IpAddr> {
    let is_stream = sockopt::socket_type(socket).ok()? == SocketType::STREAM;
    if !is_stream || rustix::net::getpeername(socket).is_err() {
        return None;
    }
    let local = SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok()?;
    // A socket for both families shows IPv4 as a mapped address.
    Some(local.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connection(address: &str) -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        (listener, client, accepted)
    }

    #[test]
    fn only_connections_of_the_address_end() {
        let (listener, mut client, _accepted) = connection("127.0.77.1");
        let (_other, other_client, mut other) = connection("127.0.77.2");
        let gone = [IpAddr::from([127, 0, 77, 1])];
        assert_eq!(shut_down(&gone).unwrap(), 1);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // The listener goes on, and other clients get in.
        let again = TcpStream::connect(listener.local_addr().unwrap());
        assert!(again.is_ok() && listener.accept().is_ok());
        drop(other_client);
    }
}

//! Sockets and other descriptors inherited from the previous program of this process.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{AddressFamily, SocketType, sockopt};

/// Takes over a listening socket by number, and makes it close-on-exec and non-blocking. Returns
/// whether it is a datagram socket. Any other file under that number is left as it is.
///
/// The caller must take a number over at most once.
///
/// # Errors
/// `EBADF` for a closed number, `ENOTSOCK` for other files, `EINVAL` for standard streams, for a
/// socket that does not listen, and for kinds of sockets that Weir does not listen on.
pub fn socket(number: RawFd) -> io::Result<(OwnedFd, bool)> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the number is only queried here; the kernel returns an error if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let datagram = is_for_datagrams(borrowed)?;
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(borrowed, true)?;
    // SAFETY: it is open, and it came from another program, since it listens and this program has
    // not listened yet: no value in this program owns the number.
    Ok((unsafe { OwnedFd::from_raw_fd(number) }, datagram))
}

/// Takes over a descriptor that [`crate::process::keep_over_execute`] has kept, by its number, and
/// makes it close-on-exec. `None` for a closed number, for standard streams, and for a descriptor
/// that is close-on-exec: it is one of this program, or has been taken over before.
pub fn descriptor(number: RawFd) -> Option<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: the number is only queried here; the kernel returns an error if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let is_own = rustix::io::fcntl_getfd(borrowed).ok()?.contains(rustix::io::FdFlags::CLOEXEC);
    if is_own {
        return None;
    }
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open, and it came from another program, since this one opens all of its
    // descriptors close-on-exec: no value in this program owns the number.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

fn is_for_datagrams(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let datagram = match sockopt::socket_type(socket)? {
        SocketType::STREAM if sockopt::socket_acceptconn(socket)? => false,
        // A connected one is a client socket, such as that of a log.
        SocketType::DGRAM if rustix::net::getpeername(socket).is_err() => true,
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    match sockopt::socket_domain(socket)? {
        AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX => Ok(datagram),
        _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn a_kept_descriptor_is_taken_once() {
        let (kept, _other) = io::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&kept);
        assert!(descriptor(number).is_none(), "it is this program's own");
        crate::process::keep_over_execute(&kept).unwrap();
        let taken = descriptor(kept.into_raw_fd()).unwrap();
        assert!(descriptor(number).is_none());
        drop(taken);
        assert!(descriptor(0).is_none() && descriptor(-1).is_none());
    }

    #[test]
    fn only_open_sockets_are_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (fd, datagram) = socket(listener.into_raw_fd()).unwrap();
        assert!(!datagram);
        drop(fd);
        assert_eq!(socket(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        assert_eq!(socket(number).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn what_does_not_listen_is_left_as_it_is() {
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&near);
        for number in [0, 1, 2, number] {
            assert_eq!(socket(number).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
        io::Write::write_all(&mut (&near), b"x").unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut far, &mut byte).unwrap();
    }
}

//! Sockets that the program which ran before in this process has left open.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{AddressFamily, SocketType, sockopt};

/// Takes over a listening socket by its number, to be closed on exec and never to block. Says
/// whether it is one for datagrams. Whatever else has that number is left as it is.
///
/// The caller takes a number over once at most.
///
/// # Errors `EBADF` for a number that is not open, `ENOTSOCK` for one that is no socket, `EINVAL`
/// for standard input, output and error, for a socket that does not listen, and for a kind of
/// socket that Weir does not listen at.
pub fn socket(number: RawFd) -> io::Result<(OwnedFd, bool)> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the number is only asked about here; the kernel answers with an error if it is not
    // open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let datagram = is_for_datagrams(borrowed)?;
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(borrowed, true)?;
    // SAFETY: it is open, and it came from another program, as it listens and this one has not
    // listened yet: nobody in it owns the number.
    Ok((unsafe { OwnedFd::from_raw_fd(number) }, datagram))
}

fn is_for_datagrams(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let datagram = match sockopt::socket_type(socket)? {
        SocketType::STREAM if sockopt::socket_acceptconn(socket)? => false,
        // One that is connected is somebody's way to a log or the like.
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

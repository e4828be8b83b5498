//! Sockets that the program which ran before in this process has left open.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{SocketType, sockopt};

/// Takes over a socket by its number, to be closed on exec and never to block. Says whether it is
/// one for datagrams.
///
/// # Errors `EBADF` for a number that is not open, `ENOTSOCK` for one that is no socket, `EINVAL`
/// for a kind of socket that Weir does not listen at.
pub fn socket(number: RawFd) -> io::Result<(OwnedFd, bool)> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is only asked about here; the kernel answers with an error if it is not
    // open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let datagram = match sockopt::socket_type(borrowed)? {
        SocketType::STREAM => false,
        SocketType::DGRAM => true,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(borrowed, true)?;
    // SAFETY: it is open, and it came from another program: nobody in this one owns it.
    Ok((unsafe { OwnedFd::from_raw_fd(number) }, datagram))
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
}

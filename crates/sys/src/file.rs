//! File calls that rustix has not in the shape needed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Makes the descriptor number `old` refer to what `new` refers to, in one step: a thread that
/// writes to `old` at the same time writes either to the one file or to the other.
pub fn replace(old: &OwnedFd, new: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open here; `old` stays owned by its owner and stays open,
    // only the open file behind it changes.
    let done = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if done >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn replace_swaps_the_file_behind_a_number() {
        let (one_in, one_out) = rustix::pipe::pipe().unwrap();
        let (two_in, two_out) = rustix::pipe::pipe().unwrap();
        replace(&one_out, two_out.as_fd()).unwrap();
        rustix::io::write(&one_out, b"hello").unwrap();
        let mut buf = [0; 8];
        assert_eq!(rustix::io::read(&two_in, &mut buf).unwrap(), 5);
        // The first pipe has no writer left.
        assert_eq!(rustix::io::read(&one_in, &mut buf).unwrap(), 0);
    }
}

//! The standard error output as a log. It belongs to others as well, so it stays as it is, and is
//! asked whether it takes a line.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Lines that were lost since the last one that was written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes a line of at most [`super::MAX_LINE`] bytes, which a pipe takes as a whole or not at all.
///
/// # Errors
/// The system's; `WouldBlock` if nobody reads what was written before. The line is lost then.
pub(super) fn write(line: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if !takes_a_line(&stderr) {
        LOST.fetch_add(1, Relaxed);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    stderr.write_all(line)?;
    match LOST.load(Relaxed) {
        0 => Ok(()),
        _ if !takes_a_line(&stderr) => Ok(()),
        _ => writeln!(stderr, "{} lines of the error log before were lost", LOST.swap(0, Relaxed)),
    }
}

fn takes_a_line(stderr: &impl std::os::fd::AsFd) -> bool {
    let mut asked = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Whatever cannot be asked is written to.
    poll(&mut asked, Some(&at_once)) != Ok(0)
}

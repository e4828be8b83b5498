//! Standard error as a log. It is shared with other processes, so it is not made nonblocking but
//! polled before each line.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::line::Said;
use super::{Form, Level, ids};

/// Lines lost since the last one written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes a line of at most [`super::MAX_LINE`] bytes, which a pipe takes atomically.
///
/// # Errors
/// A system error; `WouldBlock` if the reader does not keep up. The line is lost.
pub(super) fn write(form: Form, line: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if !takes_a_line(&stderr) {
        LOST.fetch_add(1, Relaxed);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    stderr.write_all(line)?;
    match LOST.load(Relaxed) {
        0 => Ok(()),
        _ if !takes_a_line(&stderr) => Ok(()),
        _ => stderr.write_all(&lost(form, LOST.swap(0, Relaxed))),
    }
}

/// The line that tells of lost ones.
fn lost(form: Form, count: u64) -> Vec<u8> {
    let message = format_args!("{count} earlier lines of the error log were lost");
    let mut line = Vec::new();
    match form {
        Form::Plain => drop(writeln!(line, "{message}")),
        Form::Json => {
            let (level, parts) = (Level::Error, &[]);
            Said { level, ids: ids(), connection: 0, message: &message, parts }
                .write(form, &mut line);
        }
    }
    line
}

fn takes_a_line(stderr: &impl std::os::fd::AsFd) -> bool {
    let mut asked = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A descriptor that cannot be polled is written to.
    poll(&mut asked, Some(&at_once)) != Ok(0)
}

//! Signals as messages: blocked for the whole process and read from a descriptor.
//!
//! No handler runs, so nothing has to be async-signal-safe, and the sender is known.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Number, signal, sigprocmask};

/// A received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedSignal {
    /// The number, as in signal(7).
    pub number: i32,
    /// The process that sent it; 0 for the kernel.
    pub sender: i32,
}

/// A queue of blocked signals.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks the given signals in the calling thread, and so in all threads it starts later, and
    /// opens the queue. Resets ignored ones to their default, in case the parent ignored them: with
    /// `SIGCHLD` ignored, children vanish unseen.
    ///
    /// # Errors
    /// Those of sigprocmask(2), sigaction(2) and signalfd(2); `EINVAL` for an invalid number.
    pub fn block(numbers: &[i32]) -> io::Result<Self> {
        let set = set_of(numbers)?;
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        for number in &set {
            // SAFETY: no handler is set, so no code of ours runs inside a signal.
            unsafe { signal(number, SigHandler::SigDfl) }?;
        }
        // SAFETY: `set` outlives the call, and the new descriptor has no other owner.
        let fd = unsafe {
            let fd = libc::signalfd(-1, set.as_ref(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
            if fd == -1 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { fd })
    }

    /// The next signal, without waiting; `None` if there is none.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next(&self) -> io::Result<Option<ReceivedSignal>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer has the size passed to the kernel, and its plain integers are valid
        // for every bit pattern.
        let (read, info) = unsafe {
            let read = libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (read, info.assume_init())
        };
        if read == size.cast_signed() {
            let (number, sender) = (info.ssi_signo.cast_signed(), info.ssi_pid.cast_signed());
            return Ok(Some(ReceivedSignal { number, sender }));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Unblocks all signals, as a program about to be executed expects.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn unblock_all() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Has a program that is about to be started begin with no signal blocked.
pub fn unblock_in(command: &mut std::process::Command) {
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, unblock_all) };
}

/// Stops the process as Ctrl-Z in a terminal does (`SIGTSTP`), and returns once it goes on. It does
/// not stop where nobody could have it go on. The signal is blocked afterwards.
///
/// # Errors
/// Those of sigprocmask(2) and raise(3).
pub fn stop() -> io::Result<()> {
    let set = set_of(&[libc::SIGTSTP])?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?;
    let raised = nix::sys::signal::raise(Number::SIGTSTP);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(raised?)
}

fn set_of(numbers: &[i32]) -> io::Result<SigSet> {
    let mut set = SigSet::empty();
    for &number in numbers {
        set.add(Number::try_from(number)?);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_the_thread_is_read_with_its_sender() {
        let signals = Signals::block(&[libc::SIGUSR2]).unwrap();
        assert_eq!(signals.next().unwrap(), None);
        // The test runner has other threads, so the signal goes to this thread only.
        nix::sys::signal::raise(Number::SIGUSR2).unwrap();
        let received = signals.next().unwrap().unwrap();
        assert_eq!(
            received,
            ReceivedSignal { number: libc::SIGUSR2, sender: crate::process::id() }
        );
        assert_eq!(signals.next().unwrap(), None);
    }

    #[test]
    fn zero_is_no_signal() {
        assert!(Signals::block(&[0]).is_err());
    }
}

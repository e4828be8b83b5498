//! Creating, watching and limiting processes.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The side of a [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The calling process, with the id of the child.
    Parent(i32),
    /// The child.
    Child,
}

/// Forks the process.
///
/// # Errors
/// Those of fork(2); `Unsupported` if the process has several threads: only the calling one would
/// exist in the child, and locks of the others would stay locked there.
pub fn fork() -> io::Result<Fork> {
    if threads()? != 1 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "fork in a process of several threads",
        ));
    }
    // SAFETY: the process has one thread, checked above, so the child may do anything the parent
    // may.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// The number of threads of this process.
pub(crate) fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// The end of a child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The number of the signal.
        number: i32,
        /// Whether the kernel wrote a core file.
        core: bool,
    },
}

impl fmt::Display for Ending {
    /// nginx's wording: `exited with code 0`, `exited on signal 9 (core dumped)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal { number, core } => {
                write!(f, "exited on signal {number}")?;
                f.write_str(if *core { " (core dumped)" } else { "" })
            }
        }
    }
}

/// The next child that has ended, without waiting; `None` if there is none.
///
/// # Errors
/// Those of waitpid(2) except `EINTR` and `ECHILD`.
pub fn reap() -> io::Result<Option<(i32, Ending)>> {
    loop {
        let ending = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), Ending::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, core)) => {
                (pid.as_raw(), Ending::Signal { number: signal as i32, core })
            }
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return Ok(None),
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        return Ok(Some(ending));
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// Those of kill(2); `EINVAL` for a number that is no signal.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    let signal = nix::sys::signal::Signal::try_from(signal)?;
    Ok(nix::sys::signal::kill(Pid::from_raw(pid), signal)?)
}

/// Has a program that is about to be started receive SIGTERM when its parent ends, however that
/// happens.
pub fn end_with_parent(command: &mut std::process::Command) {
    let parent = id();
    let prepare = move || {
        let signal = rustix::process::Signal::TERM;
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have ended before the call.
        if parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, prepare) };
}

/// Makes this process the parent of its descendants whose parents end, so that it can wait for
/// them.
///
/// # Errors
/// Those of prctl(2).
pub fn adopt_orphans() -> io::Result<()> {
    let itself = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(itself))?)
}

/// The time of the monotonic clock in milliseconds, the same in all processes.
pub fn monotonic_millis() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let millis = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    u64::try_from(millis).unwrap_or(0)
}

/// The id of this process.
pub fn id() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// The id of the parent process.
pub fn parent_id() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Executes another program. Returns only on failure.
pub fn execute(program: &OsStr, args: &[OsString], env: &[OsString]) -> io::Error {
    let text = |s: &OsStr| CString::new(s.as_bytes()).map_err(io::Error::from);
    let all = |list: &[OsString]| list.iter().map(|s| text(s)).collect::<io::Result<Vec<_>>>();
    match (text(program), all(args), all(env)) {
        (Ok(program), Ok(args), Ok(env)) => match nix::unistd::execve(&program, &args, &env) {
            Ok(never) => match never {},
            Err(error) => error.into(),
        },
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => error,
    }
}

/// Keeps a descriptor open across [`execute`], under the same number.
///
/// # Errors
/// Those of fcntl(2).
pub fn keep_over_execute(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?)
}

/// Sets the nice value of this process.
///
/// # Errors
/// Those of setpriority(2).
pub fn set_priority(nice: i32) -> io::Result<()> {
    Ok(rustix::process::setpriority_process(None, nice)?)
}

/// Gives a process a real-time priority, 1 to 99 (`SCHED_RR`), which its children do not inherit.
///
/// # Errors
/// Those of sched_setscheduler(2).
pub fn set_real_time(pid: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads one live `sched_param`.
    let done = unsafe { libc::sched_setscheduler(pid, policy, &raw const parameters) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The soft and hard limits of open descriptors.
///
/// # Errors
/// Those of getrlimit(2).
pub fn open_files_limit() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Sets both limits of open descriptors.
///
/// # Errors
/// Those of setrlimit(2).
pub fn set_open_files_limit(limit: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?)
}

/// Sets both limits of a core file's size in bytes.
///
/// # Errors
/// Those of setrlimit(2).
pub fn set_core_limit(limit: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, limit, limit)?)
}

/// Allows core dumps of a process that has changed its user.
///
/// # Errors
/// Those of prctl(2).
pub fn allow_core() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?)
}

/// Binds the calling thread to these processors, numbered from 0.
///
/// # Errors
/// Those of sched_setaffinity(2).
pub fn set_affinity(processors: &[usize]) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for &processor in processors {
        if processor < rustix::thread::CpuSet::MAX_CPU {
            set.set(processor);
        }
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// The processors that the calling thread may use, numbered from 0; none if they are unknown.
pub fn allowed_processors() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect()
}

/// The number of processors that this process may use, at least 1: those of its affinity, and no
/// more than its control groups grant it the time of, rounded down (`cpu.max`).
pub fn usable_processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Changes the working directory.
///
/// # Errors
/// Those of chdir(2).
pub fn change_directory(path: &Path) -> io::Result<()> {
    std::env::set_current_dir(path)
}

/// Replaces the environment by `NAME=value` entries; an entry without `=` is skipped.
///
/// # Errors
/// `Unsupported` if the process has several threads, which could be reading the environment.
pub fn replace_environment(entries: &[OsString]) -> io::Result<()> {
    if threads()? != 1 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "environment of a process of several threads",
        ));
    }
    for (name, _) in std::env::vars_os() {
        // SAFETY: the process has one thread, checked above.
        unsafe { std::env::remove_var(name) };
    }
    for entry in entries {
        let bytes = entry.as_bytes();
        let Some(equals) = bytes.iter().position(|&b| b == b'=').filter(|&at| at > 0) else {
            continue;
        };
        let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
        // SAFETY: the process has one thread, checked above.
        unsafe { std::env::set_var(OsStr::from_bytes(name), OsStr::from_bytes(value)) };
    }
    Ok(())
}

/// The name and release of the kernel, as in `Linux 6.1.0`.
pub fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_as_nginx_writes_them() {
        assert_eq!(Ending::Code(0).to_string(), "exited with code 0");
        assert_eq!(Ending::Signal { number: 9, core: false }.to_string(), "exited on signal 9");
        assert_eq!(
            Ending::Signal { number: 11, core: true }.to_string(),
            "exited on signal 11 (core dumped)"
        );
    }

    #[test]
    fn a_signal_that_is_none_is_refused() {
        assert_eq!(kill(id(), 4000).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}

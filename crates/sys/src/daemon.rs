//! Leaving the terminal.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;

use crate::process::{Fork, fork};

/// A step of [`daemonise`] that failed, named as nginx names it.
#[derive(Debug)]
pub struct Failed {
    /// As in `setsid()`.
    pub step: &'static str,
    /// Why.
    pub error: io::Error,
}

/// Goes into the background: a child in a session of its own carries on, with no file mode mask and
/// `/dev/null` for standard input and output. The calling process exits with code 0.
///
/// # Errors
/// The step that failed. Standard error is left as it is.
pub fn daemonise() -> Result<(), Failed> {
    let failed = |step| move |error: io::Error| Failed { step, error };
    match fork().map_err(failed("fork()"))? {
        Fork::Parent(_) => std::process::exit(0),
        Fork::Child => {}
    }
    rustix::process::setsid().map_err(|e| failed("setsid()")(e.into()))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed("open(\"/dev/null\")"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| failed("dup2(STDIN)")(e.into()))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| failed("dup2(STDOUT)")(e.into()))
}

/// Sends what is written to standard error into the given file.
///
/// # Errors
/// Those of dup2(2).
pub fn redirect_stderr(to: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(to)?)
}

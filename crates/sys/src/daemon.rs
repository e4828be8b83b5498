//! Daemonising.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;

use crate::process::{Fork, fork};

/// A failed step of [`daemonise`].
#[derive(Debug)]
pub struct Failed {
    /// nginx's name for the step, as in `setsid()`.
    pub step: &'static str,
    /// The cause.
    pub error: io::Error,
}

/// The process that the user started, which waits until the server is up.
#[derive(Debug)]
pub struct Launcher(PipeWriter);

impl Launcher {
    /// Lets it exit with code 0. If dropped instead, it exits with code 1.
    pub fn release(mut self) {
        // An error means that it is gone.
        let _ = self.0.write_all(&[0]);
    }
}

/// Moves to the background: a child in a session of its own carries on, with a zero umask and
/// `/dev/null` as standard input and output. The calling process waits for its release.
///
/// # Errors
/// The failed step. Standard error is left alone.
pub fn daemonise() -> Result<Launcher, Failed> {
    let failed = |step| move |error: io::Error| Failed { step, error };
    let (wait, release) = io::pipe().map_err(failed("pipe()"))?;
    match fork().map_err(failed("fork()"))? {
        Fork::Parent(_) => {
            drop(release);
            std::process::exit(wait_for_release(wait))
        }
        Fork::Child => drop(wait),
    }
    rustix::process::setsid().map_err(|e| failed("setsid()")(e.into()))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed("open(\"/dev/null\")"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| failed("dup2(STDIN)")(e.into()))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| failed("dup2(STDOUT)")(e.into()))?;
    Ok(Launcher(release))
}

/// The exit code: 0 if the server is up, 1 if it ended first.
fn wait_for_release(mut wait: PipeReader) -> i32 {
    let mut byte = [0];
    i32::from(wait.read_exact(&mut byte).is_err())
}

/// Redirects standard error to a file.
///
/// # Errors
/// Those of dup2(2).
pub fn redirect_stderr(to: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_release_is_a_success() {
        let (wait, release) = io::pipe().unwrap();
        Launcher(release).release();
        assert_eq!(wait_for_release(wait), 0);
        let (wait, release) = io::pipe().unwrap();
        drop(Launcher(release));
        assert_eq!(wait_for_release(wait), 1);
    }
}

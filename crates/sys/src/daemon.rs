//! Leaving the terminal.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
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

/// The process that was called by the user, which waits for the server to be up.
#[derive(Debug)]
pub struct Launcher(PipeWriter);

impl Launcher {
    /// Lets it exit with code 0. If this is dropped instead, it exits with code 1.
    pub fn release(mut self) {
        // If it is gone, nobody waits.
        let _ = self.0.write_all(&[0]);
    }
}

/// Goes into the background: a child in a session of its own carries on, with no file mode mask and
/// `/dev/null` for standard input and output. The calling process waits until it is released.
///
/// # Errors
/// The step that failed. Standard error is left as it is.
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

/// The exit code: 0 if the server is up, 1 if it has ended before that.
fn wait_for_release(mut wait: PipeReader) -> i32 {
    let mut byte = [0];
    i32::from(wait.read_exact(&mut byte).is_err())
}

/// Sends what is written to standard error into the given file.
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

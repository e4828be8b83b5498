//! Scripts of users: launched as programs, or read by a shell for the variables that they export.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use weir_sys::process::{self, Ending};
use weir_sys::signal::{self, Signals};
use weir_sys::{memory_file, wait};

use super::{ENVIRONMENT, Ended, Log, MISSING, UNFIT};
use crate::signals::{INT, QUIT, TERM};

/// The shell for scripts that name none, and for those that are read.
const SHELL: &str = "/bin/sh";

/// The error of execve(2) for a file without a known format: a script that names no shell.
const NO_FORMAT: i32 = 8;

/// What the shell does: a command that fails ends the script, and the entrypoint.
const SOURCE: &str = "set -e; . \"$1\"; exec \"$2\" entrypoint \"$3\" \"$4\"";

/// What is added to the number of a signal that ends a process, in exit codes of shells.
const BY_SIGNAL: i32 = 128;

/// The limit of an environment in bytes, that of one that can be given to a program.
const MAX_ENVIRONMENT: u64 = 6 << 20;

/// Runs a script and waits for its end.
pub(super) fn launch(path: &Path, log: &Log, signals: &Signals) -> Result<(), Ended> {
    let pid = match spawn(&mut Command::new(path)) {
        Err(error) if error.raw_os_error() == Some(NO_FORMAT) => {
            spawn(Command::new(SHELL).arg(path))
        }
        spawned => spawned,
    };
    attend(pid, path, log, signals)
}

/// Has a shell read a script, and takes its environment over.
pub(super) fn source(path: &Path, log: &Log, signals: &Signals) -> Result<(), Ended> {
    let failed = |error: io::Error| {
        log.complain(format_args!("{}: {error}", path.display()));
        Ended(1)
    };
    let own = std::env::current_exe().map_err(failed)?;
    let mut file = memory_file::empty().map_err(failed)?;
    process::keep_over_execute(file.as_fd()).map_err(failed)?;
    let mut command = Command::new(SHELL);
    command.args(["-c", SOURCE, super::NAME]).arg(path).arg(own);
    command.arg(ENVIRONMENT).arg(file.as_raw_fd().to_string());
    attend(spawn(&mut command), path, log, signals)?;
    let mut text = Vec::new();
    file.rewind().map_err(failed)?;
    file.take(MAX_ENVIRONMENT).read_to_end(&mut text).map_err(failed)?;
    if text.is_empty() {
        // The script has ended the shell with `exit 0`, after which nothing is known of it.
        return Ok(());
    }
    let entries: Vec<OsString> =
        text.split(|&byte| byte == 0).map(|entry| OsStr::from_bytes(entry).to_owned()).collect();
    process::replace_environment(&entries).map_err(failed)
}

/// Starts a program that gets signals as usual.
fn spawn(command: &mut Command) -> io::Result<i32> {
    signal::unblock_in(command);
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// Waits for a script, for which signals that end this process are meant, too. Orphans of scripts
/// come to the first process of a container, which lets them go.
fn attend(pid: io::Result<i32>, path: &Path, log: &Log, signals: &Signals) -> Result<(), Ended> {
    let shown = path.display();
    let pid = pid.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            log.complain(format_args!("{shown}: its interpreter is not in this image"));
            Ended(MISSING)
        }
        _ => {
            log.complain(format_args!("{shown}: {error}"));
            Ended(UNFIT)
        }
    })?;
    let mut asked = None;
    let ending = 'ended: loop {
        while let Ok(Some(signal)) = signals.next() {
            if [TERM, INT, QUIT].contains(&signal.number) {
                asked = Some(signal.number);
                // It may have ended just now.
                let _ = process::kill(pid, signal.number);
            }
        }
        while let Ok(Some((ended, how))) = process::reap() {
            if ended == pid {
                break 'ended how;
            }
        }
        if let Err(error) = wait::readable(&[signals.as_fd()], None) {
            log.complain(format_args!("poll() failed: {error}"));
            return Err(Ended(1));
        }
    };
    if let Some(number) = asked {
        return Err(Ended(BY_SIGNAL + number));
    }
    let code = match ending {
        Ending::Code(0) => return Ok(()),
        Ending::Code(code) => code,
        Ending::Signal { number, .. } => BY_SIGNAL + number,
    };
    log.complain(format_args!("{shown} {ending}"));
    Err(Ended(code))
}

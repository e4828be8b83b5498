//! The place of nginx's program: taken and given back by one rename each, under a diversion of
//! dpkg, by which updates of nginx's package go to the kept file.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Reason;
use super::record::Record;

/// This program, by the path at which it stays.
pub(super) fn own() -> Result<PathBuf, Reason> {
    std::env::current_exe().map_err(|error| Reason(format!("this program: {error}")))
}

/// The place of nginx's program while Weir has its own.
pub(super) fn kept(program: &Path) -> PathBuf {
    with_ending(program, ".distrib")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(ending);
    path.into()
}

/// Puts Weir in the place of nginx.
pub(super) fn take(record: &Record, weir: &Path) -> Result<(), Reason> {
    let Record { program, kept, .. } = record;
    let failed = |error: io::Error| Reason(format!("{}: {error}", program.display()));
    record.write()?;
    let taken = divert(record, true).and_then(|()| {
        if !kept.exists() {
            fs::hard_link(program, kept).map_err(failed)?;
        }
        let new = with_ending(program, ".weir-new");
        let _ = fs::remove_file(&new);
        symlink(weir, &new).and_then(|()| fs::rename(&new, program)).map_err(failed)
    });
    if taken.is_err() {
        give_back(record)?;
    }
    taken
}

/// Puts nginx back.
pub(super) fn give_back(record: &Record) -> Result<(), Reason> {
    let Record { program, kept, .. } = record;
    let is_own = fs::symlink_metadata(program).is_ok_and(|data| data.file_type().is_symlink());
    if kept.exists() && is_own {
        let moved = fs::rename(kept, program);
        moved.map_err(|error| Reason(format!("{}: {error}", program.display())))?;
    } else if kept.exists() {
        // Another nginx has the place: what was kept is the same file, or older.
        let _ = fs::remove_file(kept);
    }
    divert(record, false)?;
    Record::remove()
}

/// Adds or removes the diversion. A host without dpkg needs none.
fn divert(record: &Record, adds: bool) -> Result<(), Reason> {
    let mut command = Command::new("dpkg-divert");
    command.args(["--quiet", "--local", "--no-rename", "--divert"]).arg(&record.kept);
    command.arg(if adds { "--add" } else { "--remove" }).arg(&record.program);
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            Err(format!("dpkg-divert: {}", told.trim().replace('\n', " ")).into())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("dpkg-divert: {error}").into()),
    }
}

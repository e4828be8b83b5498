//! The place of nginx's program: taken and given back by one rename each, under a diversion of
//! dpkg, by which updates of nginx's package go to the kept file.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
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

/// Whether a file is Weir, by its path: this program's, or one of the same name. Once dpkg has
/// replaced it, the path of a running program has another ending.
pub(super) fn is_weir(file: &Path, weir: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_bytes();
    file == weir || name.starts_with(b"weir")
}

/// Whether Weir has the place.
pub(super) fn is_taken(record: &Record, weir: &Path) -> bool {
    fs::read_link(&record.program).is_ok_and(|file| is_weir(&file, weir))
}

/// Whether there is no nginx any more: its package has been removed.
pub(super) fn is_gone(record: &Record, weir: &Path) -> bool {
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    !is_there(&record.kept) && (is_taken(record, weir) || !is_there(&record.program))
}

/// Puts Weir in the place of nginx. Steps that were done before are not done again.
pub(super) fn take(record: &Record, weir: &Path) -> Result<(), Reason> {
    let Record { program, kept, .. } = record;
    let failed = |error: io::Error| Reason(format!("{}: {error}", program.display()));
    record.write()?;
    let taken = divert(record, true).and_then(|()| {
        if !kept.exists() {
            fs::hard_link(program, kept).map_err(failed)?;
        }
        let new = link_before(program);
        let _ = fs::remove_file(&new);
        symlink(weir, &new).and_then(|()| fs::rename(&new, program)).map_err(failed)
    });
    if taken.is_err() {
        give_back(record, weir)?;
        Record::remove()?;
    }
    taken
}

/// The link to Weir before it has its place.
fn link_before(program: &Path) -> PathBuf {
    with_ending(program, ".weir-new")
}

/// Puts nginx back, or nothing if its package is gone. The record stays, so that the rest can be
/// done later.
pub(super) fn give_back(record: &Record, weir: &Path) -> Result<(), Reason> {
    let Record { program, kept, .. } = record;
    let failed = |error: io::Error| Reason(format!("{}: {error}", program.display()));
    let _ = fs::remove_file(link_before(program));
    match fs::symlink_metadata(kept) {
        // The one that came later stays: dpkg's updates come to the kept file, others to the place.
        Ok(kept_data) if !is_taken(record, weir) && is_since(program, &kept_data) => {
            fs::remove_file(kept).map_err(failed)?;
        }
        Ok(_) => fs::rename(kept, program).map_err(failed)?,
        Err(_) if is_taken(record, weir) => fs::remove_file(program).map_err(failed)?,
        Err(_) => {}
    }
    divert(record, false)
}

/// Whether a file is there and has been since another was put where it is, or is that other.
fn is_since(path: &Path, other: &fs::Metadata) -> bool {
    let at = |data: &fs::Metadata| (data.ctime(), data.ctime_nsec());
    fs::symlink_metadata(path).is_ok_and(|data| at(&data) >= at(other))
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

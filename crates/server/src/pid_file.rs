//! The file with the master's process id. It says that the server is up: whoever finds it may
//! connect.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use weir_engine::Level;
use weir_engine::os_error::Failed;

use crate::console::Console;

/// The longest content that is read: a 64-bit number and a line end.
const MAX_BYTES: usize = 22;

/// The name while a new binary has the other one.
pub(crate) fn old_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".oldbin");
    name.into()
}

/// Writes the id of this process, replacing what was there.
///
/// # Errors
/// Why it cannot be done has been logged.
pub(crate) fn write(path: &Path, console: &Console) -> Result<(), ()> {
    let written =
        open(path, true, console)?.write_all(format!("{}\n", std::process::id()).as_bytes());
    written.map_err(|error| {
        let what = format!("write() \"{}\" failed", path.display());
        console.log(Level::Emerg, Failed(&what, &error));
    })
}

/// Finds out whether the file could be written, as `-t` does; makes it if there is none.
///
/// # Errors
/// Why it could not has been logged.
pub(crate) fn test(path: &Path, console: &Console) -> Result<(), ()> {
    open(path, false, console).map(drop)
}

fn open(path: &Path, truncate: bool, console: &Console) -> Result<File, ()> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(truncate);
    options.open(path).map_err(|error| {
        let what = format!("open() \"{}\" failed", path.display());
        console.log(Level::Emerg, Failed(&what, &error));
    })
}

/// Removes the file.
pub(crate) fn remove(path: &Path, console: &Console) {
    if let Err(error) = std::fs::remove_file(path) {
        let what = format!("unlink() \"{}\" failed", path.display());
        console.log(Level::Alert, Failed(&what, &error));
    }
}

/// The id in the file.
///
/// # Errors
/// Why there is none has been logged.
pub(crate) fn read(path: &Path, console: &Console) -> Result<i32, ()> {
    let content = std::fs::read(path).map_err(|error| {
        let what = format!("open() \"{}\" failed", path.display());
        console.log(Level::Error, Failed(&what, &error));
    })?;
    let text = String::from_utf8_lossy(&content[..content.len().min(MAX_BYTES)]);
    let text = text.trim_end_matches(['\r', '\n']);
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten().ok_or_else(|| {
        let message = format_args!("invalid PID number \"{text}\" in \"{}\"", path.display());
        console.log(Level::Error, message);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("weir-pid-{}", std::process::id()));
        let console = Console::new(None);
        write(&path, &console).unwrap();
        assert_eq!(read(&path, &console), Ok(std::process::id().cast_signed()));
        std::fs::write(&path, "-1\n").unwrap();
        assert_eq!(read(&path, &console), Err(()));
        remove(&path, &console);
        assert!(!path.exists());
        assert_eq!(old_name(Path::new("/run/x.pid")), Path::new("/run/x.pid.oldbin"));
    }
}

//! The pid file. It exists once the server accepts connections.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_sys::file::{self, Links};

use crate::console::Console;

/// The maximum length of the content: a 64-bit number and a newline.
const MAX_BYTES: usize = 22;

/// The file's mode: a writer would choose the process that root signals.
const MODE: u32 = 0o644;

/// The file's name while a new binary uses the original one.
pub(crate) fn old_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".oldbin");
    name.into()
}

/// Writes the ID of this process, replacing the content.
///
/// # Errors
/// The file could not be written and does not exist; the reason has been logged.
pub(crate) fn write(path: &Path, links: Links, console: &Console) -> Result<(), ()> {
    let mut file = open(path, true, links, console)?;
    let id = format!("{}\n", std::process::id());
    let written = file::deny_writing_to_others(&file).and_then(|()| file.write_all(id.as_bytes()));
    written.map_err(|error| {
        let what = format!("write() \"{}\" failed", path.display());
        console.log(Level::Emerg, Failed(&what, &error));
        remove(path, console);
    })
}

/// Checks that the file is writable, as `-t` does; creates it if missing.
///
/// # Errors
/// The file is not writable; the reason has been logged.
pub(crate) fn test(path: &Path, links: Links, console: &Console) -> Result<(), ()> {
    open(path, false, links, console).map(drop)
}

fn open(path: &Path, truncate: bool, links: Links, console: &Console) -> Result<File, ()> {
    file::open_or_make(path, truncate, MODE, links).map_err(|error| {
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

/// The process ID in the file.
///
/// # Errors
/// There is no valid ID; the reason has been logged.
pub(crate) fn read(path: &Path, console: &Console) -> Result<i32, ()> {
    let content = std::fs::read(path).map_err(|error| {
        let what = format!("open() \"{}\" failed", path.display());
        console.log(Level::Error, Failed(&what, &error));
    })?;
    let text = String::from_utf8_lossy(&content[..content.len().min(MAX_BYTES)]);
    let text = text.trim_end_matches(['\r', '\n']);
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    // 0 would signal every process of the caller's group.
    number.filter(|&pid| pid > 0).ok_or_else(|| {
        let message = format_args!("invalid PID number \"{text}\" in \"{}\"", path.display());
        console.log(Level::Error, message);
    })
}

/// Whether the process in the file runs.
pub(crate) fn is_of_running(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pid: Option<u32> = text.trim().parse().ok();
    pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_written_id_is_read() {
        let path = std::env::temp_dir().join(format!("weir-pid-{}", std::process::id()));
        let console = Console::new(None);
        std::fs::write(&path, "something longer\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        write(&path, Links::Any, &console).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(read(&path, &console), Ok(std::process::id().cast_signed()));
        assert!(is_of_running(&path));
        for nonsense in ["-1\n", "0\n", "", "1x", "99999999999"] {
            std::fs::write(&path, nonsense).unwrap();
            assert_eq!(read(&path, &console), Err(()), "{nonsense:?}");
            assert!(!is_of_running(&path), "{nonsense:?}");
        }
        remove(&path, &console);
        assert!(!path.exists());
        assert_eq!(old_name(Path::new("/run/x.pid")), Path::new("/run/x.pid.oldbin"));
    }
}

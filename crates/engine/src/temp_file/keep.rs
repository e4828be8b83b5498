//! Keeping a temporary file: it gets its mode, its modification time and a name.
//!
//! ```text
//!  link ──▶ done
//!   │ │
//!   │ └ no such folder ──▶ create folders ──▶ link
//!   └ the name exists, or links are unsupported
//!        └──▶ link or copy beside it ──▶ rename over it
//! ```
//!
//! An open of the name finds either the previous file or the complete new one.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps};
use rustix::io::Errno;

use super::{NUMBERS, OURS};
use crate::os_error::Failed;

/// The number of temporary names to try, if files of an earlier process have them.
const TRIES: usize = 10_000;

/// The attributes of a kept file besides its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The mode, as for `chmod`. Its readers may enter the folders created for it.
    pub mode: u32,
    /// The modification time in seconds since 1970; `None` keeps that of the last write.
    pub modified: Option<i64>,
}

/// The failure to keep a file, formatted for the error log.
#[derive(Debug)]
pub struct KeepError {
    /// The failed call with its argument.
    call: String,
    /// The system's error.
    error: io::Error,
}

impl KeepError {
    fn new(call: &str, path: &Path, error: impl Into<io::Error>) -> Self {
        Self { call: format!("{call} \"{}\" failed", path.display()), error: error.into() }
    }
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Failed(&self.call, &self.error).fmt(f)
    }
}

/// Gives a temporary file the name `to`, replacing any existing file. Missing folders are created,
/// and the file is copied if `to` is on another file system.
///
/// # Errors
/// The first failed call. The file is still temporary.
pub fn keep(file: &File, to: &Path, attributes: Attributes) -> Result<(), KeepError> {
    dress(file, attributes, to)?;
    let mut linked = link(file, to);
    if linked == Err(Errno::NOENT)
        && let Some(folder) = to.parent().filter(|folder| !folder.is_dir())
    {
        let mode = folder_mode(attributes.mode);
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(folder)
            .map_err(|error| KeepError::new("mkdir()", folder, error))?;
        linked = link(file, to);
    }
    match linked {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => replace(file, to, attributes),
        Err(error) if is_about_links(error) => replace(file, to, attributes),
        Err(error) => Err(KeepError::new("linkat()", to, error)),
    }
}

/// Sets mode and time. `name` is the file's future name, for messages.
fn dress(file: &File, attributes: Attributes, name: &Path) -> Result<(), KeepError> {
    let mode = Mode::from_raw_mode(attributes.mode);
    // Every temporary file begins with that.
    if mode != OURS {
        rustix::fs::fchmod(file, mode).map_err(|error| KeepError::new("fchmod()", name, error))?;
    }
    let Some(seconds) = attributes.modified else { return Ok(()) };
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let both = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(file, &both).map_err(|error| KeepError::new("futimens()", name, error))
}

/// Whether the kernel links a file by its descriptor alone: since 6.10, for whoever has opened it.
static BY_DESCRIPTOR: AtomicBool = AtomicBool::new(true);

/// Links an open file under a name.
fn link(file: &File, to: &Path) -> Result<(), Errno> {
    if BY_DESCRIPTOR.load(Ordering::Relaxed) {
        let linked = rustix::fs::linkat(file, "", CWD, to, AtFlags::EMPTY_PATH);
        if linked != Err(Errno::NOENT) {
            return linked;
        }
    }
    // The kernel does not, or the folder is missing.
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    let linked = rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW);
    if linked.is_ok() {
        BY_DESCRIPTOR.store(false, Ordering::Relaxed);
    }
    linked
}

/// Whether a copy may succeed where a link failed: another file system, one without links, an
/// unlinked file, no `/proc`.
fn is_about_links(error: Errno) -> bool {
    matches!(error, Errno::XDEV | Errno::NOENT | Errno::OPNOTSUPP | Errno::PERM | Errno::MLINK)
}

/// Puts the file, or a copy, next to the existing file and renames it.
fn replace(file: &File, to: &Path, attributes: Attributes) -> Result<(), KeepError> {
    let beside = put_beside(file, to, attributes)?;
    std::fs::rename(&beside, to).map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        let both = format!("rename() \"{}\" to", beside.display());
        KeepError::new(&both, to, error)
    })
}

/// Creates the file under a temporary name in the folder of `to`.
fn put_beside(file: &File, to: &Path, attributes: Attributes) -> Result<PathBuf, KeepError> {
    for _ in 0..TRIES {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let path = to.with_file_name(format!("{number:010}.{}", std::process::id()));
        match link(file, &path) {
            Ok(()) => return Ok(path),
            Err(Errno::EXIST) => continue,
            Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let mut copy = match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(copy) => copy,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(KeepError::new("open()", &path, error)),
        };
        let filled = fill(file, &mut copy)
            .map_err(|error| KeepError::new("copying to", &path, error))
            .and_then(|()| dress(&copy, attributes, &path));
        return match filled {
            Ok(()) => Ok(path),
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        };
    }
    Err(KeepError::new("open()", to, Errno::EXIST))
}

fn fill(mut from: &File, to: &mut File) -> io::Result<()> {
    from.seek(SeekFrom::Start(0))?;
    io::copy(&mut from, to).map(|_| ())
}

/// The mode of a folder: readers of its files may enter it.
fn folder_mode(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use crate::temp_file::{create, create_and_unlink};

    const TIME: i64 = 784_111_777;

    fn folder(name: &str) -> PathBuf {
        let name = format!("weir-keep-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn with(mut file: File, text: &str) -> File {
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Both kinds of temporary file, one of which can only be kept by a copy.
    const WAYS: [fn(&Path) -> io::Result<File>; 2] = [create, create_and_unlink];

    #[test]
    fn a_kept_file_has_its_name_mode_and_time() {
        let folder = folder("new");
        for (number, make) in WAYS.into_iter().enumerate() {
            let file = with(make(&folder).unwrap(), "body");
            let to = folder.join(format!("{number}/deep/er/name"));
            keep(&file, &to, Attributes { mode: 0o640, modified: Some(TIME) }).unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), "body");
            let found = std::fs::metadata(&to).unwrap();
            assert_eq!((found.permissions().mode() & 0o7777, found.mtime()), (0o640, TIME));
            let above = std::fs::metadata(to.parent().unwrap()).unwrap();
            assert_eq!(above.permissions().mode() & 0o7777, 0o750);
            assert_eq!(names(to.parent().unwrap()), ["name"]);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_existing_file_is_replaced() {
        let folder = folder("again");
        let to = folder.join("x".repeat(255));
        let aside = folder.join("aside");
        std::fs::write(&aside, "untouched").unwrap();
        std::os::unix::fs::symlink(&aside, &to).unwrap();
        for (make, text) in WAYS.into_iter().cycle().zip(["one", "two", "", "four"]) {
            let file = with(make(&folder).unwrap(), text);
            keep(&file, &to, Attributes { mode: 0o600, modified: None }).unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), text);
            assert_eq!(names(&folder).len(), 2);
        }
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), "untouched");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failure_leaves_no_file() {
        let folder = folder("fault");
        std::fs::create_dir(folder.join("folder")).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        let cases = [("folder", "(21: Is a directory)"), ("file/name", "(20: Not a directory)")];
        for make in WAYS {
            let file = with(make(&folder).unwrap(), "body");
            for (name, why) in cases {
                let to = folder.join(name);
                let fault = keep(&file, &to, Attributes { mode: 0o600, modified: None });
                let text = fault.unwrap_err().to_string();
                assert!(text.ends_with(why) && text.contains(name), "{text}");
            }
            assert_eq!(names(&folder).len(), 2);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_is_kept_on_another_file_system() {
        let shm = Path::new("/dev/shm");
        let folder = folder("far");
        let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
        if device(shm).is_some() && device(shm) != device(&folder) {
            let file = with(create(shm).unwrap(), "body");
            let to = folder.join("far/name");
            for _ in 0..2 {
                keep(&file, &to, Attributes { mode: 0o604, modified: Some(TIME) }).unwrap();
                assert_eq!(std::fs::read_to_string(&to).unwrap(), "body");
                let found = std::fs::metadata(&to).unwrap();
                assert_eq!((found.mode() & 0o7777, found.mtime()), (0o604, TIME));
            }
            assert_eq!(names(to.parent().unwrap()), ["name"]);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

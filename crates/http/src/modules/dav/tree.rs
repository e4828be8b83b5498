//! Changes to files and folders. They block, and run beside the loop.

use std::fmt;
use std::fs::{self, DirBuilder, File, FileType, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;

/// The deepest nesting of folders that are copied. Deeper ones have no usable paths.
const DEEPEST: usize = 1024;

/// Why files could not be changed.
#[derive(Debug)]
pub(super) struct Failure {
    call: &'static str,
    path: PathBuf,
    error: io::Error,
    /// The status for the client.
    pub(super) status: u16,
}

impl Failure {
    /// A failed call; `missing` is the status if something does not exist.
    fn new(call: &'static str, path: &Path, error: impl Into<io::Error>, missing: u16) -> Self {
        let error = error.into();
        let status = match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => missing,
            Some(Errno::ACCESS | Errno::PERM) => 403,
            Some(Errno::EXIST) => 405,
            Some(Errno::NOSPC) => 507,
            _ => 500,
        };
        Self { call, path: path.to_owned(), error, status }
    }

    /// The level in the error log: higher if neither the client nor permissions are to blame.
    pub(super) fn level(&self) -> Level {
        if matches!(self.status, 500 | 507) { Level::Crit } else { Level::Error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let what = match self.call {
            TAKEN => format!("\"{path}\" could not be created"),
            call => format!("{call} \"{path}\" failed"),
        };
        Failed(&what, &self.error).fmt(f)
    }
}

/// No call has failed: the place of a new file is taken.
const TAKEN: &str = "";

/// Whether there is a folder at the path; a link is none.
pub(super) fn is_folder(path: &Path, beside: u16) -> Result<bool, Failure> {
    look(path).map(|found| found.is_dir()).map_err(|error| {
        let missing = if error.kind() == io::ErrorKind::NotADirectory { beside } else { 404 };
        Failure::new("lstat()", path, error, missing)
    })
}

fn look(path: &Path) -> io::Result<Metadata> {
    fs::symlink_metadata(path)
}

/// Removes a file, or a folder with its content.
pub(super) fn remove(path: &Path, is_folder: bool) -> Result<(), Failure> {
    let (call, removed) = match is_folder {
        true => ("rmdir()", fs::remove_dir_all(path)),
        false => ("unlink()", fs::remove_file(path)),
    };
    removed.map_err(|error| Failure::new(call, path, error, 404))
}

/// The mode of a folder: readers of its files may enter it.
pub(super) fn folder_mode(access: u32) -> u32 {
    access | (access & 0o444) >> 2
}

/// Makes a folder; `missing` is the status if the one around it does not exist.
pub(super) fn make_folder(path: &Path, mode: u32, missing: u16) -> Result<(), Failure> {
    let made = DirBuilder::new().mode(mode).create(path);
    made.map_err(|error| Failure::new("mkdir()", path, error, missing))
}

/// Checks that a file can be stored at the path. Returns whether there is one.
pub(super) fn check_place(path: &Path, may_create_folders: bool) -> Result<bool, Failure> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Failure::taken(path, Errno::ISDIR, 409)),
        Ok(_) => Ok(true),
        Err(_) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            if may_create_folders || folder.is_dir() {
                return Ok(false);
            }
            Err(Failure { status: 500, ..Failure::new("rename() to", path, Errno::NOENT, 500) })
        }
    }
}

impl Failure {
    /// The place of a new file is taken.
    fn taken(path: &Path, error: Errno, status: u16) -> Self {
        let call = TAKEN;
        Self { call, path: path.to_owned(), error: error.into(), status }
    }
}

/// COPY or MOVE, with paths that do not end in a slash.
pub(super) struct Transfer {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    /// Whether the URIs end in a slash.
    pub(super) is_folder_name: bool,
    /// Whether an existing target is replaced.
    pub(super) overwrites: bool,
    pub(super) is_move: bool,
    /// `dav_access`, for folders that are created around the target.
    pub(super) access: u32,
}

impl Transfer {
    /// Does it. Returns whether it was a folder.
    pub(super) fn run(&self) -> Result<bool, Failure> {
        let (from, to) = (&self.from, &self.to);
        let target = match look(to) {
            Ok(target) if target.is_dir() && !self.is_folder_name => {
                return Err(Failure::taken(to, Errno::ISDIR, 409));
            }
            Ok(_) if !self.overwrites => return Err(Failure::taken(to, Errno::EXIST, 412)),
            Ok(target) => Some(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::new("lstat()", to, error, 404)),
        };
        let source = look(from).map_err(|error| Failure::new("lstat()", from, error, 404))?;
        match (source.is_dir(), self.is_folder_name) {
            (true, true) => {
                if let Some(target) = target {
                    remove(to, target.is_dir())?;
                }
                self.folder(&source).map(|()| true)
            }
            (true, false) => Err(Failure::taken(from, Errno::ISDIR, 400)),
            (false, true) => Err(Failure::new("lstat()", from, Errno::NOTDIR, 404)),
            (false, false) => self.file().map(|()| false),
        }
    }

    fn folder(&self, source: &Metadata) -> Result<(), Failure> {
        if self.is_move && fs::rename(&self.from, &self.to).is_ok() {
            return Ok(());
        }
        copy_folder(&self.from, &self.to, source)?;
        if self.is_move { remove(&self.from, true) } else { Ok(()) }
    }

    fn file(&self) -> Result<(), Failure> {
        if !self.is_move {
            return copy_file(&self.from, &self.to);
        }
        let mut moved = fs::rename(&self.from, &self.to);
        if is(&moved, io::ErrorKind::NotFound)
            && let Some(folder) = self.to.parent()
        {
            let mode = folder_mode(self.access);
            let made = DirBuilder::new().recursive(true).mode(mode).create(folder);
            // As in nginx, the message names the file.
            made.map_err(|error| Failure::new("mkdir()", &self.to, error, 500))?;
            moved = fs::rename(&self.from, &self.to);
        }
        if is(&moved, io::ErrorKind::CrossesDevices) {
            copy_file(&self.from, &self.to)?;
            return remove(&self.from, false);
        }
        moved.map_err(|error| Failure::new("rename()", &self.from, error, 500))
    }
}

fn is(result: &io::Result<()>, kind: io::ErrorKind) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == kind)
}

/// Copies a folder: the files and folders in it, no links or special files. One that cannot be
/// copied ends it.
fn copy_folder(from: &Path, to: &Path, source: &Metadata) -> Result<(), Failure> {
    let failed = |call, path: &Path, error| Failure::new(call, path, error, 404);
    make_folder(to, source.permissions().mode() & 0o7777, 404)?;
    let mut open = vec![Open::new(from, to, source).map_err(|e| failed("opendir()", from, e))?];
    while let Some(top) = open.last_mut() {
        let Some(entry) = top.entries.next() else {
            let done = open.pop();
            done.into_iter().for_each(Open::close);
            continue;
        };
        let entry = entry.map_err(|error| failed("readdir()", from, error))?;
        let (path, target) = (entry.path(), top.to.join(entry.file_name()));
        let kind: FileType = entry.file_type().map_err(|e| failed("lstat()", &path, e))?;
        if kind.is_file() {
            copy_file(&path, &target)?;
        } else if kind.is_dir() {
            if open.len() == DEEPEST {
                return Err(failed("opendir()", &path, Errno::NAMETOOLONG.into()));
            }
            let found = entry.metadata().map_err(|error| failed("lstat()", &path, error))?;
            make_folder(&target, found.permissions().mode() & 0o7777, 404)?;
            let inner = Open::new(&path, &target, &found);
            open.push(inner.map_err(|error| failed("opendir()", &path, error))?);
        }
    }
    Ok(())
}

/// A folder that is being copied.
struct Open {
    entries: fs::ReadDir,
    to: PathBuf,
    modified: io::Result<std::time::SystemTime>,
}

impl Open {
    fn new(from: &Path, to: &Path, source: &Metadata) -> io::Result<Self> {
        let entries = fs::read_dir(from)?;
        Ok(Self { entries, to: to.to_owned(), modified: source.modified() })
    }

    /// Gives the copy the time of the original, which its entries have changed. A failure does not
    /// matter.
    fn close(self) {
        if let (Ok(time), Ok(folder)) = (self.modified, File::open(&self.to)) {
            let _ = folder.set_modified(time);
        }
    }
}

/// Copies a file with its permissions and its time.
fn copy_file(from: &Path, to: &Path) -> Result<(), Failure> {
    let found = fs::metadata(from).map_err(|error| Failure::new("stat()", from, error, 404))?;
    // Reading a pipe would wait for a writer.
    if !found.is_file() {
        return Err(Failure::new("open()", from, Errno::INVAL, 404));
    }
    fs::copy(from, to).map_err(|error| Failure::new("copying to", to, error, 500))?;
    if let (Ok(time), Ok(copy)) = (found.modified(), File::options().write(true).open(to)) {
        let _ = copy.set_modified(time);
    }
    Ok(())
}

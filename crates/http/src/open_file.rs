//! Opening files for requests, with `disable_symlinks` and `open_file_cache` (nginx:
//! `ngx_open_file_cache.c`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use weir_conf::value::Off;
use weir_engine::error_log::Level;
use weir_engine::file_io::File;
use weir_engine::os_error::{Failed, OsError};
use weir_wire::h1::Method;

use crate::core::files::{FILES, SymlinkCheck};
use crate::core::open_files::OpenFileCache;
use crate::core::{ERRORS, OPEN_FILES};
use crate::module::Verdict;
use crate::rejection::Rejection;
use crate::request::Request;

mod cache;

use cache::Rules;

/// The result of looking up a path.
#[derive(Clone, Debug)]
pub struct FoundFile {
    /// The open file; None for a folder, or if only metadata was wanted.
    pub file: Option<Rc<File>>,
    /// The size in bytes.
    pub size: u64,
    /// The modification time, in seconds since the epoch.
    pub modified: i64,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether its owner may execute it.
    pub is_exec: bool,
    /// The inode, which tells whether a path still leads to the same file.
    pub(crate) inode: u64,
}

/// A regular file that is sent in parts.
pub(crate) struct Media {
    /// Its path.
    pub(crate) path: PathBuf,
    /// The open file.
    pub(crate) file: Rc<File>,
    /// The size in bytes.
    pub(crate) size: u64,
    /// The modification time, in seconds since the epoch.
    pub(crate) modified: i64,
}

/// Why a path could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFault {
    /// The system's error.
    pub errno: Errno,
    /// The call that failed, as nginx names it: `open()`, `stat()`, `openat()`.
    pub call: &'static str,
}

/// The purpose of looking up a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To read the file.
    File,
    /// To read the metadata.
    Look,
    /// To check that it is a folder.
    Folder,
}

/// The symbolic links that are refused in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    check: SymlinkCheck,
    /// The length of the unchecked prefix, in bytes.
    from: usize,
}

impl Request {
    /// Looks up a path, under the location's settings for files.
    ///
    /// # Errors
    /// The system's error.
    pub fn open_file(&mut self, path: &Path, want: Want) -> Result<FoundFile, OpenFault> {
        let links = self.links(path);
        let settings = self.get(&OPEN_FILES);
        let found = match settings.cache {
            OpenFileCache::Off => open(path, want, links)?,
            OpenFileCache::On { max, inactive } => {
                let rules = Rules {
                    max,
                    inactive,
                    valid: settings.valid.0,
                    min_uses: u64::from(settings.min_uses),
                    errors: settings.errors,
                };
                cache::open(&self.snapshot, path, want, links, &rules)?
            }
        };
        if let (Off::On(least), Some(file)) = (&self.location.usual.files.directio, &found.file)
            && found.size >= least.0
            && !file.is_direct()
        {
            self.bypass_cache(path, file);
        }
        Ok(found)
    }

    /// Opens the file that the URI of a GET or HEAD names, for modules that send parts of it.
    ///
    /// # Errors
    /// The verdict: another method, no such file, or no file at all.
    pub(crate) async fn open_media(&mut self) -> Result<Media, Verdict> {
        if !matches!(self.method, Method::Get | Method::Head) {
            return Err(Verdict::Status(405));
        }
        if self.uri.ends_with(b"/") {
            return Err(Verdict::Next);
        }
        let path = self.path()?;
        self.prepare_path(&path).await;
        let found = self.open_file(&path, Want::File);
        let found = found.map_err(|fault| self.open_failed(&path, fault))?;
        let FoundFile { file, size, modified, is_file, .. } = found;
        let file = file.filter(|_| is_file).ok_or(Verdict::Next)?;
        Ok(Media { path, file, size, modified })
    }

    /// `directio`: reads the file past the page cache.
    fn bypass_cache(&self, path: &Path, file: &File) {
        let alignment = self.location.usual.files.directio_alignment.0;
        if let Err(error) = file.bypass_cache(alignment) {
            let what = format!("fcntl(O_DIRECT) \"{}\" failed", path.display());
            self.log(Level::Alert, &Failed(&what, &error).to_string());
        }
    }

    /// The metadata of a path, if it exists. An unusual error is logged.
    pub fn look_at(&mut self, path: &Path) -> Option<FoundFile> {
        match self.open_file(path, Want::Look) {
            Ok(found) => Some(found),
            Err(fault) => {
                if !matches!(fault.errno, Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) {
                    self.log(Level::Crit, &fault.describe(path));
                }
                None
            }
        }
    }

    /// `disable_symlinks` for this path (ngx_http_set_disable_symlinks).
    fn links(&mut self, path: &Path) -> Links {
        let location = self.location.clone();
        let settings = &location.settings.get(&FILES).disable_symlinks;
        let mut links = Links { check: settings.check, from: 0 };
        let Some(template) = &settings.from else { return links };
        let from = self.eval(template);
        let path = path.as_os_str().as_bytes();
        if from.is_empty() || !path.starts_with(&from) {
            return links;
        }
        if from.len() == path.len() {
            links.check = SymlinkCheck::Off;
        } else if path[from.len()] == b'/' {
            links.from = from.len();
        } else if from.ends_with(b"/") {
            links.from = from.len() - 1;
        }
        links
    }

    /// Logs that a file could not be opened, in nginx's words.
    pub fn open_failed(&mut self, path: &Path, fault: OpenFault) -> Rejection {
        let (rejection, level) = match fault.errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => {
                (Rejection::NOT_FOUND, Level::Error)
            }
            Errno::ACCESS | Errno::MLINK | Errno::LOOP => (Rejection::FORBIDDEN, Level::Error),
            _ => (Rejection::INTERNAL, Level::Crit),
        };
        if rejection != Rejection::NOT_FOUND || self.get(&ERRORS).log_not_found {
            self.log(level, &fault.describe(path));
        }
        rejection
    }
}

impl OpenFault {
    /// `open() "/path" failed (2: No such file or directory)`.
    pub fn describe(&self, path: &Path) -> String {
        let reason = io::Error::from(self.errno);
        format!("{} \"{}\" failed ({})", self.call, path.display(), OsError(&reason))
    }
}

/// Looks up a path without a cache.
pub(crate) fn open(path: &Path, want: Want, links: Links) -> Result<FoundFile, OpenFault> {
    if want != Want::File {
        let found = look(path, links)?;
        if want == Want::Look || found.is_dir {
            return Ok(found);
        }
    }
    let fd = open_checked(path, links)?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| OpenFault { errno, call: "fstat()" })?;
    let mut found = FoundFile::new(&stat);
    if !found.is_dir {
        found.file = Some(Rc::new(File::new(fd.into())));
    }
    Ok(found)
}

/// The metadata of a path. The path is opened only if links are checked.
fn look(path: &Path, links: Links) -> Result<FoundFile, OpenFault> {
    if links.check == SymlinkCheck::Off {
        let stat = rustix::fs::stat(path).map_err(|errno| OpenFault { errno, call: "stat()" })?;
        return Ok(FoundFile::new(&stat));
    }
    let fd = open_checked(path, links)?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| OpenFault { errno, call: "fstat()" })?;
    Ok(FoundFile::new(&stat))
}

impl FoundFile {
    fn new(stat: &rustix::fs::Stat) -> Self {
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        Self {
            file: None,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: stat.st_mtime,
            is_dir: kind.is_dir(),
            is_file: kind.is_file(),
            is_exec: stat.st_mode & OWNER_EXECUTES != 0,
            inode: stat.st_ino,
        }
    }
}

/// S_IXUSR.
const OWNER_EXECUTES: u32 = 0o100;

/// Non-blocking, so that a FIFO does not make the loop wait for its writer.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// Folders on the way need not be readable.
const SEARCH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a path, component by component when links are checked (ngx_open_file_wrapper).
fn open_checked(path: &Path, links: Links) -> Result<OwnedFd, OpenFault> {
    let plain = |errno| OpenFault { errno, call: "open()" };
    if links.check == SymlinkCheck::Off {
        return rustix::fs::open(path, READ, Mode::empty()).map_err(plain);
    }
    let bytes = path.as_os_str().as_bytes();
    let (unchecked, rest) = match links.from {
        0 if bytes.first() == Some(&b'/') => (&b"/"[..], &bytes[1..]),
        0 => (&b"."[..], bytes),
        from => (&bytes[..from], &bytes[from + 1..]),
    };
    let mut at = rustix::fs::open(unchecked, SEARCH, Mode::empty()).map_err(plain)?;
    let (folders, name) = match rest.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&rest[..slash], &rest[slash + 1..]),
        None => (&b""[..], rest),
    };
    let checked = |errno| OpenFault { errno, call: "openat()" };
    for folder in folders.split(|&b| b == b'/').filter(|folder| !folder.is_empty()) {
        at = open_at(&at, folder, SEARCH, links.check).map_err(checked)?;
    }
    if name.is_empty() {
        return rustix::fs::openat(&at, ".", READ, Mode::empty()).map_err(checked);
    }
    open_at(&at, name, READ, links.check).map_err(checked)
}

/// Opens one component, unless it is a refused link.
fn open_at(
    at: &OwnedFd,
    name: &[u8],
    flags: OFlags,
    check: SymlinkCheck,
) -> Result<OwnedFd, Errno> {
    if check == SymlinkCheck::On {
        return rustix::fs::openat(at, name, flags | OFlags::NOFOLLOW, Mode::empty());
    }
    // The name may be replaced between the calls, so owners are compared even if it is no link now.
    let fd = rustix::fs::openat(at, name, flags, Mode::empty())?;
    let named = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let opened = rustix::fs::fstat(&fd)?;
    if named.st_uid == opened.st_uid { Ok(fd) } else { Err(Errno::LOOP) }
}

//! Opening the files that requests name, with `disable_symlinks` and `open_file_cache`
//! (nginx: `ngx_open_file_cache.c`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use weir_conf::value::Off;
use weir_engine::error_log::Level;
use weir_engine::file_io::File;
use weir_engine::os_error::{Failed, OsError};

use crate::core::files::{FILES, SymlinkCheck};
use crate::core::open_files::FileCache;
use crate::core::{ERRORS, OPEN_FILES};
use crate::request::Request;

mod cache;

use cache::Rules;

/// What a path turned out to be.
#[derive(Clone, Debug)]
pub struct Found {
    /// The open file; None for a folder, or when only a look was asked for.
    pub file: Option<Rc<File>>,
    /// Bytes.
    pub size: u64,
    /// Seconds since the epoch.
    pub modified: i64,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether its owner may run it.
    pub is_exec: bool,
    /// The inode: whether a path still means the same file.
    pub(crate) inode: u64,
}

/// Why a path could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFault {
    /// The system's reason.
    pub errno: Errno,
    /// The call that failed, as nginx names it: `open()`, `stat()`, `openat()`.
    pub call: &'static str,
}

/// What is wanted of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The file, open for reading.
    File,
    /// Only what is there.
    Look,
    /// Only whether a folder is there.
    Folder,
}

/// Which symbolic links are refused on the way to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    check: SymlinkCheck,
    /// How many bytes of the path are not checked.
    from: usize,
}

impl Request {
    /// Looks a path up, under the settings in force for files.
    ///
    /// # Errors
    /// What the system said.
    pub fn open_file(&mut self, path: &Path, want: Want) -> Result<Found, OpenFault> {
        let links = self.links(path);
        let settings = self.get(&OPEN_FILES);
        let found = match settings.cache {
            FileCache::Off => open(path, want, links)?,
            FileCache::On { max, inactive } => {
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

    /// `directio`: the file is read past the page cache.
    fn bypass_cache(&self, path: &Path, file: &File) {
        let alignment = self.location.usual.files.directio_alignment.0;
        if let Err(error) = file.bypass_cache(alignment) {
            let what = format!("fcntl(O_DIRECT) \"{}\" failed", path.display());
            self.log(Level::Alert, &Failed(&what, &error).to_string());
        }
    }

    /// What is at a path, if anything; an unusual reason for nothing is logged.
    pub fn look_at(&mut self, path: &Path) -> Option<Found> {
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

    /// The status for a file that could not be opened, and nginx's line in the error log.
    pub fn open_failed(&mut self, path: &Path, fault: OpenFault) -> u16 {
        let (status, level) = match fault.errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => (404, Level::Error),
            Errno::ACCESS | Errno::MLINK | Errno::LOOP => (403, Level::Error),
            _ => (500, Level::Crit),
        };
        if status != 404 || self.get(&ERRORS).log_not_found {
            self.log(level, &fault.describe(path));
        }
        status
    }
}

impl OpenFault {
    /// `open() "/path" failed (2: No such file or directory)`.
    pub fn describe(&self, path: &Path) -> String {
        let reason = io::Error::from(self.errno);
        format!("{} \"{}\" failed ({})", self.call, path.display(), OsError(&reason))
    }
}

/// Opens without a cache.
pub(crate) fn open(path: &Path, want: Want, links: Links) -> Result<Found, OpenFault> {
    if want != Want::File {
        let found = look(path, links)?;
        if want == Want::Look || found.is_dir {
            return Ok(found);
        }
    }
    let fd = open_checked(path, links)?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| OpenFault { errno, call: "fstat()" })?;
    let mut found = Found::new(&stat);
    if !found.is_dir {
        found.file = Some(Rc::new(File::new(fd.into())));
    }
    Ok(found)
}

/// What is at a path, without opening it unless links are checked.
fn look(path: &Path, links: Links) -> Result<Found, OpenFault> {
    if links.check == SymlinkCheck::Off {
        let stat = rustix::fs::stat(path).map_err(|errno| OpenFault { errno, call: "stat()" })?;
        return Ok(Found::new(&stat));
    }
    let fd = open_checked(path, links)?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| OpenFault { errno, call: "fstat()" })?;
    Ok(Found::new(&stat))
}

impl Found {
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

/// A FIFO must not make the loop wait for its writer.
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

/// Opens one component, unless it is a link that is refused.
fn open_at(
    at: &OwnedFd,
    name: &[u8],
    flags: OFlags,
    check: SymlinkCheck,
) -> Result<OwnedFd, Errno> {
    if check == SymlinkCheck::On {
        return rustix::fs::openat(at, name, flags | OFlags::NOFOLLOW, Mode::empty());
    }
    // What is opened and what the name is may change in between, so owners are compared even when
    // the name is no link now.
    let fd = rustix::fs::openat(at, name, flags, Mode::empty())?;
    let named = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let opened = rustix::fs::fstat(&fd)?;
    if named.st_uid == opened.st_uid { Ok(fd) } else { Err(Errno::LOOP) }
}

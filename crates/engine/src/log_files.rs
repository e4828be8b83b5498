//! Files that logs are written to, one descriptor per name for the whole process, reopened in
//! place when somebody has rotated them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{Mode, OFlags};
use weir_sys::file::{self, Links};

/// Rights of a new log file, before the umask; nginx's `NGX_FILE_DEFAULT_ACCESS`.
const NEW_FILE: Mode = Mode::from_raw_mode(0o644);

/// One open log file. Its descriptor number never changes: reopening swaps the file behind it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    fd: OwnedFd,
    /// Which links lead to it.
    links: Links,
}

impl LogFile {
    /// Opens a file for appending and makes it if there is none.
    ///
    /// # Errors
    /// The system's, for the caller to report as `open() "PATH" failed (2: No such file or
    /// directory)`.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::open_by(path, Links::Any)
    }

    /// The same, and only by such links, now and when it is reopened.
    ///
    /// # Errors
    /// The same; `ELOOP` for another link.
    pub fn open_by(path: impl Into<PathBuf>, links: Links) -> io::Result<Self> {
        let path = path.into();
        let fd = open(&path, links)?;
        Ok(Self { path, fd, links })
    }

    /// A file that somebody else has opened.
    pub fn from_fd(path: impl Into<PathBuf>, fd: OwnedFd) -> Self {
        Self { path: path.into(), fd, links: Links::Any }
    }

    /// The name it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of `bytes`, with one system call unless the file takes less at once.
    ///
    /// # Errors
    /// The system's. What was written before stays written.
    pub fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.fd, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Opens the file anew by its name, for when the old one has been renamed or removed.
    ///
    /// # Errors
    /// The system's; the old file then stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.replace(open(&self.path, self.links)?.as_fd())
    }

    /// Puts an open file in the place of the one in use.
    ///
    /// # Errors
    /// The system's.
    pub fn replace(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        file::replace(&self.fd, fd)
    }
}

impl AsFd for LogFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open(path: &Path, links: Links) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
    file::open(path, flags, NEW_FILE, links)
}

/// The log files of the process by name. Two directives that name one file share it.
#[derive(Debug, Default)]
pub struct LogFiles {
    files: Mutex<Vec<Arc<LogFile>>>,
}

static PROCESS: LogFiles = LogFiles::new();

impl LogFiles {
    /// No files yet.
    pub const fn new() -> Self {
        Self { files: Mutex::new(Vec::new()) }
    }

    /// The process's own set.
    pub fn process() -> &'static Self {
        &PROCESS
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<LogFile>>> {
        self.files.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The file of that name, opened if it is not open yet.
    ///
    /// # Errors
    /// The system's when it cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<Arc<LogFile>> {
        let mut files = self.lock();
        if let Some(file) = files.iter().find(|file| file.path == path) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(LogFile::open(path)?);
        files.push(Arc::clone(&file));
        Ok(file)
    }

    /// Takes in a file that another process has opened under that name; if the name is known, the
    /// file takes the place of the one in use.
    ///
    /// # Errors
    /// The system's.
    pub fn adopt(&self, path: &Path, fd: OwnedFd) -> io::Result<Arc<LogFile>> {
        let mut files = self.lock();
        if let Some(file) = files.iter().find(|file| file.path == path) {
            file.replace(fd.as_fd())?;
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(LogFile::from_fd(path, fd));
        files.push(Arc::clone(&file));
        Ok(file)
    }

    /// All files, in the order in which they were opened.
    pub fn all(&self) -> Vec<Arc<LogFile>> {
        self.lock().clone()
    }

    /// Reopens every file (signal USR1). The files that could not be reopened stay in use and are
    /// returned with the reason.
    pub fn reopen(&self) -> Vec<(Arc<LogFile>, io::Error)> {
        self.all().into_iter().filter_map(|file| file.reopen().err().map(|e| (file, e))).collect()
    }

    /// Forgets the files that nothing but this set refers to, as after a reload.
    pub fn forget_unused(&self) {
        self.lock().retain(|file| Arc::strong_count(file) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-logs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_rotated_file_is_reopened_under_its_name() {
        let folder = folder("rotate");
        let (path, old) = (folder.join("log"), folder.join("log.1"));
        let files = LogFiles::new();
        let file = files.open(&path).unwrap();
        assert!(Arc::ptr_eq(&file, &files.open(&path).unwrap()));
        file.write(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        file.write(b"two\n").unwrap();
        assert!(files.reopen().is_empty());
        file.write(b"three\n").unwrap();
        assert_eq!(std::fs::read(&old).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
        drop(file);
        files.forget_unused();
        assert!(files.all().is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}

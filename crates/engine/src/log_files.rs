//! Log files: one descriptor per name for the whole process, reopened in place after rotation.
//!
//! Writing to a log never blocks: lines that a full disk, or a pipe without a reader, does not take
//! are lost. Lost lines are counted, and reported when the log accepts lines again. A file has
//! whole lines only: the part of a line that a full disk took is taken back.

use std::io::{self, stderr, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use weir_sys::file::{self, Links};

use crate::clock;
use crate::error_log::{Level, process_log};
use crate::losses::{self, Losses};

/// The mode of a new log file, before the umask; nginx's `NGX_FILE_DEFAULT_ACCESS`.
const NEW_FILE: Mode = Mode::from_raw_mode(0o644);

/// An open log file. Its descriptor number never changes: reopening replaces the file behind it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    fd: OwnedFd,
    /// The symbolic links that may lead to it.
    links: Links,
    /// Whether writes must take the lock of `trouble`: the file may accept partial writes (a pipe),
    /// or has not accepted all of the last one.
    careful: AtomicBool,
    trouble: Mutex<Trouble>,
}

/// The failures of a log.
#[derive(Debug, Default)]
struct Trouble {
    /// The file may accept part of a write.
    takes_parts: bool,
    /// The rest of a partial write that could not be taken back, which must precede other lines.
    rest: Vec<u8>,
    losses: Losses,
    /// The last second of the wall clock at which the disk was full.
    full_at: i64,
}

impl LogFile {
    /// Opens a file for appending, creating it if missing. A pipe needs no reader.
    ///
    /// # Errors
    /// A system error, reported by the caller as `open() "PATH" failed (2: No such file or
    /// directory)`.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::open_by(path, Links::Any)
    }

    /// Like [`Self::open`], but follows only the given links, also when the file is reopened.
    ///
    /// # Errors
    /// Like [`Self::open`]; `ELOOP` for another link.
    pub fn open_by(path: impl Into<PathBuf>, links: Links) -> io::Result<Self> {
        let path = path.into();
        let fd = open(&path, links)?;
        Ok(Self { links, ..Self::from_fd(path, fd) })
    }

    /// Wraps a descriptor opened elsewhere in the manner of [`LogFile::open`].
    pub fn from_fd(path: impl Into<PathBuf>, fd: OwnedFd) -> Self {
        let takes_parts = takes_parts(fd.as_fd());
        let trouble = Mutex::new(Trouble { takes_parts, ..Trouble::default() });
        let careful = AtomicBool::new(takes_parts);
        Self { path: path.into(), fd, links: Links::Any, careful, trouble }
    }

    /// The name of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `bytes`, which are whole lines, usually with one system call.
    ///
    /// # Errors
    /// A system error; the lines that were not taken are lost and counted.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_message(Message { bytes, lines: None })
    }

    /// Writes bytes that represent a given number of lines, and are of use only as a whole.
    ///
    /// # Errors
    /// Like [`LogFile::write`].
    pub(crate) fn write_piece(&self, bytes: &[u8], lines: &dyn Fn() -> u64) -> io::Result<()> {
        self.write_message(Message { bytes, lines: Some(lines) })
    }

    fn write_message(&self, message: Message<'_>) -> io::Result<()> {
        if self.careful.load(Ordering::Acquire) {
            return self.write_carefully(message);
        }
        match write_all(&self.fd, message.bytes) {
            (_, Ok(())) => Ok(()),
            (taken, Err(error)) => {
                self.careful.store(true, Ordering::Release);
                self.trouble().fail(&self.fd, message, taken, error)
            }
        }
    }

    #[cold]
    fn write_carefully(&self, message: Message<'_>) -> io::Result<()> {
        let mut trouble = self.trouble();
        if trouble.full_at != 0 && trouble.full_at == clock::wall_secs() {
            // Retrying every write within a second is slow.
            return trouble.fail(&self.fd, message, 0, Errno::NOSPC);
        }
        let (taken, left) = write_all(&self.fd, &trouble.rest);
        trouble.rest.drain(..taken);
        if let Err(error) = left {
            return trouble.fail(&self.fd, message, 0, error);
        }
        let (taken, left) = write_all(&self.fd, message.bytes);
        if let Err(error) = left {
            return trouble.fail(&self.fd, message, taken, error);
        }
        trouble.full_at = 0;
        let lost = trouble.losses.over(clock::wall_secs());
        self.careful.store(trouble.takes_parts || trouble.losses.any(), Ordering::Release);
        drop(trouble);
        if let Some(lost) = lost {
            let (lost, path) = (losses::in_words(lost), self.path.display());
            let message = format_args!("{lost} that \"{path}\" did not accept");
            process_log().log(Level::Error, 0, message);
        }
        Ok(())
    }

    /// Whether to report a write failure: once a minute per file while it lasts, as in nginx.
    pub fn is_news(&self) -> bool {
        self.trouble().losses.is_news(clock::wall_secs())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reopens the file by name, after the old one has been renamed or removed.
    ///
    /// # Errors
    /// A system error; the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.replace(open(&self.path, self.links)?.as_fd())
    }

    /// Replaces the file in use by an open one.
    ///
    /// # Errors
    /// A system error.
    pub fn replace(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut trouble = self.trouble();
        file::replace(&self.fd, fd)?;
        // The rest of a line does not belong into another file.
        let torn = !std::mem::take(&mut trouble.rest).is_empty();
        trouble.losses.add(torn.into());
        trouble.full_at = 0;
        trouble.takes_parts = takes_parts(fd);
        self.careful.store(trouble.takes_parts || trouble.losses.any(), Ordering::Release);
        Ok(())
    }
}

impl Trouble {
    /// Handles the bytes after the first `taken` ones, which were not written. The lines that they
    /// belong to are lost, which is an error; where the part of a line cannot be taken back, its
    /// rest is kept for later.
    fn fail(
        &mut self,
        fd: &OwnedFd,
        message: Message<'_>,
        taken: usize,
        error: Errno,
    ) -> io::Result<()> {
        if error == Errno::NOSPC {
            self.full_at = clock::wall_secs();
        }
        let whole = message.whole(taken);
        if taken > whole && (self.takes_parts || !take_back(fd, taken - whole)) {
            self.rest.extend_from_slice(&message.bytes[taken..]);
            return Ok(());
        }
        self.losses.add(message.lines(whole));
        Err(error.into())
    }
}

/// What is written at once.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    /// The number of lines that the bytes stand for; None if they are lines.
    lines: Option<&'a dyn Fn() -> u64>,
}

impl Message<'_> {
    /// How many of the first bytes are of use without the others.
    fn whole(self, taken: usize) -> usize {
        let last = match self.lines {
            Some(_) => None,
            None => self.bytes[..taken].iter().rposition(|&byte| byte == b'\n'),
        };
        last.map_or(0, |last| last + 1)
    }

    /// The number of lines after so many bytes.
    fn lines(self, from: usize) -> u64 {
        match self.lines {
            Some(lines) => lines(),
            None => self.bytes[from..].iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }
}

/// Removes the last bytes of a file, which were just written, unless somebody else has written
/// since. Whether that is so is known by the position, which writing leaves behind what it wrote.
fn take_back(fd: &OwnedFd, bytes: usize) -> bool {
    let position = rustix::fs::tell(fd).ok();
    let size = rustix::fs::fstat(fd).ok().and_then(|status| u64::try_from(status.st_size).ok());
    let end = size.filter(|&size| position == Some(size));
    let end = end.and_then(|end| end.checked_sub(bytes as u64));
    end.is_some_and(|end| rustix::fs::ftruncate(fd, end).is_ok())
}

impl AsFd for LogFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns the number of bytes written, and the error that stopped the write.
fn write_all(fd: &OwnedFd, bytes: &[u8]) -> (usize, rustix::io::Result<()>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match rustix::io::write(fd, &bytes[taken..]) {
            Ok(0) => return (taken, Err(Errno::IO)),
            Ok(count) => taken += count,
            Err(Errno::INTR) => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, Ok(()))
}

/// Whether a file may accept partial writes: a pipe or a terminal.
fn takes_parts(fd: BorrowedFd<'_>) -> bool {
    let status = rustix::fs::fstat(fd);
    status.is_ok_and(|status| !FileType::from_raw_mode(status.st_mode).is_file())
}

/// Opens a file such that neither open nor write blocks.
fn open(path: &Path, links: Links) -> io::Result<OwnedFd> {
    let flags = OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match file::open(path, flags | OFlags::WRONLY | OFlags::CREATE, NEW_FILE, links) {
        // A pipe without a reader; opened for both, it keeps lines for a later reader.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
            file::open(path, flags | OFlags::RDWR, NEW_FILE, links)
        }
        opened => opened,
    };
    match opened.as_ref().err().and_then(Errno::from_io_error) {
        Some(Errno::ACCESS | Errno::NXIO) => own_stream(path).map_or(opened, Ok),
        _ => opened,
    }
}

/// The most links on the way to a standard stream.
const MOST_LINKS: usize = 8;

/// The standard output or error of this process, if the path leads to it. It cannot be opened by
/// name if it is a socket, or a pipe of another user, as container engines may provide.
fn own_stream(path: &Path) -> Option<OwnedFd> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let stream = match path.to_str() {
            Some("/proc/self/fd/1" | "/dev/fd/1") => rustix::io::fcntl_dupfd_cloexec(stdout(), 3),
            Some("/proc/self/fd/2" | "/dev/fd/2") => rustix::io::fcntl_dupfd_cloexec(stderr(), 3),
            _ => {
                let target = std::fs::read_link(&path).ok()?;
                path = path.parent()?.join(target);
                continue;
            }
        };
        let stream = stream.ok()?;
        // The other end has an open file of its own, so that only this process's side changes.
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&stream).ok()?.st_mode);
        if matches!(kind, FileType::Fifo | FileType::Socket) {
            let flags = rustix::fs::fcntl_getfl(&stream).ok()?;
            rustix::fs::fcntl_setfl(&stream, flags | OFlags::NONBLOCK).ok()?;
        }
        return Some(stream);
    }
    None
}

/// The log files of the process by name. Directives that name the same file share it.
#[derive(Debug, Default)]
pub struct LogFiles {
    files: Mutex<Vec<Arc<LogFile>>>,
}

static PROCESS: LogFiles = LogFiles::new();

impl LogFiles {
    /// An empty set.
    pub const fn new() -> Self {
        Self { files: Mutex::new(Vec::new()) }
    }

    /// The process's set.
    pub fn process() -> &'static Self {
        &PROCESS
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<LogFile>>> {
        self.files.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The file of this name, opened if necessary.
    ///
    /// # Errors
    /// A system error of opening it.
    pub fn open(&self, path: &Path) -> io::Result<Arc<LogFile>> {
        let mut files = self.lock();
        if let Some(file) = files.iter().find(|file| file.path == path) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(LogFile::open(path)?);
        files.push(Arc::clone(&file));
        Ok(file)
    }

    /// Adds a file that another process opened under this name; it replaces the current file of
    /// that name.
    ///
    /// # Errors
    /// A system error.
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

    /// Takes in files that are open already, from before this process began to serve.
    pub fn enlist(&self, files: &[Arc<LogFile>]) {
        self.lock().extend_from_slice(files);
    }

    /// All files in the order of their opening.
    pub fn all(&self) -> Vec<Arc<LogFile>> {
        self.lock().clone()
    }

    /// Reopens every file (signal USR1). Files that cannot be reopened stay in use and are returned
    /// with the error.
    pub fn reopen(&self) -> Vec<(Arc<LogFile>, io::Error)> {
        self.all().into_iter().filter_map(|file| file.reopen().err().map(|e| (file, e))).collect()
    }

    /// Drops the files that are referenced only here, as after a reload.
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
    fn a_pipe_without_a_reader_loses_and_counts_lines() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let file = LogFile::from_fd("a pipe", writer);
        let line = [&[b'x'; 99_999][..], b"\n"].concat();
        // The pipe takes the beginning, so the rest must follow before other lines.
        file.write(&line).unwrap();
        for _ in 0..3 {
            assert_eq!(file.write(b"a\nb\n").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        assert!(file.is_news() && !file.is_news());
        assert!(file.trouble().losses.any());
        let mut got = Vec::new();
        let mut read = |most: usize| {
            while got.len() < most {
                let mut buffer = [0; 4096];
                let count = rustix::io::read(&reader, &mut buffer).unwrap();
                got.extend_from_slice(&buffer[..count]);
            }
            got.clone()
        };
        read(60_000);
        file.write(b"c\n").unwrap();
        assert!(!file.trouble().losses.any());
        let all = read(line.len() + 2);
        assert!(all.starts_with(&line) && all.ends_with(b"x\nc\n"));
    }

    #[test]
    fn a_pipe_need_not_have_a_reader() {
        let folder = folder("pipe");
        let path = folder.join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        let file = LogFile::open(&path).unwrap();
        file.write(b"early\n").unwrap();
        let mut reader = std::fs::File::open(&path).unwrap();
        let mut got = [0; 6];
        io::Read::read_exact(&mut reader, &mut got).unwrap();
        assert_eq!(&got, b"early\n");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_disk_loses_lines() {
        let file = LogFile::open("/dev/full").unwrap();
        for _ in 0..3 {
            assert_eq!(file.write(b"a\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        assert!(file.trouble().losses.any());
        file.replace(std::fs::File::options().write(true).open("/dev/null").unwrap().as_fd())
            .unwrap();
        file.write(b"a\n").unwrap();
        assert!(!file.trouble().losses.any());
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

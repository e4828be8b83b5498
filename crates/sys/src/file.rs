//! File calls that rustix lacks, in whole or in this form.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::{Errno, ReadWriteFlags};

/// A policy for symbolic links at the end of a path. Root opens files in directories that may
/// belong to the worker's user, who could plant a link to any file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Links {
    /// Follow all links.
    #[default]
    Any,
    /// Follow no links of this user.
    NotOf(u32),
    /// Follow only links of root and of the process's own user.
    Own,
}

impl Links {
    /// The policy against links of `user`. Only root needs it; for another process, or the user
    /// itself, a link grants no rights.
    pub fn not_of(user: Option<u32>) -> Self {
        match user {
            Some(user) if user != 0 => Self::NotOf(user),
            _ => Self::Any,
        }
    }

    fn follows(self, owner: u32) -> bool {
        match self {
            Self::Any => true,
            Self::NotOf(user) => owner != user,
            Self::Own => owner == 0 || owner == rustix::process::geteuid().as_raw(),
        }
    }
}

/// Whether another process holds a lock on a file, as fcntl(2) has them.
///
/// # Errors
/// Those of open(2) for writing, and of fcntl(2).
pub fn is_locked(path: &Path) -> io::Result<bool> {
    let file = File::options().write(true).open(path)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(Errno::ACCESS | Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file by name, with close-on-exec.
///
/// # Errors
/// Those of open(2); `ELOOP` for a link that the policy refuses.
pub fn open(path: &Path, flags: OFlags, mode: Mode, links: Links) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    if links == Links::Any {
        return Ok(rustix::fs::open(path, flags, mode)?);
    }
    match rustix::fs::open(path, flags | OFlags::NOFOLLOW, mode) {
        Err(Errno::LOOP) => {}
        opened => return Ok(opened?),
    }
    // The target is read from the link that was examined, not by its name again.
    let link = rustix::fs::open(path, LOOK | OFlags::NOFOLLOW, Mode::empty())?;
    let target = target_of(&link, path, links)?;
    Ok(rustix::fs::open(target, flags, mode)?)
}

/// Opens a file for reading and writing; creates it with `mode` if it is missing, and empties it if
/// `truncate` is set.
///
/// # Errors
/// As [`open`].
pub fn open_or_make(path: &Path, truncate: bool, mode: u32, links: Links) -> io::Result<File> {
    let mut flags = OFlags::RDWR | OFlags::CREATE;
    flags.set(OFlags::TRUNC, truncate);
    open(path, flags, Mode::from_raw_mode(mode), links).map(File::from)
}

/// Flags of a descriptor that only identifies a file.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

fn target_of(link: &OwnedFd, path: &Path, links: Links) -> io::Result<PathBuf> {
    if !links.follows(rustix::fs::fstat(link)?.st_uid) {
        return Err(Errno::LOOP.into());
    }
    let target = rustix::fs::readlinkat(link, c"", Vec::new())?;
    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
    Ok(path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target)))
}

/// Removes write permission for all but the owner, if the file belongs to this process's user.
///
/// # Errors
/// Those of fstat(2) and fchmod(2).
pub fn deny_writing_to_others(file: impl std::os::fd::AsFd) -> io::Result<()> {
    const OTHERS: u32 = 0o022;
    let found = rustix::fs::fstat(&file)?;
    let ours = found.st_uid == rustix::process::geteuid().as_raw();
    if ours && kind(&found) == FileType::RegularFile && found.st_mode & OTHERS != 0 {
        let rights = Mode::from_raw_mode(found.st_mode & 0o7777 & !OTHERS);
        rustix::fs::fchmod(&file, rights)?;
    }
    Ok(())
}

/// Gives a directory to a user, with at least these rights for the owner; its group is left alone.
/// Other kinds of files are left as they are.
///
/// # Errors
/// The failed call, under nginx's name, and its error; `ELOOP` for a link that the policy refuses.
pub fn give_folder(
    path: &Path,
    user: u32,
    mode: u32,
    links: Links,
) -> Result<(), (String, io::Error)> {
    let shown = path.display();
    let stat = |error| (format!("stat() \"{shown}\" failed"), error);
    let mut folder = rustix::fs::open(path, LOOK | OFlags::NOFOLLOW, Mode::empty())
        .map_err(|error| stat(error.into()))?;
    let mut found = rustix::fs::fstat(&folder).map_err(|error| stat(error.into()))?;
    if kind(&found) == FileType::Symlink {
        let target = target_of(&folder, path, links).map_err(stat)?;
        folder = rustix::fs::open(target, LOOK, Mode::empty()).map_err(|e| stat(e.into()))?;
        found = rustix::fs::fstat(&folder).map_err(|error| stat(error.into()))?;
    }
    if kind(&found) != FileType::Directory {
        return Ok(());
    }
    if found.st_uid != user {
        let owner = Some(rustix::process::Uid::from_raw(user));
        rustix::fs::chownat(&folder, c"", owner, None, AtFlags::EMPTY_PATH)
            .map_err(|error| (format!("chown(\"{shown}\", {user}) failed"), error.into()))?;
    }
    if found.st_mode & mode != mode {
        let rights = Mode::from_raw_mode(found.st_mode & 0o7777 | mode);
        rustix::fs::chmodat(&folder, c".", rights, AtFlags::empty())
            .map_err(|error| (format!("chmod() \"{shown}\" failed"), error.into()))?;
    }
    Ok(())
}

fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Makes the descriptor number `old` refer to the file of `new`, atomically: a concurrent write to
/// `old` goes to one file or the other.
pub fn replace(old: &OwnedFd, new: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open here; `old` stays owned by its owner and stays open, only
    // its open file changes.
    let done = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if done >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Appends at most `count` bytes from offset `at` to `into`, with one call; returns their number.
/// `into` grows only if it lacks room.
///
/// # Errors
/// Those of preadv2(2).
pub fn read_at(
    file: BorrowedFd<'_>,
    into: &mut Vec<u8>,
    count: usize,
    at: u64,
    flags: ReadWriteFlags,
) -> Result<usize, Errno> {
    into.reserve(count);
    let room = &mut into.spare_capacity_mut()[..count];
    let room = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let offset = libc::off_t::try_from(at).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel writes at most `count` bytes to the room that was just borrowed.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &room, 1, offset, flags.bits() as i32) };
    let Ok(read) = usize::try_from(read) else {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    };
    // SAFETY: the kernel has written `read` bytes after the old length.
    unsafe { into.set_len(into.len() + read) };
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-file-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn links_are_followed_unless_they_are_a_strangers() {
        let folder = folder("links");
        let (link, other) = (folder.join("link"), folder.join("other"));
        symlink("target", &link).unwrap();
        symlink("/dev/stdout", &other).unwrap();
        let me = rustix::process::geteuid().as_raw();
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let mode = Mode::from_raw_mode(0o644);
        let refused = open(&link, flags, mode, Links::NotOf(me)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ELOOP));
        assert!(!folder.join("target").exists());
        let give = |path: &Path, links| give_folder(path, me, 0o700, links);
        assert!(give(&link, Links::NotOf(me)).unwrap_err().0.starts_with("stat() "));
        for links in [Links::Any, Links::Own, Links::NotOf(me + 1)] {
            open(&link, flags, mode, links).unwrap();
            open(&other, flags, mode, links).unwrap();
            give(&link, links).unwrap();
        }
        assert!(folder.join("target").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_gets_the_rights_it_has_not() {
        let folder = folder("give");
        let path = folder.join("temp");
        std::fs::create_dir(&path).unwrap();
        let mode = || std::fs::metadata(&path).unwrap().mode() & 0o777;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o155))
            .unwrap();
        let me = rustix::process::geteuid().as_raw();
        give_folder(&path, me, 0o700, Links::Own).unwrap();
        assert_eq!(mode(), 0o755);
        let file = File::create(folder.join("file")).unwrap();
        std::fs::set_permissions(
            folder.join("file"),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )
        .unwrap();
        deny_writing_to_others(&file).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o644);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn replace_swaps_the_file_behind_a_number() {
        let (one_in, one_out) = rustix::pipe::pipe().unwrap();
        let (two_in, two_out) = rustix::pipe::pipe().unwrap();
        replace(&one_out, two_out.as_fd()).unwrap();
        rustix::io::write(&one_out, b"hello").unwrap();
        let mut buf = [0; 8];
        assert_eq!(rustix::io::read(&two_in, &mut buf).unwrap(), 5);
        // The first pipe has no writer left.
        assert_eq!(rustix::io::read(&one_in, &mut buf).unwrap(), 0);
    }
}

//! The guard's control socket: masters send plans, and `weir ha` asks. A master and its guard need
//! not be parent and child, so that a guard, and the addresses with it, can outlive an upgrade of
//! the binary. The folder belongs to root alone.
//!
//! | message | from | descriptors | answer |
//! |---|---|---|---|
//! | `P` plan | master | plan, beats | none; `V` if the guard has another version |
//! | `G` give up | master | | `A`, when no address is held here |
//! | `R` reopen logs | master | | none |
//! | `X` bye | master | | none; without a master, the guard ends |
//! | `S` status | command | | `s` with the status |
//! | `D` drill | command | | `d`, when no address is held here; lasts as long as the connection |
//! | `T` take back | command | | `t`, when the addresses are held here again |

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use weir_sys::{memory_file, pass_fd};

use super::child::Keepalived;

pub(crate) const PLAN: u8 = b'P';
pub(crate) const OTHER_VERSION: u8 = b'V';
pub(crate) const GIVE_UP: u8 = b'G';
pub(crate) const GIVEN_UP: u8 = b'A';
pub(crate) const REOPEN: u8 = b'R';
pub(crate) const BYE: u8 = b'X';
pub(crate) const STATUS: u8 = b'S';
pub(crate) const STATUS_IS: u8 = b's';
pub(crate) const DRILL: u8 = b'D';
pub(crate) const DRILLING: u8 = b'd';
pub(crate) const TAKE_BACK: u8 = b'T';
pub(crate) const TAKEN_BACK: u8 = b't';

/// The limit of a plan or a status in bytes.
pub(crate) const LONGEST_TEXT: u64 = 4 << 20;

/// The parent of all guards' folders. A memory file system, usually, so that a full disk does not
/// matter; the guard only overwrites files here anyway.
const RUN: &str = "/run/weir-ha";

/// The socket in the folder.
const SOCKET: &str = "control";

/// The file whose lock the guard of the folder holds.
const LOCK: &str = "lock";

/// The connections waiting to be accepted.
const BACKLOG: i32 = 16;

/// The folder of the guard of the server with this pid file.
pub fn folder(pid_file: &Path) -> PathBuf {
    /// Of the 108 bytes of a socket's path.
    const MOST: usize = 60;
    let text: String = pid_file
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte),
            _ => '-',
        })
        .collect();
    let name = text.trim_start_matches(['-', '.']);
    // FNV-1a, so that names that are equal after the replacement differ.
    let hash =
        pid_file.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &b| {
            (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
    let start = name.len().saturating_sub(MOST);
    Path::new(RUN).join(format!("{}-{:08x}", &name[start..], hash >> 32))
}

/// Makes the folder, for root alone.
///
/// # Errors
/// Those of mkdir(2).
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes the lock of a folder, which belongs to the one guard; `None` if a guard has it.
///
/// # Errors
/// Those of open(2) and flock(2); `Interrupted` if the folder vanished meanwhile.
pub(crate) fn lock(folder: &Path) -> io::Result<Option<OwnedFd>> {
    use std::os::unix::fs::MetadataExt;
    let path = folder.join(LOCK);
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(&path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // A guard that has just ended may have removed the file in between.
    let named = std::fs::metadata(&path).map(|named| named.ino());
    match named.is_ok_and(|named| file.metadata().is_ok_and(|own| own.ino() == named)) {
        true => Ok(Some(file.into())),
        false => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// Makes sure that a name is free for a folder: what a guard has left there that was killed is
/// removed.
///
/// # Errors
/// `AlreadyExists` if another guard has the folder; else those of the calls.
pub(crate) fn vacate(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return folder.parent().map_or(Ok(()), make_folder);
    }
    let Some(_lock) = lock(folder)? else { return Err(io::ErrorKind::AlreadyExists.into()) };
    Keepalived::new(folder).end_strays();
    std::fs::remove_dir_all(folder)
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Listens on the control socket; the caller holds the lock.
///
/// # Errors
/// Those of unlink(2), bind(2) and listen(2).
pub(crate) fn listen(folder: &Path) -> io::Result<OwnedFd> {
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    sign(&socket)?;
    Ok(socket)
}

/// Listens in the name of this process: it is the one that those who connect see.
///
/// # Errors
/// Those of listen(2).
pub(crate) fn sign(socket: &OwnedFd) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// Connects to the guard of a folder.
///
/// # Errors
/// Those of connect(2): `NotFound` or `ConnectionRefused` if there is none.
pub(crate) fn connect(folder: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(folder.join(SOCKET))?)?;
    Ok(socket)
}

/// Accepts a connection; `None` if none waits.
pub(crate) fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()
}

/// The process at the other end of a connection.
pub(crate) fn peer(connection: impl AsFd) -> Option<i32> {
    let peer = rustix::net::sockopt::socket_peercred(connection).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

/// Sends a message with a text in a memory file.
///
/// # Errors
/// A system error.
pub(crate) fn send_text(to: impl AsFd, kind: u8, text: &[u8]) -> io::Result<()> {
    let file = memory_file::sealed(text)?;
    pass_fd::send(to, &[kind], &[file.as_fd()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_folder_of_its_own() {
        let long = format!("/srv/{}/weir.pid", "x".repeat(300));
        let names = ["/run/nginx.pid", "/run-nginx.pid", "/a b.pid", "/a-b.pid", &long];
        let folders = names.map(|name| folder(Path::new(name)));
        for (at, one) in folders.iter().enumerate() {
            assert!(one.starts_with(RUN) && one.components().count() == 4, "{}", one.display());
            assert!(one.as_os_str().len() < 95);
            assert!(!folders[..at].contains(one));
        }
        assert!(folders[0].to_str().unwrap().starts_with("/run/weir-ha/run-nginx.pid-"));
    }

    #[test]
    fn a_folder_has_one_guard() {
        let folder = std::env::temp_dir().join(format!("weir-lock-{}", std::process::id()));
        make_folder(&folder).unwrap();
        assert!(connect(&folder).is_err());
        let held = lock(&folder).unwrap().unwrap();
        assert!(lock(&folder).unwrap().is_none());
        let listener = listen(&folder).unwrap();
        let near = connect(&folder).unwrap();
        let far = accept(&listener).unwrap();
        assert_eq!(peer(&near), Some(std::process::id().cast_signed()));
        send_text(&near, STATUS_IS, b"text").unwrap();
        let mut message = pass_fd::receive(&far, true).unwrap();
        let file = message.descriptors.pop().unwrap();
        assert_eq!(memory_file::read(file, LONGEST_TEXT).unwrap(), b"text");
        assert_eq!(vacate(&folder).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop((held, listener));
        assert!(listen(&folder).is_ok() && lock(&folder).unwrap().is_some());
        vacate(&folder).unwrap();
        vacate(&folder).unwrap();
        assert!(!folder.exists());
    }
}

//! The guard as masters and `weir ha` see it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use weir_sys::{interface, memory_file, pass_fd, process, wait};

use super::Inherited;
use super::child::Keepalived;
use super::control::{self, connect, listen, lock, make_folder, peer};
use crate::plan::Plan;
use crate::readiness::Beats;

/// A guard that has not beaten for this time hangs.
const HANGS: Duration = Duration::from_secs(1);

/// The time for the answer to a question.
const ANSWER: Duration = Duration::from_secs(5);

const KILL: i32 = 9;

/// What there is of a guard.
#[derive(Debug)]
pub enum Found {
    /// One runs, of this master or of one before it.
    Running(Link),
    /// None: the master forks one, which inherits this, and connects with [`Link::to_forked`].
    None(Inherited),
}

/// Looks for the guard of a folder, which is made if it is missing.
///
/// # Errors
/// A system error.
pub fn find(folder: &Path) -> io::Result<Found> {
    make_folder(folder)?;
    let Some(lock) = lock(folder)? else { return Ok(Found::Running(Link::to(folder)?)) };
    let listener = listen(folder)?;
    Ok(Found::None(Inherited { folder: folder.to_owned(), listener, lock }))
}

/// Removes what a guard that was killed has left: keepalived, the plan's addresses and the folder.
/// Returns `false`, and does nothing, while a guard runs: it removes these itself when its last
/// master takes leave, after a reload without the block, for example.
///
/// # Errors
/// A system error.
pub fn clean(folder: &Path, plan: Option<&Plan>) -> io::Result<bool> {
    if !folder.exists() {
        return Ok(true);
    }
    let Some(_lock) = lock(folder)? else { return Ok(false) };
    Keepalived::new(folder).end_strays();
    for (address, prefix, on) in plan.iter().flat_map(|plan| plan.addresses()) {
        interface::remove_address(on, *address, *prefix)?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(true)
}

/// A master's connection to the guard.
#[derive(Debug)]
pub struct Link {
    connection: OwnedFd,
    /// The guard's process.
    pid: Option<i32>,
}

/// What a master learns from the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The addresses have been given up.
    GivenUp,
    /// It is of another version.
    OtherVersion,
    /// It has ended.
    Ended,
}

impl Link {
    /// Connects to the guard of a folder, of whatever master.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn to(folder: &Path) -> io::Result<Self> {
        let connection = connect(folder)?;
        let pid = peer(&connection);
        Ok(Self { connection, pid })
    }

    /// Connects to the guard that has just been forked, with this process id: its socket still
    /// names the process that made it, this one.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn to_forked(folder: &Path, pid: i32) -> io::Result<Self> {
        Ok(Self { connection: connect(folder)?, pid: Some(pid) })
    }

    /// Sends a plan with the words of this master.
    ///
    /// # Errors
    /// A system error.
    pub fn send_plan(&self, plan: &Plan, beats: &Beats) -> io::Result<()> {
        let file = memory_file::sealed(&plan.to_json())?;
        pass_fd::send(&self.connection, &[control::PLAN], &[file.as_fd(), beats.as_fd()])
    }

    /// Asks it to give the addresses up; [`News::GivenUp`] follows.
    ///
    /// # Errors
    /// A system error.
    pub fn give_up(&self) -> io::Result<()> {
        pass_fd::send(&self.connection, &[control::GIVE_UP], &[])
    }

    /// Asks it to open its logs again.
    pub fn reopen(&self) {
        let _ = pass_fd::send(&self.connection, &[control::REOPEN], &[]);
    }

    /// Takes leave: a guard without another master ends, and gives the addresses up.
    pub fn leave(self) {
        let _ = pass_fd::send(&self.connection, &[control::BYE], &[]);
    }

    /// What it has said, without waiting.
    pub fn news(&self) -> Option<News> {
        match pass_fd::receive_bytes(&self.connection) {
            Ok(bytes) if bytes == [control::GIVEN_UP] => Some(News::GivenUp),
            Ok(bytes) if bytes == [control::OTHER_VERSION] => Some(News::OtherVersion),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            _ => Some(News::Ended),
        }
    }

    /// Whether it does not beat any more (SIGSTOP, for example).
    pub fn hangs(&self, beats: &Beats) -> bool {
        beats.guard_age().is_some_and(|age| age > HANGS)
    }

    /// Kills it. keepalived ends with it and gives the addresses up.
    pub fn kill(self) {
        if let Some(pid) = self.pid.filter(|pid| *pid != process::id()) {
            let _ = process::kill(pid, KILL);
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// Waits for the answer to a question.
fn answer(from: &OwnedFd, kind: u8, patience: Duration) -> io::Result<Vec<OwnedFd>> {
    if wait::readable(&[from.as_fd()], Some(patience))? != [true] {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let message = pass_fd::receive(from, false)?;
    match message.bytes == [kind] {
        true => Ok(message.descriptors),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The status of the guard of a folder, as [`super::states::States::to_json`] writes it.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` if there is no guard; `TimedOut` if it hangs.
pub fn status(folder: &Path) -> io::Result<Value> {
    let connection = connect(folder)?;
    pass_fd::send(&connection, &[control::STATUS], &[])?;
    let mut files = answer(&connection, control::STATUS_IS, ANSWER)?;
    let file = files.pop().ok_or(io::ErrorKind::InvalidData)?;
    let text = memory_file::read(file, control::LONGEST_TEXT)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// A drill: while it lasts, this node holds no address. Dropped, it ends.
#[derive(Debug)]
pub struct Drill(OwnedFd);

impl Drill {
    /// Gives the addresses up.
    ///
    /// # Errors
    /// As [`status`].
    pub fn begin(folder: &Path) -> io::Result<Self> {
        let connection = connect(folder)?;
        pass_fd::send(&connection, &[control::DRILL], &[])?;
        answer(&connection, control::DRILLING, ANSWER)?;
        Ok(Self(connection))
    }

    /// Takes the addresses back that this node held before.
    ///
    /// # Errors
    /// `TimedOut` if it did not succeed.
    pub fn take_back(self) -> io::Result<()> {
        pass_fd::send(&self.0, &[control::TAKE_BACK], &[])?;
        answer(&self.0, control::TAKEN_BACK, ANSWER).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_guard_has_left_is_removed_unless_one_runs() {
        let folder = std::env::temp_dir().join(format!("weir-clean-{}", process::id()));
        assert!(clean(&folder, None).unwrap());
        let Found::None(inherited) = find(&folder).unwrap() else { panic!("nobody runs") };
        assert!(!clean(&folder, None).unwrap());
        drop(inherited);
        assert!(clean(&folder, None).unwrap());
        assert!(!folder.exists());
    }
}

//! Changes of a file by name: it is written, replaced, removed or made, or a symbolic link or a
//! folder on the way to it leads elsewhere, as Kubernetes switches mounted configurations.
//!
//! inotify watches each folder on the way for the one name that matters there, so that no change
//! is missed between the look at the file and the watch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::task::{Context, Poll, ready};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::event_loop::reactor::source::Source;
use crate::event_loop::readiness::Watch;

/// The limit of links on the way to a file: the kernel's own.
const MAX_LINKS: usize = 40;

/// The size of the buffer for events: several with the longest names.
const EVENTS: usize = 4096;

/// The folders on the way to a file, watched by the kernel. Not bound to a thread.
#[derive(Debug)]
pub struct Way {
    fd: OwnedFd,
    /// The names that matter in each watched folder.
    names: BTreeMap<i32, BTreeSet<OsString>>,
}

/// A watch of a file, on this thread's loop.
#[derive(Debug)]
pub struct FileWatch {
    source: Source,
    way: Way,
}

impl Way {
    /// Watches the way to the file of a full path, as far as it exists. The file is to be read
    /// afterwards. This blocks on a slow disk.
    ///
    /// # Errors
    /// Those of inotify_init(2) and inotify_add_watch(2).
    pub fn to(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut way = Self { fd, names: BTreeMap::new() };
        let mut rest: VecDeque<OsString> = names_of(path).collect();
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            way.add(&at, &name)?;
            let next = at.join(&name);
            match fs::read_link(&next) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        break;
                    }
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    for name in names_of(&target).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                // Not a link.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => at = next,
                Err(_) => break,
            }
        }
        Ok(way)
    }

    fn add(&mut self, folder: &Path, name: &OsStr) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.fd, folder, flags) {
            Ok(id) => {
                self.names.entry(id).or_default().insert(name.to_owned());
                Ok(())
            }
            // It is a file, or it went away: its folder is watched, too. One that may not be read
            // can still lead to a file that may.
            Err(Errno::NOTDIR | Errno::NOENT | Errno::ACCESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the events that have come; whether one of them matters.
    fn take(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut matters = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let wanted = self.names.get(&event.wd());
                    let is_wanted =
                        name.zip(wanted).is_some_and(|(name, wanted)| wanted.contains(name));
                    let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED;
                    matters |= is_wanted || event.events().intersects(lost);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return matters,
                // Nothing more will be told.
                Err(_) => return true,
            }
        }
    }
}

/// The names on the way of a path.
fn names_of(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

impl FileWatch {
    /// Waits for the events of a way on this thread's loop.
    ///
    /// # Errors
    /// A system error.
    pub fn new(way: Way) -> io::Result<Self> {
        let source = Source::new(way.fd.as_fd(), Watch::Datagrams)?;
        Ok(Self { source, way })
    }

    /// Waits until the file may have changed since the way was made.
    pub async fn changed(&self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }

    fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.source.poll_read(cx));
            let matters = self.way.take();
            self.source.read_blocked();
            if matters {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Changes of a file by name: it is written, replaced, removed or made, or a symbolic link or a
//! folder on the way to it leads elsewhere, as Kubernetes switches mounted configurations.
//!
//! inotify watches each folder on the way for the names that matter there, so that no change is
//! missed between the look at the file and the watch. All files of a loop share one instance of
//! inotify, since the kernel allows a user 128 of them by default.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::event_loop::reactor::source::Source;
use crate::event_loop::readiness::Watch;
use crate::event_loop::{Task, spawn};
use folders::{Folders, Interest};

mod folders;

/// The limit of links on the way to a file: the kernel's own.
const MAX_LINKS: usize = 40;

thread_local! {
    static HERE: RefCell<Weak<Reader>> = const { RefCell::new(Weak::new()) };
}

/// A loop's instance of inotify. It is closed when no part of the program holds it.
#[derive(Clone, Debug)]
pub struct Watcher(Rc<Reader>);

/// The task that reads the events.
#[derive(Debug)]
struct Reader {
    folders: Arc<Folders>,
    task: Task,
}

/// What makes watches, on any thread.
#[derive(Clone, Debug)]
pub struct Maker(Arc<Folders>);

/// A watch of a file: the folders on the way to it. Not bound to a thread.
#[derive(Debug)]
pub struct FileWatch(Interest);

impl Watcher {
    /// The instance of this thread's loop.
    ///
    /// # Errors
    /// Those of inotify_init(2), and system errors of watching a descriptor.
    ///
    /// # Panics
    /// Outside of a loop.
    pub fn here() -> io::Result<Self> {
        if let Some(reader) = HERE.with_borrow(Weak::upgrade) {
            return Ok(Self(reader));
        }
        let folders = Arc::new(Folders::new()?);
        let source = Source::new(folders.as_fd(), Watch::Datagrams)?;
        let task = spawn(read(Arc::clone(&folders), source));
        let reader = Rc::new(Reader { folders, task });
        HERE.set(Rc::downgrade(&reader));
        Ok(Self(reader))
    }

    /// What makes watches whose events this instance reads.
    #[must_use]
    pub fn maker(&self) -> Maker {
        Maker(Arc::clone(&self.0.folders))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(folders: Arc<Folders>, source: Source) {
    loop {
        poll_fn(|cx| source.poll_read(cx)).await;
        folders.take_events();
        source.read_blocked();
    }
}

impl Maker {
    /// Watches the way to the file of a full path, as far as it exists. The file is to be read
    /// afterwards. This blocks on a slow disk.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2).
    pub fn watch(&self, path: &Path) -> io::Result<FileWatch> {
        let mut adding = Folders::begin(&self.0);
        let mut rest: VecDeque<OsString> = names_of(path).collect();
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            adding.add(&at, &name)?;
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
        Ok(FileWatch(adding.end()))
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
    /// Waits until the file may have changed since the watch was made.
    pub async fn changed(&self) {
        poll_fn(|cx| self.0.poll_told(cx)).await;
    }
}

#[cfg(test)]
mod tests;

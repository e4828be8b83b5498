//! The folders that an instance of inotify watches, and who is interested in which names there.
//!
//! Watches are made on threads that may wait for a disk, and events are taken by a loop, which must
//! not wait for them: the lock is not held while a watch is made. So an event may come before the
//! interest in it is noted; while watches are being made, such events are remembered.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// The size of the buffer for events: several with the longest names.
const EVENTS: usize = 4096;

/// The maximum number of events that are remembered while watches are made.
const MOST_EARLY: usize = 1024;

/// An instance of inotify.
#[derive(Debug)]
pub(super) struct Folders {
    fd: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The interests by the numbers of watches and by names.
    folders: HashMap<i32, HashMap<OsString, Vec<Arc<Flag>>>>,
    /// The number of files whose watches are being made.
    adding: usize,
    /// The events meanwhile in which nobody was interested.
    early: Vec<(i32, OsString)>,
    /// There were more, or such that concern all names.
    early_overflow: bool,
}

/// Whether a change was told, and who waits for that.
#[derive(Debug, Default)]
struct Flag(Mutex<(bool, Option<Waker>)>);

impl Flag {
    fn tell(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An interest in the names on the way to a file.
#[derive(Debug)]
pub(super) struct Interest {
    folders: Arc<Folders>,
    flag: Arc<Flag>,
    places: Vec<(i32, OsString)>,
}

/// An interest whose watches are being made.
#[derive(Debug)]
pub(super) struct Adding(Option<Interest>);

impl Folders {
    /// # Errors
    /// Those of inotify_init(2).
    pub(super) fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { fd, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to make the watches of a file.
    pub(super) fn begin(this: &Arc<Self>) -> Adding {
        this.state().adding += 1;
        let (folders, flag) = (Arc::clone(this), Arc::default());
        Adding(Some(Interest { folders, flag, places: Vec::new() }))
    }

    /// Takes the events that have come, and tells those who are interested.
    pub(super) fn take_events(&self) {
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let mut state = self.state();
                    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                        state.tell_all();
                    } else if event.events().contains(ReadFlags::IGNORED) {
                        state.forget(event.wd());
                    } else if let Some(name) = name {
                        state.tell(event.wd(), name);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nothing more will be told.
                Err(_) => return self.state().tell_all(),
            }
        }
    }
}

impl AsFd for Folders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl State {
    fn tell(&mut self, watch: i32, name: &OsStr) {
        let flags = self.folders.get(&watch).and_then(|names| names.get(name));
        flags.into_iter().flatten().for_each(|flag| flag.tell());
        // It may also concern a name in which an interest is being noted.
        if self.adding > 0 {
            match self.early.len() < MOST_EARLY {
                true => self.early.push((watch, name.to_owned())),
                false => self.early_overflow = true,
            }
        }
    }

    /// The kernel has removed a watch.
    fn forget(&mut self, watch: i32) {
        let names = self.folders.remove(&watch);
        names.into_iter().flatten().flat_map(|(_, flags)| flags).for_each(|flag| flag.tell());
        self.early_overflow |= self.adding > 0;
    }

    fn tell_all(&mut self) {
        let flags = self.folders.values().flat_map(HashMap::values).flatten();
        flags.for_each(|flag| flag.tell());
        self.early_overflow |= self.adding > 0;
    }

    /// Removes watches in which nobody is interested, unless an interest is being noted.
    fn tidy(&mut self, fd: &OwnedFd) {
        if self.adding > 0 {
            return;
        }
        self.early = Vec::new();
        self.early_overflow = false;
        self.folders.retain(|watch, names| {
            if names.is_empty() {
                // The folder may be gone, and the watch with it.
                let _ = inotify::remove_watch(fd, *watch);
            }
            !names.is_empty()
        });
    }
}

impl Adding {
    /// Watches a folder for a name.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2).
    pub(super) fn add(&mut self, folder: &Path, name: &OsStr) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let Some(interest) = &mut self.0 else { return Ok(()) };
        match inotify::add_watch(&interest.folders.fd, folder, flags) {
            Ok(watch) => {
                interest.note(watch, name);
                Ok(())
            }
            // It is a file, or it went away: its folder is watched, too. One that may not be read
            // can still lead to a file that may.
            Err(Errno::NOTDIR | Errno::NOENT | Errno::ACCESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The interest, whose watches have been made.
    pub(super) fn end(mut self) -> Interest {
        let interest = self.0.take().expect("it ends once");
        interest.folders.end_adding();
        interest
    }
}

impl Drop for Adding {
    fn drop(&mut self) {
        if let Some(interest) = &self.0 {
            interest.folders.end_adding();
        }
    }
}

impl Folders {
    fn end_adding(&self) {
        let mut state = self.state();
        state.adding -= 1;
        state.tidy(&self.fd);
    }
}

impl Interest {
    fn note(&mut self, watch: i32, name: &OsStr) {
        let place = (watch, name.to_owned());
        let mut state = self.folders.state();
        if state.early_overflow || state.early.contains(&place) {
            self.flag.tell();
        }
        let names = state.folders.entry(watch).or_default();
        let flags = names.entry(name.to_owned()).or_default();
        if !flags.iter().any(|flag| Arc::ptr_eq(flag, &self.flag)) {
            flags.push(Arc::clone(&self.flag));
            drop(state);
            self.places.push(place);
        }
    }

    /// Ready once a change has been told.
    pub(super) fn poll_told(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.flag.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut state = self.folders.state();
        for (watch, name) in &self.places {
            let Some(names) = state.folders.get_mut(watch) else { continue };
            if let Some(flags) = names.get_mut(name) {
                flags.retain(|flag| !Arc::ptr_eq(flag, &self.flag));
                if flags.is_empty() {
                    names.remove(name);
                }
            }
        }
        state.tidy(&self.folders.fd);
    }
}

//! What the kernel says about descriptors, and whom that wakes.
//!
//! It says it by epoll, or by io_uring, which can bring what was received as well: `completion`
//! has that. By epoll sockets are watched by edges: the kernel tells once that something has come,
//! which sets bits here, and whoever has used it up clears them. They can be cleared right after a
//! call that would have blocked or that came back short, because events are only taken in on this
//! very thread, while no task runs: an edge after the call has not been seen yet and will be.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::task::Waker;

use rustix::event::Timespec;
use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use weir_sys::ring::Completion;

use super::completion::{Completions, News};
use super::method::Method;
use super::readiness::{READS, Ready, WRITES, bits};
use super::timers::Wait;
use crate::chunked::Chunked;
use crate::kernel::epoll;

pub(crate) mod lot;
pub(crate) mod source;
pub(crate) mod watched;

/// How many events are taken from the kernel at once, nginx's `epoll_events`.
const EVENTS: usize = 512;

/// What the event of the bell carries, which no source does.
const BELL: u64 = u64::MAX;

/// The part of a loop that talks to the kernel.
#[derive(Default)]
pub(crate) struct Reactor {
    /// One of the two is there while the loop is open.
    epoll: RefCell<Option<OwnedFd>>,
    ring: RefCell<Option<Box<Completions>>>,
    events: RefCell<Vec<Event>>,
    done: RefCell<Vec<Completion>>,
    sources: RefCell<Sources>,
    lots: RefCell<Vec<LotState>>,
}

#[derive(Default)]
struct Sources {
    entries: Chunked<Entry>,
    /// What the next source is told apart by from those that had its key before.
    generation: u32,
}

struct Entry {
    generation: u32,
    ready: Ready,
    waiting: Waiting,
}

/// Who hears of a source.
enum Waiting {
    /// At most one task that wants to read, and one that wants to write.
    Tasks { reader: Option<Waker>, writer: Option<Waker> },
    /// Nobody but the lot that holds the connection under this key.
    Parked { lot: u32, key: u32 },
}

/// Keys of the parked connections of one lot that have something to say.
#[derive(Default)]
struct LotState {
    used: bool,
    woken: Vec<u32>,
    task: Option<Waker>,
}

const NOBODY: Waiting = Waiting::Tasks { reader: None, writer: None };

impl Reactor {
    pub(super) fn open(&self, bell: &Arc<OwnedFd>, method: Method) -> io::Result<()> {
        if method == Method::IoUring {
            self.ring.replace(Some(Box::new(Completions::open(bell)?)));
            return Ok(());
        }
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&set, bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        self.events.borrow_mut().reserve_exact(EVENTS);
        self.epoll.replace(Some(set));
        Ok(())
    }

    pub(super) fn close(&self) {
        self.epoll.take();
        self.events.take();
        self.ring.take();
        self.done.take();
    }

    /// Takes in what has happened, and waits for it if that is wanted. True when the bell has
    /// rung.
    pub(super) fn wait(&self, wait: Wait) -> bool {
        if self.ring.borrow().is_some() {
            return self.wait_for_completions(wait);
        }
        let timeout = match wait {
            Wait::No => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            Wait::Millis(millis) => Some(Timespec {
                tv_sec: i64::from(millis / 1000),
                tv_nsec: i64::from(millis % 1000) * 1_000_000,
            }),
            Wait::Forever => None,
        };
        let mut events = self.events.take();
        events.clear();
        if let Some(set) = &*self.epoll.borrow() {
            // A signal may end the wait; then there is nothing.
            let _ = epoll::wait(set, &mut events, timeout.as_ref());
        }
        let mut rung = false;
        for event in &events {
            match event.data.u64() {
                BELL => rung = true,
                data => self.dispatch(data as u32, (data >> 32) as u32, bits(event.flags)),
            }
        }
        self.events.replace(events);
        rung
    }

    fn wait_for_completions(&self, wait: Wait) -> bool {
        let mut done = self.done.take();
        let wait = if done.is_empty() { wait } else { Wait::No };
        if let Some(ring) = &mut *self.ring.borrow_mut() {
            ring.turn(wait, &mut done);
        }
        let mut rung = false;
        for completion in done.drain(..) {
            let news = match &mut *self.ring.borrow_mut() {
                Some(ring) => ring.complete(completion),
                None => News::Nobody,
            };
            match news {
                News::Source { key, generation, ready } => self.dispatch(key, generation, ready),
                News::Bell => rung = true,
                News::Task(waker) => waker.wake(),
                News::Nobody => {}
            }
        }
        self.done.replace(done);
        rung
    }

    /// Sends messages in one call if there is a ring, as [`Completions::send_all`] says; false if
    /// there is none.
    pub(super) fn send_all(
        &self,
        bytes: &mut Vec<u8>,
        messages: impl Iterator<Item = (RawFd, Range<usize>)>,
        left: &mut Vec<(usize, Result<usize, Errno>)>,
    ) -> bool {
        let mut ring = self.ring.borrow_mut();
        if let Some(ring) = &mut *ring {
            ring.send_all(bytes, messages, &mut self.done.borrow_mut(), left);
        }
        ring.is_some()
    }

    /// Does something with the ring, if there is one.
    pub(super) fn with_ring<T>(&self, act: impl FnOnce(&mut Completions) -> T) -> Option<T> {
        self.ring.borrow_mut().as_deref_mut().map(act)
    }

    /// Makes the kernel say more than its queue holds, if there is a ring.
    #[cfg(test)]
    pub(super) fn overflow(&self) {
        if let Some(ring) = &mut *self.ring.borrow_mut() {
            ring.overflow();
        }
    }

    /// How many descriptors are watched.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn live(&self) -> usize {
        self.sources.borrow().entries.len()
    }

    /// Which of those that have had the key is there now.
    fn generation_of(&self, key: u32) -> Option<u32> {
        self.sources.borrow_mut().entries.get_mut(key).map(|entry| entry.generation)
    }

    fn dispatch(&self, key: u32, generation: u32, ready: Ready) {
        let mut sources = self.sources.borrow_mut();
        let Some(entry) = sources.entries.get_mut(key) else { return };
        if entry.generation != generation {
            // It was closed by a task that an earlier event of the same batch has woken.
            return;
        }
        entry.ready |= ready;
        match &mut entry.waiting {
            Waiting::Tasks { reader, writer } => {
                let reader = if ready & READS != 0 { reader.take() } else { None };
                let writer = if ready & WRITES != 0 { writer.take() } else { None };
                drop(sources);
                if let Some(reader) = reader {
                    reader.wake();
                }
                if let Some(writer) = writer {
                    writer.wake();
                }
            }
            &mut Waiting::Parked { lot, key } if ready & READS != 0 => {
                let mut lots = self.lots.borrow_mut();
                let lot = &mut lots[lot as usize];
                // Once is enough, which limits the queue.
                entry.waiting = NOBODY;
                lot.woken.push(key);
                let task = lot.task.take();
                drop((lots, sources));
                if let Some(task) = task {
                    task.wake();
                }
            }
            Waiting::Parked { .. } => {}
        }
    }
}

fn remember(place: &mut Option<Waker>, waker: &Waker) {
    if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
        *place = Some(waker.clone());
    }
}

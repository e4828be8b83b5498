//! Events of the kernel about descriptors, and the tasks they wake.
//!
//! The backend is epoll, or io_uring, which can also receive data (`completion`). With epoll,
//! sockets are watched by edges: the kernel reports an arrival once, which sets bits here, and the
//! user that exhausts it clears them. Bits can be cleared right after a call that would have
//! blocked or returned less than requested, because events are only collected on this same thread
//! while no task runs: an edge after the call has not been collected yet, and will be.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::task::Waker;

use rustix::event::Timespec;
use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use weir_sys::ring::Completion;

use super::completion::{Completions, Recipient};
use super::method::Method;
use super::readiness::{Ready, bits};
use super::timers::Wait;
use crate::kernel::epoll;
use slots::Slots;

pub(crate) mod lot;
mod slots;
pub(crate) mod source;
pub(crate) mod watched;

/// The maximum number of events per call; nginx's `epoll_events`.
const EVENTS: usize = 512;

/// The user data of the bell's event, which no source uses.
const BELL: u64 = u64::MAX;

/// A loop's interface to the kernel.
#[derive(Default)]
pub(crate) struct Reactor {
    /// One of the two is present while the loop is open.
    epoll: RefCell<Option<OwnedFd>>,
    ring: RefCell<Option<Box<Completions>>>,
    events: RefCell<Vec<Event>>,
    done: RefCell<Vec<Completion>>,
    slots: Slots,
    lots: RefCell<Vec<LotState>>,
}

/// The keys of a lot's parked connections with events.
#[derive(Default)]
struct LotState {
    used: bool,
    woken: Vec<u32>,
    task: Cell<Option<Waker>>,
}

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

    /// Collects events, waiting as told. Returns whether the bell has rung.
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
                None => Recipient::Nobody,
            };
            match news {
                Recipient::Source { key, generation, ready } => {
                    self.dispatch(key, generation, ready)
                }
                Recipient::Bell => rung = true,
                Recipient::Task(waker) => waker.wake(),
                Recipient::Nobody => {}
            }
        }
        self.done.replace(done);
        rung
    }

    /// Sends messages in one call if there is a ring, see [`Completions::send_all`]; returns
    /// `false` without one.
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

    /// Runs `act` on the ring, if there is one.
    pub(super) fn with_ring<T>(&self, act: impl FnOnce(&mut Completions) -> T) -> Option<T> {
        self.ring.borrow_mut().as_deref_mut().map(act)
    }

    /// Overflows the ring's completion queue, if there is a ring.
    #[cfg(test)]
    pub(super) fn overflow(&self) {
        if let Some(ring) = &mut *self.ring.borrow_mut() {
            ring.overflow();
        }
    }

    /// The number of watched descriptors.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn live(&self) -> usize {
        self.slots.used()
    }

    fn dispatch(&self, key: u32, generation: u32, ready: Ready) {
        let Some(slot) = self.slots.at(key) else { return };
        if slot.generation.get() != generation {
            // It was closed by a task that an earlier event of the same batch woke.
            return;
        }
        if let Some(parked) = slot.notify(ready) {
            let mut lots = self.lots.borrow_mut();
            let lot = &mut lots[parked.lot() as usize];
            lot.woken.push(parked.key);
            let task = lot.task.take();
            drop(lots);
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

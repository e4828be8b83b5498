//! A watched descriptor, as its user holds it.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::event::epoll::{EventData, EventFlags};
use rustix::io::Errno;

use super::lot::LotId;
use super::slots::{Parked, Slot};
use crate::event_loop::completion::{self, Completions, Left};
use crate::event_loop::here::{here, with_here};
use crate::event_loop::readiness::{HELD, Heard, READ, READS, WRITE, WRITES, Watch};
use crate::kernel::epoll;

/// A descriptor watched by the loop. After its drop no task is woken; the kernel forgets the
/// descriptor when it is closed, or by [`Source::remove`].
#[derive(Debug)]
pub(crate) struct Source {
    slot: &'static Slot,
}

impl Source {
    /// Starts to watch. Present readiness is reported as an event.
    pub(crate) fn new(fd: BorrowedFd<'_>, watch: Watch) -> io::Result<Self> {
        let reactor = &here().reactor;
        let by_ring = reactor.ring.borrow().is_some();
        // A read that is tried nevertheless finds out.
        let ready = if by_ring && watch == Watch::Connecting { READ } else { 0 };
        // From here on, the drop releases the slot if something fails.
        let source = Self { slot: reactor.slots.take(ready) };
        let (slot, generation) = (source.slot.key, source.slot.generation.get());
        if let Some(ring) = &mut *reactor.ring.borrow_mut() {
            ring.add(slot, generation, fd.as_raw_fd(), watch);
            return Ok(source);
        }
        let data = EventData::new_u64(u64::from(generation) << 32 | u64::from(slot));
        let flags = match watch {
            Watch::Socket | Watch::Local | Watch::Datagrams | Watch::Connecting => {
                EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
            }
            Watch::Listener => EventFlags::IN | EventFlags::EXCLUSIVE,
        };
        match &*reactor.epoll.borrow() {
            Some(set) => epoll::add(set, fd, data, flags)?,
            None => return Err(io::ErrorKind::NotConnected.into()),
        }
        Ok(source)
    }

    /// The connection is established; no data of the peer has been reported.
    pub(crate) fn connected(&self, watch: Watch) {
        // With epoll, data has been reported already or will be.
        self.ask(|ring, key| {
            self.slot.clear(READS);
            ring.connected(key, watch);
        });
    }

    /// Makes the kernel forget a descriptor that stays open.
    pub(crate) fn remove(self, fd: BorrowedFd<'_>) {
        if let Some(set) = &*here().reactor.epoll.borrow() {
            // The descriptor was added, so it can be deleted.
            let _ = epoll::delete(set, fd);
        }
    }

    /// An ID to find the source by later.
    pub(crate) fn id(&self) -> SourceId {
        SourceId { slot: self.slot, generation: self.slot.generation.get() }
    }

    /// Ready when a read would not block, at the end of the stream as well.
    #[inline]
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        match self.heard() {
            Some(heard) => Poll::Ready(heard),
            None => {
                self.slot.remember_reader(cx.waker());
                Poll::Pending
            }
        }
    }

    /// Ready when a write would not block, or would fail.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.slot.ready.get() & WRITES != 0 {
            return Poll::Ready(());
        }
        self.slot.remember_writer(cx.waker());
        self.ask(Completions::want_write);
        Poll::Pending
    }

    /// Runs a request on the ring, if there is one.
    fn ask(&self, ask: impl FnOnce(&mut Completions, u32)) {
        if let Some(ring) = &mut *here().reactor.ring.borrow_mut() {
            ask(ring, self.slot.key);
        }
    }

    /// Whether no unread data has been reported.
    pub(crate) fn is_silent(&self) -> bool {
        self.slot.ready.get() & READS == 0
    }

    /// The location of reported, unread data.
    pub(crate) fn heard(&self) -> Option<Heard> {
        let ready = self.slot.ready.get();
        (ready & READS != 0).then(|| Heard::of(ready))
    }

    /// Records that a read of `count` bytes emptied the socket; a close by the peer remains known.
    pub(crate) fn drained(&self, count: usize) {
        if self.is_silent_after_read() {
            self.ask(|ring, key| ring.drained(key, count));
        }
    }

    fn is_silent_after_read(&self) -> bool {
        self.slot.clear(READ);
        self.is_silent()
    }

    /// Records that a read would have blocked.
    pub(crate) fn read_blocked(&self) {
        self.slot.clear(READS);
        self.ask(Completions::want_read);
    }

    /// Like [`Source::poll_read`], for a reader that moves the data without copying it to our
    /// memory.
    pub(crate) fn poll_move(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        let heard = self.poll_read(cx);
        if heard.is_pending() {
            self.ask(Completions::want_to_move);
        }
        heard
    }

    /// Takes at most `max` bytes of [`Heard::Held`] data; `Ok(0)` is the end of the stream. The
    /// second value tells whether the socket may have more.
    pub(crate) fn take(&self, into: &mut Vec<u8>, max: usize) -> (io::Result<usize>, bool) {
        let taken = match &mut *here().reactor.ring.borrow_mut() {
            Some(ring) => ring.take(self.slot.key, into, max),
            None => completion::lost(),
        };
        match taken.left {
            Left::Held => {}
            Left::Unknown => self.slot.clear(HELD),
            Left::Nothing => {
                self.slot.clear(HELD);
                if self.is_silent_after_read() {
                    self.ask(Completions::want_read);
                }
            }
        }
        (taken.count, taken.left == Left::Unknown)
    }

    /// The first byte of [`Heard::Held`] data; `None` at the end of the stream.
    pub(crate) fn first_byte(&self) -> io::Result<Option<u8>> {
        match &*here().reactor.ring.borrow() {
            Some(ring) => ring.first(self.slot.key),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Stores the error of a read that also returned data, for the next read.
    #[cold]
    pub(crate) fn fail_later(&self, error: Errno) {
        self.ask(|ring, key| ring.hold(key, error));
        self.slot.ready.set(self.slot.ready.get() | READ | HELD);
    }

    /// Records that a write used up the space.
    pub(crate) fn filled(&self) {
        self.slot.clear(WRITE);
    }

    /// Records that a write would have blocked. The task is woken when it would not.
    pub(crate) fn write_blocked(&self, cx: &mut Context<'_>) {
        self.slot.clear(WRITE);
        self.slot.remember_writer(cx.waker());
        self.ask(Completions::want_write);
    }

    /// Redirects events to the lot. Returns `false`, without effect, if an event is pending
    /// already.
    pub(crate) fn park(&self, lot: &LotId, key: u32) -> bool {
        let silent = self.is_silent();
        if silent {
            self.slot.park(Parked::new(lot.0, key));
        }
        silent
    }

    /// Redirects events to tasks again.
    pub(crate) fn unpark(&self) {
        self.slot.unpark();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        with_here(|here| {
            here.reactor.slots.release(self.slot);
            if let Some(ring) = &mut *here.reactor.ring.borrow_mut() {
                ring.forget(self.slot.key);
            }
        });
    }
}

/// The ID of a source that may no longer exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceId {
    slot: &'static Slot,
    generation: u32,
}

impl PartialEq for SourceId {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.slot, other.slot) && self.generation == other.generation
    }
}

impl SourceId {
    /// Runs `act` on the source if it still exists.
    pub(crate) fn with<T>(self, act: impl FnOnce(&Source) -> T) -> Option<T> {
        // Not owned, so it must not be dropped.
        let source = ManuallyDrop::new(Source { slot: self.slot });
        (self.slot.generation.get() == self.generation).then(|| act(&source))
    }
}

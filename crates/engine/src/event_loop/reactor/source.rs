//! A watched descriptor, as its user holds it.

use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::event::epoll::{EventData, EventFlags};
use rustix::io::Errno;

use super::{NOBODY, SourceSlot, Waiting, lot::LotId, remember};
use crate::event_loop::completion::{self, Completions, Left};
use crate::event_loop::here::{here, with_here};
use crate::event_loop::readiness::{HELD, Heard, READ, READS, WRITE, WRITES, Watch};
use crate::kernel::epoll;

/// A descriptor watched by the loop. After its drop no task is woken; the kernel forgets the
/// descriptor when it is closed, or by [`Source::remove`].
#[derive(Debug)]
pub(crate) struct Source {
    /// The key plus one, so that `Option<Source>` needs no more space.
    slot: NonZeroU32,
    not_send: PhantomData<*const ()>,
}

impl Source {
    /// Starts to watch. Present readiness is reported as an event.
    pub(crate) fn new(fd: BorrowedFd<'_>, watch: Watch) -> io::Result<Self> {
        let reactor = &here().reactor;
        let mut sources = reactor.sources.borrow_mut();
        let generation = sources.generation;
        sources.generation = generation.wrapping_add(1);
        let by_ring = reactor.ring.borrow().is_some();
        // A read that is tried nevertheless finds out.
        let ready = if by_ring && watch == Watch::Connecting { READ } else { 0 };
        let slot = sources.entries.insert(SourceSlot { generation, ready, waiting: NOBODY });
        drop(sources);
        // From here on, the drop releases the slot if something fails.
        let source = Self { slot: NonZeroU32::MIN.saturating_add(slot), not_send: PhantomData };
        if let Some(ring) = &mut *reactor.ring.borrow_mut() {
            ring.add(slot, generation, fd.as_raw_fd(), watch);
            return Ok(source);
        }
        let data = EventData::new_u64(u64::from(generation) << 32 | u64::from(slot));
        let flags = match watch {
            Watch::Socket | Watch::Datagrams | Watch::Connecting => {
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
    pub(crate) fn connected(&self) {
        // With epoll, data has been reported already or will be.
        self.ask(|ring, key| {
            self.with(|entry| entry.ready &= !READS);
            ring.connected(key);
        });
    }

    /// Makes the kernel forget a descriptor that stays open.
    pub(crate) fn remove(self, fd: BorrowedFd<'_>) {
        if let Some(set) = &*here().reactor.epoll.borrow() {
            // The descriptor was added, so it can be deleted.
            let _ = epoll::delete(set, fd);
        }
    }

    fn key(&self) -> u32 {
        self.slot.get() - 1
    }

    /// An ID to find the source by later.
    pub(crate) fn id(&self) -> SourceId {
        SourceId { slot: self.slot, generation: self.with(|entry| entry.generation) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut SourceSlot) -> T) -> T {
        let mut sources = here().reactor.sources.borrow_mut();
        act(sources.entries.get_mut(self.key()).expect("a source has its entry"))
    }

    /// Ready when a read would not block, at the end of the stream as well.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.with(|entry| {
            if entry.ready & READS != 0 {
                return Poll::Ready(Heard::of(entry.ready));
            }
            if let Waiting::Tasks { reader, .. } = &mut entry.waiting {
                remember(reader, cx.waker());
            }
            Poll::Pending
        })
    }

    /// Ready when a write would not block, or would fail.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.with(|entry| {
            if entry.ready & WRITES != 0 {
                return Poll::Ready(());
            }
            if let Waiting::Tasks { writer, .. } = &mut entry.waiting {
                remember(writer, cx.waker());
            }
            Poll::Pending
        });
        if ready.is_pending() {
            self.ask(Completions::want_write);
        }
        ready
    }

    /// Runs a request on the ring, if there is one.
    fn ask(&self, ask: impl FnOnce(&mut Completions, u32)) {
        if let Some(ring) = &mut *here().reactor.ring.borrow_mut() {
            ask(ring, self.key());
        }
    }

    /// Whether no unread data has been reported.
    pub(crate) fn is_silent(&self) -> bool {
        self.with(|entry| entry.ready & READS == 0)
    }

    /// The location of reported, unread data.
    pub(crate) fn heard(&self) -> Option<Heard> {
        self.with(|entry| (entry.ready & READS != 0).then_some(Heard::of(entry.ready)))
    }

    /// Records that a read of `count` bytes emptied the socket; a close by the peer remains known.
    pub(crate) fn drained(&self, count: usize) {
        if self.is_silent_after_read() {
            self.ask(|ring, key| ring.drained(key, count));
        }
    }

    fn is_silent_after_read(&self) -> bool {
        self.with(|entry| {
            entry.ready &= !READ;
            entry.ready & READS == 0
        })
    }

    /// Records that a read would have blocked.
    pub(crate) fn read_blocked(&self) {
        self.with(|entry| entry.ready &= !READS);
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
            Some(ring) => ring.take(self.key(), into, max),
            None => completion::lost(),
        };
        match taken.left {
            Left::Held => {}
            Left::Unknown => self.with(|entry| entry.ready &= !HELD),
            Left::Nothing => {
                self.with(|entry| entry.ready &= !HELD);
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
            Some(ring) => ring.first(self.key()),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Stores the error of a read that also returned data, for the next read.
    #[cold]
    pub(crate) fn fail_later(&self, error: Errno) {
        self.ask(|ring, key| ring.hold(key, error));
        self.with(|entry| entry.ready |= READ | HELD);
    }

    /// Records that a write used up the space.
    pub(crate) fn filled(&self) {
        self.with(|entry| entry.ready &= !WRITE);
    }

    /// Records that a write would have blocked. The task is woken when it would not.
    pub(crate) fn write_blocked(&self, cx: &mut Context<'_>) {
        self.with(|entry| {
            entry.ready &= !WRITE;
            if let Waiting::Tasks { writer, .. } = &mut entry.waiting {
                remember(writer, cx.waker());
            }
        });
        self.ask(Completions::want_write);
    }

    /// Redirects events to the lot. Returns `false`, without effect, if an event is pending
    /// already.
    pub(crate) fn park(&self, lot: &LotId, key: u32) -> bool {
        self.with(|entry| {
            let silent = entry.ready & READS == 0;
            if silent {
                entry.waiting = Waiting::Parked { lot: lot.0, key };
            }
            silent
        })
    }

    /// Redirects events to tasks again.
    pub(crate) fn unpark(&self) {
        self.with(|entry| entry.waiting = NOBODY);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        with_here(|here| {
            let entry = here.reactor.sources.borrow_mut().entries.remove(self.key());
            drop(entry);
            if let Some(ring) = &mut *here.reactor.ring.borrow_mut() {
                ring.forget(self.key());
            }
        });
    }
}

/// The ID of a source that may no longer exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceId {
    slot: NonZeroU32,
    generation: u32,
}

impl SourceId {
    /// Runs `act` on the source if it still exists.
    pub(crate) fn with<T>(self, act: impl FnOnce(&Source) -> T) -> Option<T> {
        // Not owned, so it must not be dropped.
        let source = ManuallyDrop::new(Source { slot: self.slot, not_send: PhantomData });
        let found = here().reactor.generation_of(source.key());
        (found == Some(self.generation)).then(|| act(&source))
    }
}

//! A descriptor that is watched, in the hands of whoever waits for it.

use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::event::epoll::{EventData, EventFlags};
use rustix::io::Errno;

use super::{Entry, NOBODY, Waiting, lot::LotId, remember};
use crate::event_loop::completion::{self, Completions, Left};
use crate::event_loop::here::{here, with_here};
use crate::event_loop::readiness::{HELD, Heard, READ, READS, WRITE, WRITES, Watch};
use crate::kernel::epoll;

/// A descriptor that the loop watches. When it is dropped, nobody is woken any more; the kernel
/// forgets the descriptor when it is closed, or with [`Source::remove`].
#[derive(Debug)]
pub(crate) struct Source {
    /// One more than its key, so that there is room for none.
    slot: NonZeroU32,
    not_send: PhantomData<*const ()>,
}

impl Source {
    /// Begins to watch. What is there already is told as news.
    pub(crate) fn new(fd: BorrowedFd<'_>, watch: Watch) -> io::Result<Self> {
        let reactor = &here().reactor;
        let mut sources = reactor.sources.borrow_mut();
        let generation = sources.generation;
        sources.generation = generation.wrapping_add(1);
        let by_ring = reactor.ring.borrow().is_some();
        // Whoever reads nevertheless finds out.
        let ready = if by_ring && watch == Watch::Connecting { READ } else { 0 };
        let slot = sources.entries.insert(Entry { generation, ready, waiting: NOBODY });
        drop(sources);
        // From here on the slot goes back when something fails.
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

    /// A connection has been made; the peer has not been heard.
    pub(crate) fn connected(&self) {
        // By epoll it was heard of already, or will be.
        self.ask(|ring, key| {
            self.with(|entry| entry.ready &= !READS);
            ring.connected(key);
        });
    }

    /// Makes the kernel forget a descriptor that stays open.
    pub(crate) fn remove(self, fd: BorrowedFd<'_>) {
        if let Some(set) = &*here().reactor.epoll.borrow() {
            // It was watched, so it can be.
            let _ = epoll::delete(set, fd);
        }
    }

    fn key(&self) -> u32 {
        self.slot.get() - 1
    }

    /// What it can be found again by.
    pub(crate) fn id(&self) -> SourceId {
        SourceId { slot: self.slot, generation: self.with(|entry| entry.generation) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Entry) -> T) -> T {
        let mut sources = here().reactor.sources.borrow_mut();
        act(sources.entries.get_mut(self.key()).expect("a source has its entry"))
    }

    /// Ready when a read would find something, be it the end.
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

    /// Ready when there is room to write, or when writing would fail.
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

    /// Asks the ring for something, if there is one.
    fn ask(&self, ask: impl FnOnce(&mut Completions, u32)) {
        if let Some(ring) = &mut *here().reactor.ring.borrow_mut() {
            ask(ring, self.key());
        }
    }

    /// Whether nothing has been heard that was not read.
    pub(crate) fn is_silent(&self) -> bool {
        self.with(|entry| entry.ready & READS == 0)
    }

    /// What was heard and not read.
    pub(crate) fn heard(&self) -> Option<Heard> {
        self.with(|entry| (entry.ready & READS != 0).then_some(Heard::of(entry.ready)))
    }

    /// A read has brought so many bytes, and has taken all there was; whether the peer has closed
    /// is still known.
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

    /// A read would have blocked.
    pub(crate) fn read_blocked(&self) {
        self.with(|entry| entry.ready &= !READS);
        self.ask(Completions::want_read);
    }

    /// Ready as [`Source::poll_read`] is, for somebody who moves what comes past our memory.
    pub(crate) fn poll_move(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        let heard = self.poll_read(cx);
        if heard.is_pending() {
            self.ask(Completions::want_to_move);
        }
        heard
    }

    /// Takes at most `max` bytes of what is [`Heard::Held`]. `Ok(0)` is the end of the stream.
    /// The second of the pair says whether there may be more in the socket.
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

    /// The first byte of what is [`Heard::Held`]; `None` at the end of the stream.
    pub(crate) fn first_byte(&self) -> io::Result<Option<u8>> {
        match &*here().reactor.ring.borrow() {
            Some(ring) => ring.first(self.key()),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// A read has failed that had brought something already: the next one fails.
    #[cold]
    pub(crate) fn fail_later(&self, error: Errno) {
        self.ask(|ring, key| ring.hold(key, error));
        self.with(|entry| entry.ready |= READ | HELD);
    }

    /// A write has used up the room there was.
    pub(crate) fn filled(&self) {
        self.with(|entry| entry.ready &= !WRITE);
    }

    /// A write would have blocked. The task is woken when it would not any more.
    pub(crate) fn write_blocked(&self, cx: &mut Context<'_>) {
        self.with(|entry| {
            entry.ready &= !WRITE;
            if let Waiting::Tasks { writer, .. } = &mut entry.waiting {
                remember(writer, cx.waker());
            }
        });
        self.ask(Completions::want_write);
    }

    /// From now on the lot hears of it. False, and nothing has changed, if there is something to
    /// hear already.
    pub(crate) fn park(&self, lot: &LotId, key: u32) -> bool {
        self.with(|entry| {
            let silent = entry.ready & READS == 0;
            if silent {
                entry.waiting = Waiting::Parked { lot: lot.0, key };
            }
            silent
        })
    }

    /// From now on tasks hear of it again.
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

/// A source, to be looked for when it may have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceId {
    slot: NonZeroU32,
    generation: u32,
}

impl SourceId {
    /// Does something with the source if it is still there.
    pub(crate) fn with<T>(self, act: impl FnOnce(&Source) -> T) -> Option<T> {
        // Not ours, so it must not be dropped.
        let source = ManuallyDrop::new(Source { slot: self.slot, not_send: PhantomData });
        let found = here().reactor.generation_of(source.key());
        (found == Some(self.generation)).then(|| act(&source))
    }
}

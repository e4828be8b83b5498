//! What the kernel says about descriptors, and whom that wakes.
//!
//! It says it by epoll, or by io_uring, which can bring what was received as well: `completion`
//! has that. By epoll sockets are watched by edges: the kernel tells once that something has come,
//! which sets bits here, and whoever has used it up clears them. They can be cleared right after a
//! call that would have blocked or that came back short, because events are only taken in on this
//! very thread, while no task runs: an edge after the call has not been seen yet and will be.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::event::Timespec;
use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use weir_sys::ring::Completion;

use super::Method;
pub(crate) use super::completion::RingRead;
use super::completion::{self, Completions, Left, News};
use super::timers::Wait;
use super::{here, with_here};
use crate::chunked::Chunked;
use crate::kernel::epoll;

mod lot;
mod watched;

pub(crate) use lot::LotId;
use lot::LotState;
pub(crate) use watched::Watched;

/// How many events are taken from the kernel at once, nginx's `epoll_events`.
const EVENTS: usize = 512;

/// What the event of the bell carries, which no source does.
const BELL: u64 = u64::MAX;

/// Bits of what a descriptor is ready for.
pub(super) type Ready = u8;
pub(super) const READ: Ready = 1;
pub(super) const WRITE: Ready = 2;
/// The peer will send no more. Stays, as it is true for good.
pub(super) const CLOSED: Ready = 4;
/// The connection is broken, or closed in both directions. Stays, too.
pub(super) const BROKEN: Ready = 8;
/// The ring has received something, which comes before what is in the socket.
pub(super) const HELD: Ready = 16;
/// A read does not block.
pub(super) const READS: Ready = READ | CLOSED | BROKEN;
/// A write does not block.
pub(super) const WRITES: Ready = WRITE | BROKEN;

/// What is asked of the kernel about a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Both directions of a stream, which may be received from at once when something comes.
    Socket,
    /// The same of a socket whose messages are apart; it is told only that there are some.
    Datagrams,
    /// A stream that is not connected yet: an error is for whoever connects, and until
    /// [`Source::connected`] nothing is received.
    Connecting,
    /// A listener that other threads may watch as well: as long as there is something to accept,
    /// one of them is woken.
    Listener,
}

/// Where what was heard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// In the socket.
    Readable,
    /// In the loop, to be had with [`Source::take`] before anything is read.
    Held,
}

impl Heard {
    fn of(ready: Ready) -> Self {
        if ready & HELD == 0 { Self::Readable } else { Self::Held }
    }
}

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

pub(super) fn bits(flags: EventFlags) -> Ready {
    let mut ready = 0;
    if flags.intersects(EventFlags::IN | EventFlags::PRI) {
        ready |= READ;
    }
    if flags.contains(EventFlags::OUT) {
        ready |= WRITE;
    }
    if flags.contains(EventFlags::RDHUP) {
        ready |= CLOSED;
    }
    if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
        ready |= BROKEN;
    }
    ready
}

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

fn remember(place: &mut Option<Waker>, waker: &Waker) {
    if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
        *place = Some(waker.clone());
    }
}

//! io_uring behind the reactor. Where epoll watches a descriptor until it is closed, the ring is
//! asked for one thing at a time:
//!
//! ```text
//!            asked ──── what has come is in a buffer, or an error ──▶ held ─┐
//!              ▲  └──── something is to be read ──▶ readable ◀──── taken ───┘
//!              └─────────────── a read has taken all there was ──────┘
//! ```
//!
//! A source is in the first of these states exactly while its bits say that there is nothing to
//! read, and while it is, nobody reads from its descriptor: so bytes come in order, by whichever
//! way. The kernel does its part only inside of the call at the end of a turn, which also hands
//! over what tasks have asked for in that turn. Room to write is asked for when somebody waits for
//! it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use weir_sys::ring::{BUFFER_SIZE, Completion, Interest, Patience, Ring};

use super::reactor::{HELD, READ, READS, Ready, WRITE, WRITES, Watch, bits};
use super::timers::Wait;

mod inbox;

pub(super) use inbox::Left;
use inbox::{Inbox, Then};

/// What the bell's completions carry.
const BELL: u64 = u64::MAX;

/// What is left of a request that was taken back too late.
const SPENT: u64 = u64::MAX - 1;

/// How long the loop sleeps at most while the kernel refuses requests.
const RETRY: Duration = Duration::from_millis(10);

/// Sources have keys below this; above are the bits of what was asked for.
const KEYS: u32 = 1 << 29;
const RECEIVE: u32 = 0;
const POLL_READ: u32 = 1;
const POLL_WRITE: u32 = 2;

/// The ring of a loop, and what was asked of it.
pub(super) struct Completions {
    ring: Ring,
    bell: Arc<OwnedFd>,
    bell_is_heard: bool,
    /// By the keys of the sources.
    asks: Vec<Ask>,
    /// Keys of those that want something of the kernel, each once.
    queue: Vec<u32>,
    /// What is to be taken back, two for each source that has gone in this turn.
    cancels: Vec<u64>,
}

/// What one source has asked for.
struct Ask {
    /// Negative when there is no source.
    fd: RawFd,
    generation: u32,
    watch: Watch,
    state: u8,
    /// How many receives in a row have left room in their buffers.
    short: u8,
    inbox: Inbox,
}

impl Ask {
    fn vacant() -> Self {
        let (watch, inbox) = (Watch::Socket, Inbox::default());
        Self { fd: -1, generation: 0, watch, state: 0, short: 0, inbox }
    }
}

/// After so many short receives the kernel is asked to go on receiving, until it has filled a
/// buffer: then larger things come, which are better read into larger buffers.
const SHORT_RUN: u8 = 3;

/// How many buffers may be filled for a connection that nobody reads from before the kernel is
/// asked to stop; what it does until then is limited by the number of buffers.
const MOST_HELD: usize = 2;

/// Bits of an [`Ask`]: it is in the queue,
const QUEUED: u8 = 1;
/// something to read is wanted,
const WANTS_READ: u8 = 2;
/// as readiness, not as bytes;
const BY_POLL: u8 = 4;
/// room to write is wanted.
const WANTS_WRITE: u8 = 8;
/// The kernel receives,
const RECEIVES: u8 = 16;
/// or it polls for something to read;
const POLLS_READ: u8 = 32;
/// it polls for room to write.
const POLLS_WRITE: u8 = 64;
/// It is asked to receive no more.
const STOPS: u8 = 128;

/// What became of bytes that were held.
pub(crate) struct Taken {
    /// How many there were, or how receiving has failed.
    pub(crate) count: io::Result<usize>,
    /// What the source is still ready for.
    pub(super) left: Left,
}

/// Whom a completion is for.
pub(super) enum News {
    Nobody,
    Bell,
    Source { key: u32, generation: u32, ready: Ready },
}

impl Completions {
    pub(super) fn open(bell: &Arc<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new()?,
            bell: Arc::clone(bell),
            bell_is_heard: false,
            asks: Vec::new(),
            queue: Vec::new(),
            cancels: Vec::new(),
        })
    }

    /// A new source, of which nothing is known.
    pub(super) fn add(&mut self, key: u32, generation: u32, fd: RawFd, watch: Watch) {
        debug_assert!(key < KEYS);
        let place = key as usize;
        if place >= self.asks.len() {
            self.asks.resize_with(place + 1, Ask::vacant);
        }
        let queued = self.asks[place].state & QUEUED;
        self.asks[place] = Ask { fd, generation, watch, state: queued, ..Ask::vacant() };
        if watch != Watch::Connecting {
            self.want_read(key, false);
        }
    }

    /// A source that was connecting is one like others.
    pub(super) fn connected(&mut self, key: u32) {
        if let Some(ask) = self.asks.get_mut(key as usize) {
            ask.watch = Watch::Socket;
        }
        self.want_read(key, false);
    }

    /// A source has gone: what it has asked for goes with it.
    pub(super) fn forget(&mut self, key: u32) {
        let Some(ask) = self.asks.get_mut(key as usize) else { return };
        let queued = ask.state & QUEUED;
        let ask = std::mem::replace(ask, Ask { state: queued, ..Ask::vacant() });
        ask.inbox.clear(&mut self.ring);
        for (bit, kind) in [(RECEIVES, RECEIVE), (POLLS_READ, POLL_READ), (POLLS_WRITE, POLL_WRITE)]
        {
            if ask.state & bit != 0 {
                self.cancels.push(data(key, ask.generation, kind));
            }
        }
    }

    /// Nothing is left to read: what comes next is to be told, or received at once unless it
    /// goes another way (`by_poll`).
    pub(super) fn want_read(&mut self, key: u32, by_poll: bool) {
        let Some(ask) = self.asks.get_mut(key as usize).filter(|ask| ask.fd >= 0) else { return };
        if ask.state & (RECEIVES | POLLS_READ) == 0 {
            ask.state |= WANTS_READ;
            ask.state &= !BY_POLL;
            if by_poll {
                ask.state |= BY_POLL;
            }
            self.enqueue(key);
        }
    }

    /// Somebody waits for room to write.
    pub(super) fn want_write(&mut self, key: u32) {
        let Some(ask) = self.asks.get_mut(key as usize).filter(|ask| ask.fd >= 0) else { return };
        if ask.state & POLLS_WRITE == 0 {
            ask.state |= WANTS_WRITE;
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: u32) {
        let state = &mut self.asks[key as usize].state;
        if *state & QUEUED == 0 {
            *state |= QUEUED;
            self.queue.push(key);
        }
    }

    /// Hands over what was asked for, waits if that is wanted, and takes in what is done.
    pub(super) fn turn(&mut self, wait: Wait, done: &mut Vec<Completion>) {
        let all = self.hand_over();
        let patience = match wait {
            Wait::No => Patience::None,
            _ if !all => Patience::For(RETRY),
            Wait::Millis(millis) => Patience::For(Duration::from_millis(millis.into())),
            Wait::Forever => Patience::Forever,
        };
        // A signal may end the wait; then there is nothing.
        let _ = self.ring.enter(patience);
        self.ring.completions(done);
    }

    /// False if the kernel does not take everything now.
    fn hand_over(&mut self) -> bool {
        if !self.bell_is_heard {
            self.bell_is_heard = self.ring.poll_edges(self.bell.as_raw_fd(), BELL);
        }
        while let Some(&cancel) = self.cancels.last() {
            if !self.ring.cancel(cancel, SPENT) {
                return false;
            }
            self.cancels.pop();
        }
        while let Some(&key) = self.queue.last() {
            if !self.asks[key as usize].hand_over(key, &mut self.ring) {
                return false;
            }
            self.asks[key as usize].state &= !QUEUED;
            self.queue.pop();
        }
        self.bell_is_heard
    }

    /// Takes note of a completion.
    pub(super) fn complete(&mut self, done: Completion) -> News {
        match done.data {
            BELL => {
                self.bell_is_heard = done.more;
                return News::Bell;
            }
            SPENT => return News::Nobody,
            _ => {}
        }
        let key = done.data as u32 % KEYS;
        let (kind, generation) = (done.data as u32 / KEYS, (done.data >> 32) as u32);
        let ask = self.asks.get_mut(key as usize);
        let Some(ask) = ask.filter(|ask| ask.fd >= 0 && ask.generation == generation) else {
            // Its source was dropped while it was under way.
            done.received.into_iter().for_each(|received| self.ring.give_back(received));
            return News::Nobody;
        };
        let ready = match kind {
            RECEIVE => {
                if !done.more {
                    ask.state &= !(RECEIVES | STOPS);
                }
                let ready = ask.received(done, &mut self.ring);
                if ask.is_to_stop() {
                    ask.state |= STOPS;
                    self.cancels.push(data(key, generation, RECEIVE));
                }
                ready
            }
            POLL_READ => {
                ask.state &= !POLLS_READ;
                polled(done.result, READS, READ)
            }
            _ => {
                ask.state &= !POLLS_WRITE;
                polled(done.result, WRITES, WRITE)
            }
        };
        if ready == 0 {
            // The kernel would not wait for the socket to receive from it; it may to poll it.
            self.want_read(key, true);
            return News::Nobody;
        }
        News::Source { key, generation, ready }
    }

    /// Takes at most `max` bytes of what a source holds.
    pub(super) fn take(&mut self, key: u32, into: &mut Vec<u8>, max: usize) -> Taken {
        let Some(ask) = self.asks.get_mut(key as usize) else { return lost() };
        let (count, left) = ask.inbox.take(&mut self.ring, into, max);
        let goes_on = left == Left::Unknown && ask.state & RECEIVES != 0;
        Taken { count, left: if goes_on { Left::Nothing } else { left } }
    }

    /// The first byte that a source holds; `None` at the end.
    pub(super) fn first(&self, key: u32) -> io::Result<Option<u8>> {
        match self.asks.get(key as usize) {
            Some(ask) => ask.inbox.first(&self.ring),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Keeps an error for whoever receives next.
    pub(super) fn hold(&mut self, key: u32, error: Errno) {
        if let Some(ask) = self.asks.get_mut(key as usize) {
            ask.inbox.end(Then::Failed(error));
        }
    }
}

/// What was received went with the loop that had received it.
pub(super) fn lost() -> Taken {
    Taken { count: Err(io::ErrorKind::ConnectionAborted.into()), left: Left::Unknown }
}

impl Ask {
    /// False if the kernel takes no more; then the rest is still wanted.
    fn hand_over(&mut self, key: u32, ring: &mut Ring) -> bool {
        if self.state & WANTS_READ != 0 {
            let receives = self.watch == Watch::Socket && self.state & BY_POLL == 0;
            let (taken, bit) = if receives {
                let goes_on = self.short >= SHORT_RUN;
                let data = data(key, self.generation, RECEIVE);
                (ring.receive(self.fd, goes_on, data), RECEIVES)
            } else {
                let interest = match self.watch {
                    Watch::Listener => Interest::ACCEPT,
                    Watch::Socket | Watch::Datagrams | Watch::Connecting => Interest::READ,
                };
                (ring.poll(self.fd, interest, data(key, self.generation, POLL_READ)), POLLS_READ)
            };
            if !taken {
                return false;
            }
            self.state &= !(WANTS_READ | BY_POLL);
            self.state |= bit;
        }
        if self.state & WANTS_WRITE != 0 {
            let write = data(key, self.generation, POLL_WRITE);
            if !ring.poll(self.fd, Interest::WRITE, write) {
                return false;
            }
            self.state &= !WANTS_WRITE;
            self.state |= POLLS_WRITE;
        }
        true
    }

    /// Keeps what a receive has brought. What the source is ready for then; nothing if the kernel
    /// does not receive from it.
    fn received(&mut self, done: Completion, ring: &mut Ring) -> Ready {
        let bytes_wait = self.inbox.len() > 0;
        let then = match (done.received, done.result) {
            (Some(received), 1..) => {
                let is_short = received.len() < BUFFER_SIZE;
                self.short = if is_short { self.short.saturating_add(1) } else { 0 };
                self.inbox.push(received);
                return READ | HELD;
            }
            (received, result) => {
                received.into_iter().for_each(|received| ring.give_back(received));
                end(result)
            }
        };
        match then {
            Then::Nothing if bytes_wait => self.inbox.end(Then::Unknown),
            Then::Unknown if bytes_wait => self.inbox.end(then),
            Then::Nothing => return 0,
            Then::Unknown => return READ,
            Then::End | Then::Failed(_) => self.inbox.end(then),
        }
        READ | HELD
    }

    /// Whether the kernel goes on receiving and had better not.
    fn is_to_stop(&self) -> bool {
        self.state & (RECEIVES | STOPS) == RECEIVES
            && (self.short == 0 || self.inbox.len() >= MOST_HELD)
    }
}

/// Why a receive has brought nothing, as its result says it.
fn end(result: i32) -> Then {
    if result >= 0 {
        return Then::End;
    }
    match Errno::from_raw_os_error(-result) {
        // Something has come, and goes into a buffer of whoever reads it; or it was stopped.
        Errno::NOBUFS | Errno::CANCELED => Then::Unknown,
        Errno::AGAIN | Errno::INVAL => Then::Nothing,
        error => Then::Failed(error),
    }
}

/// What a poll has found of the bits that were asked for. Where it has failed, whoever goes on
/// learns why.
fn polled(result: i32, asked: Ready, least: Ready) -> Ready {
    let flags = EventFlags::from_bits_retain(result.max(0).cast_unsigned());
    match bits(flags) & asked {
        0 => least,
        ready => ready,
    }
}

fn data(key: u32, generation: u32, kind: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(kind * KEYS + key)
}

#[cfg(test)]
mod tests;

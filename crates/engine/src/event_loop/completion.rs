//! io_uring as the reactor's backend. The ring watches descriptors by edges, like an epoll set, but
//! receives from sockets with small messages:
//!
//! ```text
//!                        ┌──────── a buffer is full, or no task reads ◀────────┐
//!                        ▼                                                     │
//!   connected ──▶ edges are watched ──── several short messages ──▶ messages are received
//!                                                                              ▲
//!   accepted ───▶ the first message is received ───── it is short ─────────────┘
//! ```
//!
//! Larger data is better read into larger buffers than the ring's. While the kernel receives from a
//! socket, no task reads from it, so bytes stay in order on every path. The kernel works only
//! inside the call at the end of a turn, which also submits the requests of that turn's tasks.
//! Space to write is watched only while a task waits for it.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use weir_sys::ring::{Completion, Patience, Ring};

use super::readiness::{READ, READS, Ready, WRITE, WRITES, Watch, bits};
use super::timers::Wait;
use crate::clock::{self, Instant};

mod ask;
mod files;
mod inbox;

use ask::{
    Ask, Asks, QUEUED, RECEIVES, SHORT_RUN, STOPS_RECEIVING, STOPS_WATCHING, WANTS_READ,
    WANTS_WRITE, WATCHES, WATCHES_WRITE,
};
pub(super) use files::ReadResult;
use files::Reads;
pub(super) use inbox::Left;
use inbox::Then;

/// The user data of the bell's completions.
const BELL: u64 = u64::MAX;

/// The user data of a cancelled request.
const SPENT: u64 = u64::MAX - 1;

/// The maximum number of rounds in which a turn takes remaining completions. From Linux 6.13 on, a
/// call processes only 20 events; under load there are more per turn, and the last would wait for
/// long.
const MORE: usize = 32;

/// The maximum sleep while the kernel refuses requests.
const RETRY: Duration = Duration::from_millis(10);

/// The limit of sources' keys; the bits above hold the kind of request.
const KEYS: u32 = 1 << 29;
const RECEIVE: u32 = 0;
const POLL_READ: u32 = 1;
const POLL_WRITE: u32 = 2;
const SEND: u32 = 3;
const FILE: u32 = 4;

/// The ring of a loop and its requests.
pub(super) struct Completions {
    ring: Ring,
    /// The time when the ring was opened.
    opened: Instant,
    bell: Arc<OwnedFd>,
    bell_is_heard: bool,
    /// By the sources' keys.
    asks: Asks,
    /// The keys of sources with requests to submit, each once.
    queue: Vec<u32>,
    /// Requests to cancel, two for each source dropped in this turn.
    cancels: Vec<u64>,
    /// File reads in progress.
    reads: Reads,
}

/// The result of taking held bytes.
pub(crate) struct Taken {
    /// The number of bytes, or the error of receiving.
    pub(crate) count: io::Result<usize>,
    /// The remaining readiness of the source.
    pub(super) left: Left,
}

/// The receiver of a completion.
pub(super) enum Recipient {
    Nobody,
    Bell,
    Task(Waker),
    Source { key: u32, generation: u32, ready: Ready },
}

impl Completions {
    pub(super) fn open(bell: &Arc<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new()?,
            opened: clock::now(),
            bell: Arc::clone(bell),
            bell_is_heard: false,
            asks: Asks::default(),
            queue: Vec::new(),
            cancels: Vec::new(),
            reads: Reads::default(),
        })
    }

    /// Adds a source.
    pub(super) fn add(&mut self, key: u32, generation: u32, fd: RawFd, watch: Watch) {
        debug_assert!(key < KEYS);
        let ask = self.asks.get_or_add(key);
        let queued = ask.state & QUEUED;
        // An accepted client usually starts with a small message.
        let short = if watch == Watch::Socket { SHORT_RUN - 1 } else { 0 };
        *ask = Ask { fd, generation, watch, state: queued, short, ..Ask::vacant() };
        if watch != Watch::Connecting {
            self.want_read(key);
        }
    }

    /// Marks a connecting source as connected, to be watched as told.
    pub(super) fn connected(&mut self, key: u32, watch: Watch) {
        if let Some(ask) = self.asks.get_mut(key) {
            ask.watch = watch;
        }
        self.want_read(key);
    }

    /// Drops a source and its requests.
    pub(super) fn forget(&mut self, key: u32) {
        let Some(ask) = self.asks.get_mut(key) else { return };
        let queued = ask.state & QUEUED;
        let ask = std::mem::replace(ask, Ask { state: queued, ..Ask::vacant() });
        ask.inbox.clear(&mut self.ring);
        let under_way = [(RECEIVES, RECEIVE), (WATCHES, POLL_READ), (WATCHES_WRITE, POLL_WRITE)];
        for (bit, kind) in under_way {
            if ask.state & bit != 0 {
                self.cancels.push(data(key, ask.generation, kind));
            }
        }
    }

    /// Requests the next data, by a receive or a watch: nothing is left to read.
    pub(super) fn want_read(&mut self, key: u32) {
        let Some(ask) = self.asks.get_mut(key).filter(|ask| ask.fd >= 0) else { return };
        if ask.state & RECEIVES != 0 {
            return;
        }
        if ask.state & WATCHES != 0 {
            if !ask.receives() {
                return;
            }
            if ask.state & STOPS_WATCHING == 0 {
                ask.state |= STOPS_WATCHING;
                self.cancels.push(data(key, ask.generation, POLL_READ));
            }
        }
        ask.state |= WANTS_READ;
        self.enqueue(key);
    }

    /// Records that a read of `count` bytes emptied the socket.
    pub(super) fn drained(&mut self, key: u32, count: usize) {
        if let Some(ask) = self.asks.get_mut(key) {
            ask.has_come(count);
        }
        self.want_read(key);
    }

    /// Stops receiving from a source whose next data is moved without copying.
    pub(super) fn want_to_move(&mut self, key: u32) {
        let Some(ask) = self.asks.get_mut(key).filter(|ask| ask.fd >= 0) else { return };
        ask.short = 0;
        if ask.is_to_stop() {
            ask.state |= STOPS_RECEIVING;
            self.cancels.push(data(key, ask.generation, RECEIVE));
        }
    }

    /// Requests to watch for space to write.
    pub(super) fn want_write(&mut self, key: u32) {
        let Some(ask) = self.asks.get_mut(key).filter(|ask| ask.fd >= 0) else { return };
        if ask.state & WATCHES_WRITE == 0 {
            ask.state |= WANTS_WRITE;
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: u32) {
        if let Some(ask) = self.asks.get_mut(key)
            && ask.state & QUEUED == 0
        {
            ask.state |= QUEUED;
            self.queue.push(key);
        }
    }

    /// Sends messages, each a range of the bytes to a socket. `left` gets the incomplete ones with
    /// the number of bytes sent or the error. Other completions are added to `done`.
    pub(super) fn send_all(
        &mut self,
        bytes: &mut Vec<u8>,
        messages: impl Iterator<Item = (RawFd, Range<usize>)>,
        done: &mut Vec<Completion>,
        left: &mut Vec<(usize, Result<usize, Errno>)>,
    ) {
        let numbered = (0..).zip(messages);
        let numbered = numbered.map(|(number, (fd, range))| (fd, range, data(number, 0, SEND)));
        self.ring.send_all(bytes, numbered);
        let before = done.len();
        self.ring.all_completions(done);
        if done.len() == before {
            return;
        }
        for completion in done.split_off(before) {
            match completion.data as u32 / KEYS {
                SEND if completion.data >> 32 == 0 => {
                    let error = Errno::from_raw_os_error(-completion.result);
                    let sent = usize::try_from(completion.result).map_err(|_| error);
                    left.push((completion.data as usize % KEYS as usize, sent));
                }
                _ => done.push(completion),
            }
        }
    }

    /// Submits requests, waits as told, and collects completions.
    pub(super) fn turn(&mut self, wait: Wait, done: &mut Vec<Completion>) {
        let all = self.hand_over();
        let patience = match wait {
            Wait::No => Patience::None,
            _ if !all => Patience::For(RETRY),
            Wait::Millis(millis) => Patience::For(Duration::from_millis(millis.into())),
            Wait::Forever => Patience::Forever,
        };
        // A signal may end the wait; there are no completions then.
        let _ = self.ring.enter(patience);
        self.ring.completions(done);
        for _ in 0..MORE {
            if self.ring.is_quiet() {
                return;
            }
            let _ = self.ring.enter(Patience::None);
            self.ring.completions(done);
        }
    }

    /// Submits requests; returns `false` if the kernel does not take all of them now.
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
        // In order, so that earlier sources get their events first.
        let mut handed = 0;
        for &key in &self.queue {
            if let Some(ask) = self.asks.get_mut(key) {
                if !ask.hand_over(key, &mut self.ring, self.opened) {
                    break;
                }
                ask.state &= !QUEUED;
            }
            handed += 1;
        }
        self.queue.drain(..handed);
        self.queue.is_empty() && self.bell_is_heard
    }

    /// Processes a completion.
    pub(super) fn complete(&mut self, done: Completion) -> Recipient {
        match done.data {
            BELL => {
                self.bell_is_heard = done.more;
                return Recipient::Bell;
            }
            SPENT => return Recipient::Nobody,
            _ => {}
        }
        debug_assert!(done.data as u32 / KEYS != SEND, "sends complete in their call");
        let key = done.data as u32 % KEYS;
        let (kind, generation) = (done.data as u32 / KEYS, (done.data >> 32) as u32);
        if kind == FILE {
            return self.file_read(key, done.result);
        }
        let ask = self.asks.get_mut(key);
        let Some(ask) = ask.filter(|ask| ask.fd >= 0 && ask.generation == generation) else {
            // The source was dropped while the request was in progress.
            done.received.into_iter().for_each(|received| self.ring.give_back(received));
            return Recipient::Nobody;
        };
        let ready = match kind {
            RECEIVE => {
                if !done.more {
                    ask.state &= !(RECEIVES | STOPS_RECEIVING);
                }
                let ready = ask.received(done, &mut self.ring);
                if ask.is_to_stop() {
                    ask.state |= STOPS_RECEIVING;
                    self.cancels.push(data(key, generation, RECEIVE));
                }
                ready
            }
            POLL_READ => {
                if !done.more {
                    ask.state &= !(WATCHES | STOPS_WATCHING);
                }
                // A late event, if the kernel is receiving already.
                if ask.state & RECEIVES == 0 { polled(done.result, READS, READ) } else { 0 }
            }
            _ => {
                ask.state &= !WATCHES_WRITE;
                polled(done.result, WRITES, WRITE)
            }
        };
        match ready {
            0 => Recipient::Nobody,
            ready => Recipient::Source { key, generation, ready },
        }
    }

    /// Takes at most `max` held bytes of a source.
    pub(super) fn take(&mut self, key: u32, into: &mut Vec<u8>, max: usize) -> Taken {
        let Some(ask) = self.asks.get_mut(key) else { return lost() };
        let (count, left) = ask.inbox.take(&mut self.ring, into, max);
        let goes_on = left == Left::Unknown && ask.state & RECEIVES != 0;
        Taken { count, left: if goes_on { Left::Nothing } else { left } }
    }

    /// The first held byte of a source; `None` at the end.
    pub(super) fn first(&self, key: u32) -> io::Result<Option<u8>> {
        match self.asks.get(key) {
            Some(ask) => ask.inbox.first(&self.ring),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Cancels more non-existent requests than the completion queue holds.
    #[cfg(test)]
    pub(super) fn overflow(&mut self) {
        self.cancels.extend((0..5000).map(|number| data(number, u32::MAX, POLL_WRITE)));
    }

    /// Stores an error for the next receive.
    pub(super) fn hold(&mut self, key: u32, error: Errno) {
        if let Some(ask) = self.asks.get_mut(key) {
            ask.inbox.end(Then::Failed(error));
        }
    }
}

/// The error for data lost with the loop that received it.
pub(super) fn lost() -> Taken {
    Taken { count: Err(io::ErrorKind::ConnectionAborted.into()), left: Left::Unknown }
}

/// The readiness that a poll found among the requested bits. If the poll failed, the following
/// operation returns the error.
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

//! The requests of a source to the ring, and their state.
//!
//! ```text
//!   wanted ──▶ queued ─┬▶ watches ── cancelled, to receive instead ──▶ queued
//!                      └▶ receives ── cancelled, for larger data ──▶ last completion ──▶ wanted
//! ```
//!
//! A request can complete many times, and a cancelled one is under way until its last completion.
//! `RECEIVES` stays set until then, so that nothing else reads from the socket meanwhile: two
//! receives would have no order. A watch reads nothing, so receiving begins as soon as its
//! cancellation is submitted, and its late completions are ignored.

use std::os::fd::RawFd;
use std::time::Duration;

use rustix::io::Errno;
use weir_sys::ring::{BUFFER_SIZE, Completion, Interest, Ring};

use super::inbox::{Inbox, Then};
use super::{POLL_READ, POLL_WRITE, RECEIVE, data};
use crate::clock::{self, Instant};
use crate::event_loop::readiness::{HELD, READ, Ready, Watch};

/// The requests of one source.
pub(super) struct Ask {
    /// Negative without a source.
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    pub(super) watch: Watch,
    pub(super) state: u8,
    /// The number of consecutive messages smaller than a buffer.
    pub(super) short: u8,
    pub(super) inbox: Inbox,
}

impl Ask {
    pub(super) fn vacant() -> Self {
        let (watch, inbox) = (Watch::Socket, Inbox::default());
        Self { fd: -1, generation: 0, watch, state: 0, short: 0, inbox }
    }
}

/// The requests by the sources' keys, in chunks that never move: growth needs no space for both old
/// and new memory.
#[derive(Default)]
pub(super) struct Asks(Vec<Vec<Ask>>);

/// The number of requests per chunk.
const PIECE: u32 = 128;

impl Asks {
    pub(super) fn get(&self, key: u32) -> Option<&Ask> {
        self.0.get((key / PIECE) as usize)?.get((key % PIECE) as usize)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut Ask> {
        self.0.get_mut((key / PIECE) as usize)?.get_mut((key % PIECE) as usize)
    }

    pub(super) fn get_or_add(&mut self, key: u32) -> &mut Ask {
        let (piece, place) = ((key / PIECE) as usize, (key % PIECE) as usize);
        while self.0.len() <= piece {
            self.0.push((0..PIECE).map(|_| Ask::vacant()).collect());
        }
        &mut self.0[piece][place]
    }
}

/// The time in which the rings of a killed process have ended that had the same listeners. The
/// kernel ends them on a thread of its own after the process: within milliseconds, or seconds on a
/// busy machine. Until then, their polls wait for connections that nobody will accept, and of
/// exclusive polls only the oldest is woken. Meanwhile each connection wakes all threads.
pub(super) const DYING: Duration = Duration::from_secs(10);

/// After this many small messages, the kernel is asked to receive.
pub(super) const SHORT_RUN: u8 = 4;

/// The number of buffers filled for a connection that is not read from before the kernel is asked
/// to stop receiving; until it does, the total number of buffers is the limit.
pub(super) const MOST_HELD: usize = 2;

/// Bits of an [`Ask`]: it is in the queue,
pub(super) const QUEUED: u8 = 1;
/// reading or writing is wanted,
pub(super) const WANTS_READ: u8 = 2;
pub(super) const WANTS_WRITE: u8 = 4;
/// the kernel is receiving, or has been told to stop and has not answered,
pub(super) const RECEIVES: u8 = 8;
pub(super) const STOPS_RECEIVING: u8 = 16;
/// it is watching for data, or has been told to stop,
pub(super) const WATCHES: u8 = 32;
pub(super) const STOPS_WATCHING: u8 = 64;
/// it is watching for space to write.
pub(super) const WATCHES_WRITE: u8 = 128;

impl Ask {
    /// Submits the requests. Returns `false` if the kernel takes no more; the rest stays wanted.
    /// `opened` is the time when the ring was.
    pub(super) fn hand_over(&mut self, key: u32, ring: &mut Ring, opened: Instant) -> bool {
        if self.state & WANTS_READ != 0 {
            if !self.hand_over_read(key, ring, opened) {
                return false;
            }
            self.state &= !WANTS_READ;
        }
        if self.state & WANTS_WRITE != 0 {
            let write = data(key, self.generation, POLL_WRITE);
            if !ring.poll(self.fd, Interest::WRITE, write) {
                return false;
            }
            self.state &= !WANTS_WRITE;
            self.state |= WATCHES_WRITE;
        }
        true
    }

    fn hand_over_read(&mut self, key: u32, ring: &mut Ring, opened: Instant) -> bool {
        if self.receives() {
            let data = data(key, self.generation, RECEIVE);
            let taken = ring.receive(self.fd, self.short >= SHORT_RUN, data);
            self.state |= if taken { RECEIVES } else { 0 };
            return taken;
        }
        if self.state & WATCHES != 0 {
            // It was to receive, and is not any more. After the watch has ended, a read finds out.
            return true;
        }
        let data = data(key, self.generation, POLL_READ);
        let taken = match self.watch {
            // The ring of a killed process would be woken instead of this one.
            Watch::Listener if clock::now().since(opened) < DYING => {
                ring.poll(self.fd, Interest::READ, data)
            }
            Watch::Listener => ring.poll(self.fd, Interest::ACCEPT, data),
            _ => ring.poll_edges(self.fd, data),
        };
        self.state |= if taken { WATCHES } else { 0 };
        taken
    }

    /// Whether to receive messages instead of watching.
    pub(super) fn receives(&self) -> bool {
        self.watch == Watch::Socket && self.short + 1 >= SHORT_RUN
    }

    /// Records the size of a message.
    pub(super) fn has_come(&mut self, count: usize) {
        self.short = if count < BUFFER_SIZE { (self.short + 1).min(SHORT_RUN) } else { 0 };
    }

    /// Stores the result of a receive; returns the readiness of the source.
    pub(super) fn received(&mut self, done: Completion, ring: &mut Ring) -> Ready {
        let bytes_wait = self.inbox.len() > 0;
        let then = match (done.received, done.result) {
            (Some(received), 1..) => {
                self.has_come(received.len());
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
            Then::Nothing => {
                // The kernel cannot wait on this socket for a receive.
                self.watch = Watch::Datagrams;
                return READ;
            }
            Then::Unknown => return READ,
            Then::End | Then::Failed(_) => self.inbox.end(then),
        }
        READ | HELD
    }

    /// Whether the kernel is receiving and should stop.
    pub(super) fn is_to_stop(&self) -> bool {
        self.state & (RECEIVES | STOPS_RECEIVING) == RECEIVES
            && (self.short == 0 || self.inbox.len() >= MOST_HELD)
    }
}

/// The reason of a receive without data, by its result.
fn end(result: i32) -> Then {
    if result >= 0 {
        return Then::End;
    }
    match Errno::from_raw_os_error(-result) {
        // Data has arrived for a reader's own buffer, or the receive was stopped.
        Errno::NOBUFS | Errno::CANCELED => Then::Unknown,
        Errno::AGAIN | Errno::INVAL => Then::Nothing,
        error => Then::Failed(error),
    }
}

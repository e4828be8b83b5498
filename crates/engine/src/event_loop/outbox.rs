//! Small messages that are sent together at the end of the loop's turn.
//!
//! A send runs through so much kernel code that it evicts the program from the nearest caches, and
//! the program evicts the kernel. Messages sent one right after another cost less.
//!
//! No task waits for a message in the outbox. A message that its socket does not take is *stuck*: a
//! task sends it when there is space, and the connection writes nothing before that. A broken
//! connection is noticed when it is read from.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::num::NonZeroU16;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;

use super::here::here;
use super::reactor::source::SourceId;
use super::tasks::Task;
use crate::kernel::send_by_number;

/// The maximum size of a message in bytes.
pub(crate) const LARGEST: usize = 8 * 1024;

/// The maximum number of messages.
const MESSAGES: usize = 64;

/// The maximum total size in bytes.
const BYTES: usize = 64 * 1024;

/// The messages of one loop.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: RefCell<Batch>,
    stuck: RefCell<Vec<Stuck>>,
    round: Cell<Round>,
}

#[derive(Default)]
struct Batch {
    messages: Vec<Message>,
    /// The messages, concatenated.
    bytes: Vec<u8>,
}

/// The sockets of messages, and their ranges in the bytes of the batch.
fn all(messages: &[Message]) -> impl Iterator<Item = (RawFd, Range<usize>)> {
    let mut start = 0;
    messages.iter().map(move |message| {
        let range = start..message.end;
        start = message.end;
        (message.socket, range)
    })
}

#[derive(Clone, Copy)]
struct Message {
    /// Open: its owner sends pending messages before closing it, see [`Outbox::forget`].
    socket: RawFd,
    source: SourceId,
    /// The end of its range.
    end: usize,
}

/// A connection with an unsent message.
struct Stuck {
    source: SourceId,
    /// The task that sends the rest.
    sender: Task,
    /// The next writer.
    next: Option<Waker>,
}

/// A number that changes whenever messages are sent. It repeats after a long time, at the cost of
/// an unneeded early send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round(NonZeroU16);

impl Default for Round {
    fn default() -> Self {
        Self(NonZeroU16::MIN)
    }
}

impl Round {
    fn next(self) -> Self {
        self.0.checked_add(1).map_or_else(Self::default, Self)
    }
}

impl Outbox {
    /// Adds a message of at most [`LARGEST`] bytes. Before the socket is closed, [`Outbox::forget`]
    /// must be called.
    pub(crate) fn put(&self, socket: BorrowedFd<'_>, source: SourceId, message: &[u8]) -> Round {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.messages.len() >= MESSAGES || waiting.bytes.len() + message.len() > BYTES {
            drop(waiting);
            self.send();
            waiting = self.waiting.borrow_mut();
        }
        waiting.bytes.extend_from_slice(message);
        let end = waiting.bytes.len();
        waiting.messages.push(Message { socket: socket.as_raw_fd(), source, end });
        self.round.get()
    }

    /// Sends all messages.
    #[inline]
    pub(crate) fn send(&self) {
        if !self.waiting.borrow().messages.is_empty() {
            self.send_all();
        }
    }

    fn send_all(&self) {
        self.round.set(self.round.get().next());
        let mut waiting = self.waiting.borrow_mut();
        let Batch { messages, bytes } = &mut *waiting;
        let mut left = Vec::new();
        // The ring owns the bytes until it has sent them.
        if !here().reactor.send_all(bytes, all(messages), &mut left) {
            for (number, (socket, range)) in all(messages).enumerate() {
                let length = range.len();
                let sent = send_by_number(socket, &bytes[range]);
                if sent != Ok(length) {
                    left.push((number, sent));
                }
            }
        }
        if !left.is_empty() {
            self.keep_rests(messages, bytes, left);
        }
        messages.clear();
        bytes.clear();
    }

    /// Sends the rests of messages later, unless their connections are broken.
    #[cold]
    fn keep_rests(
        &self,
        messages: &[Message],
        bytes: &[u8],
        left: Vec<(usize, Result<usize, Errno>)>,
    ) {
        for (number, sent) in left {
            let sent = match sent {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => continue,
            };
            let start = number.checked_sub(1).map_or(0, |before| messages[before].end);
            let Message { socket, source, end } = messages[number];
            let rest = &bytes[start + sent..end];
            if !rest.is_empty() {
                self.send_later(socket, source, rest.to_vec());
            }
        }
    }

    /// Starts a task that sends the rest of a message when there is space.
    #[cold]
    fn send_later(&self, socket: RawFd, source: SourceId, rest: Vec<u8>) {
        let sender = here().tasks.spawn(Box::pin(async move {
            let mut left = &rest[..];
            poll_fn(|cx| poll_rest(socket, source, &mut left, cx)).await;
            here().outbox.loosen(source);
        }));
        self.stuck.borrow_mut().push(Stuck { source, sender, next: None });
    }

    fn loosen(&self, source: SourceId) {
        let mut stuck = self.stuck.borrow_mut();
        if let Some(place) = stuck.iter().position(|stuck| stuck.source == source) {
            let freed = stuck.swap_remove(place);
            drop(stuck);
            if let Some(next) = freed.next {
                next.wake();
            }
        }
    }

    /// Called before a connection closes whose last message was added in `round`: that message is
    /// sent first, and a stuck one is dropped.
    pub(crate) fn forget(&self, source: impl FnOnce() -> SourceId, round: Round) {
        if round == self.round.get() {
            self.send();
        }
        if !self.stuck.borrow().is_empty() {
            let source = source();
            let mut stuck = self.stuck.borrow_mut();
            if let Some(place) = stuck.iter().position(|stuck| stuck.source == source) {
                let gone = stuck.swap_remove(place);
                drop(stuck);
                gone.sender.abort();
            }
        }
    }

    /// Sends all messages and drops stuck ones: the loop ends.
    pub(super) fn close(&self) {
        self.send();
        self.stuck.take();
    }

    /// Ready when no message of this source, added in `round`, is left.
    #[inline]
    pub(crate) fn poll_gone(
        &self,
        cx: &mut Context<'_>,
        source: impl FnOnce() -> SourceId,
        round: Round,
    ) -> Poll<()> {
        if round == self.round.get() {
            self.send();
        }
        if self.stuck.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.poll_loose(cx, source())
    }

    #[cold]
    fn poll_loose(&self, cx: &mut Context<'_>, source: SourceId) -> Poll<()> {
        let mut stuck = self.stuck.borrow_mut();
        match stuck.iter_mut().find(|stuck| stuck.source == source) {
            Some(stuck) => {
                stuck.next = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

/// Sends the rest of a message. Ready when nothing is left or the source no longer exists.
fn poll_rest(socket: RawFd, source: SourceId, left: &mut &[u8], cx: &mut Context<'_>) -> Poll<()> {
    while let Some(room) = source.with(|source| source.poll_write(cx)) {
        std::task::ready!(room);
        match send_by_number(socket, left) {
            Ok(sent) if sent < left.len() => *left = &left[sent..],
            Ok(_) => break,
            Err(Errno::AGAIN) => {}
            Err(Errno::INTR) => continue,
            Err(_) => break,
        }
        let _ = source.with(|source| source.filled());
    }
    Poll::Ready(())
}

#[cfg(test)]
mod tests;

//! Small messages that wait for the end of the turn.
//!
//! A send goes through so much of the kernel that little of the program is left in the nearest
//! caches after it, and the other way round. Sent one right after the other, messages cost less.
//!
//! Nobody waits for a message that is here. One that its socket does not take is *stuck*: a task
//! sends it when there is room, and the connection writes nothing before that. That a connection
//! is broken shows when it is read from.

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

/// Bytes of the largest message that may wait.
pub(crate) const LARGEST: usize = 8 * 1024;

/// Messages that may wait.
const MESSAGES: usize = 64;

/// Bytes that may wait in all.
const BYTES: usize = 64 * 1024;

/// The messages of one loop.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: RefCell<Waiting>,
    stuck: RefCell<Vec<Stuck>>,
    round: Cell<Round>,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<Message>,
    /// All of them, one behind the other.
    bytes: Vec<u8>,
}

impl Waiting {
    /// Where a message is.
    fn range(&self, number: usize) -> Range<usize> {
        let start = number.checked_sub(1).map_or(0, |before| self.messages[before].end);
        start..self.messages[number].end
    }

    /// Where the messages are, and the sockets that they are for.
    fn all(&self) -> impl Iterator<Item = (RawFd, Range<usize>)> {
        let messages = self.messages.iter().enumerate();
        messages.map(|(number, message)| (message.socket, self.range(number)))
    }
}

struct Message {
    /// Open: whoever closes it sends what waits before, see [`Outbox::forget`].
    socket: RawFd,
    source: SourceId,
    /// Where it ends.
    end: usize,
}

/// A connection with a message that did not leave.
struct Stuck {
    source: SourceId,
    /// What sends the rest of it.
    sender: Task,
    /// Who wants to write behind it.
    next: Option<Waker>,
}

/// Changes whenever the messages are sent. It comes back after a long time, when what waits may be
/// sent earlier for nothing.
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
    /// Puts a message of at most [`LARGEST`] bytes in. Before the socket is closed it is to be told
    /// with [`Outbox::forget`].
    pub(crate) fn put(&self, socket: BorrowedFd<'_>, source: SourceId, message: &[u8]) -> Round {
        let is_full = |waiting: &Waiting| {
            waiting.messages.len() >= MESSAGES || waiting.bytes.len() + message.len() > BYTES
        };
        if is_full(&self.waiting.borrow()) {
            self.send();
        }
        let mut waiting = self.waiting.borrow_mut();
        waiting.bytes.extend_from_slice(message);
        let end = waiting.bytes.len();
        waiting.messages.push(Message { socket: socket.as_raw_fd(), source, end });
        self.round.get()
    }

    /// Sends what waits.
    #[inline]
    pub(crate) fn send(&self) {
        if !self.waiting.borrow().messages.is_empty() {
            self.send_all();
        }
    }

    fn send_all(&self) {
        self.round.set(self.round.get().next());
        let mut waiting = self.waiting.take();
        // They are the ring's until it has sent them.
        let mut bytes = std::mem::take(&mut waiting.bytes);
        let mut left = Vec::new();
        if !here().reactor.send_all(&mut bytes, waiting.all(), &mut left) {
            for (number, (socket, range)) in waiting.all().enumerate() {
                let sent = send_by_number(socket, &bytes[range.clone()]);
                if sent != Ok(range.len()) {
                    left.push((number, sent));
                }
            }
        }
        for (number, sent) in left {
            let sent = match sent {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => continue,
            };
            let rest = &bytes[waiting.range(number)][sent..];
            if !rest.is_empty() {
                let message = &waiting.messages[number];
                self.send_later(message.socket, message.source, rest.to_vec());
            }
        }
        waiting.bytes = bytes;
        waiting.messages.clear();
        waiting.bytes.clear();
        self.waiting.replace(waiting);
    }

    /// Has a task send the rest of a message when there is room.
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

    /// A connection goes that put its last message in in `round`: that one leaves before, and what
    /// is stuck goes with it.
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

    /// Sends what waits; the loop ends, and with it what is stuck.
    pub(super) fn close(&self) {
        self.send();
        self.stuck.take();
    }

    /// Ready when nothing that was put in for this source in `round` is here any more.
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

/// Sends what is left of a message. Ready when that is nothing, or when it is for nobody any more.
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

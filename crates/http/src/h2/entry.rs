//! What a connection holds for a stream: received parts, and the tasks that wait.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use weir_engine::buffer::{self, Buf};
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::StreamId;

use super::Ended;

/// The smallest buffer for received bytes.
const LEAST: usize = 1024;

/// The number of heads of a response, interim ones included, that wait to be taken. More reset the
/// stream: nobody sends as many hints.
pub(super) const MOST_HEADS: usize = 16;

/// The state of a stream. It is reused, with the memory of its queues.
#[derive(Default)]
pub(super) struct Entry {
    /// None while it is free.
    pub id: Option<StreamId>,
    /// Received bytes that were not taken, in buffers that are not empty.
    received: VecDeque<Buf>,
    unread: usize,
    /// The number of bytes of the stream's frames so far: received heads of responses, trailers and
    /// DATA.
    pub raw: u64,
    /// The same of frames that were queued to be sent: heads and DATA.
    pub queued: u64,
    /// Received heads of a response, and whether the peer's side has ended with each.
    pub heads: VecDeque<(FieldBlock, bool)>,
    pub trailers: Option<FieldBlock>,
    /// The peer's side has ended.
    pub ended: bool,
    pub gone: Option<Ended>,
    /// The position in the output behind the request's head. (client)
    pub head_end: u64,
    /// The position in the output behind all that the stream has queued.
    pub mark: u64,
    /// Whether the writer waits for the output to reach the mark.
    pub flushing: bool,
    /// Whether the writer waits because other streams come first.
    pub patient: bool,
    /// The task that waits for heads or bytes.
    pub reader: Option<Waker>,
    /// The task that waits for room, or until its output has left.
    pub writer: Option<Waker>,
    /// The task that waits for the abnormal end.
    pub watcher: Option<Waker>,
}

/// Notes the task of a context. No allocation: a waker of the loop is a number.
pub(super) fn note(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

/// Wakes the task that waits, if there is one.
pub(super) fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}

impl Entry {
    /// Begins a new stream.
    pub(super) fn begin(&mut self, id: StreamId, ended: bool, mark: u64) {
        self.id = Some(id);
        (self.ended, self.mark, self.head_end) = (ended, mark, mark);
    }

    /// Frees the entry. Returns heads that nobody has taken, for their memory.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = FieldBlock> + use<> {
        let received = std::mem::take(&mut self.received);
        let heads = std::mem::take(&mut self.heads);
        let trailers = self.trailers.take();
        *self = Self::default();
        if received.capacity() <= MOST_HEADS {
            self.received = received;
            self.received.clear();
        }
        heads.into_iter().map(|(head, _)| head).chain(trailers)
    }

    /// Notes the abnormal end, of which the first counts, and tells everyone who waits.
    pub(super) fn fail(&mut self, why: Ended) {
        self.gone.get_or_insert(why);
        for place in [&mut self.reader, &mut self.writer, &mut self.watcher] {
            wake(place);
        }
    }

    /// The number of received bytes that were not taken.
    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// Keeps received bytes.
    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        self.unread += bytes.len();
        if let Some(last) = self.received.back_mut() {
            let (now, later) = bytes.split_at(bytes.len().min(last.room()));
            buffer::append(now, last);
            bytes = later;
        }
        if !bytes.is_empty() {
            let mut next = buffer::take(bytes.len().max(LEAST));
            buffer::append(bytes, &mut next);
            self.received.push_back(next);
        }
    }

    /// Moves received bytes behind the content of `into`, at most `most`. Returns their number.
    pub(super) fn take_into(&mut self, into: &mut Buf, most: usize) -> usize {
        let mut total = 0;
        while total < most
            && let Some(front) = self.received.front_mut()
        {
            let count = front.len().min(most - total);
            if into.is_empty() && count == front.len() {
                *into = std::mem::take(front);
            } else {
                buffer::append(&front[..count], into);
                buffer::drop_front(front, count);
            }
            if front.is_empty() {
                self.received.pop_front();
            }
            total += count;
        }
        self.unread -= total;
        total
    }
}

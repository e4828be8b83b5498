//! The handle of a stream. Dropped before its end, it resets the stream.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::buffer::Buf;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::hpack::BlockWriter;
use weir_wire::h2::{Connection, ErrorCode, Fault, StreamId};

use super::Link;
use super::entry::{self, Entry};
use super::link::State;

/// A stream of a [`Link`].
pub(crate) struct Stream {
    link: Rc<Link>,
    id: StreamId,
}

/// Why a stream is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was reset: by the peer, or by this side because of the peer's `fault`. `unprocessed`: the
    /// peer has not processed the request, which can be repeated safely.
    Reset { code: ErrorCode, unprocessed: bool, fault: Option<Fault> },
    /// The connection has ended; likewise.
    Lost { unprocessed: bool },
}

impl From<Ended> for io::Error {
    fn from(_: Ended) -> Self {
        io::ErrorKind::ConnectionReset.into()
    }
}

impl Stream {
    /// The handle of a stream that has an entry.
    pub(super) fn new(link: Rc<Link>, id: StreamId) -> Self {
        Self { link, id }
    }

    /// Its connection.
    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Its number.
    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// Runs `act` with the connection and the stream's entry.
    #[inline]
    fn with<T>(&self, act: impl FnOnce(&mut Entry) -> T) -> T {
        let mut state = self.link.state.borrow_mut();
        match state.entry(self.id) {
            Some(entry) => act(entry),
            // A handle keeps its entry.
            None => act(&mut Entry::default()),
        }
    }

    fn state(&self) -> std::cell::RefMut<'_, State> {
        self.link.state.borrow_mut()
    }

    /// Gives the memory of a head back.
    pub(crate) fn reuse(&self, head: FieldBlock) {
        self.state().reuse(head);
    }
}

/// Receiving.
impl Stream {
    /// The next head of the response, interim or final: its fields (see [`Stream::reuse`]), and
    /// whether the stream has ended with it. (client)
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(FieldBlock, bool), Ended>> {
        self.with(|entry| {
            if let Some(head) = entry.heads.pop_front() {
                return Poll::Ready(Ok(head));
            }
            if let Some(why) = entry.gone {
                return Poll::Ready(Err(why));
            }
            entry::note(&mut entry.reader, cx);
            Poll::Pending
        })
    }

    /// Moves received bytes of the body behind the content of `into`, at most `most`, and grants
    /// the peer as many. 0 at the end of the body. A whole buffer is not copied if `into` is empty.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        most: usize,
    ) -> Poll<Result<usize, Ended>> {
        let taken = self.with(|entry| match entry.unread() {
            0 => entry.poll_ended(cx),
            _ => Poll::Ready(Ok(entry.take_into(into, most))),
        });
        if let Poll::Ready(Ok(count @ 1..)) = taken {
            self.release(count);
        }
        taken
    }

    /// Ready when bytes or the end of the body can be taken: the number of bytes that have been
    /// received.
    pub(crate) fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        self.with(|entry| match entry.unread() {
            0 => entry.poll_ended(cx),
            count => Poll::Ready(Ok(count)),
        })
    }

    /// Like [`Stream::poll_data`], with what there is now.
    pub(crate) fn take_data(&mut self, into: &mut Buf, most: usize) -> usize {
        let count = self.with(|entry| entry.take_into(into, most));
        if count > 0 {
            self.release(count);
        }
        count
    }

    fn release(&self, count: usize) {
        let mut state = self.state();
        if !state.closed {
            state.writer().release(self.id, count);
            state.touched();
        }
    }

    /// The numbers of bytes of the stream's frames so far: sent, and received.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.with(|entry| (entry.queued, entry.raw))
    }

    /// The number of received bytes that were not taken.
    pub(crate) fn received(&self) -> usize {
        self.with(|entry| entry.unread())
    }

    /// Whether the peer's side has ended, and all its bytes were taken.
    pub(crate) fn is_ended(&self) -> bool {
        self.with(|entry| entry.ended && entry.unread() == 0)
    }

    /// Whether the peer's side has ended; some of its bytes may be left.
    pub(crate) fn peer_ended(&self) -> bool {
        self.with(|entry| entry.ended)
    }

    /// Whether there are trailers.
    pub(crate) fn has_trailers(&self) -> bool {
        self.with(|entry| entry.trailers.is_some())
    }

    /// The trailers, if there are any, after the end of the body.
    pub(crate) fn take_trailers(&mut self) -> Option<FieldBlock> {
        self.with(|entry| entry.trailers.take())
    }

    /// Sets the receive window, in bytes.
    pub(crate) fn set_window(&mut self, bytes: u32) {
        let mut state = self.state();
        if !state.closed {
            state.machine.set_stream_window(self.id, bytes);
            state.touched();
        }
    }
}

impl Entry {
    /// Without received bytes: the end, or a wait.
    fn poll_ended(&mut self, cx: &Context<'_>) -> Poll<Result<usize, Ended>> {
        match self.gone {
            _ if self.ended => Poll::Ready(Ok(0)),
            Some(why) => Poll::Ready(Err(why)),
            None => {
                entry::note(&mut self.reader, cx);
                Poll::Pending
            }
        }
    }
}

/// Sending. The driver sends what is queued at the end of the turn.
impl Stream {
    /// Changes the machine in favour of this stream, unless the stream is of no more use. Returns
    /// the number of bytes of output.
    fn put(&self, change: impl FnOnce(&mut Connection)) -> usize {
        let state = &mut *self.state();
        if state.closed || state.entry(self.id).is_none_or(|entry| entry.gone.is_some()) {
            return 0;
        }
        let before = state.machine.output().len();
        change(state.writer());
        let count = state.machine.output().len() - before;
        if count > 0 {
            let mark = state.end_of_output();
            if let Some(entry) = state.entry(self.id) {
                entry.mark = mark;
                entry.queued += count as u64;
            }
            state.touched();
        }
        count
    }

    /// Queues a head; `end` if no body follows. Trailers are a head with `end`. Returns the number
    /// of bytes, with those of frames.
    pub(crate) fn send_head(
        &mut self,
        end: bool,
        head: impl FnOnce(&mut BlockWriter<'_>),
    ) -> usize {
        self.put(|machine| machine.send_head(self.id, end, head))
    }

    /// The number of bytes that can be queued now, at least 1. Pending while the windows or the
    /// output are full.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        let state = &mut *self.state();
        let room = state.machine.room(self.id);
        let Some(entry) = state.entry(self.id) else { return Poll::Pending };
        if let Some(why) = entry.gone {
            return Poll::Ready(Err(why));
        }
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        entry::note(&mut entry.writer, cx);
        Poll::Pending
    }

    /// Whether the peer takes bytes of the stream, so that there will be room for more when the
    /// driver has sent those of others. If the peer ceases to, the task that waits is woken.
    pub(crate) fn waits_for_turn(&self) -> bool {
        let state = &mut *self.state();
        if state.closed || state.blocked || !state.machine.has_window(self.id) {
            return false;
        }
        let Some(entry) = state.entry(self.id) else { return false };
        entry.patient = true;
        state.patient = true;
        true
    }

    /// Queues bytes of the body, at most what [`Stream::poll_room`] returned; `end` if they are the
    /// last. Returns the number of bytes with those of frames.
    pub(crate) fn send_data(&mut self, bytes: &[u8], end: bool) -> usize {
        self.put(|machine| machine.send_data(self.id, bytes, end))
    }

    /// Ready when what this stream has queued has left, or will at the end of this turn: the kernel
    /// has taken all output so far.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let state = &mut *self.state();
        let (sent, blocked) = (state.sent, state.blocked);
        let Some(entry) = state.entry(self.id) else { return Poll::Pending };
        if let Some(why) = entry.gone {
            return Poll::Ready(Err(why));
        }
        if !blocked || entry.mark <= sent {
            return Poll::Ready(Ok(()));
        }
        entry::note(&mut entry.writer, cx);
        if !std::mem::replace(&mut entry.flushing, true) {
            state.flushing += 1;
        }
        Poll::Pending
    }

    /// Ready when the stream was reset or the connection lost.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.with(|entry| match entry.gone {
            Some(why) => Poll::Ready(why),
            None => {
                entry::note(&mut entry.watcher, cx);
                Poll::Pending
            }
        })
    }

    /// Why the stream is of no more use, if it is.
    pub(crate) fn gone(&self) -> Option<Ended> {
        self.with(|entry| entry.gone)
    }

    /// Ends the stream abnormally.
    pub(crate) fn reset(self, code: ErrorCode) {
        self.put(|machine| machine.reset(self.id, code));
    }

    /// Sets the priority from a `Priority` field.
    pub(crate) fn set_priority(&mut self, value: &[u8]) {
        self.put(|machine| machine.set_priority(self.id, value));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.state().forget(self.id);
    }
}

//! The handle of a stream. Dropped before its end, it resets the stream.

use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::buffer::Buf;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::hpack::BlockWriter;
use weir_wire::h2::{ErrorCode, StreamId};

use super::Link;

/// A stream of a [`Link`].
pub(crate) struct Stream {
    _link: Rc<Link>,
    _id: StreamId,
}

/// Why a stream is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was reset. `unprocessed`: the peer has not processed the request, which can be repeated safely.
    Reset { code: ErrorCode, unprocessed: bool },
    /// The connection has ended; likewise.
    Lost { unprocessed: bool },
}

/// Receiving.
impl Stream {
    /// The next head of the response, interim or final: its fields, and whether the stream has ended with
    /// it. (client)
    pub(crate) fn poll_head(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(FieldBlock, bool), Ended>> {
        todo!()
    }

    /// Moves received bytes of the body behind the content of `into`, at most `most`, and grants the peer as
    /// many. 0 at the end of the body.
    pub(crate) fn poll_data(
        &mut self,
        _cx: &mut Context<'_>,
        _into: &mut Buf,
        _most: usize,
    ) -> Poll<Result<usize, Ended>> {
        todo!()
    }

    /// The number of received bytes that were not taken.
    pub(crate) fn received(&self) -> usize {
        todo!()
    }

    /// Whether the peer's side has ended, and all its bytes were taken.
    pub(crate) fn is_ended(&self) -> bool {
        todo!()
    }

    /// The trailers, if there are any, after the end of the body.
    pub(crate) fn take_trailers(&mut self) -> Option<FieldBlock> {
        todo!()
    }

    /// Sets the receive window, in bytes.
    pub(crate) fn set_window(&mut self, _bytes: u32) {
        todo!()
    }
}

/// Sending. The connection's task sends what is queued at the end of the turn.
impl Stream {
    /// Queues a head; `end` if no body follows. Trailers are a head with `end`.
    pub(crate) fn send_head(&mut self, _end: bool, _head: impl FnOnce(&mut BlockWriter<'_>)) {
        todo!()
    }

    /// The number of bytes that can be queued now, at least 1. Pending while the windows or the
    /// output are full.
    pub(crate) fn poll_room(&mut self, _cx: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        todo!()
    }

    /// Queues bytes of the body, at most what [`Stream::poll_room`] returned; `end` if they are the last.
    pub(crate) fn send_data(&mut self, _bytes: &[u8], _end: bool) {
        todo!()
    }

    /// Ready when everything that this stream has queued was taken by the kernel.
    pub(crate) fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        todo!()
    }

    /// Ready when the stream was reset or the connection lost.
    pub(crate) fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Ended> {
        todo!()
    }

    /// Ends the stream abnormally.
    pub(crate) fn reset(&mut self, _code: ErrorCode) {
        todo!()
    }

    /// Sets the priority from a `Priority` field.
    pub(crate) fn set_priority(&mut self, _value: &[u8]) {
        todo!()
    }
}

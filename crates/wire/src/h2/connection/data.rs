//! Bodies of the peer.

use super::control::FLOW;
use super::heads::CLOSED;
use super::receive::{Outcome, protocol_error};
use super::{Connection, Event};
use crate::h2::closed::Past;
use crate::h2::error::{ConnectionError, ErrorCode, Fault};
use crate::h2::frame::payload::{BAD_PADDING, TOO_SHORT};
use crate::h2::frame::{FrameHead, HEAD, flag};
use crate::h2::limits::{self, cost};
use crate::h2::stream::{Cause, Slot, State};

/// The DATA frame under way, or the rest of a frame that is skipped.
#[derive(Debug)]
pub(super) struct Body {
    /// The stream; 0 if the rest is skipped.
    stream: u32,
    /// The bytes of the body still to come.
    left: u32,
    /// The padding still to come behind it.
    padding: u32,
    /// Whether the frame has END_STREAM.
    ends_stream: bool,
    /// The number of bytes of the frame besides those of the body, until they are told.
    framing: u32,
}

impl Body {
    pub(super) const NONE: Self =
        Self { stream: 0, left: 0, padding: 0, ends_stream: false, framing: 0 };

    pub(super) fn is_under_way(&self) -> bool {
        self.left > 0 || self.padding > 0
    }

    /// Skips the next bytes.
    pub(super) fn skip(&mut self, bytes: u32) {
        *self = Self { left: 0, padding: bytes, ..Self::NONE };
    }
}

const HALF_CLOSED: Fault = Fault("sent DATA frame for half-closed");

const NO_HEAD: Fault = Fault("sent DATA frame before a head on");

impl Connection {
    /// Begins a DATA frame.
    pub(super) fn data<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if head.stream == 0 {
            return Err(protocol_error("DATA on the connection"));
        }
        let (padding, overhead) = if head.has(flag::PADDED) {
            let &padding = payload.first().ok_or(TOO_SHORT)?;
            (u32::from(padding), u32::from(padding) + 1)
        } else {
            (0, 0)
        };
        let length = head.length.checked_sub(overhead).ok_or(BAD_PADDING)?;
        if !self.receive_window.take(head.length) {
            return Err(OVERRUN);
        }
        let Some(slot) = self.receiver(head.stream)? else {
            return self.drop_data(head.length, length + padding);
        };
        let stream = &mut self.streams[slot];
        let fault = if !stream.state.can_receive() {
            Some((ErrorCode::STREAM_CLOSED, HALF_CLOSED))
        } else if !stream.has_head {
            Some((ErrorCode::PROTOCOL_ERROR, NO_HEAD))
        } else if !stream.receive.take(head.length) {
            Some((ErrorCode::FLOW_CONTROL_ERROR, FLOW))
        } else {
            None
        };
        if let Some((code, fault)) = fault {
            self.drop_data(head.length, length + padding)?;
            return self.fault(slot, code, fault);
        }
        if overhead > 0 {
            let name = self.streams.name(slot);
            self.release(name, overhead as usize);
        }
        let ends_stream = head.has(flag::END_STREAM);
        let framing = HEAD as u32 + overhead;
        self.body = Body { stream: head.stream, left: length, padding, ends_stream, framing };
        if length > 0 {
            self.overhead.earn(1 + length / 1024);
            return Ok(None);
        }
        if ends_stream {
            return Ok(Some(self.end_of_body(slot, &[])));
        }
        self.spend(cost::POINTLESS)?;
        Ok(None)
    }

    /// The stream that takes DATA; None if it is to be dropped.
    fn receiver(&mut self, id: u32) -> Result<Option<Slot>, ConnectionError> {
        if let Some(slot) = self.streams.find(id) {
            let stream = &self.streams[slot];
            return match stream.state {
                State::Closed(Cause::ByThisSide) => Ok(None),
                State::Closed(Cause::Complete | Cause::ByPeer) => Err(CLOSED),
                _ => Ok(Some(slot)),
            };
        }
        if self.is_idle(id) {
            return Err(protocol_error("DATA on an idle stream"));
        }
        match self.closed.past(id) {
            Past::Abandoned => Ok(None),
            Past::Ended | Past::Unused => Err(CLOSED),
        }
    }

    /// Whether a stream has not been opened and still could be.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id.is_multiple_of(2) || id > self.closed.last()
    }

    /// Skips the rest of a DATA frame of this length, which nobody reads.
    fn drop_data<'i>(&mut self, length: u32, rest: u32) -> Outcome<'i> {
        if length < limits::BULK {
            self.spend(cost::FRAME)?;
        }
        self.receive_window.release(length);
        self.grant_connection();
        self.body.skip(rest);
        Ok(None)
    }

    /// Hands out what is there of a frame's body, and skips padding.
    pub(super) fn body_piece<'i>(&mut self, input: &mut &'i [u8]) -> Option<Event<'i>> {
        if self.body.left == 0 {
            let padding = input.len().min(self.body.padding as usize);
            *input = &input[padding..];
            self.body.padding -= padding as u32;
            return None;
        }
        let (bytes, rest) = input.split_at(input.len().min(self.body.left as usize));
        *input = rest;
        self.body.left -= bytes.len() as u32;
        let id = self.body.stream;
        // The user may have given it up in the middle of the frame, whose bytes have counted as
        // unread from its head on, and are released with the stream's.
        let slot = self.streams.find(id).filter(|&slot| self.streams[slot].state.can_receive());
        let slot = slot?;
        if self.body.left == 0 && self.body.ends_stream {
            return Some(self.end_of_body(slot, bytes));
        }
        Some(Event::Data {
            stream: self.streams.name(slot),
            bytes,
            framing: std::mem::take(&mut self.body.framing),
            ended: false,
        })
    }

    /// Hands out the last bytes of a body.
    fn end_of_body<'i>(&mut self, slot: Slot, bytes: &'i [u8]) -> Event<'i> {
        self.streams.set_state(slot, self.streams[slot].state.end_remote());
        let framing = std::mem::take(&mut self.body.framing);
        Event::Data { stream: self.streams.name(slot), bytes, framing, ended: true }
    }
}

const OVERRUN: ConnectionError = ConnectionError {
    code: ErrorCode::FLOW_CONTROL_ERROR,
    reason: "DATA exceeds the connection's window",
};

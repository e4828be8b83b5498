//! Heads and trailers of the peer.

use super::receive::{Outcome, protocol_error};
use super::{Connection, Event, Role};
use crate::field_block::{BlockLimits, Overflow};
use crate::h2::closed::Past;
use crate::h2::dependency::Dependency;
use crate::h2::error::{ConnectionError, ErrorCode, Fault};
use crate::h2::frame::{FrameHead, HEAD, flag, kind, payload};
use crate::h2::hpack::HpackError;
use crate::h2::limits::{self, cost};
use crate::h2::stream::StreamId;
use crate::h2::stream::{Cause, Slot, State, Stream};
use crate::h2::window::{INITIAL_WINDOW, ReceiveWindow, SendWindow};

/// A header block, whose end may not have come.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The stream; 0 if no block is under way.
    stream: u32,
    /// Whether HEADERS had END_STREAM.
    ends_stream: bool,
    /// The priority of RFC 7540 in HEADERS.
    dependency: Option<Dependency>,
    /// Whether it came too late: the rest is only for the tables.
    is_late: bool,
    /// The number of CONTINUATION frames.
    continuations: u32,
    bytes: Vec<u8>,
}

impl Block {
    pub(super) fn is_under_way(&self) -> bool {
        self.stream != 0
    }

    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    pub(super) fn stream(&self) -> u32 {
        self.stream
    }

    /// The memory held, in bytes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn trim(&mut self) {
        if self.stream == 0 {
            self.bytes = Vec::new();
        }
    }
}

/// What a header block is for.
enum Purpose {
    /// A request.
    Request,
    /// A response.
    Response(Slot),
    Trailers(Slot),
    /// Nothing, since the stream is given up: it is decoded for the sake of the tables.
    Nothing,
    /// An error of the stream.
    Fault(Slot, ErrorCode, Fault),
}

const TWO_HEADS: Fault = Fault("sent HEADERS frame for half-closed");

const TRAILERS: Fault = Fault("sent trailers that do not end");

const INTERIM_END: Fault = Fault("sent an interim response that ends");

impl Connection {
    /// The maximum length of a compressed head, in bytes.
    pub(super) fn block_limit(&self) -> u32 {
        let overhead = self.config.max_fields.saturating_mul(limits::FIELD_OVERHEAD);
        self.config.max_head.saturating_mul(2).saturating_add(overhead)
    }

    pub(super) fn headers<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let headers = payload::headers(head, payload)?;
        if head.stream.is_multiple_of(2) {
            return Err(protocol_error("HEADERS on a stream that no client opens"));
        }
        if headers.dependency.is_some_and(|dependency| dependency.on == head.stream) {
            return Err(protocol_error("a stream depends on itself"));
        }
        self.block.ends_stream = head.has(flag::END_STREAM);
        self.block.dependency = headers.dependency;
        if head.has(flag::END_HEADERS) {
            return self.head(head.stream, headers.fragment);
        }
        self.block.stream = head.stream;
        self.block.continuations = 0;
        self.block.bytes.clear();
        self.block.bytes.extend_from_slice(headers.fragment);
        Ok(None)
    }

    pub(super) fn continuation<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if !self.block.is_under_way() {
            return Err(protocol_error("CONTINUATION without a header block"));
        }
        self.spend(cost::POINTLESS)?;
        self.block.continuations += 1;
        let length = self.block.bytes.len() + payload.len();
        let most = match self.config.role {
            Role::Server => limits::CONTINUATIONS,
            Role::Client => limits::CONTINUATIONS_OF_UPSTREAMS,
        };
        if self.block.continuations > most || length > self.block_limit() as usize {
            return Err(TOO_LONG);
        }
        self.block.bytes.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.block.bytes);
        self.block.stream = 0;
        let result = self.head(head.stream, &bytes);
        bytes.clear();
        self.block.bytes = bytes;
        result
    }

    /// Processes a complete header block.
    fn head<'i>(&mut self, id: u32, block: &[u8]) -> Outcome<'i> {
        let ended = self.block.ends_stream;
        self.block.is_late = false;
        let purpose = self.purpose(id, ended)?;
        if matches!(purpose, Purpose::Request) && !self.ending.refuses_streams() {
            // It counts even if it cannot be decoded: no client should repeat it.
            self.ending.accept(id);
        }
        let limits = BlockLimits {
            bytes: self.config.max_head as usize,
            fields: self.config.max_fields as usize,
        };
        self.fields.clear();
        self.decoder.decode(block, &limits, &mut self.fields).map_err(undecodable)?;
        if self.fields.overflowed() {
            self.overflowed_head()?;
        }
        let length = block.len() as u32;
        match purpose {
            Purpose::Request => self.request(id, ended, length),
            Purpose::Response(slot) => self.response(slot, ended, length),
            Purpose::Trailers(slot) => self.trailers(slot, length),
            Purpose::Fault(slot, code, fault) => self.fault(slot, code, fault),
            Purpose::Nothing => {
                self.spend(cost::POINTLESS)?;
                Ok(None)
            }
        }
    }

    /// A head exceeds a limit. Too many fields, and any excess of a response, are for the user to
    /// judge; too many bytes of a request end the connection, as in nginx.
    #[cold]
    fn overflowed_head(&mut self) -> Result<(), ConnectionError> {
        let is_long = self.fields.overflow() == Some(Overflow::Bytes);
        if is_long && self.config.role == Role::Server {
            return Err(TOO_LONG);
        }
        self.spend(cost::LARGE_HEAD)
    }

    fn purpose(&mut self, id: u32, ended: bool) -> Result<Purpose, ConnectionError> {
        let Some(slot) = self.streams.find(id) else {
            if id > self.closed.last() {
                return match self.config.role {
                    Role::Server => Ok(Purpose::Request),
                    Role::Client => Err(protocol_error("HEADERS on an idle stream")),
                };
            }
            return match self.closed.past(id) {
                Past::Unused => Err(protocol_error("a stream's number is not above the last one")),
                Past::Ended => Err(CLOSED),
                Past::Abandoned => Ok(Purpose::Nothing),
            };
        };
        let stream = &self.streams[slot];
        Ok(match stream.state {
            State::Closed(Cause::ByThisSide) => Purpose::Nothing,
            State::Closed(Cause::Complete | Cause::ByPeer) => return Err(CLOSED),
            State::HalfClosedRemote => Purpose::Fault(slot, ErrorCode::STREAM_CLOSED, TWO_HEADS),
            State::Open | State::HalfClosedLocal if !stream.has_head => Purpose::Response(slot),
            State::Open | State::HalfClosedLocal if ended => Purpose::Trailers(slot),
            State::Open | State::HalfClosedLocal => {
                Purpose::Fault(slot, ErrorCode::PROTOCOL_ERROR, TRAILERS)
            }
        })
    }

    fn request<'i>(&mut self, id: u32, ended: bool, length: u32) -> Outcome<'i> {
        self.closed.open(id);
        if self.ending.refuses_streams() {
            // The client knows from GOAWAY that the request is not processed.
            self.closed.abandon(id);
            self.spend(cost::POINTLESS)?;
            return Ok(None);
        }
        let most = self.config.max_streams as usize;
        if self.streams.open() >= most || self.streams.len() >= most * limits::PLACES_PER_STREAM {
            return self.refuse(id);
        }
        // Before it knows the settings, the client may use the window of the protocol.
        if !ended && !self.is_acknowledged && self.config.stream_window < INITIAL_WINDOW {
            return self.refuse(id);
        }
        self.overhead.earn(1);
        let target = self.config.stream_window;
        let receive = ReceiveWindow::new(target, target);
        let send = SendWindow::new(self.peer.window);
        let mut stream = Stream::new(id, send, receive, self.now);
        stream.has_head = true;
        if let Some(at) = self.early.iter().position(|&(early, _)| early == id) {
            stream.priority = self.early.swap_remove(at).1;
        }
        let slot = self.streams.insert(stream);
        self.order.open(&mut self.streams, id, self.block.dependency);
        if ended {
            self.streams.set_state(slot, State::HalfClosedRemote);
        }
        Ok(Some(Event::Head { stream: StreamId { id, slot }, ended, length }))
    }

    /// Gives up the head that is under way, since it took too long: its stream is reset, and the
    /// rest of it is dropped as it comes (server). False if there is none, or none that begins a
    /// stream.
    pub fn reset_late_head(&mut self) -> bool {
        let id = match self.held.first_chunk::<HEAD>().map(FrameHead::parse) {
            _ if self.block.is_under_way() => self.block.stream,
            Some(head) if head.kind == kind::HEADERS => head.stream,
            _ => return false,
        };
        let is_new = id > self.closed.last() && !id.is_multiple_of(2);
        if self.config.role != Role::Server || !is_new {
            return false;
        }
        self.block.is_late = true;
        self.closed.open(id);
        self.closed.abandon(id);
        if !self.ending.refuses_streams() {
            self.ending.accept(id);
            self.write_reset(id, ErrorCode::PROTOCOL_ERROR);
        }
        true
    }

    /// Refuses a request, which the client may repeat later.
    fn refuse<'i>(&mut self, id: u32) -> Outcome<'i> {
        self.closed.abandon(id);
        self.write_reset(id, ErrorCode::REFUSED_STREAM);
        self.charge_reset(self.now)?;
        Ok(None)
    }

    fn response<'i>(&mut self, slot: Slot, ended: bool, length: u32) -> Outcome<'i> {
        let interim = self.fields.get(b":status").is_some_and(|status| status.starts_with(b"1"));
        if interim {
            self.spend(cost::INTERIM)?;
            if ended {
                return self.fault(slot, ErrorCode::PROTOCOL_ERROR, INTERIM_END);
            }
        } else {
            self.overhead.earn(1);
        }
        self.streams[slot].has_head |= !interim;
        if ended {
            self.streams.set_state(slot, self.streams[slot].state.end_remote());
        }
        Ok(Some(Event::Head { stream: self.streams.name(slot), ended, length }))
    }

    fn trailers<'i>(&mut self, slot: Slot, length: u32) -> Outcome<'i> {
        self.streams.set_state(slot, self.streams[slot].state.end_remote());
        Ok(Some(Event::Trailers { stream: self.streams.name(slot), length }))
    }
}

/// A frame for a stream that the peer has ended.
pub(super) const CLOSED: ConnectionError =
    ConnectionError { code: ErrorCode::STREAM_CLOSED, reason: "a frame for a closed stream" };

/// COMPRESSION_ERROR; a frame that is too small for an integer has a wrong size, as in nginx.
fn undecodable(error: HpackError) -> ConnectionError {
    let is_cut = error == HpackError::CUT;
    let code = if is_cut { ErrorCode::FRAME_SIZE_ERROR } else { ErrorCode::COMPRESSION_ERROR };
    ConnectionError { code, reason: error.0 }
}

const TOO_LONG: ConnectionError = ConnectionError {
    code: ErrorCode::ENHANCE_YOUR_CALM,
    reason: "a head has too many frames or bytes",
};

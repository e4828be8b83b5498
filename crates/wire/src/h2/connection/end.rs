//! The ends of streams and of the connection.

use super::receive::{Outcome, Phase, protocol_error};
use super::{Connection, Event, Role};
use crate::h2::error::ErrorCode;
use crate::h2::frame::payload::WRONG_SIZE;
use crate::h2::frame::{FrameHead, write};
use crate::h2::limits::cost;
use crate::h2::stream::StreamId;
use crate::h2::stream::{Cause, Slot, State};
use crate::h2::window::MAX_WINDOW;

/// How far the connection is on the way to its end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    own: Own,
    /// The last stream that was accepted (server), or opened (client).
    last: u32,
    /// The last stream that the peer processes, once it has sent GOAWAY.
    peer_last: Option<u32>,
    /// Whether streams above `peer_last` may be left that were not reported.
    has_unprocessed: bool,
    /// Whether a ping of the user is unanswered.
    is_pinging: bool,
}

/// The graceful end of this side.
///
/// ```text
///  No ─(GOAWAY 2^31-1, PING)▶ Announced ─(its answer: GOAWAY with the last stream)▶ Final
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Own {
    #[default]
    No,
    Announced,
    Final,
}

impl Ending {
    /// Whether new streams are dropped.
    pub(super) fn refuses_streams(&self) -> bool {
        self.own == Own::Final
    }

    /// Notes an accepted stream.
    pub(super) fn accept(&mut self, id: u32) {
        self.last = id;
    }

    /// As if so many streams had been there.
    #[cfg(test)]
    pub(super) fn set_last(&mut self, id: u32) {
        self.last = id;
    }

    /// The number of the next stream to be opened.
    pub(super) fn next_stream(&mut self) -> u32 {
        self.last = if self.last == 0 { 1 } else { self.last + 2 };
        self.last
    }
}

/// The highest stream that there can be, also in the announcement of an end.
const LAST_STREAM: u32 = MAX_WINDOW;

/// The payload of the PING that follows the announcement of an end.
const END_PING: [u8; 8] = *b"\0\0\0\0\0end";

/// The payload of other PINGs.
const PING: [u8; 8] = *b"\0\0\0\0ping";

impl Connection {
    /// Whether new streams are allowed at all.
    pub(super) fn can_open_ever(&self) -> bool {
        self.phase != Phase::Ended
            && self.ending.own == Own::No
            && self.ending.peer_last.is_none()
            && self.ending.last < LAST_STREAM - 1
    }

    /// Ends a stream abnormally. One that both sides have ended is reset, too: a malformed request
    /// may get a whole response before (RFC 9113 section 8.1.1).
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        let Some(slot) = self.streams.get(stream) else { return };
        if !matches!(self.streams[slot].state, State::Closed(Cause::ByPeer | Cause::ByThisSide)) {
            self.write_reset(stream.id, code);
            self.close(slot, Cause::ByThisSide);
        }
    }

    /// Forgets a stream, whose work has ended. It takes a place until then. One that has not ended
    /// is reset: with NO_ERROR if this side's message is complete (server), else CANCEL (client) or
    /// INTERNAL_ERROR (server). What is unread counts as consumed.
    pub fn forget(&mut self, stream: StreamId) {
        let Some(slot) = self.streams.get(stream) else { return };
        let code = match (self.config.role, self.streams[slot].state) {
            (Role::Server, State::HalfClosedLocal) => ErrorCode::NO_ERROR,
            (Role::Server, _) => ErrorCode::INTERNAL_ERROR,
            (Role::Client, State::HalfClosedRemote) => ErrorCode::NO_ERROR,
            (Role::Client, _) => ErrorCode::CANCEL,
        };
        if !self.streams[slot].state.is_closed() {
            self.reset(stream, code);
        }
        let stream = self.streams[slot];
        match stream.state {
            State::Closed(Cause::Complete) => self.resets.earn(1),
            State::Closed(Cause::ByThisSide) => self.closed.abandon(stream.id),
            _ => {}
        }
        self.streams.remove(slot);
        self.order.close(stream.id);
        if stream.receive.unread() > 0 {
            self.receive_window.release(stream.receive.unread());
            self.grant_connection();
        }
    }

    /// Whether this side's message is complete and the peer's is not: forgetting the stream then
    /// asks the peer to send no more. (server)
    pub fn is_answered_early(&self, stream: StreamId) -> bool {
        let state = self.streams.get(stream).map(|slot| self.streams[slot].state);
        self.config.role == Role::Server && state == Some(State::HalfClosedLocal)
    }

    /// Closes a stream before its end.
    pub(super) fn close(&mut self, slot: Slot, cause: Cause) {
        self.stop_waiting(slot);
        self.streams.set_state(slot, State::Closed(cause));
    }

    pub(super) fn write_reset(&mut self, id: u32, code: ErrorCode) {
        if self.phase != Phase::Ended {
            write::reset(self.output.end(), id, code);
        }
    }

    /// Begins a graceful end (RFC 9113 section 6.8): announces it at once; after a round trip or
    /// when called again, no new streams are accepted. A client opens none from now on.
    pub fn shut_down(&mut self) {
        if self.phase == Phase::Ended {
            return;
        }
        match (self.config.role, self.ending.own) {
            (_, Own::Final) => {}
            (Role::Server, Own::No) => {
                self.ending.own = Own::Announced;
                let out = self.output.end();
                write::go_away(out, LAST_STREAM, ErrorCode::NO_ERROR);
                write::ping(out, END_PING, false);
            }
            _ => self.finish_announcement(),
        }
    }

    fn finish_announcement(&mut self) {
        self.ending.own = Own::Final;
        let last = self.last_processed();
        write::go_away(self.output.end(), last, ErrorCode::NO_ERROR);
    }

    /// The last stream of the peer that was or is processed.
    fn last_processed(&self) -> u32 {
        match self.config.role {
            Role::Server => self.ending.last,
            Role::Client => 0,
        }
    }

    /// Sends GOAWAY with this code as the last frame, and ignores further input.
    pub fn abort(&mut self, code: ErrorCode) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            let last = self.last_processed();
            write::go_away(self.output.end(), last, code);
        }
    }

    /// Whether the connection has come to its end: a graceful end is announced and no stream is
    /// left, or it was aborted.
    pub fn is_over(&self) -> bool {
        let ends = self.ending.own == Own::Final
            || self.config.role == Role::Client && self.ending.peer_last.is_some();
        self.phase == Phase::Ended || ends && self.streams.len() == 0
    }

    /// Sends a PING, whose answer is [`Event::Pong`].
    pub fn ping(&mut self) {
        if self.phase != Phase::Ended {
            self.ending.is_pinging = true;
            write::ping(self.output.end(), PING, false);
        }
    }

    /// The answer to a PING.
    pub(super) fn pong<'i>(&mut self, payload: [u8; 8]) -> Outcome<'i> {
        match payload {
            END_PING if self.ending.own == Own::Announced => {
                self.finish_announcement();
                Ok(None)
            }
            PING if self.ending.is_pinging => {
                self.ending.is_pinging = false;
                Ok(Some(Event::Pong))
            }
            _ => {
                self.spend(cost::FRAME)?;
                Ok(None)
            }
        }
    }

    pub(super) fn go_away_received<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let Some((&[a, b, c, d, code @ ..], _debug)) = payload.split_first_chunk::<8>() else {
            return Err(WRONG_SIZE);
        };
        if head.stream != 0 {
            return Err(protocol_error("GOAWAY on a stream"));
        }
        self.spend(cost::FRAME)?;
        let last = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        // A peer must not raise it.
        let last = self.ending.peer_last.map_or(last, |earlier| earlier.min(last));
        self.ending.peer_last = Some(last);
        self.ending.has_unprocessed = self.config.role == Role::Client;
        Ok(Some(Event::GoAway { code: ErrorCode(u32::from_be_bytes(code)) }))
    }

    /// The next stream that the peer's GOAWAY excludes.
    #[inline]
    pub(super) fn next_unprocessed<'i>(&mut self) -> Option<Event<'i>> {
        if self.ending.has_unprocessed { self.report_unprocessed() } else { None }
    }

    #[cold]
    fn report_unprocessed<'i>(&mut self) -> Option<Event<'i>> {
        let last = self.ending.peer_last.unwrap_or(LAST_STREAM);
        let mut streams = self.streams.iter();
        let found = streams.find(|(_, stream)| stream.id > last && !stream.state.is_closed());
        let Some(slot) = found.map(|(slot, _)| slot) else {
            self.ending.has_unprocessed = false;
            return None;
        };
        drop(streams);
        self.close(slot, Cause::ByPeer);
        let (stream, code) = (self.streams.name(slot), ErrorCode::REFUSED_STREAM);
        Some(Event::Reset { stream, code, unprocessed: true, fault: None })
    }
}

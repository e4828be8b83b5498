//! Frames that carry no message: settings, windows, pings, resets, priorities.

use super::receive::{Outcome, protocol_error};
use super::{Connection, Event, Role};
use crate::h2::dependency::Dependency;
use crate::h2::error::{ConnectionError, ErrorCode, Fault};
use crate::h2::frame::payload::{self, WRONG_SIZE};
use crate::h2::frame::{FrameHead, flag, write};
use crate::h2::limits::{self, cost};
use crate::h2::priority::Priority;
use crate::h2::settings::{self, Change, id};
use crate::h2::stream::{Cause, State, Wait};

use super::receive::Phase;

impl Connection {
    pub(super) fn settings<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        if head.stream != 0 {
            return Err(protocol_error("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            return self.settings_acknowledged(payload);
        }
        if self.phase == Phase::Settings {
            self.phase = Phase::Frames;
            self.peer.max_streams = u32::MAX;
        } else {
            self.spend(cost::SETTINGS)?;
        }
        let window = self.peer.window;
        let peer = match self.config.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        for (setting, value) in settings::parse(payload)? {
            match self.peer.set(peer, setting, value)? {
                Change::HeaderTable(size) => self.encoder.set_peer_limit(size),
                Change::Urgencies => self.order.use_urgencies(&mut self.streams),
                Change::None => {}
            }
        }
        let change = i64::from(self.peer.window) - i64::from(window);
        if change != 0 {
            self.change_windows(change)?;
        }
        write::settings_ack(self.output.end());
        Ok(None)
    }

    /// Allows the peer larger frames from now on (SETTINGS_MAX_FRAME_SIZE, up to 2^24-1), and tells
    /// it. A smaller size changes nothing.
    pub fn announce_frame_size(&mut self, size: u32) {
        if size > self.config.max_frame && self.phase != Phase::Ended {
            self.config.max_frame = size;
            write::settings(self.output.end(), [(id::MAX_FRAME_SIZE, size)]);
        }
    }

    /// Adjusts what may be sent on each stream (RFC 9113 section 6.9.2).
    fn change_windows(&mut self, by: i64) -> Result<(), ConnectionError> {
        for slot in self.streams.slots() {
            let stream = &mut self.streams[slot];
            if stream.id == 0 {
                continue;
            }
            stream.send.change(by).map_err(|_| OVERFLOW)?;
            if stream.wait == Wait::Window && stream.send.available() > 0 {
                self.order.push(&mut self.streams, slot);
            }
        }
        Ok(())
    }

    fn settings_acknowledged<'i>(&mut self, payload: &[u8]) -> Outcome<'i> {
        if !payload.is_empty() {
            return Err(WRONG_SIZE);
        }
        if self.is_acknowledged {
            self.spend(cost::FRAME)?;
            return Ok(None);
        }
        self.is_acknowledged = true;
        Ok(None)
    }

    pub(super) fn window_update<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let increment = payload::number(payload)? & 0x7fff_ffff;
        self.spend(cost::FRAME)?;
        if head.stream == 0 {
            if increment == 0 {
                return Err(protocol_error("an increment of the connection's window is zero"));
            }
            let is_small = increment < limits::SMALL_INCREMENT;
            if is_small && self.send_window.available() == 0 && !self.order.is_empty() {
                self.spend(cost::POINTLESS)?;
            }
            self.send_window.change(i64::from(increment)).map_err(|_| OVERFLOW)?;
            return Ok(None);
        }
        let Some(slot) = self.streams.find(head.stream) else {
            return self.past_or_idle(head.stream, "WINDOW_UPDATE on an idle stream");
        };
        let stream = &mut self.streams[slot];
        if stream.state.is_closed() {
            return Ok(None);
        }
        if increment == 0 {
            return self.fault(slot, ErrorCode::PROTOCOL_ERROR, NO_INCREMENT);
        }
        if stream.send.change(i64::from(increment)).is_err() {
            return self.fault(slot, ErrorCode::FLOW_CONTROL_ERROR, FLOW);
        }
        if stream.wait == Wait::Window && stream.send.available() > 0 {
            self.order.push(&mut self.streams, slot);
            if increment < limits::SMALL_INCREMENT {
                self.spend(cost::POINTLESS)?;
            }
        }
        Ok(None)
    }

    /// A frame for a stream that is not in the table.
    fn past_or_idle<'i>(&self, id: u32, reason: &'static str) -> Outcome<'i> {
        if self.is_idle(id) { Err(protocol_error(reason)) } else { Ok(None) }
    }

    pub(super) fn reset_by_peer<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let code = ErrorCode(payload::number(payload)?);
        if head.stream == 0 {
            return Err(protocol_error("RST_STREAM on the connection"));
        }
        let Some(slot) = self.streams.find(head.stream) else {
            self.spend(cost::FRAME)?;
            return self.past_or_idle(head.stream, "RST_STREAM on an idle stream");
        };
        let stream = self.streams[slot];
        if stream.state.is_closed() {
            self.spend(cost::FRAME)?;
            return Ok(None);
        }
        self.close(slot, Cause::ByPeer);
        if stream.state.can_send() {
            self.charge_reset(stream.opened)?;
        }
        let unprocessed = self.config.role == Role::Client && code == ErrorCode::REFUSED_STREAM;
        Ok(Some(Event::Reset { stream: self.streams.name(slot), code, unprocessed, fault: None }))
    }

    pub(super) fn ping_received<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let payload: [u8; 8] = payload.try_into().map_err(|_| WRONG_SIZE)?;
        if head.stream != 0 {
            return Err(protocol_error("PING on a stream"));
        }
        if head.has(flag::ACK) {
            return self.pong(payload);
        }
        self.spend(cost::FRAME)?;
        write::ping(self.output.end(), payload, true);
        Ok(None)
    }

    /// PRIORITY of RFC 7540, which RFC 9113 has deprecated. A server heeds it if the client uses
    /// nothing newer.
    pub(super) fn old_priority<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let payload: &[u8; 5] = payload.try_into().map_err(|_| WRONG_SIZE)?;
        if head.stream == 0 {
            return Err(protocol_error("PRIORITY on the connection"));
        }
        let dependency = Dependency::parse(*payload);
        if dependency.on == head.stream {
            return Err(protocol_error("a stream depends on itself"));
        }
        self.spend(cost::PRIORITY)?;
        if self.config.role == Role::Server {
            let idle = self.is_idle(head.stream);
            self.order.depend(&mut self.streams, head.stream, idle, dependency);
        }
        Ok(None)
    }

    /// PRIORITY_UPDATE (RFC 9218 section 7.1).
    pub(super) fn priority_update<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        let (id, value) = payload.split_first_chunk().ok_or(WRONG_SIZE)?;
        let id = u32::from_be_bytes(*id) & 0x7fff_ffff;
        if head.stream != 0 || self.config.role == Role::Client {
            return Err(protocol_error("PRIORITY_UPDATE where it is not allowed"));
        }
        if id.is_multiple_of(2) {
            return Err(protocol_error("PRIORITY_UPDATE for a stream that no client opens"));
        }
        self.spend(cost::FRAME)?;
        let priority = Priority::parse(value);
        self.order.use_urgencies(&mut self.streams);
        if let Some(slot) = self.streams.find(id) {
            self.prioritize(slot, priority);
        } else if self.is_idle(id) {
            self.early.retain(|&(early, _)| early != id);
            if self.early.len() == limits::EARLY_PRIORITIES {
                self.early.remove(0);
            }
            self.early.push((id, priority));
        }
        Ok(None)
    }

    /// Counts a stream that the peer has let fail soon after it opened it.
    pub(super) fn charge_reset(&mut self, opened: u64) -> Result<(), ConnectionError> {
        let is_young = self.now.saturating_sub(opened) < limits::YOUNG;
        if self.config.role == Role::Server && is_young && !self.resets.spend(1, self.now) {
            return Err(TOO_MANY_RESETS);
        }
        Ok(())
    }

    /// Ends a stream because of the peer's fault.
    pub(super) fn fault<'i>(&mut self, slot: u32, code: ErrorCode, fault: Fault) -> Outcome<'i> {
        let stream = self.streams[slot];
        debug_assert!(stream.state != State::Closed(Cause::ByThisSide));
        self.write_reset(stream.id, code);
        self.close(slot, Cause::ByThisSide);
        if stream.state.can_send() {
            self.charge_reset(stream.opened)?;
        }
        let (stream, unprocessed, fault) = (self.streams.name(slot), false, Some(fault));
        Ok(Some(Event::Reset { stream, code, unprocessed, fault }))
    }
}

/// The peer has sent, or allowed, more than a window can have.
pub(super) const FLOW: Fault = Fault("violated flow control for");

const NO_INCREMENT: Fault = Fault("sent WINDOW_UPDATE frame with window increment 0 for");

const OVERFLOW: ConnectionError =
    ConnectionError { code: ErrorCode::FLOW_CONTROL_ERROR, reason: "a window exceeds 2^31-1" };

const TOO_MANY_RESETS: ConnectionError = ConnectionError {
    code: ErrorCode::ENHANCE_YOUR_CALM,
    reason: "too many streams were reset or refused",
};

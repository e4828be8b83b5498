//! Flow control of what the peer sends.

use super::Connection;
use super::receive::Phase;
use crate::h2::frame::write;
use crate::h2::stream::Slot;
use crate::h2::stream::StreamId;

impl Connection {
    /// Declares received bytes of a stream's body as consumed, so that the peer may send as many
    /// again.
    pub fn release(&mut self, stream: StreamId, bytes: usize) {
        let Some(slot) = self.streams.get(stream) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let released = self.streams[slot].receive.release(bytes);
        self.receive_window.release(released);
        self.grant_stream(slot);
        self.grant_connection();
    }

    /// Sets the receive window that a stream is to have whenever nothing is unread.
    pub fn set_stream_window(&mut self, stream: StreamId, bytes: u32) {
        let Some(slot) = self.streams.get(stream) else { return };
        self.streams[slot].receive.set_target(bytes);
        self.grant_stream(slot);
    }

    fn grant_stream(&mut self, slot: Slot) {
        let stream = &mut self.streams[slot];
        if stream.state.can_receive()
            && self.phase != Phase::Ended
            && let Some(increment) = stream.receive.grant()
        {
            write::window_update(self.output.end(), stream.id, increment);
        }
    }

    pub(super) fn grant_connection(&mut self) {
        if self.phase != Phase::Ended
            && let Some(increment) = self.receive_window.grant()
        {
            write::window_update(self.output.end(), 0, increment);
        }
    }
}

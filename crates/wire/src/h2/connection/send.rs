//! Messages of this side.

use super::receive::Phase;
use super::{Connection, Role};
use crate::h2::frame::{HEAD, write};
use crate::h2::hpack::BlockWriter;
use crate::h2::limits;
use crate::h2::priority::Priority;
use crate::h2::stream::StreamId;
use crate::h2::stream::{Slot, Stream, Wait};
use crate::h2::window::{ReceiveWindow, SendWindow};

impl Connection {
    /// Whether the peer accepts another stream now (client).
    pub fn can_open(&self) -> bool {
        let most = self.peer.max_streams.min(self.config.max_streams);
        self.config.role == Role::Client
            && self.streams.open() < most as usize
            && self.can_open_ever()
    }

    /// Whether the peer's settings are known.
    pub fn knows_settings(&self) -> bool {
        self.phase == Phase::Frames
    }

    /// Opens a stream with a request's head (client). Allowed if [`Connection::can_open`].
    pub fn open(&mut self, end: bool, head: impl FnOnce(&mut BlockWriter<'_>)) -> StreamId {
        debug_assert!(self.can_open());
        let id = self.ending.next_stream();
        self.closed.open(id);
        let target = self.config.stream_window;
        // The server has the settings before the head.
        let receive = ReceiveWindow::new(target, target);
        let send = SendWindow::new(self.peer.window);
        let slot = self.streams.insert(Stream::new(id, send, receive, self.now));
        self.write_head(slot, end, head);
        StreamId { id, slot }
    }

    /// Sends a response's head, an interim one, or trailers (with `end`). Ignored if the stream has
    /// been reset.
    pub fn send_head(
        &mut self,
        stream: StreamId,
        end: bool,
        head: impl FnOnce(&mut BlockWriter<'_>),
    ) {
        if let Some(slot) = self.sender(stream) {
            self.write_head(slot, end, head);
        }
    }

    /// The slot of a stream on which this side may send.
    fn sender(&mut self, stream: StreamId) -> Option<Slot> {
        let slot = self.streams.get(stream)?;
        (self.streams[slot].state.can_send() && self.phase != Phase::Ended).then_some(slot)
    }

    fn write_head(&mut self, slot: Slot, end: bool, head: impl FnOnce(&mut BlockWriter<'_>)) {
        let (id, most) = (self.streams[slot].id, self.peer.max_frame as usize);
        let encoder = &mut self.encoder;
        write::headers(self.output.end(), id, end, most, |out| head(&mut encoder.block(out)));
        if end {
            self.end_message(slot);
        }
    }

    /// Notes that END_STREAM was written.
    fn end_message(&mut self, slot: Slot) {
        self.stop_waiting(slot);
        self.streams.set_state(slot, self.streams[slot].state.end_local());
    }

    /// The number of body bytes that can be sent now: what both windows, the limit of the
    /// output and the turns of other streams leave. If 0, the stream is noted, and
    /// [`Connection::poll_writable`] returns it once it can send.
    pub fn room(&mut self, stream: StreamId) -> usize {
        let Some(slot) = self.sender(stream) else { return 0 };
        let stream = &self.streams[slot];
        let window = stream.send.available();
        if window == 0 {
            self.stop_waiting(slot);
            self.streams[slot].wait = Wait::Window;
            return 0;
        }
        let others_wait = self.order.is_before(stream);
        if stream.wait == Wait::Queue || others_wait && stream.wait != Wait::Turn {
            return self.wait_in_queue(slot);
        }
        let most = if others_wait { limits::TURN } else { usize::MAX };
        let free = self.bodies_in(self.unpromised(u32::from(stream.wait == Wait::Turn)));
        let room = window.min(self.send_window.available()).min(free).min(most);
        if room == 0 {
            return self.wait_in_queue(slot);
        }
        room
    }

    /// The number of free bytes in the output beside what others have been told they can have;
    /// `own` of these turns is that of who asks.
    fn unpromised(&self, own: u32) -> usize {
        let promised = self.turns.saturating_sub(own) as usize * limits::TURN;
        limits::OUTPUT_LIMIT.saturating_sub(self.output.len() + promised)
    }

    /// Whether the windows of the stream and of the connection let this side send.
    pub fn has_window(&self, stream: StreamId) -> bool {
        let stream = self.streams.get(stream).map(|slot| &self.streams[slot]);
        stream.is_some_and(|stream| stream.send.available() > 0) && self.has_connection_window()
    }

    /// Whether the window of the connection lets this side send.
    pub fn has_connection_window(&self) -> bool {
        self.send_window.available() > 0
    }

    /// How many bytes of bodies make up so many bytes of output, with the heads of frames.
    fn bodies_in(&self, output: usize) -> usize {
        let chunk = self.config.chunk as usize;
        if chunk < limits::SMALL_CHUNK { output / (chunk + HEAD) * chunk } else { output }
    }

    fn wait_in_queue(&mut self, slot: Slot) -> usize {
        if self.streams[slot].wait != Wait::Queue {
            self.stop_waiting(slot);
            self.order.push(&mut self.streams, slot);
        }
        0
    }

    /// Sends bytes of the body, at most [`Connection::room`].
    pub fn send_data(&mut self, stream: StreamId, bytes: &[u8], end: bool) {
        let Some(slot) = self.sender(stream) else { return };
        let most = self.config.chunk.min(self.peer.max_frame) as usize;
        write::data(self.output.end(), stream.id, bytes, end, most);
        self.send_window.take(bytes.len());
        let stream = &mut self.streams[slot];
        stream.send.take(bytes.len());
        // Who asks for small pieces by small windows earns nothing by them.
        let has_window = u32::from(stream.send.available() > 0);
        self.overhead.earn(has_window + bytes.len() as u32 / 1024);
        if end {
            self.end_message(slot);
        } else if stream.wait == Wait::Turn {
            self.stop_waiting(slot);
        }
    }

    /// The next stream, in the order of priorities, that waited for room and has some
    /// now. To be asked after input and after output was sent, until there is none.
    pub fn poll_writable(&mut self) -> Option<StreamId> {
        // Only who was told before the last round of questions may still be about to send.
        if std::mem::take(&mut self.is_told) && self.output.len() == 0 {
            self.turns = 0;
        }
        let can_send = self.send_window.available() > 0 && self.phase != Phase::Ended;
        if self.unpromised(0) >= limits::TURN && can_send && !self.awaits_told() {
            while let Some(slot) = self.order.pop(&mut self.streams) {
                let stream = &mut self.streams[slot];
                if stream.send.available() > 0 {
                    stream.wait = Wait::Turn;
                    self.turns += 1;
                    self.told = Some(self.streams.name(slot));
                    return self.told;
                }
                // A setting has taken its window away while it waited.
                stream.wait = Wait::Window;
            }
        }
        self.is_told = true;
        None
    }

    /// Whether all that wait come after the stream that was told last, which has not sent yet.
    fn awaits_told(&self) -> bool {
        let slot = self.told.filter(|_| self.turns > 0).and_then(|told| self.streams.get(told));
        slot.map(|slot| &self.streams[slot])
            .is_some_and(|stream| stream.wait == Wait::Turn && !self.order.shares(stream))
    }

    /// Removes a stream from those that wait or have been told to send.
    pub(super) fn stop_waiting(&mut self, slot: Slot) {
        self.order.remove(&mut self.streams, slot);
        let wait = &mut self.streams[slot].wait;
        self.turns -= u32::from(*wait == Wait::Turn && self.turns > 0);
        *wait = Wait::No;
    }

    /// Sets the priority of a stream from a `Priority` field (RFC 9218 section 4). PRIORITY_UPDATE
    /// frames are heeded by the connection itself.
    pub fn set_priority(&mut self, stream: StreamId, value: &[u8]) {
        if let Some(slot) = self.streams.get(stream) {
            self.order.use_urgencies(&mut self.streams);
            self.prioritize(slot, Priority::parse(value));
        }
    }

    pub(super) fn prioritize(&mut self, slot: Slot, priority: Priority) {
        let waits = self.streams[slot].wait == Wait::Queue;
        self.order.remove(&mut self.streams, slot);
        self.streams[slot].priority = priority;
        if waits {
            self.order.push(&mut self.streams, slot);
        }
    }
}

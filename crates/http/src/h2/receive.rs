//! What a peer has sent, given to the streams that it concerns.

use std::rc::Rc;

use weir_engine::clock;
use weir_wire::h2::{ConnectionError, ErrorCode, Event, FRAME_HEAD as HEAD, Fault, Role, StreamId};

use super::driver::Begun;
use super::entry::{self, MOST_HEADS};
use super::link::State;
use super::{Ended, Link, Stream};

/// Beyond [`MOST_HEADS`].
const TOO_MANY_HEADS: Fault = Fault("sent too many interim responses on");

impl Link {
    /// Processes `input` from `used` on, up to a request. Moves `used`; everything is used if there
    /// is none.
    ///
    /// # Errors
    /// The peer's fault, which has ended the connection.
    pub(super) fn take_in(
        self: &Rc<Self>,
        input: &[u8],
        used: &mut usize,
    ) -> Result<Option<Begun>, ConnectionError> {
        let state = &mut *self.state.borrow_mut();
        let now = clock::now().millis();
        let mut rest = &input[*used..];
        let begun = loop {
            let event = match state.writer().receive(&mut rest, now) {
                Ok(event) => event,
                Err(fault) => {
                    *used = input.len();
                    return Err(fault);
                }
            };
            match event {
                None => break None,
                Some(Event::Head { stream, ended, length }) => {
                    if state.machine.role() == Role::Server {
                        break Some((stream, ended, length));
                    }
                    state.response(stream, ended, length);
                }
                Some(Event::Data { stream, bytes, framing, ended }) => {
                    state.data(stream, bytes, framing, ended);
                }
                Some(other) => state.control(other),
            }
        };
        *used = input.len() - rest.len();
        Ok(begun.map(|(id, ended, length)| {
            state.begin(id, ended);
            let spare = state.spare();
            let fields = std::mem::replace(state.machine.fields(), spare);
            Begun { stream: Stream::new(Rc::clone(self), id), fields, ended, length }
        }))
    }
}

impl State {
    /// A part of a body.
    fn data(&mut self, stream: StreamId, bytes: &[u8], framing: u32, ended: bool) {
        let Some(entry) = self.entry(stream) else { return };
        entry.raw += bytes.len() as u64 + u64::from(framing);
        if !bytes.is_empty() {
            entry.put(bytes);
        }
        entry.ended |= ended;
        entry::wake(&mut entry.reader);
    }

    /// The head of a response.
    fn response(&mut self, stream: StreamId, ended: bool, length: u32) {
        let spare = self.spare();
        let fields = std::mem::replace(self.machine.fields(), spare);
        match self.entry(stream) {
            Some(entry) if entry.heads.len() < MOST_HEADS => {
                entry.raw += HEAD as u64 + u64::from(length);
                entry.heads.push_back((fields, ended));
                entry.ended |= ended;
                entry::wake(&mut entry.reader);
            }
            Some(entry) => {
                let code = ErrorCode::ENHANCE_YOUR_CALM;
                let fault = Some(TOO_MANY_HEADS);
                entry.fail(Ended::Reset { code, unprocessed: false, fault });
                self.machine.reset(stream, code);
            }
            None => {}
        }
    }

    /// Anything but heads and bodies.
    fn control(&mut self, event: Event<'_>) {
        match event {
            Event::Trailers { stream, length } => {
                let spare = self.spare();
                let fields = std::mem::replace(self.machine.fields(), spare);
                if let Some(entry) = self.entry(stream) {
                    entry.raw += HEAD as u64 + u64::from(length);
                    entry.trailers = Some(fields);
                    entry.ended = true;
                    entry::wake(&mut entry.reader);
                }
            }
            Event::Reset { stream, code, unprocessed, fault } => {
                if let Some(entry) = self.entry(stream) {
                    entry.fail(Ended::Reset { code, unprocessed, fault });
                }
            }
            Event::GoAway { code } => {
                self.goaway = Some(code);
                self.leaving = true;
            }
            Event::Pong => self.pong = true,
            Event::Head { .. } | Event::Data { .. } => {}
        }
    }
}

//! One end of a connection: frames out, frames in with their fields decoded.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::time::{Duration, Instant};

use httlib_hpack::Decoder;

use super::fields;
use super::frame::{Frame, flag, frame_kind as kind};
use super::wire::Wire;
use crate::harness::PATIENCE;

/// Fields in order.
pub(crate) type Fields = Vec<(String, String)>;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole block of fields, and whether the stream ends with it.
    Fields { stream: u32, fields: Fields, end: bool },
    /// DATA without its padding.
    Data { stream: u32, bytes: Vec<u8>, end: bool },
    /// RST_STREAM.
    Reset { stream: u32, code: u32 },
    /// GOAWAY.
    GoAway { last: u32, code: u32 },
    /// The other side's settings.
    Settings(Vec<(u16, u32)>),
    /// The acknowledgement of ours.
    SettingsAck,
    /// The payload of an acknowledged PING.
    PingAck(Vec<u8>),
    /// PING, which has been answered.
    Ping,
    /// More of a window; stream 0 is the connection.
    Window { stream: u32, increment: u32 },
    /// Any other frame.
    Other(Frame),
}

/// One end of a connection.
pub(crate) struct Peer {
    pub(super) wire: Wire,
    buffer: VecDeque<u8>,
    decoder: Decoder<'static>,
    /// The block being received: its stream, and whether the stream ends with it.
    block: Option<(u32, bool, Vec<u8>)>,
    patience: Duration,
    /// Whether SETTINGS and PING are acknowledged without being told to.
    pub(crate) is_polite: bool,
    /// Whether windows are refilled by what DATA has taken.
    pub(crate) refills: bool,
    /// The names of received fields that no table may keep, in order.
    pub(crate) marked: Vec<String>,
}

impl Peer {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            buffer: VecDeque::new(),
            decoder: Decoder::default(),
            block: None,
            patience: PATIENCE,
            is_polite: true,
            refills: true,
            marked: Vec::new(),
        }
    }

    /// Sends bytes; false if the other side does not take them any more.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> bool {
        self.wire.write(bytes).is_ok()
    }

    /// Sends a frame; false if the other side does not take it any more.
    pub(crate) fn frame(&mut self, frame: &Frame) -> bool {
        self.raw(&frame.bytes())
    }

    /// Sends frames in one piece.
    pub(crate) fn frames(&mut self, frames: &[Frame]) -> bool {
        self.raw(&frames.iter().flat_map(Frame::bytes).collect::<Vec<_>>())
    }

    /// Sends a block of fields.
    pub(crate) fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        end: bool,
    ) -> bool {
        let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
        self.frame(&Frame::new(kind::HEADERS, flags, stream, fields::literals(fields)))
    }

    /// Ends this side's direction and drops what still comes.
    #[allow(dead_code, reason = "used by the comparison")]
    pub(crate) fn finish(&mut self) {
        let _ = self.wire.socket().shutdown(std::net::Shutdown::Write);
        while self.next_frame().is_ok() {}
    }

    /// The next frame as it came.
    pub(crate) fn next_frame(&mut self) -> Result<Frame> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some((frame, length)) = Frame::parse(self.buffer.make_contiguous()) {
                self.buffer.drain(..length);
                return Ok(frame);
            }
            self.receive(deadline)?;
        }
    }

    /// Takes so many bytes as they come.
    pub(crate) fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        let deadline = Instant::now() + self.patience;
        while self.buffer.len() < count {
            self.receive(deadline)?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn receive(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.wire.set_patience(left)?;
        let mut piece = [0; 64 * 1024];
        match self.wire.read(&mut piece) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.buffer.extend(&piece[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next event; fragments of a block are joined.
    pub(crate) fn event(&mut self) -> Result<Event> {
        loop {
            let frame = self.next_frame()?;
            if let Some(event) = self.understand(frame)? {
                return Ok(event);
            }
        }
    }

    fn understand(&mut self, frame: Frame) -> Result<Option<Event>> {
        let stream = frame.stream;
        Ok(Some(match frame.kind {
            kind::HEADERS | kind::CONTINUATION => return self.fragment(&frame),
            kind::DATA => {
                self.refill(&frame);
                let bytes = frame.content().to_vec();
                Event::Data { stream, bytes, end: frame.has(flag::END_STREAM) }
            }
            kind::RST_STREAM => Event::Reset { stream, code: frame.number_at(0) },
            kind::GOAWAY => Event::GoAway { last: frame.number_at(0), code: frame.number_at(4) },
            kind::WINDOW_UPDATE => Event::Window { stream, increment: frame.number_at(0) },
            kind::SETTINGS if frame.has(flag::ACK) => Event::SettingsAck,
            kind::SETTINGS => {
                if self.is_polite {
                    self.frame(&Frame::new(kind::SETTINGS, flag::ACK, 0, []));
                }
                Event::Settings(frame.pairs())
            }
            kind::PING if frame.has(flag::ACK) => Event::PingAck(frame.payload),
            kind::PING => {
                if self.is_polite {
                    self.frame(&Frame::new(kind::PING, flag::ACK, 0, frame.payload));
                }
                Event::Ping
            }
            _ => Event::Other(frame),
        }))
    }

    fn fragment(&mut self, frame: &Frame) -> Result<Option<Event>> {
        let (stream, end, mut block) = match self.block.take() {
            None => (frame.stream, frame.has(flag::END_STREAM), Vec::new()),
            Some(begun) => begun,
        };
        block.extend_from_slice(match frame.kind {
            kind::HEADERS => frame.content(),
            _ => &frame.payload,
        });
        if !frame.has(flag::END_HEADERS) {
            self.block = Some((stream, end, block));
            return Ok(None);
        }
        let mut fields = Vec::new();
        let decoded = self.decoder.decode(&mut block, &mut fields);
        decoded.map_err(|error| Error::other(format!("the block: {error:?}")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let marked = fields.iter().filter(|(_, _, flags)| flags & Decoder::NEVER_INDEXED != 0);
        self.marked.extend(marked.map(|(name, ..)| text(name)));
        let fields = fields.iter().map(|(name, value, _)| (text(name), text(value))).collect();
        Ok(Some(Event::Fields { stream, fields, end }))
    }

    fn refill(&mut self, frame: &Frame) {
        let length = frame.payload.len() as u32;
        if !self.refills || length == 0 {
            return;
        }
        let mut frames = vec![Frame::window(0, length)];
        if !frame.has(flag::END_STREAM) {
            frames.push(Frame::window(frame.stream, length));
        }
        self.frames(&frames);
    }

    /// Waits for an event that `wanted` turns into a value, and drops the others.
    #[track_caller]
    pub(crate) fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let mut others = Vec::new();
        loop {
            match self.event() {
                Ok(event) => match wanted(&event) {
                    Some(value) => return value,
                    None => others.push(short(&event)),
                },
                Err(error) => panic!("{what}: {error}; before: {others:?}"),
            }
        }
    }

    /// Whether the other side has ended the connection, whatever it sent before.
    #[track_caller]
    pub(crate) fn is_ended(&mut self) -> bool {
        loop {
            match self.next_frame() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return false,
                Err(_) => return true,
            }
        }
    }
}

/// An event for messages, without long data.
fn short(event: &Event) -> String {
    match event {
        Event::Data { stream, bytes, end } => {
            format!("Data {{ stream: {stream}, {} bytes, end: {end} }}", bytes.len())
        }
        event => format!("{event:?}"),
    }
}

//! A watch over the bytes of one side: whether what it sends is allowed by what it has received.

use std::collections::HashMap;

use crate::h2::frame::{FrameHead, HEAD, flag, kind};
use crate::h2::{PREFACE, Role};

/// What a side may send.
#[derive(Debug)]
pub(crate) struct Watch {
    role: Role,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The window of the connection.
    window: i64,
    /// The window of new streams.
    initial: i64,
    max_frame: u32,
    /// What the peer has said about streams, and what was sent on them.
    streams: HashMap<u32, Stream>,
    /// The stream of a header block that has not ended.
    block: Option<u32>,
    /// The number of settings and pings that may be answered.
    settings: usize,
    pings: usize,
    /// The last stream of GOAWAY.
    last: u32,
}

#[derive(Debug)]
struct Stream {
    window: i64,
    /// Whether this side has ended it or reset it.
    is_ended: bool,
    is_reset: bool,
}

impl Watch {
    /// A watch over a side. Its preface, and its peer's, are part of the bytes.
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            input: Vec::new(),
            output: Vec::new(),
            window: 65_535,
            initial: 65_535,
            max_frame: 16_384,
            streams: HashMap::new(),
            block: None,
            settings: 0,
            pings: 0,
            last: u32::MAX,
        }
    }

    /// The side has processed bytes.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut at = skip_preface(&input, self.role == Role::Server);
        while let Some((head, payload, next)) = frame(&input, at) {
            self.take_in(head, payload);
            at = next;
        }
        // The preface stays until the first frame has come.
        if at > PREFACE.len() || self.role == Role::Client {
            input.drain(..at);
            if self.role == Role::Server {
                input.splice(..0, PREFACE.iter().copied());
            }
        }
        self.input = input;
    }

    fn take_in(&mut self, head: FrameHead, payload: &[u8]) {
        match head.kind {
            kind::SETTINGS if head.flags & flag::ACK == 0 => {
                self.settings += 1;
                for setting in payload.chunks_exact(6) {
                    let value =
                        u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                    self.set(u16::from_be_bytes([setting[0], setting[1]]), value);
                }
            }
            kind::PING if head.flags & flag::ACK == 0 => self.pings += 1,
            kind::WINDOW_UPDATE if payload.len() == 4 => {
                let number = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                let increment = i64::from(number & 0x7fff_ffff);
                if head.stream == 0 {
                    self.window += increment;
                } else if let Some(stream) = self.streams.get_mut(&head.stream) {
                    stream.window += increment;
                }
            }
            kind::HEADERS if self.role == Role::Server => self.begin(head.stream),
            _ => {}
        }
    }

    fn set(&mut self, id: u16, value: u32) {
        match id {
            4 => {
                let change = i64::from(value) - self.initial;
                self.streams.values_mut().for_each(|stream| stream.window += change);
                self.initial = i64::from(value);
            }
            // Other values end the connection.
            5 if (1 << 14..1 << 24).contains(&value) => self.max_frame = value,
            _ => {}
        }
    }

    fn begin(&mut self, id: u32) {
        let new = Stream { window: self.initial, is_ended: false, is_reset: false };
        self.streams.entry(id).or_insert(new);
    }

    /// The side has put bytes into its output.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        let output = std::mem::take(&mut self.output);
        let mut at = skip_preface(&output, self.role == Role::Client);
        let begin = at;
        while let Some((head, payload, next)) = frame(&output, at) {
            self.check(head, payload);
            at = next;
        }
        self.output = output;
        if at > begin {
            let kept = if self.role == Role::Client { PREFACE } else { &[] };
            self.output.splice(..at, kept.iter().copied());
        }
    }

    fn check(&mut self, head: FrameHead, payload: &[u8]) {
        assert!(head.length <= self.max_frame, "{head:?}");
        if let Some(stream) = self.block {
            assert_eq!((head.kind, head.stream), (kind::CONTINUATION, stream));
        }
        match head.kind {
            kind::DATA => {
                self.check_stream(head);
                let length = i64::from(head.length);
                self.window -= length;
                let stream = self.streams.get_mut(&head.stream);
                let left = stream.map(|stream| {
                    stream.window -= length;
                    stream.window
                });
                assert!(length == 0 || self.window >= 0, "the connection's window");
                assert!(length == 0 || left >= Some(0), "the window of {head:?}");
            }
            kind::HEADERS | kind::CONTINUATION => {
                if head.kind == kind::HEADERS {
                    if self.role == Role::Client {
                        self.begin(head.stream);
                    }
                    self.check_stream(head);
                }
                let ends = head.flags & flag::END_HEADERS != 0;
                self.block = (!ends).then_some(head.stream);
            }
            kind::RST_STREAM => {
                let stream = self.streams.get_mut(&head.stream);
                let was_reset = stream.map(|stream| std::mem::replace(&mut stream.is_reset, true));
                assert_eq!(was_reset, Some(false), "{head:?}");
            }
            kind::WINDOW_UPDATE => assert!(payload != [0; 4]),
            _ => self.check_control(head, payload),
        }
    }

    fn check_control(&mut self, head: FrameHead, payload: &[u8]) {
        assert_eq!(head.stream, 0);
        match (head.kind, head.flags) {
            (kind::SETTINGS, flag::ACK) => {
                assert!(self.settings > 0, "an acknowledgement of nothing");
                self.settings -= 1;
            }
            (kind::PING, flag::ACK) => {
                assert!(self.pings > 0, "an answer to nothing");
                self.pings -= 1;
            }
            (kind::GOAWAY, 0) => {
                let last = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                assert!(last <= self.last, "GOAWAY rises from {} to {last}", self.last);
                self.last = last;
            }
            (kind::SETTINGS | kind::PING, 0) => {}
            _ => panic!("{head:?}"),
        }
    }

    /// A message goes on.
    fn check_stream(&mut self, head: FrameHead) {
        let stream = self.streams.get_mut(&head.stream);
        let Some(stream) = stream else { panic!("{head:?} on an idle stream") };
        assert!(!stream.is_ended && !stream.is_reset, "{head:?} after the end");
        stream.is_ended = head.flags & flag::END_STREAM != 0;
    }
}

/// Where frames begin.
fn skip_preface(bytes: &[u8], has_preface: bool) -> usize {
    if has_preface && bytes.starts_with(PREFACE) { PREFACE.len() } else { 0 }
}

/// The frame at an offset, and the offset behind it, if it is complete.
fn frame(bytes: &[u8], at: usize) -> Option<(FrameHead, &[u8], usize)> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<HEAD>()?;
    let head = FrameHead::parse(head);
    let payload = rest.get(..head.length as usize)?;
    Some((head, payload, at + HEAD + payload.len()))
}

//! Frames: the pieces that a link carries.
//!
//! ```text
//!   1 byte              3 bytes        0 to 16,384 bytes
//!   [ more | kind ]     length         content
//! ```
//!
//! Numbers are big-endian. The highest bit of the first byte says that the message goes on in a
//! later frame of this kind; frames of other kinds may come between.

use std::fmt;

/// The largest content of a frame in bytes: it fits one record of TLS.
pub const LARGEST: usize = 16 * 1024;

/// The bytes before the content.
pub const HEAD: usize = 4;

const MORE: u8 = 0x80;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The first frame of each side: a [`Hello`](super::hello::Hello).
    Hello,
    /// The end of the link, with the reason as text.
    Bye,
    /// The node's status, which also shows that it is alive.
    Status,
    /// The wish to join or to leave.
    Wish,
    /// The answer to a wish.
    Answer,
    /// A message of a class.
    Message(Class),
}

/// The classes of messages, each with a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Configurations: large and seldom.
    Config,
    /// Records of the shared state.
    State,
    /// Counters: small and often. The sender can leave them out, or send a sum later.
    Counters,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Counters, Self::State, Self::Config];

    /// The largest message in bytes.
    pub const fn largest(self) -> usize {
        match self {
            Self::Config => 64 * 1024 * 1024,
            Self::State => 4 * 1024 * 1024,
            Self::Counters => 256 * 1024,
        }
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Bye => 2,
            Self::Status => 3,
            Self::Wish => 4,
            Self::Answer => 5,
            Self::Message(Class::Config) => 16,
            Self::Message(Class::State) => 17,
            Self::Message(Class::Counters) => 18,
        }
    }

    const fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Bye,
            3 => Self::Status,
            4 => Self::Wish,
            5 => Self::Answer,
            16 => Self::Message(Class::Config),
            17 => Self::Message(Class::State),
            18 => Self::Message(Class::Counters),
            _ => return None,
        })
    }
}

/// A frame, with its content in the decoder's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Whether the message goes on.
    pub more: bool,
    /// Its content.
    pub content: &'a [u8],
}

/// A frame that no partner of this version sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The kind is unknown.
    Kind(u8),
    /// The content is too long.
    Length(usize),
    /// A message that goes on with nothing.
    Empty,
    /// A message is too long.
    Message(usize),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(number) => write!(f, "a frame of unknown kind {number}"),
            Self::Length(length) => write!(f, "a frame of {length} bytes, {LARGEST} are allowed"),
            Self::Empty => f.write_str("an empty frame in a message"),
            Self::Message(largest) => write!(f, "a message of more than {largest} bytes"),
        }
    }
}

/// Appends a frame. `content` is at most [`LARGEST`] bytes.
pub fn put(out: &mut Vec<u8>, kind: Kind, more: bool, content: &[u8]) {
    debug_assert!(content.len() <= LARGEST);
    let [_, a, b, c] = (content.len() as u32).to_be_bytes();
    out.extend_from_slice(&[kind.number() | if more { MORE } else { 0 }, a, b, c]);
    out.extend_from_slice(content);
}

/// Splits received bytes into frames. It holds less than one frame besides the bytes received last.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// The buffer to receive into; bytes are appended.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        &mut self.bytes
    }

    /// The bytes that are not taken yet.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// The partner does not keep to the protocol; nothing after this can be read.
    pub fn take(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let waiting = &self.bytes[self.taken..];
        let Some((head, rest)) = waiting.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [first, a, b, c] = *head;
        let number = first & !MORE;
        let kind = Kind::of(number).ok_or(FrameError::Kind(number))?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > LARGEST {
            return Err(FrameError::Length(length));
        }
        let more = first & MORE != 0;
        if more && length == 0 {
            return Err(FrameError::Empty);
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        self.taken += HEAD + length;
        Ok(Some(Frame { kind, more, content }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], piece: usize) -> Result<Vec<(Kind, bool, Vec<u8>)>, FrameError> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.room().extend_from_slice(piece);
            while let Some(frame) = decoder.take()? {
                frames.push((frame.kind, frame.more, frame.content.to_vec()));
            }
            assert!(decoder.waiting() < HEAD + LARGEST);
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_read_in_pieces_of_any_size() {
        let kinds = [
            Kind::Hello,
            Kind::Bye,
            Kind::Status,
            Kind::Message(Class::Config),
            Kind::Message(Class::State),
            Kind::Message(Class::Counters),
        ];
        let mut bytes = Vec::new();
        let mut wanted = Vec::new();
        for (at, kind) in kinds.into_iter().enumerate() {
            let content = vec![at as u8; [0, 1, 255, 256, 1000, LARGEST][at]];
            let more = at % 2 == 1;
            put(&mut bytes, kind, more, &content);
            wanted.push((kind, more, content));
        }
        for piece in [1, 3, 4096, bytes.len()] {
            assert_eq!(all(&bytes, piece).unwrap(), wanted);
        }
    }

    #[test]
    fn other_bytes_are_refused_before_they_are_received() {
        assert_eq!(all(b"GET / HTTP/1.1\r\n", 4), Err(FrameError::Kind(b'G')));
        assert_eq!(all(&[22, 3, 1, 2], 4), Err(FrameError::Kind(22)));
        assert_eq!(all(&[17, 0, 0x40, 1], 4), Err(FrameError::Length(LARGEST + 1)));
        assert_eq!(all(&[17, 0xff, 0xff, 0xff], 4), Err(FrameError::Length(0xff_ffff)));
        assert_eq!(all(&[17 | MORE, 0, 0, 0], 4), Err(FrameError::Empty));
        assert_eq!(all(&[17, 0, 0, 0], 4).unwrap().len(), 1);
    }
}

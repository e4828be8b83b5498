//! The body of an upstream's response, and its framing.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_wire::h1::{Chunked, Joined};

use super::channel::Channel;
use crate::piece::Piece;

/// The framing of the body.
#[derive(Default)]
pub enum BodyReader {
    /// No body.
    #[default]
    None,
    /// A length; this many bytes are left.
    Length(u64),
    /// Chunks.
    Chunked(Box<Chunked>),
    /// The end of the connection.
    Close,
    /// The end of the stream.
    Stream(StreamBody),
    /// The protocol's own framing.
    Framed(Box<dyn Framed>),
}

/// A body without framing that ends with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBody {
    /// The number of bytes left of the announced length, if there is one.
    pub left: Option<u64>,
    /// Whether the stream has ended, and all its bytes were received.
    pub ended: bool,
}

/// A body in the protocol's own framing.
pub trait Framed {
    /// Takes the bytes of the body out of `input`. Bytes left there after the end make the
    /// connection unusable.
    ///
    /// # Errors
    /// A framing error, which ends the response.
    fn take(&mut self, input: &mut Input) -> Result<Taken, Note>;

    /// The number of content bytes left, if known.
    fn left(&self) -> Option<u64>;

    /// Whether the body is complete, including the framing after the content.
    fn is_done(&self) -> bool;

    /// Whether the connection may end here, and the body with it.
    fn may_close(&self) -> bool {
        false
    }
}

/// The result of taking bytes.
#[derive(Default)]
pub struct Taken {
    /// Bytes of the body.
    pub piece: Option<Piece>,
    /// Whether the body has ended.
    pub ended: bool,
    /// Whether the response breaks off here.
    pub broken: bool,
    /// Messages for the log.
    pub notes: Vec<Note>,
}

/// A message for the error log, to which the operation in progress is added.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// Its level.
    pub level: Level,
    /// In nginx's words.
    pub text: Cow<'static, str>,
}

impl Note {
    /// A static message.
    pub const fn new(level: Level, text: &'static str) -> Self {
        Self { level, text: Cow::Borrowed(text) }
    }
}

impl BodyReader {
    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::None | Self::Length(0))
            || matches!(self, Self::Chunked(chunked) if chunked.is_done())
            || matches!(self, Self::Framed(framed) if framed.is_done())
            || matches!(self, Self::Stream(body) if body.ended && body.is_whole())
    }

    /// Whether a body that begins like this is malformed.
    pub fn is_broken(&self, start: &[u8]) -> bool {
        matches!(self, Self::Chunked(chunked) if chunked.is_broken(start))
    }

    /// Whether the connection may end here, and the body with it.
    pub fn may_close(&self) -> bool {
        matches!(self, Self::Close)
            || matches!(self, Self::Framed(framed) if framed.may_close())
            || matches!(self, Self::Stream(body) if body.is_whole())
    }

    /// Whether a line of the framing is incomplete.
    pub fn is_amid_line(&self) -> bool {
        matches!(self, Self::Chunked(chunked) if chunked.is_amid_line())
    }

    /// The number of content bytes left, if known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
            Self::Framed(framed) => framed.left(),
            Self::Stream(body) => body.left,
        }
    }

    /// The number of bytes to come that are content only, so that the kernel may move them.
    pub fn movable(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            _ => None,
        }
    }

    /// Skips `n` bytes that the kernel has moved.
    pub fn pass_over(&mut self, n: u64) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(n);
        }
    }

    /// Takes the bytes of the body out of `input`. They stay in place, except that chunks are moved
    /// together. Bytes after the body are copied.
    ///
    /// # Errors
    /// A framing error.
    pub fn take(&mut self, input: &mut Input) -> Result<Taken, Note> {
        let start = input.start;
        let (piece, ended, excess) = match self {
            // In answer to HEAD, or with a status without a body: dropped silently.
            Self::None => return Ok(Taken { ended: true, ..Taken::default() }),
            Self::Close => (input.split(start..input.buf.len(), input.buf.len()), false, ""),
            Self::Length(left) => {
                let n = (input.len() as u64).min(*left) as usize;
                *left -= n as u64;
                (input.split(start..start + n, start + n), *left == 0, BEYOND_LENGTH)
            }
            Self::Chunked(chunked) => {
                let Joined { data, used, ended } = chunked
                    .join(&mut input.buf[start..])
                    .map_err(|_| Note::new(Level::Error, INVALID_CHUNKS))?;
                let data = start + data.start..start + data.end;
                (input.split(data, start + used), ended, BEYOND_CHUNKS)
            }
            Self::Framed(framed) => return framed.take(input),
            Self::Stream(body) => return body.take(input),
        };
        let notes = match ended && !input.is_empty() {
            true => vec![Note::new(Level::Warn, excess)],
            false => Vec::new(),
        };
        Ok(Taken { piece, ended, broken: false, notes })
    }
}

impl StreamBody {
    /// Whether nothing of the announced length is left.
    fn is_whole(&self) -> bool {
        self.left.unwrap_or_default() == 0
    }

    fn take(&mut self, input: &mut Input) -> Result<Taken, Note> {
        let received = input.len();
        if let Some(left) = &mut self.left {
            let rest = left.checked_sub(received as u64);
            *left = rest.ok_or(const { Note::new(Level::Error, TOO_MUCH) })?;
        }
        let piece = input.take_front(received, 0);
        let broken = self.ended && !self.is_whole();
        let notes = match broken {
            true => vec![Note::new(Level::Error, STREAM_CUT)],
            false => Vec::new(),
        };
        Ok(Taken { piece, ended: self.ended && !broken, broken, notes })
    }
}

const TOO_MUCH: &str = "upstream sent response body larger than indicated content length";
pub(super) const STREAM_CUT: &str = "upstream prematurely closed stream";

/// nginx's message for invalid chunks.
pub(super) const INVALID_CHUNKS: &str = "upstream sent invalid chunked response";
const BEYOND_CHUNKS: &str = "upstream sent data after final chunk";
const BEYOND_LENGTH: &str = "upstream sent more data than specified in \"Content-Length\" header";

/// Bytes received from an upstream that have not been taken yet.
#[derive(Default)]
pub struct Input {
    /// The bytes, preceded by those already taken.
    pub buf: Buf,
    start: usize,
}

impl Input {
    /// The bytes left.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// The number of bytes left.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the bytes, and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.start = 0;
    }

    /// Skips the first `n` bytes, which must be there.
    pub fn skip(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.is_empty() {
            self.clear();
        }
    }

    /// All bytes left, at the start of a buffer.
    pub fn take(&mut self) -> Buf {
        buffer::drop_front(&mut self.buf, std::mem::take(&mut self.start));
        std::mem::take(&mut self.buf)
    }

    /// Receives more, up to `most` bytes in all.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        channel: &mut Channel,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let room = most.saturating_sub(self.len()).max(1);
        channel.poll_fill(cx, &mut self.buf, room)
    }

    /// The bytes left, so that their framing can be removed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..]
    }

    /// Takes `part` of the bytes left as a piece, and skips those up to `used`.
    pub fn take_part(&mut self, part: Range<usize>, used: usize) -> Option<Piece> {
        let start = self.start;
        self.split(start + part.start..start + part.end, start + used)
    }

    /// Takes the first `n` bytes as a piece, and skips the `behind` bytes after them. All of them
    /// must be there.
    pub fn take_front(&mut self, n: usize, behind: usize) -> Option<Piece> {
        let end = self.start + n;
        self.split(self.start..end, end + behind)
    }

    /// Takes `part` of the buffer, and leaves the bytes from `rest` on.
    fn split(&mut self, part: Range<usize>, rest: usize) -> Option<Piece> {
        if part.is_empty() {
            self.skip(rest - self.start);
            return None;
        }
        let mut behind = Buf::default();
        if rest < self.buf.len() {
            behind = buffer::take(self.buf.len() - rest);
            behind.extend_from_slice(&self.buf[rest..]);
        }
        self.start = 0;
        let mut buf = std::mem::replace(&mut self.buf, behind);
        // More bytes can then be appended to the piece.
        buf.truncate(part.end);
        Some(Piece::Buf(buf, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input {
        let mut input = Input::default();
        input.buf.extend_from_slice(bytes);
        input
    }

    fn text(piece: &Option<Piece>) -> &[u8] {
        piece.as_ref().and_then(Piece::bytes).unwrap_or_default()
    }

    #[test]
    fn a_body_after_a_head_is_not_copied() {
        let mut input = input(b"head\nbody");
        input.skip(5);
        let place = input.bytes().as_ptr();
        let Taken { piece, ended, .. } = BodyReader::Length(4).take(&mut input).unwrap();
        assert!(ended && input.is_empty());
        assert_eq!((text(&piece), text(&piece).as_ptr()), (&b"body"[..], place));
    }

    #[test]
    fn bytes_after_the_body_are_left() {
        let mut input = input(b"headbodymore");
        input.skip(4);
        let mut reader = BodyReader::Length(4);
        let Taken { piece, ended, .. } = reader.take(&mut input).unwrap();
        assert_eq!((text(&piece), ended, input.bytes()), (&b"body"[..], true, &b"more"[..]));
        assert_eq!(input.take().as_slice(), b"more");
    }

    #[test]
    fn a_body_without_end_takes_everything() {
        let mut one = input(b"ab");
        let mut reader = BodyReader::Length(3);
        let Taken { piece, ended, .. } = reader.take(&mut one).unwrap();
        assert_eq!((text(&piece), ended, reader.left()), (&b"ab"[..], false, Some(1)));
        let Taken { piece, ended, .. } = BodyReader::Close.take(&mut input(b"xyz")).unwrap();
        assert_eq!((text(&piece), ended), (&b"xyz"[..], false));
        let Taken { piece, ended, .. } = BodyReader::None.take(&mut one).unwrap();
        assert!(piece.is_none() && ended);
    }

    #[test]
    fn chunks_are_joined_in_place() {
        let mut reader = BodyReader::Chunked(Box::default());
        let mut one = input(b"head3\r\nabc\r\n4;x=y\r\ndefg\r\n2\r\nh");
        one.skip(4);
        let Taken { piece, ended, .. } = reader.take(&mut one).unwrap();
        assert_eq!((text(&piece), ended), (&b"abcdefgh"[..], false));
        assert!(one.is_empty());
        let Taken { piece, ended, .. } = reader.take(&mut input(b"i\r\n")).unwrap();
        assert_eq!((text(&piece), ended), (&b"i"[..], false));
        let mut last = input(b"0\r\n\r\nmore");
        let Taken { piece, ended, .. } = reader.take(&mut last).unwrap();
        assert!(piece.is_none() && ended && reader.is_done());
        assert_eq!(last.bytes(), b"more");
        let mut reader = BodyReader::Chunked(Box::default());
        assert!(!reader.is_broken(b"3\r\nabc\r\n0\r\n\r\nmore") && !reader.is_broken(b""));
        assert!(reader.is_broken(b"3\r\nabc\r\nzz\r\n") && !BodyReader::Close.is_broken(b"zz\r\n"));
        assert!(reader.take(&mut input(b"zz\r\n")).is_err());
    }
}

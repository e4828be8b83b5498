//! The body of an upstream's response: where it ends.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_wire::h1::{ChunkError, Chunked, Step};

use super::channel::Channel;
use crate::piece::Piece;

/// How the body is framed.
#[derive(Default)]
pub enum BodyReader {
    /// There is none.
    #[default]
    None,
    /// By its length: so many bytes more.
    Length(u64),
    /// By chunks, up to the last one.
    Chunked(Box<Chunked>),
    /// By the end of the connection.
    Close,
    /// In a way of the protocol's own.
    Framed(Box<dyn Framed>),
}

/// A body in a framing of its protocol's own.
pub trait Framed {
    /// Takes what belongs to the body out of `input`. Bytes that are left there behind the end
    /// make the connection useless.
    ///
    /// # Errors
    /// What breaks the framing: the response breaks off there.
    fn take(&mut self, input: &mut Input) -> Result<Taken, Note>;

    /// How many bytes of content are still to come, when that is known.
    fn left(&self) -> Option<u64>;

    /// Whether everything has come, what stands behind the content included.
    fn is_done(&self) -> bool;
}

/// What was taken out of received bytes.
#[derive(Default)]
pub struct Taken {
    /// Bytes of the body.
    pub piece: Option<Piece>,
    /// Whether the body has ended.
    pub ended: bool,
    /// What the log is to say.
    pub note: Option<Note>,
}

/// A line for the error log, without what was being done.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// How grave it is.
    pub level: Level,
    /// In nginx's words.
    pub text: Cow<'static, str>,
}

impl Note {
    /// A line of the program text.
    pub const fn new(level: Level, text: &'static str) -> Self {
        Self { level, text: Cow::Borrowed(text) }
    }
}

impl BodyReader {
    /// Whether nothing more belongs to the body.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::None | Self::Length(0))
            || matches!(self, Self::Chunked(chunked) if chunked.is_done())
            || matches!(self, Self::Framed(framed) if framed.is_done())
    }

    /// Whether a body that begins like this cannot be one.
    pub fn is_broken(&self, start: &[u8]) -> bool {
        let Self::Chunked(decoder) = self else { return false };
        let (mut decoder, mut at) = (decoder.clone(), 0);
        loop {
            match decoder.decode(&start[at..]) {
                Ok(Step::Data(range)) => at += range.end,
                Ok(Step::NeedMore | Step::End { .. }) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Whether what frames the body has begun and not ended.
    pub fn is_amid_line(&self) -> bool {
        matches!(self, Self::Chunked(chunked) if chunked.is_amid_line())
    }

    /// How many bytes of content are still to come, when that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
            Self::Framed(framed) => framed.left(),
        }
    }

    /// How many of the bytes to come are content and nothing else, so that the kernel may move
    /// them.
    pub fn movable(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            _ => None,
        }
    }

    /// `n` movable bytes have gone another way.
    pub fn pass_over(&mut self, n: u64) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(n);
        }
    }

    /// Takes what belongs to the body out of `input`. The bytes stay where they are; only what does
    /// not belong to the body is copied, and what stands behind a chunk's size.
    ///
    /// # Errors
    /// What breaks the framing.
    pub fn take(&mut self, input: &mut Input) -> Result<Taken, Note> {
        let start = input.start;
        let (piece, ended, excess) = match self {
            // In answer to HEAD, or behind a status that has none: dropped without a word.
            Self::None => return Ok(Taken { ended: true, ..Taken::default() }),
            Self::Close => (input.split(start..input.buf.len(), input.buf.len()), false, ""),
            Self::Length(left) => {
                let n = (input.len() as u64).min(*left) as usize;
                *left -= n as u64;
                (input.split(start..start + n, start + n), *left == 0, BEYOND_LENGTH)
            }
            Self::Chunked(chunked) => {
                let (data, used, ended) = dechunk(chunked, &mut input.buf, start)
                    .map_err(|_| Note::new(Level::Error, INVALID_CHUNKS))?;
                (input.split(data, used), ended, BEYOND_CHUNKS)
            }
            Self::Framed(framed) => return framed.take(input),
        };
        let note = (ended && !input.is_empty()).then(|| Note::new(Level::Warn, excess));
        Ok(Taken { piece, ended, note })
    }
}

/// The words for chunks that are none.
pub(super) const INVALID_CHUNKS: &str = "upstream sent invalid chunked response";
const BEYOND_CHUNKS: &str = "upstream sent data after final chunk";
const BEYOND_LENGTH: &str = "upstream sent more data than specified in \"Content-Length\" header";

/// Moves the data of chunks together; where it lies then, where what was looked at ends, and
/// whether the body has ended. The first stretch of data stays where it is.
fn dechunk(
    decoder: &mut Chunked,
    buf: &mut [u8],
    start: usize,
) -> Result<(Range<usize>, usize, bool), ChunkError> {
    let mut data = start..start;
    let mut used = start;
    loop {
        match decoder.decode(&buf[used..])? {
            Step::Data(range) => {
                let found = used + range.start..used + range.end;
                used = found.end;
                if data.is_empty() {
                    data = found;
                } else {
                    let end = data.end + found.len();
                    buf.copy_within(found, data.end);
                    data.end = end;
                }
            }
            Step::NeedMore => return Ok((data, buf.len(), false)),
            Step::End { consumed } => return Ok((data, used + consumed, true)),
        }
    }
}

/// What an upstream has sent and nobody has taken yet.
#[derive(Default)]
pub struct Input {
    /// The bytes, with those before them that have been taken.
    pub buf: Buf,
    start: usize,
}

impl Input {
    /// The bytes that wait.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what waits, and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.start = 0;
    }

    /// Passes over the first `n` bytes, which must be there.
    pub fn skip(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n;
        if self.is_empty() {
            self.clear();
        }
    }

    /// All that waits, in a buffer that begins with it.
    pub fn take(&mut self) -> Buf {
        buffer::drop_front(&mut self.buf, std::mem::take(&mut self.start));
        std::mem::take(&mut self.buf)
    }

    /// Receives until there are `most` bytes at most.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        channel: &mut Channel,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let room = most.saturating_sub(self.len()).max(1);
        channel.poll_fill(cx, &mut self.buf, room)
    }

    /// Takes the first `n` bytes out as a piece, and passes over the `behind` bytes that follow.
    /// All of them must be there.
    pub fn take_front(&mut self, n: usize, behind: usize) -> Option<Piece> {
        let end = self.start + n;
        self.split(self.start..end, end + behind)
    }

    /// Takes `part` of the buffer out and leaves what stands at `rest` and behind it.
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
        // What follows the piece may be written behind it.
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
    fn a_body_behind_a_head_stays_where_it_is() {
        let mut input = input(b"head\nbody");
        input.skip(5);
        let place = input.bytes().as_ptr();
        let Taken { piece, ended, .. } = BodyReader::Length(4).take(&mut input).unwrap();
        assert!(ended && input.is_empty());
        assert_eq!((text(&piece), text(&piece).as_ptr()), (&b"body"[..], place));
    }

    #[test]
    fn what_is_behind_the_body_is_left() {
        let mut input = input(b"headbodymore");
        input.skip(4);
        let mut reader = BodyReader::Length(4);
        let Taken { piece, ended, .. } = reader.take(&mut input).unwrap();
        assert_eq!((text(&piece), ended, input.bytes()), (&b"body"[..], true, &b"more"[..]));
        assert_eq!(input.take().as_slice(), b"more");
    }

    #[test]
    fn a_body_that_goes_on_takes_all() {
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

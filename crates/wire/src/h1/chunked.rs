//! The chunked coding (RFC 9112 section 7.1).

use std::ops::Range;

use super::field::{self, is_token};
use crate::header::{Headers, Known, is_control};
use crate::uri::hex_digit;

/// The limit of one chunk-size line with its extensions, and of all size lines beyond the size of
/// their data, in bytes. nginx has no limit; a longer line serves only to cause load.
pub(crate) const SIZE_LINE_MAX: u32 = 16 * 1024;

/// Size lines up to this length are not weighed against their data: the longest plain size.
const SIZE_LINE_FREE: u32 = 16;

/// The limit of all trailer lines together in bytes: the default limit of a request's header.
pub(crate) const TRAILERS_MAX: u32 = 32 * 1024;

/// The largest chunk: as in nginx, sixteen times its size still fits a file offset.
const CHUNK_MAX: u64 = i64::MAX as u64 / 16;

/// Sizes with at most this many digits exceed no limit.
const USUAL_DIGITS: usize = 8;

/// The end of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A violation of the coding; the connection cannot be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// Wrong syntax.
    Syntax,
    /// A chunk size over [`CHUNK_MAX`].
    Size,
    /// Size lines over [`SIZE_LINE_MAX`].
    Extension,
    /// Trailers over [`TRAILERS_MAX`].
    Trailers,
}

/// The result of [`Chunked::join`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Where the data lies now.
    pub data: Range<usize>,
    /// The number of bytes consumed.
    pub used: usize,
    /// Whether the body has ended. The bytes behind it belong to the next message.
    pub ended: bool,
}

/// A result of [`Chunked::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A range of data in the input. The input is consumed up to its end; continue after it.
    Data(Range<usize>),
    /// The whole input is consumed; the body continues.
    NeedMore,
    /// The end of the body; the rest of the input belongs to the next message.
    End {
        /// The number of bytes consumed.
        consumed: usize,
    },
}

/// ```text
/// Start ─▶ Size ─┬▶ Extension ─▶ SizeLf ─▶ Data ─▶ DataCr ─▶ DataLf ─▶ Start
///                └─────(size 0)──▶ SizeLf ─▶ Trailer ─┬▶ EndLf ─▶ Done
///                                     ▲ TrailerLf ◀── TrailerLine
///
/// Extension:  NameStart ─▶ Name ─▶ ValueStart ─┬▶ Value
///                 ▲ (;)                        └▶ Quoted ◀─▶ Escaped ─▶ QuotedEnd
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Size,
    Extension(Part),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLine,
    TrailerLf,
    EndLf,
    Done,
}

/// A part of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    Escaped,
    QuotedEnd,
}

/// A decoder of chunked bodies, strict about the grammar: CRLF everywhere, hex digits only,
/// extensions without blanks, trailers that are fields.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    state: State,
    /// Bytes of the chunk still to come.
    left: u64,
    /// The length of the current size line, or of the trailers, in bytes.
    line: u32,
    /// Bytes of size lines beyond the size of their data.
    excess: u32,
    trailer: Vec<u8>,
}

impl Chunked {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the current chunk still to come: with the body so far, a lower bound of its size
    /// that is known in advance.
    pub fn chunk_left(&self) -> u64 {
        self.left
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a size line or the trailers are incomplete: single bytes of these are no progress of
    /// the body.
    pub fn is_amid_line(&self) -> bool {
        !matches!(self.state, State::Start | State::Data | State::DataCr | State::Done)
    }

    /// Decodes as much of `bytes` as possible, and moves the data of chunks together. That of the
    /// first chunk stays in place.
    pub fn join(&mut self, bytes: &mut [u8]) -> Result<Joined, ChunkError> {
        let (mut data, mut used) = (0..0, 0);
        loop {
            match self.decode(&bytes[used..])? {
                Step::Data(range) => {
                    let found = used + range.start..used + range.end;
                    used = found.end;
                    if data.is_empty() {
                        data = found;
                    } else {
                        let end = data.end + found.len();
                        bytes.copy_within(found, data.end);
                        data.end = end;
                    }
                }
                Step::NeedMore => return Ok(Joined { data, used: bytes.len(), ended: false }),
                Step::End { consumed } => {
                    return Ok(Joined { data, used: used + consumed, ended: true });
                }
            }
        }
    }

    /// Whether a body that goes on like this is malformed.
    pub fn is_broken(&self, next: &[u8]) -> bool {
        let (mut decoder, mut at) = (self.clone(), 0);
        loop {
            match decoder.decode(&next[at..]) {
                Ok(Step::Data(range)) => at += range.end,
                Ok(Step::NeedMore | Step::End { .. }) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Decodes the next part of the body.
    fn decode(&mut self, input: &[u8]) -> Result<Step, ChunkError> {
        let mut at = self.usual(input);
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data => {
                    let has = (input.len() - at) as u64;
                    let take = has.min(self.left);
                    self.left -= take;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data(at..at + take as usize));
                }
                State::Done => break,
                State::TrailerLine => {
                    at = self.trailer_line(input, at)?;
                    continue;
                }
                State::Extension(part) => self.extension(part, byte)?,
                State::Start | State::Size => self.size(byte)?,
                _ => self.delimiter(byte)?,
            }
            at += 1;
        }
        match self.state {
            State::Done => Ok(Step::End { consumed: at }),
            _ => Ok(Step::NeedMore),
        }
    }

    /// The fast path: a complete and plain size line between two pieces of data, or the end of the
    /// body. Other input goes through the states.
    #[inline]
    fn usual(&mut self, input: &[u8]) -> usize {
        let start = match (self.state, input) {
            (State::DataCr, [b'\r', b'\n', ..]) => 2,
            (State::Start, _) => 0,
            _ => return 0,
        };
        let line = &input[start..];
        let (mut size, mut digits) = (0, 0);
        while let Some(digit) = line.get(digits).and_then(|&byte| hex_digit(byte)) {
            size = size << 4 | u64::from(digit);
            digits += 1;
            if digits > USUAL_DIGITS {
                return 0;
            }
        }
        let used = match &line[digits..] {
            [b'\r', b'\n', ..] if size > 0 => {
                (self.state, self.left) = (State::Data, size);
                digits + 2
            }
            [b'\r', b'\n', b'\r', b'\n', ..] if digits > 0 => {
                (self.state, self.left) = (State::Done, 0);
                digits + 4
            }
            _ => return 0,
        };
        self.line = 0;
        start + used
    }

    fn size(&mut self, byte: u8) -> Result<(), ChunkError> {
        if self.state == State::Start {
            self.left = 0;
            self.line = 0;
        }
        self.count(1, SIZE_LINE_MAX, ChunkError::Extension)?;
        if self.left > CHUNK_MAX {
            return Err(ChunkError::Size);
        }
        if let Some(digit) = (byte as char).to_digit(16) {
            self.left = self.left * 16 + u64::from(digit);
            self.state = State::Size;
            return Ok(());
        }
        self.state = match (self.state, byte) {
            (State::Size, b'\r') => State::SizeLf,
            (State::Size, b';') => State::Extension(Part::NameStart),
            _ => return Err(ChunkError::Syntax),
        };
        Ok(())
    }

    /// One byte of an extension (RFC 9112 section 7.1.1, without its "bad whitespace").
    fn extension(&mut self, part: Part, byte: u8) -> Result<(), ChunkError> {
        self.count(1, SIZE_LINE_MAX, ChunkError::Extension)?;
        let next = match (part, byte) {
            (Part::Name | Part::Value | Part::QuotedEnd, b'\r') => {
                self.state = State::SizeLf;
                return Ok(());
            }
            (Part::Name | Part::Value | Part::QuotedEnd, b';') => Part::NameStart,
            (Part::NameStart | Part::Name, byte) if is_token(byte) => Part::Name,
            (Part::Name, b'=') => Part::ValueStart,
            (Part::ValueStart, b'"') => Part::Quoted,
            (Part::ValueStart | Part::Value, byte) if is_token(byte) => Part::Value,
            (Part::Quoted, b'"') => Part::QuotedEnd,
            (Part::Quoted, b'\\') => Part::Escaped,
            (Part::Quoted | Part::Escaped, byte) if !is_control(byte) => Part::Quoted,
            _ => return Err(ChunkError::Syntax),
        };
        self.state = State::Extension(next);
        Ok(())
    }

    /// Weighs a complete size line: many chunks must not carry much more than their data.
    fn weigh_line(&mut self) -> Result<(), ChunkError> {
        // Lines that the fast path may take count nothing here, since most of them skip this check.
        if self.line > SIZE_LINE_FREE {
            let worth = u32::try_from(self.left).unwrap_or(u32::MAX);
            self.excess = self.excess.saturating_add(self.line).saturating_sub(worth);
        }
        if self.excess > SIZE_LINE_MAX { Err(ChunkError::Extension) } else { Ok(()) }
    }

    /// The states that expect one byte of a line end.
    fn delimiter(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::SizeLf, b'\n') if self.left > 0 => {
                self.weigh_line()?;
                State::Data
            }
            (State::SizeLf, b'\n') => {
                self.line = 0;
                State::Trailer
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::Trailer, b'\r') => State::EndLf,
            (State::Trailer, b'\n') => return Err(ChunkError::Syntax),
            (State::Trailer, _) => {
                self.count(1, TRAILERS_MAX, ChunkError::Trailers)?;
                self.trailer.push(byte);
                State::TrailerLine
            }
            (State::TrailerLf, b'\n') => {
                self.trailer.push(b'\n');
                State::Trailer
            }
            (State::EndLf, b'\n') => {
                self.check_trailers()?;
                State::Done
            }
            _ => return Err(ChunkError::Syntax),
        };
        Ok(())
    }

    /// Consumes a trailer line up to its CR; returns the offset after the consumed bytes.
    fn trailer_line(&mut self, input: &[u8], at: usize) -> Result<usize, ChunkError> {
        let found = memchr::memchr2(b'\r', b'\n', &input[at..]);
        let end = found.map_or(input.len(), |n| at + n);
        self.count(end - at, TRAILERS_MAX, ChunkError::Trailers)?;
        self.trailer.extend_from_slice(&input[at..end]);
        match input.get(end) {
            None => Ok(end),
            Some(b'\r') => {
                self.state = State::TrailerLf;
                Ok(end + 1)
            }
            Some(_) => Err(ChunkError::Syntax),
        }
    }

    fn count(&mut self, bytes: usize, max: u32, error: ChunkError) -> Result<(), ChunkError> {
        self.line = self.line.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.line > max { Err(error) } else { Ok(()) }
    }

    fn trailer_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.trailer.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
    }

    /// Checks that every trailer line is a field.
    fn check_trailers(&self) -> Result<(), ChunkError> {
        let is_field = |line| field::parse(line, true).is_ok_and(|field| !field.invalid);
        if self.trailer_lines().all(is_field) { Ok(()) } else { Err(ChunkError::Syntax) }
    }

    /// Whether a trailer, mistaken for a field of the head, would change the framing or the host.
    pub fn has_framing_trailer(&self) -> bool {
        const FRAMING: [Known; 3] = [Known::ContentLength, Known::TransferEncoding, Known::Host];
        self.trailer_lines().any(|line| {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            FRAMING.contains(&Known::from_name(name))
        })
    }

    /// Appends the trailers to `into`, except forbidden ones (RFC 9110 section 6.5.1: framing,
    /// routing, content). A bad line is an error.
    pub fn trailers(&self, into: &mut Headers) -> Result<(), ChunkError> {
        for line in self.trailer_lines() {
            let field = field::parse(line, true).map_err(|_| ChunkError::Syntax)?;
            let name = &line[..field.name_end];
            let known = Known::from_name(name);
            if !Known::NOT_IN_TRAILERS.contains(known) {
                into.push_known(known, name, &line[field.value_start..field.value_end]);
            }
        }
        Ok(())
    }
}

/// The line before a chunk of `size` bytes; empty for size 0, which would end the body. `\r\n`
/// follows the data.
pub fn chunk_head(size: usize) -> ChunkHead {
    let mut head = ChunkHead { bytes: [0; 18], start: 18 };
    if size == 0 {
        return head;
    }
    head.bytes[16..].copy_from_slice(b"\r\n");
    let mut left = size;
    for (place, byte) in head.bytes[..16].iter_mut().enumerate().rev() {
        *byte = b"0123456789abcdef"[left & 15];
        left >>= 4;
        if left == 0 {
            head.start = place as u8;
            break;
        }
    }
    head
}

/// A chunk-size line; it dereferences to a slice.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    /// The line occupies the end of the array.
    bytes: [u8; 18],
    start: u8,
}

impl std::ops::Deref for ChunkHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;

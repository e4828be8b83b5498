//! Decoding the records of a response.

use std::ops::Range;

use super::{END_REQUEST, HEADER, REQUEST_ID, RecordError, STDERR, STDOUT, VERSION};

/// A part of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A range of the response, not empty.
    Stdout(Range<usize>),
    /// A range of messages, not empty.
    Stderr(Range<usize>),
    /// The end of the response: an empty STDOUT record, of which more may follow.
    Closed,
    /// The header of END_REQUEST.
    EndRequest,
    /// The end of END_REQUEST. Bytes behind it belong to no request.
    Done,
}

/// ```text
/// Header ─▶ Content ─▶ Padding ─┬▶ Header
///                               └─(END_REQUEST)──▶ Done
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    Content,
    Padding,
    Done,
}

/// A decoder of records, which may be split anywhere. It holds nothing but the current header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    state: State,
    /// The header as far as it was received.
    header: [u8; HEADER],
    /// The number of bytes of `header`.
    filled: usize,
    /// Bytes of the content still to come.
    left: usize,
    /// Bytes of the padding still to come.
    padding: usize,
}

impl Records {
    /// A decoder at the start of a response.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether END_REQUEST was received as a whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the header or the content of a record is incomplete.
    pub fn is_amid_record(&self) -> bool {
        match self.state {
            State::Header => self.filled > 0,
            State::Content => true,
            State::Padding | State::Done => false,
        }
    }

    /// Decodes up to the next part, and sets `at` behind it. None if `input` has no other part; it
    /// is then used up, unless the response is done.
    ///
    /// # Errors
    /// A record that is refused.
    pub fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Part>, RecordError> {
        loop {
            match self.state {
                State::Header => {
                    if self.filled == 0
                        && let Some(header) = input[*at..].first_chunk()
                        && is_valid(header)
                    {
                        self.header = *header;
                        self.filled = HEADER;
                        *at += HEADER;
                    }
                    while self.filled < HEADER {
                        let Some(&byte) = input.get(*at) else { return Ok(None) };
                        self.take_header(byte)?;
                        *at += 1;
                    }
                    if let Some(part) = self.begin() {
                        return Ok(Some(part));
                    }
                }
                State::Content => {
                    let start = *at;
                    let end = input.len().min(start + self.left);
                    if start == end {
                        return Ok(None);
                    }
                    *at = end;
                    self.consume(end - start);
                    match self.kind() {
                        STDOUT => return Ok(Some(Part::Stdout(start..end))),
                        STDERR => return Ok(Some(Part::Stderr(start..end))),
                        _ => {}
                    }
                }
                State::Padding => {
                    let skipped = self.padding.min(input.len() - *at);
                    *at += skipped;
                    self.padding -= skipped;
                    if self.padding > 0 {
                        return Ok(None);
                    }
                    self.filled = 0;
                    if self.kind() == END_REQUEST {
                        self.state = State::Done;
                        return Ok(Some(Part::Done));
                    }
                    self.state = State::Header;
                }
                State::Done => return Ok(None),
            }
        }
    }

    /// Gives back the last `count` bytes of the STDOUT content that was returned last. They are to
    /// be decoded again.
    pub fn give_back(&mut self, count: usize) {
        if count > 0 {
            self.left += count;
            self.state = State::Content;
        }
    }

    fn kind(&self) -> u8 {
        self.header[1]
    }

    /// Takes a byte of a header.
    fn take_header(&mut self, byte: u8) -> Result<(), RecordError> {
        match self.filled {
            0 if byte != VERSION => return Err(RecordError::Version(byte)),
            1 if !matches!(byte, STDOUT | STDERR | END_REQUEST) => {
                return Err(RecordError::Kind(byte));
            }
            2 if byte != 0 => return Err(RecordError::IdHigh(byte)),
            3 if byte != REQUEST_ID => return Err(RecordError::IdLow(byte)),
            _ => {}
        }
        self.header[self.filled] = byte;
        self.filled += 1;
        Ok(())
    }

    /// Begins the record whose header is complete.
    fn begin(&mut self) -> Option<Part> {
        let [_, kind, _, _, high, low, padding, _] = self.header;
        self.left = usize::from(u16::from_be_bytes([high, low]));
        self.padding = usize::from(padding);
        self.state = if self.left == 0 { State::Padding } else { State::Content };
        match kind {
            STDOUT if self.left == 0 => Some(Part::Closed),
            END_REQUEST => Some(Part::EndRequest),
            _ => None,
        }
    }

    /// Counts bytes of the content.
    fn consume(&mut self, count: usize) {
        self.left -= count;
        if self.left == 0 {
            self.state = State::Padding;
        }
    }
}

/// Whether a header is complete and valid, as most are when they come in one piece.
fn is_valid(header: &[u8; HEADER]) -> bool {
    let [version, kind, high, low, ..] = *header;
    let is_kind = matches!(kind, STDOUT | STDERR | END_REQUEST);
    version == VERSION && is_kind && high == 0 && low == REQUEST_ID
}

//! A piece of a response body on its way through the filters to the client.

use std::ops::Range;
use std::rc::Rc;

use weir_engine::buffer::Buf;
use weir_engine::file_io::File;

use crate::body::content::Content;

/// Bytes in memory, a range of a file that is read when it is sent, or the place of a subrequest's
/// response.
pub enum Piece {
    /// Static bytes.
    Static(&'static [u8]),
    /// Bytes in a pooled buffer, which is returned to its pool when the piece has been sent.
    Buf(Buf, Range<usize>),
    /// Bytes shared by several responses (an error page's parts, a cached file).
    Shared(Rc<[u8]>, Range<usize>),
    /// Bytes of a request's body.
    Content(Rc<Content>, Range<usize>),
    /// A range of a file, in bytes.
    File(Rc<File>, Range<u64>),
    /// A subrequest whose response belongs here. It never reaches the client's queue, and filters
    /// see it in [`BodyFilter::include`](crate::filter::BodyFilter::include) only.
    Include(Included),
}

/// The number under which a request keeps a subrequest until its place in the response is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Included(pub(crate) u32);

impl Piece {
    /// Copies `bytes` into a pooled buffer.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut buf = weir_engine::buffer::take(bytes.len());
        buf.extend_from_slice(bytes);
        Self::from(buf)
    }

    /// The number of bytes left.
    pub fn len(&self) -> u64 {
        match self {
            Self::Static(bytes) => bytes.len() as u64,
            Self::Buf(_, range) | Self::Shared(_, range) | Self::Content(_, range) => {
                range.len() as u64
            }
            Self::File(_, range) => range.end - range.start,
            Self::Include(_) => 0,
        }
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, unless they are in a file.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Static(bytes) => Some(bytes),
            Self::Buf(buf, range) => Some(&buf[range.clone()]),
            Self::Shared(bytes, range) => Some(&bytes[range.clone()]),
            Self::Content(content, range) => Some(&content.memory[range.clone()]),
            Self::File(..) | Self::Include(_) => None,
        }
    }

    /// Drops the first `n` bytes, which must be there.
    pub fn advance(&mut self, n: u64) {
        debug_assert!(n <= self.len());
        match self {
            Self::Static(bytes) => *bytes = &bytes[n as usize..],
            Self::Buf(_, range) | Self::Shared(_, range) | Self::Content(_, range) => {
                range.start += n as usize;
            }
            Self::File(_, range) => range.start += n,
            Self::Include(_) => {}
        }
    }

    /// Keeps only the first `n` bytes.
    pub fn truncate(&mut self, n: u64) {
        if n >= self.len() {
            return;
        }
        match self {
            Self::Static(bytes) => *bytes = &bytes[..n as usize],
            Self::Buf(_, range) | Self::Shared(_, range) | Self::Content(_, range) => {
                range.end = range.start + n as usize;
            }
            Self::File(_, range) => range.end = range.start + n,
            Self::Include(_) => {}
        }
    }

    /// Extends a range of a file by the one that follows it. Returns whether `next` does.
    pub fn extend(&mut self, next: &Self) -> bool {
        match (self, next) {
            (Self::File(file, range), Self::File(other, next))
                if range.end == next.start && Rc::ptr_eq(file, other) =>
            {
                range.end = next.end;
                true
            }
            _ => false,
        }
    }

    /// Copies the bytes if their buffer is much too large to be held.
    pub fn fitted(self) -> Self {
        match &self {
            Self::Buf(buf, range) if buf.capacity() / 4 >= range.len().max(SMALL_BUFFER) => {
                Self::copy(&buf[range.clone()])
            }
            _ => self,
        }
    }

    /// A range of the piece, which must lie within it. Bytes of a pooled buffer are copied.
    pub fn part(&self, part: Range<u64>) -> Self {
        debug_assert!(part.start <= part.end && part.end <= self.len());
        let (start, end) = (part.start as usize, part.end as usize);
        match self {
            Self::Static(bytes) => Self::Static(&bytes[start..end]),
            Self::Buf(buf, range) => Self::copy(&buf[range.clone()][start..end]),
            Self::Shared(bytes, range) => {
                Self::Shared(Rc::clone(bytes), range.start + start..range.start + end)
            }
            Self::Content(content, range) => {
                Self::Content(Rc::clone(content), range.start + start..range.start + end)
            }
            Self::File(file, range) => {
                Self::File(Rc::clone(file), range.start + part.start..range.start + part.end)
            }
            Self::Include(_) => Self::Static(b""),
        }
    }

    /// Loads a range of a file into memory, at most [`FILE_READ`] bytes; the rest is returned as a
    /// second piece. For filters that need the bytes.
    ///
    /// # Errors
    /// The error of the read; `UnexpectedEof` if the file has become shorter.
    pub fn load(self) -> std::io::Result<(Self, Option<Self>)> {
        self.load_at_most(FILE_READ)
    }

    /// Like [`Piece::load`], with a limit other than [`FILE_READ`]. It must not be 0.
    ///
    /// # Errors
    /// As for [`Piece::load`].
    pub fn load_at_most(self, limit: u64) -> std::io::Result<(Self, Option<Self>)> {
        let Self::File(file, range) = self else { return Ok((self, None)) };
        let want = (range.end - range.start).min(limit) as usize;
        let (buf, loaded) = file.load(range.start, want)?;
        let rest = range.start + want as u64..range.end;
        let rest = (rest.start < rest.end).then_some(Self::File(file, rest));
        Ok((Self::Buf(buf, loaded), rest))
    }
}

/// The maximum length of one file read, in bytes (nginx: `output_buffers 2 32k`).
pub(crate) const FILE_READ: u64 = 32 * 1024;

/// Buffers of less than four times this size are never too large.
const SMALL_BUFFER: usize = 4 * 1024;

impl From<Buf> for Piece {
    fn from(buf: Buf) -> Self {
        let range = 0..buf.len();
        Self::Buf(buf, range)
    }
}

//! MP4 files (ISO/IEC 14496-12): the part of a movie between two times, as a movie of its own.
//!
//! [`Cutter`] finds the atoms of the file and says which bytes to read. Tables of samples are cut
//! in the memory of `moov` (`tables.rs`, `chunks.rs`); then the new head is written (`write.rs`),
//! behind which one range of the file follows:
//!
//! ```text
//!   file    ftyp │ moov (tracks, tables) │ mdat ·········[ samples ]·····
//!   result  ftyp │ moov, shorter │ mdat, shorter │ that range of the file
//! ```
//!
//! Results are those of nginx's mp4 module to the byte, with what it overlooks: samples of one size
//! and compact sizes (`stz2`) cut chunks at their beginning, and edit lists are dropped.

use std::ops::Range;

mod atoms;
mod chunks;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod movie;
mod tables;
#[cfg(test)]
mod tests;
mod track;
mod write;

use atoms::{Atom, Header, header};
pub use error::Error;
use movie::Movie;

/// The maximum length of `ftyp` without its header, in bytes.
const LONGEST_FTYP: u64 = 1024;

/// The bytes that are read at once behind `moov`.
const BEHIND_MOOV: u64 = 4 * 1024;

/// What to cut out of a movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The start, in milliseconds.
    pub start: u64,
    /// The length, in milliseconds; 0 means up to the end.
    pub length: u64,
    /// Whether video starts at the key frame before the start, hidden by an edit list.
    pub key_frame: bool,
}

/// Limits of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The length of a read, unless `moov` is longer.
    pub buffer: u64,
    /// The maximum length of `moov`.
    pub moov: u64,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Read this range of the file, and pass it to [`Cutter::give`].
    Read(Range<u64>),
    /// Send the file as it is.
    Whole,
    /// Send these bytes, and then this range of the file.
    Cut(Vec<u8>, Range<u64>),
}

/// Cuts one file.
#[derive(Debug)]
pub struct Cutter {
    cut: Cut,
    limits: Limits,
    /// The length of the file.
    size: u64,
    /// The place of the next atom in the file.
    at: u64,
    /// A part of the file.
    buffer: Vec<u8>,
    /// The place of `buffer` in the file.
    buffer_at: u64,
    /// The length of the next read, while the file is long enough.
    read: u64,
    ftyp: Option<Vec<u8>>,
    movie: Option<Movie>,
    /// The end of the data in `mdat`.
    data_end: Option<u64>,
}

impl Cutter {
    /// Begins with a file of `size` bytes.
    pub fn new(size: u64, cut: Cut, limits: Limits) -> Self {
        Self {
            cut,
            limits,
            size,
            at: 0,
            buffer: Vec::new(),
            buffer_at: 0,
            read: limits.buffer,
            ftyp: None,
            movie: None,
            data_end: None,
        }
    }

    /// Takes the bytes that [`Step::Read`] has asked for.
    pub fn give(&mut self, bytes: Vec<u8>) {
        self.buffer = bytes;
        self.buffer_at = self.at;
    }

    /// The next step. After one that is not [`Step::Read`], the cutter is done.
    ///
    /// # Errors
    /// The file is broken, or has nothing at these times.
    pub fn step(&mut self) -> Result<Step, Error> {
        while self.at < self.size {
            let atom = match header(self.ahead(), self.size - self.at)? {
                Header::Needs(count) => return self.wants(count).map(Step::Read),
                Header::Ends => break,
                Header::Atom(atom) => atom,
            };
            let (head, body) = (atom.head as u64, atom.body());
            match &atom.name {
                b"ftyp" => self.take_ftyp(&atom)?,
                b"moov" => {
                    if self.data_end.is_none() && self.cut.start == 0 && self.cut.length == 0 {
                        return Ok(Step::Whole);
                    }
                    if let Some(missing) = self.take_moov(head, body)? {
                        return Ok(Step::Read(missing));
                    }
                }
                b"mdat" => self.take_mdat(self.at + head + body)?,
                _ => self.at += atom.size,
            }
        }
        self.end()
    }

    /// The bytes in memory from the next atom on.
    fn ahead(&self) -> &[u8] {
        let behind = self.at - self.buffer_at;
        usize::try_from(behind).ok().and_then(|n| self.buffer.get(n..)).unwrap_or_default()
    }

    /// What to read so that `count` bytes are in memory.
    fn wants(&mut self, count: u64) -> Result<Range<u64>, Error> {
        self.read = self.read.min(self.size - self.at);
        if self.read < count {
            return Err(Error::Truncated);
        }
        Ok(self.at..self.at + self.read)
    }

    fn take_ftyp(&mut self, atom: &Atom) -> Result<(), Error> {
        let body = atom.body();
        let text = usize::try_from(body).ok().filter(|_| body <= LONGEST_FTYP);
        let text = text.and_then(|body| self.ahead().get(atom.head..atom.head + body));
        let text = text.ok_or(Error::FtypTooLarge(body))?.to_vec();
        if self.ftyp.replace(text).is_some() {
            return Err(Error::Duplicate("ftyp"));
        }
        self.at += atom.size;
        Ok(())
    }

    /// Reads `moov`, whose body begins `head` bytes behind the next atom; or tells what to read
    /// before.
    fn take_moov(&mut self, head: u64, body: u64) -> Result<Option<Range<u64>>, Error> {
        if self.movie.is_some() {
            return Err(Error::Duplicate("moov"));
        }
        let length = usize::try_from(body).map_err(|_| Error::MoovTooLarge(body))?;
        let is_first = self.data_end.is_none();
        if self.ahead().len() < head as usize + length {
            if body > self.read.max(self.limits.moov) {
                return Err(Error::MoovTooLarge(body));
            }
            let behind = if is_first { BEHIND_MOOV } else { 0 };
            // Beginning with the header, which is looked at again.
            self.read = self.read.max(head + body + behind);
            return self.wants(head + body).map(Some);
        }
        let start = (self.at - self.buffer_at + head) as usize;
        let mut bytes = std::mem::take(&mut self.buffer);
        let (movie, parsed) = Movie::read(&mut bytes, start..start + length, &self.cut)?;
        let rest = start + parsed;
        self.at += head + parsed as u64;
        (self.buffer_at, self.read) = (self.at, BEHIND_MOOV);
        self.buffer = bytes[rest..bytes.len().min(rest + BEHIND_MOOV as usize)].to_vec();
        bytes.truncate(start + length);
        bytes.shrink_to_fit();
        self.movie = Some(movie.keep(bytes));
        if !is_first {
            self.at = self.size;
        }
        Ok(None)
    }

    fn take_mdat(&mut self, end: u64) -> Result<(), Error> {
        if self.data_end.replace(end).is_some() {
            return Err(Error::Duplicate("mdat"));
        }
        let has_tracks = self.movie.as_ref().is_some_and(|movie| !movie.tracks.is_empty());
        self.at = if has_tracks { self.size } else { end };
        Ok(())
    }

    fn end(&mut self) -> Result<Step, Error> {
        let movie = self.movie.take().filter(|movie| !movie.tracks.is_empty());
        let mut movie = movie.ok_or(Error::In("no mp4 trak atoms were found"))?;
        let end = self.data_end.ok_or(Error::In("no mp4 mdat atom was found"))?;
        let span = movie.cut(&self.cut, self.size, end)?;
        let head = write::head(self.ftyp.as_deref(), &movie, &span);
        Ok(Step::Cut(head, span))
    }
}

//! The format of the index file, version 1, by which a process that starts knows what an earlier
//! one has kept. Numbers are little-endian; times are milliseconds of the writer's monotonic clock
//! unless said otherwise.
//!
//! ```text
//!   0  "WeirIdx\0"   magic
//!   8  u32           version
//!  12  3 × u8, 0     levels of folders
//!  16  u64           length of the snapshot
//!  24  u32           reserved, 0
//!  28  u32           CRC-32 of the bytes before
//!  32  snapshot      blocks with all entries of a moment, those used last first
//!      journal       blocks with what has changed since, the newest last
//!
//!  block:   u32 length of the records, u32 CRC-32 of all that follows and of the length,
//!           u64 time of writing, records
//!  record:  u8 kind
//!           1, 2  16 bytes digest, i64 valid until (seconds since 1970), u64 the same, u64 used,
//!                 u32 size in 4 KiB, 2 × u32 seconds of use while updated and on errors
//!           2     16 bytes variant or key, u8 1 if the digest is a variant's, u16 length, Vary
//!           3     16 bytes digest of an entry without a file
//! ```
//!
//! A record is a hint: the file it is about proves what it holds. So a lost record costs a look at
//! the disk, and an old one a miss.

use std::sync::Arc;

use flate2::Crc;

use super::file::KEY_DIGEST;
use super::key::{Digest, Levels};

/// The length of the header, in bytes.
pub(crate) const HEADER: usize = 32;

/// The length of the head of a block, in bytes.
pub(crate) const BLOCK_HEAD: usize = 16;

/// The length of records from which a block is closed, in bytes.
const FULL_BLOCK: usize = 64 * 1024;

/// The maximum length of the records of a block, in bytes.
const MOST_BLOCK: usize = FULL_BLOCK + LONGEST;

/// The maximum length of a record, in bytes.
const LONGEST: usize = 8 * 1024;

/// The maximum length of a value of `Vary` in a record. The loader finds longer ones.
const LONGEST_VARY: usize = LONGEST - 128;

const MAGIC: &[u8; 8] = b"WeirIdx\0";
const VERSION: u32 = 1;

const KEPT: u8 = 1;
const VARIED: u8 = 2;
const GONE: u8 = 3;

/// Why an index file, or its rest, is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It is no index.
    Magic,
    /// It has another version.
    Version,
    /// The folders have other levels.
    Levels,
    /// A checksum or a length is wrong.
    Sum,
    /// It ends too early.
    Short,
}

impl Damage {
    /// The predicate of a message about the file.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Magic => "is no index",
            Self::Version => "has another version",
            Self::Levels => "is for other levels",
            Self::Sum => "has a wrong checksum",
            Self::Short => "is too short",
        }
    }
}

/// The header of an index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The levels of folders.
    pub(crate) levels: Levels,
    /// The length of the snapshot, in bytes.
    pub(crate) snapshot: u64,
}

impl Header {
    /// Its bytes.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..12 + Levels::MOST].copy_from_slice(&self.levels.to_bytes());
        bytes[16..24].copy_from_slice(&self.snapshot.to_le_bytes());
        let sum = sum(&[&bytes[..28]]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header of a cache with these levels.
    ///
    /// # Errors
    /// The file is of no use for that.
    pub(crate) fn parse(bytes: &[u8; HEADER], levels: Levels) -> Result<Self, Damage> {
        let mut rest = Rest(bytes);
        if rest.array::<8>() != Some(*MAGIC) {
            return Err(Damage::Magic);
        }
        if rest.u32() != Some(VERSION) {
            return Err(Damage::Version);
        }
        if sum(&[&bytes[..28]]).to_le_bytes() != bytes[28..] {
            return Err(Damage::Sum);
        }
        if bytes[12..12 + Levels::MOST] != levels.to_bytes() {
            return Err(Damage::Levels);
        }
        let snapshot = u64::from_le_bytes([16, 17, 18, 19, 20, 21, 22, 23].map(|at| bytes[at]));
        Ok(Self { levels, snapshot })
    }
}

/// An entry with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The digest that names the file.
    pub(crate) digest: Digest,
    /// The last second in which the response is valid, since 1970.
    pub(crate) valid: i64,
    /// The last millisecond in which it is.
    pub(crate) until: u64,
    /// The last use.
    pub(crate) used: u64,
    /// The size of the file in 4 KiB.
    pub(crate) units: u32,
    /// The seconds after its time in which it may be used while it is updated.
    pub(crate) updating: u32,
    /// The same if the upstream fails.
    pub(crate) error: u32,
    /// The variant, if the response has `Vary`.
    pub(crate) varied: Option<NotedVariant>,
}

/// The variant of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotedVariant {
    /// The variant, or if the digest is that, the main key.
    pub(crate) other: Digest,
    /// Whether the digest is that of a variant.
    pub(crate) is_variant: bool,
    /// The value of `Vary`.
    pub(crate) vary: Arc<[u8]>,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// There is a file.
    Kept(Noted),
    /// There is none.
    Gone(Digest),
}

impl Record {
    /// Appends its bytes. Returns whether it could be written.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let noted = match self {
            Self::Gone(digest) => {
                out.push(GONE);
                out.extend_from_slice(&digest.0);
                return true;
            }
            Self::Kept(noted) => noted,
        };
        let vary = noted.varied.as_ref().map_or(&[][..], |varied| &varied.vary);
        if vary.len() > LONGEST_VARY {
            return false;
        }
        out.push(if noted.varied.is_some() { VARIED } else { KEPT });
        out.extend_from_slice(&noted.digest.0);
        out.extend_from_slice(&noted.valid.to_le_bytes());
        for long in [noted.until, noted.used] {
            out.extend_from_slice(&long.to_le_bytes());
        }
        for number in [noted.units, noted.updating, noted.error] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        if let Some(varied) = &noted.varied {
            out.extend_from_slice(&varied.other.0);
            out.push(u8::from(varied.is_variant));
            out.extend_from_slice(&(vary.len() as u16).to_le_bytes());
            out.extend_from_slice(vary);
        }
        true
    }

    /// The record at the start of the bytes.
    fn parse(rest: &mut Rest<'_>) -> Option<Self> {
        let kind = rest.u8()?;
        let digest = Digest(rest.array::<KEY_DIGEST>()?);
        match kind {
            GONE => return Some(Self::Gone(digest)),
            KEPT | VARIED => {}
            _ => return None,
        }
        let valid = rest.u64()?.cast_signed();
        let (until, used) = (rest.u64()?, rest.u64()?);
        let (units, updating, error) = (rest.u32()?, rest.u32()?, rest.u32()?);
        let mut varied = None;
        if kind == VARIED {
            let other = Digest(rest.array()?);
            let is_variant = rest.u8()? & 1 != 0;
            let length = usize::from(u16::from_le_bytes(rest.array()?));
            let vary = rest.bytes(length).filter(|vary| !vary.is_empty())?.into();
            varied = Some(NotedVariant { other, is_variant, vary });
        }
        Some(Self::Kept(Noted { digest, valid, until, used, units, updating, error, varied }))
    }
}

/// Blocks under way.
#[derive(Debug)]
pub(crate) struct Blocks {
    out: Vec<u8>,
    /// The start of the block that is open.
    start: usize,
    clock: u64,
}

impl Blocks {
    /// No block yet, at this time.
    pub(crate) fn new(clock: u64) -> Self {
        Self { out: vec![0; BLOCK_HEAD], start: 0, clock }
    }

    /// Adds a record.
    pub(crate) fn put(&mut self, record: &Record) {
        let _ = record.write(&mut self.out);
        if self.out.len() - self.start >= BLOCK_HEAD + FULL_BLOCK {
            self.close();
        }
    }

    fn close(&mut self) {
        let length = (self.out.len() - self.start - BLOCK_HEAD) as u32;
        let head = &mut self.out[self.start..self.start + BLOCK_HEAD];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[8..].copy_from_slice(&self.clock.to_le_bytes());
        let block = &self.out[self.start..];
        let sum = sum(&[&block[..4], &block[8..]]);
        self.out[self.start + 4..self.start + 8].copy_from_slice(&sum.to_le_bytes());
        self.start = self.out.len();
        self.out.resize(self.start + BLOCK_HEAD, 0);
    }

    /// The number of bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// The bytes of all blocks. Starts over.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        if self.out.len() > self.start + BLOCK_HEAD {
            self.close();
        }
        self.out.truncate(self.start);
        let bytes = std::mem::replace(&mut self.out, vec![0; BLOCK_HEAD]);
        self.start = 0;
        bytes
    }
}

/// The head of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockHead {
    /// The length of the records, in bytes.
    pub(crate) length: usize,
    sum: u32,
    /// The time of writing.
    pub(crate) clock: u64,
}

impl BlockHead {
    /// A head.
    ///
    /// # Errors
    /// There is no block of this length.
    pub(crate) fn parse(bytes: &[u8; BLOCK_HEAD]) -> Result<Self, Damage> {
        let mut rest = Rest(bytes);
        let head = (|| Some((rest.u32()?, rest.u32()?, rest.u64()?)))();
        let Some((length, sum, clock)) = head else { return Err(Damage::Short) };
        match length as usize {
            length @ 1..=MOST_BLOCK => Ok(Self { length, sum, clock }),
            _ => Err(Damage::Sum),
        }
    }

    /// Calls `each` with the records of a block.
    ///
    /// # Errors
    /// The checksum is wrong, or the bytes are no records.
    pub(crate) fn records(self, bytes: &[u8], mut each: impl FnMut(Record)) -> Result<(), Damage> {
        let length = (self.length as u32).to_le_bytes();
        if sum(&[&length, &self.clock.to_le_bytes(), bytes]) != self.sum {
            return Err(Damage::Sum);
        }
        let mut rest = Rest(bytes);
        while !rest.0.is_empty() {
            each(Record::parse(&mut rest).ok_or(Damage::Sum)?);
        }
        Ok(())
    }
}

/// What is left to be parsed.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn sum(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

/// Entry point of a fuzz target: bytes are no header and no block, or what is written again the
/// same; and with right sums, as no damage has them, records that can be written again.
#[cfg(any(test, fuzzing))]
pub fn fuzz_index(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk::<HEADER>()
        && let Ok(header) = Header::parse(header, Levels::default())
    {
        let again = Header::parse(&header.to_bytes(), Levels::default());
        assert_eq!(again, Ok(header));
    }
    if let Some((head, rest)) = bytes.split_first_chunk::<BLOCK_HEAD>()
        && let Ok(head) = BlockHead::parse(head)
        && let Some(rest) = rest.get(..head.length)
    {
        let _ = head.records(rest, drop);
    }
    let bytes = &bytes[..bytes.len().min(MOST_BLOCK)];
    let length = bytes.len() as u32;
    let sum = sum(&[&length.to_le_bytes(), &[0; 8], bytes]);
    let head = BlockHead { length: bytes.len(), sum, clock: 0 };
    let mut records = Vec::new();
    if head.records(bytes, |record| records.push(record)).is_err() {
        return;
    }
    let mut blocks = Blocks::new(7);
    records.iter().for_each(|record| blocks.put(record));
    let written = blocks.take();
    let mut again = Vec::new();
    let mut rest = &written[..];
    while let Some((head, after)) = rest.split_first_chunk::<BLOCK_HEAD>() {
        let head = BlockHead::parse(head).expect("a written block has a head");
        let (block, after) = after.split_at(head.length);
        head.records(block, |record| again.push(record)).expect("a written block can be read");
        rest = after;
    }
    let is_short = |record: &Record| match record {
        Record::Kept(Noted { varied: Some(varied), .. }) => varied.vary.len() <= LONGEST_VARY,
        _ => true,
    };
    records.retain(is_short);
    assert_eq!(again, records);
}

#[cfg(test)]
mod tests;

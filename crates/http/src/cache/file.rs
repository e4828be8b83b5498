//! The format of a cached response's file, version 1. Numbers are little-endian.
//!
//! ```text
//!   0  "WeirHTTP"   magic
//!   8  u32          version
//!  12  u32          length of the head, where the body begins
//!  16  u32          CRC-32 of the head without bytes 16 to 64
//!  20  u32          CRC-32 of bytes 24 to 64, which a revalidation writes anew
//!  24  i64          valid until, in seconds since 1970
//!  32  u32, u32     seconds after that in which it may be used while it is updated, and on errors
//!  40  i64          the time when it was stored or revalidated
//!  48  16 bytes     reserved, 0
//!  64  u64          length of the body
//!  72  u16, u16     status; 1 if there is a status line
//!  76  5 × u32      lengths of key, Vary, status line, fields; reserved, 0
//!  96  2 × 16 bytes digest of the main key, digest of the variant (or 0)
//! 128  LF "KEY: " key LF, Vary, status line, fields as in HTTP/1
//!      body
//!      u32 …        CRC-32 of each block of 64 KiB of the body
//! ```
//!
//! A file of another version or with a wrong sum is no cached response. The key is readable for
//! tools that look for `KEY: ` in the files of nginx's cache.

use crc32fast::Hasher;
use weir_wire::header::Headers;

use super::key::Digest;

/// The length of a digest, in bytes.
pub(crate) const KEY_DIGEST: usize = 16;

/// The length of a block of the body that has a checksum of its own, in bytes. A block is read,
/// checked and sent as one.
pub(crate) const BLOCK: u64 = 64 * 1024;

/// The maximum length of a head, in bytes. Heads of upstreams are limited by `buffer_size`, but a
/// file may claim any length.
pub(crate) const MAX_HEAD: usize = 4 * 1024 * 1024;

/// The length of the part of the head before the key.
pub(crate) const FIXED: usize = 128;

/// The initial capacity for a head, in bytes.
const USUAL: usize = 1024;

/// The range of the bytes that a revalidation writes anew.
const TIMES: std::ops::Range<usize> = 24..64;

/// The first byte written by a revalidation: the sum of the times, and the times.
pub(crate) const RENEWED_AT: u64 = 20;

const MAGIC: &[u8; 8] = b"WeirHTTP";
const VERSION: u32 = 1;
const BEFORE_KEY: &[u8] = b"\nKEY: ";

/// How long a response may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// The last second in which it is valid, since 1970.
    pub(crate) valid: i64,
    /// The seconds after that in which it may be used while it is updated.
    pub(crate) updating: u32,
    /// The seconds after that in which it may be used if the upstream fails.
    pub(crate) error: u32,
    /// The second in which it was stored or revalidated.
    pub(crate) date: i64,
}

/// A head, as it is in a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// How long the response may be used.
    pub(crate) times: Times,
    /// The length of the body in bytes.
    pub(crate) body: u64,
    /// The status.
    pub(crate) status: u16,
    /// The status line after the version, if it is not the usual one.
    pub(crate) status_line: Option<Vec<u8>>,
    /// The key.
    pub(crate) key: Vec<u8>,
    /// The value of `Vary`; empty if there is none.
    pub(crate) vary: Vec<u8>,
    /// The digest of the key.
    pub(crate) main: Digest,
    /// The digest of the key and the fields that `Vary` names; 0 if there is none.
    pub(crate) variant: Digest,
    /// The fields as received.
    pub(crate) fields: Headers,
}

/// Why bytes are not the head of a cached response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// They do not begin like one.
    Magic,
    /// Another version of the format.
    Version,
    /// More bytes are needed: this many in all.
    Short(usize),
    /// A checksum or a length is wrong.
    Sum,
}

/// The CRC-32 of bytes.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The number of bytes after a body of this length: the sums of its blocks.
pub(crate) fn sums_length(body: u64) -> u64 {
    body.div_ceil(BLOCK).saturating_mul(4)
}

impl Times {
    /// The bytes at [`RENEWED_AT`].
    pub(crate) fn to_bytes(self) -> [u8; 44] {
        let mut bytes = [0; 44];
        bytes[4..12].copy_from_slice(&self.valid.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.updating.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.error.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.date.to_le_bytes());
        let sum = sum(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

impl Head {
    /// The bytes of the head.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let line = self.status_line.as_deref();
        let mut out = Vec::with_capacity(USUAL);
        out.resize(FIXED, 0);
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(RENEWED_AT as usize, &self.times.to_bytes());
        put(64, &self.body.to_le_bytes());
        put(72, &self.status.to_le_bytes());
        put(74, &u16::from(line.is_some()).to_le_bytes());
        put(96, &self.main.0);
        put(112, &self.variant.0);
        let mut lengths = [self.key.len(), self.vary.len(), line.map_or(0, <[u8]>::len), 0];
        out.extend_from_slice(BEFORE_KEY);
        out.extend_from_slice(&self.key);
        out.push(b'\n');
        out.extend_from_slice(&self.vary);
        out.extend_from_slice(line.unwrap_or_default());
        let fields = out.len();
        self.fields.write_to(&mut out);
        lengths[3] = out.len() - fields;
        for (at, length) in lengths.into_iter().enumerate() {
            let start = 76 + 4 * at;
            out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        }
        let length = out.len() as u32;
        out[12..16].copy_from_slice(&length.to_le_bytes());
        let sum = head_sum(&out);
        out[16..20].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// The head at the start of `bytes`, which may be followed by the body, and its length.
    ///
    /// # Errors
    /// The bytes are no head, or not all of it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, usize), Broken> {
        let fixed: &[u8; FIXED] = match bytes.first_chunk() {
            Some(fixed) => fixed,
            None => return Err(Broken::Short(FIXED)),
        };
        if !fixed.starts_with(MAGIC) {
            return Err(Broken::Magic);
        }
        if number(fixed, 8) != VERSION {
            return Err(Broken::Version);
        }
        let length = number(fixed, 12) as usize;
        if !(FIXED..=MAX_HEAD).contains(&length) {
            return Err(Broken::Sum);
        }
        let head = bytes.get(..length).ok_or(Broken::Short(length))?;
        let is_right = number(fixed, 16) == head_sum(head)
            && number(fixed, RENEWED_AT as usize) == sum(&head[TIMES]);
        if !is_right {
            return Err(Broken::Sum);
        }
        Self::of_parts(fixed, &head[FIXED..]).map(|head| (head, length)).ok_or(Broken::Sum)
    }

    /// The head of its fixed part and the rest. None if lengths do not fit, which no file of ours
    /// with right sums has.
    fn of_parts(fixed: &[u8; FIXED], rest: &[u8]) -> Option<Self> {
        let length = |at: usize| number(fixed, 76 + 4 * at) as usize;
        let rest = rest.strip_prefix(BEFORE_KEY)?;
        let (key, rest) = rest.split_at_checked(length(0))?;
        let rest = rest.strip_prefix(b"\n")?;
        let (vary, rest) = rest.split_at_checked(length(1))?;
        let (line, fields) = rest.split_at_checked(length(2))?;
        if fields.len() != length(3) {
            return None;
        }
        let digest = |at: usize| {
            let bytes = fixed[at..at + KEY_DIGEST].try_into().ok()?;
            Some(Digest(bytes))
        };
        let long = |at: usize| Some(u64::from_le_bytes(fixed[at..at + 8].try_into().ok()?));
        Some(Self {
            times: Times {
                valid: long(24)?.cast_signed(),
                updating: number(fixed, 32),
                error: number(fixed, 36),
                date: long(40)?.cast_signed(),
            },
            body: long(64)?,
            status: u16::from_le_bytes([fixed[72], fixed[73]]),
            status_line: (fixed[74] & 1 != 0).then(|| line.to_vec()),
            key: key.to_vec(),
            vary: vary.to_vec(),
            main: digest(96)?,
            variant: digest(112)?,
            fields: parse_fields(fields)?,
        })
    }

    /// The digest that names the file: that of the variant or of the main key. The first variant
    /// of a key has the main key's name.
    pub(crate) fn is_named(&self, digest: &Digest) -> bool {
        self.main == *digest || !self.vary.is_empty() && self.variant == *digest
    }
}

/// Entry point of a fuzz target: bytes with right sums, as no damage has them, are a head that can
/// be written again, or none.
#[cfg(any(test, fuzzing))]
pub fn fuzz_file(bytes: &[u8]) {
    let _ = Head::parse(bytes);
    let mut bytes = bytes.to_vec();
    if bytes.len() < FIXED {
        return;
    }
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let length = (bytes.len() as u32).to_le_bytes();
    bytes[12..16].copy_from_slice(&length);
    let sums = [head_sum(&bytes), sum(&bytes[TIMES])].map(u32::to_le_bytes);
    bytes[16..20].copy_from_slice(&sums[0]);
    bytes[20..24].copy_from_slice(&sums[1]);
    if let Ok((head, length)) = Head::parse(&bytes) {
        assert_eq!(length, bytes.len());
        let (again, _) = Head::parse(&head.to_bytes()).expect("a written head can be read");
        assert_eq!((again.times, again.body, again.status), (head.times, head.body, head.status));
        assert_eq!((again.key, again.vary), (head.key, head.vary));
        assert!(again.fields.iter().eq(head.fields.iter()));
    }
}

/// The fields of a head in HTTP/1 form.
fn parse_fields(mut text: &[u8]) -> Option<Headers> {
    let mut fields = Headers::new();
    while !text.is_empty() {
        let end = memchr::memchr(b'\n', text)?;
        let line = text[..end].strip_suffix(b"\r")?;
        let colon = memchr::memchr(b':', line)?;
        fields.push(&line[..colon], line[colon + 1..].strip_prefix(b" ")?);
        text = &text[end + 1..];
    }
    Some(fields)
}

/// The sum of a head without its own bytes and those of the times.
fn head_sum(head: &[u8]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(&head[..16]);
    crc.update(&head[TIMES.end..]);
    crc.finalize()
}

fn number(bytes: &[u8; FIXED], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The sums of the blocks of a body, while it is written.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    crc: Hasher,
    /// The number of bytes in the current block.
    filled: u64,
    /// The sums of full blocks.
    done: Vec<u8>,
}

impl Sums {
    /// Adds bytes of the body.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (BLOCK - self.filled) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.crc.update(now);
            self.filled += now.len() as u64;
            bytes = later;
            if self.filled == BLOCK {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let crc = std::mem::take(&mut self.crc);
        self.done.extend_from_slice(&crc.finalize().to_le_bytes());
        self.filled = 0;
    }

    /// The bytes that follow the body.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.close();
        }
        self.done
    }
}

#[cfg(test)]
mod tests;

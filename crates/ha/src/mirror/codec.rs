//! Numbers, texts and names as bytes. Numbers are little-endian; bytes follow their length.

use std::fmt;

use super::limits;
use super::name::Name;

/// Bytes that are no message or no state: the part that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}", self.0)
    }
}

impl std::error::Error for Malformed {}

type Read<T> = Result<T, Malformed>;

/// Bytes that are read from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("length"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Read<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes after their length, which is at most `most`.
    pub(crate) fn bytes(&mut self, most: usize) -> Read<&'a [u8]> {
        let length = self.u32()? as usize;
        if length > most { Err(Malformed("length")) } else { self.take(length) }
    }

    pub(crate) fn text(&mut self, most: usize) -> Read<&'a str> {
        std::str::from_utf8(self.bytes(most)?).map_err(|_| Malformed("text"))
    }

    /// A text for people. It goes to logs, and so has one line.
    pub(crate) fn line(&mut self, most: usize) -> Read<String> {
        Ok(self.text(most)?.replace(char::is_control, " "))
    }

    pub(crate) fn name(&mut self) -> Read<Name> {
        let bytes = self.bytes(limits::NAME)?;
        let text = std::str::from_utf8(bytes).ok();
        text.and_then(Name::new).ok_or(Malformed("name"))
    }

    /// A value that may be missing.
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed("option")),
        }
    }

    /// Values up to a number of `most`. Memory is taken as they are read.
    pub(crate) fn list<T>(
        &mut self,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let count = self.u32()? as usize;
        if count > most {
            return Err(Malformed("number"));
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Values up to the end.
    pub(crate) fn rest<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut values = Vec::new();
        while !self.0.is_empty() {
            values.push(read(self)?);
        }
        Ok(values)
    }

    pub(crate) fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("end")) }
    }
}

/// Bytes that are appended to.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes after their length. All that is written has a limit far below 4 GiB.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        debug_assert!(u32::try_from(bytes.len()).is_ok());
        self.u32(bytes.len() as u32).raw(bytes)
    }

    pub(crate) fn name(&mut self, name: &Name) -> &mut Self {
        self.bytes(name.as_str().as_bytes())
    }

    pub(crate) fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// A reason, cut to its limit at a character.
pub(crate) fn cut(mut reason: String) -> String {
    if reason.len() > limits::REASON {
        reason.truncate(reason.floor_char_boundary(limits::REASON));
    }
    reason
}

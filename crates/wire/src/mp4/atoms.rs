//! Headers of atoms (boxes, ISO/IEC 14496-12 section 4.2), and the numbers in them.

use super::error::Error;

/// An atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) name: [u8; 4],
    /// The length of its header: 8 or 16 bytes.
    pub(super) head: usize,
    /// Its length with the header, which does not exceed what is around it.
    pub(super) size: u64,
}

impl Atom {
    /// The length without the header.
    pub(super) fn body(&self) -> u64 {
        self.size - self.head as u64
    }
}

/// The result of reading a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// This many bytes are needed.
    Needs(u64),
    /// A size of 0: nothing follows that would be read.
    Ends,
    Atom(Atom),
}

/// The length of a usual header: size and name.
const SHORT: usize = 8;

/// The length of a header with a size of 64 bits.
const LONG: usize = 16;

/// Reads the header at the start of `bytes`, of an atom that has `room` bytes.
pub(super) fn header(bytes: &[u8], room: u64) -> Result<Header, Error> {
    let Some(size) = bytes.first_chunk() else { return Ok(Header::Needs(4)) };
    let (head, size) = match u32::from_be_bytes(*size) {
        0 => return Ok(Header::Ends),
        1 => match bytes.get(8..).and_then(<[u8]>::first_chunk) {
            None => return Ok(Header::Needs(LONG as u64)),
            Some(size) => (LONG, u64::from_be_bytes(*size)),
        },
        size => (SHORT, u64::from(size)),
    };
    if size < head as u64 {
        return Err(Error::AtomTooSmall(size));
    }
    let Some(name) = bytes.get(4..).and_then(<[u8]>::first_chunk) else {
        return Ok(Header::Needs(SHORT as u64));
    };
    match size <= room {
        true => Ok(Header::Atom(Atom { name: *name, head, size })),
        false => Err(Error::AtomTooLarge(size)),
    }
}

/// The 32-bit number at a place that is there.
pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    debug_assert!(found.is_some(), "the place has been checked");
    u32::from_be_bytes(found.copied().unwrap_or_default())
}

/// The 64-bit number at a place that is there.
pub(super) fn long_number(bytes: &[u8], at: usize) -> u64 {
    u64::from(number(bytes, at)) << 32 | u64::from(number(bytes, at + 4))
}

/// Overwrites the 32-bit number at a place that is there.
pub(super) fn set_number(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Overwrites the 64-bit number at a place that is there.
pub(super) fn set_long_number(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(place) = bytes.get_mut(at..at + 8) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

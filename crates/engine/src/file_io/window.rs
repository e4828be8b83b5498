//! The range of a file that a read takes, and its place in memory. With `O_DIRECT`, offset, length
//! and memory are aligned, so more is read than requested:
//!
//! ```text
//!   file    ··|────────|────────|────────|··    units of the alignment
//!                  └──── wanted ───┘
//!   memory  ··|────────|────────|────────|··    the wanted range is returned
//! ```

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, ReadWriteFlags};

use crate::buffer;

/// The maximum alignment, in bytes; no disk has larger sectors.
const LARGEST: u64 = 1024 * 1024;

/// The alignment of reads: a power of two, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment(u64);

impl Alignment {
    /// Rounds up to a power of two, which `directio_alignment` need not be.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bytes.clamp(1, LARGEST).next_power_of_two())
    }

    /// The range of whole units that contains a range of the file.
    fn units(self, at: u64, count: usize) -> Range<u64> {
        let end = at + count as u64;
        at / self.0 * self.0..end.div_ceil(self.0) * self.0
    }
}

/// A range of a file to be read.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The offset of the first byte read, in the file.
    from: u64,
    /// The padding that aligns the memory, in bytes.
    head: usize,
    /// The number of bytes to read, if the file has them.
    length: usize,
    /// The requested bytes, as a range of the memory.
    pub(super) wanted: Range<usize>,
    /// A read that ends within a unit has reached the end of the file.
    unit: u64,
}

impl Window {
    /// The window for `count` bytes at offset `at`, and memory for it.
    pub(super) fn new(alignment: Option<Alignment>, at: u64, count: usize) -> (Self, Vec<u8>) {
        let Some(alignment) = alignment else {
            let window = Self { from: at, head: 0, length: count, wanted: 0..count, unit: 1 };
            return (window, buffer::take(count).into_vec());
        };
        let units = alignment.units(at, count);
        let length = (units.end - units.start) as usize;
        let mut memory: Vec<u8> = Vec::with_capacity(length + alignment.0 as usize);
        let head = memory.as_ptr().align_offset(alignment.0 as usize);
        memory.resize(head, 0);
        let start = head + (at - units.start) as usize;
        let wanted = start..start + count;
        (Self { from: units.start, head, length, wanted, unit: alignment.0 }, memory)
    }

    /// The offset and length of the next read, given the bytes in memory; `None` if all requested
    /// bytes are there.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ended before.
    pub(super) fn next(&self, memory: &[u8]) -> io::Result<Option<(u64, usize)>> {
        if memory.len() >= self.wanted.end {
            return Ok(None);
        }
        let done = memory.len() - self.head;
        if !(done as u64).is_multiple_of(self.unit) {
            // A partial unit is the end of the file: its end is no valid offset to read from.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((self.from + done as u64, self.length - done)))
    }

    /// Reads the window on this thread.
    ///
    /// # Errors
    /// A read error; a file that has become shorter is `UnexpectedEof`.
    pub(super) fn read(&self, file: BorrowedFd<'_>, memory: &mut Vec<u8>) -> io::Result<()> {
        while let Some((offset, count)) = self.next(memory)? {
            let flags = ReadWriteFlags::empty();
            match weir_sys::file::read_at(file, memory, count, offset, flags) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_rounded_to_units() {
        let alignment = Alignment::new(500);
        assert_eq!(alignment, Alignment(512));
        assert_eq!(alignment.units(0, 1), 0..512);
        assert_eq!(alignment.units(511, 2), 0..1024);
        assert_eq!(alignment.units(1024, 512), 1024..1536);
        assert_eq!(Alignment::new(0), Alignment(1));
        assert_eq!(Alignment::new(u64::MAX), Alignment(LARGEST));
    }

    #[test]
    fn a_window_is_read_until_complete() {
        let (window, mut memory) = Window::new(Some(Alignment(512)), 700, 1000);
        let head = memory.len();
        assert_eq!(window.wanted, head + 188..head + 1188);
        assert_eq!(window.next(&memory).unwrap(), Some((512, 1536)));
        memory.resize(head + 1024, 1);
        assert_eq!(window.next(&memory).unwrap(), Some((1536, 512)));
        memory.resize(head + 1100, 1);
        assert!(window.next(&memory).is_err());
        memory.resize(head + 1188, 1);
        assert_eq!(window.next(&memory).unwrap(), None);
    }
}

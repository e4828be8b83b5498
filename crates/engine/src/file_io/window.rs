//! What a read takes from a file, and where in memory it goes. Past the page cache (`O_DIRECT`),
//! offset, length and memory are aligned, so more is read than is wanted:
//!
//! ```text
//!   file    ··|────────|────────|────────|··    units of the alignment
//!                  └──── wanted ───┘
//!   memory  ··|────────|────────|────────|··    the stretch in it is what the read gives
//! ```

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, ReadWriteFlags};

use crate::buffer;

/// The largest alignment that is used, in bytes; no disk has larger sectors.
const LARGEST: u64 = 1024 * 1024;

/// How reads have to be aligned: a power of two, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alignment(u64);

impl Alignment {
    /// The next power of two; what `directio_alignment` says need not be one.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bytes.clamp(1, LARGEST).next_power_of_two())
    }

    /// The units that a stretch of a file lies in.
    fn units(self, at: u64, count: usize) -> Range<u64> {
        let end = at + count as u64;
        at / self.0 * self.0..end.div_ceil(self.0) * self.0
    }
}

/// A stretch of a file that is to be read.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The offset in the file of what is read first.
    from: u64,
    /// How many bytes of the memory stand before that, so that it is aligned.
    head: usize,
    /// How many bytes are read, if the file has them.
    length: usize,
    /// Where in memory what is wanted will be.
    pub(super) wanted: Range<usize>,
    /// What comes in parts of this is not the end of the file.
    unit: u64,
}

impl Window {
    /// The window for `count` bytes from offset `at` on, and memory for it.
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

    /// What is to be read next, behind what the memory holds: the offset, and how many bytes. None
    /// when all is there.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file has ended before.
    pub(super) fn next(&self, memory: &[u8]) -> io::Result<Option<(u64, usize)>> {
        if memory.len() >= self.wanted.end {
            return Ok(None);
        }
        let done = memory.len() - self.head;
        if !(done as u64).is_multiple_of(self.unit) {
            // A part of a unit is the end of the file: nothing could be read behind it.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((self.from + done as u64, self.length - done)))
    }

    /// Reads all of it on this thread.
    ///
    /// # Errors
    /// What reading the file gave; a file that has become shorter is `UnexpectedEof`.
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
    fn a_stretch_lies_in_whole_units() {
        let alignment = Alignment::new(500);
        assert_eq!(alignment, Alignment(512));
        assert_eq!(alignment.units(0, 1), 0..512);
        assert_eq!(alignment.units(511, 2), 0..1024);
        assert_eq!(alignment.units(1024, 512), 1024..1536);
        assert_eq!(Alignment::new(0), Alignment(1));
        assert_eq!(Alignment::new(u64::MAX), Alignment(LARGEST));
    }

    #[test]
    fn a_window_is_read_until_what_is_wanted_is_there() {
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

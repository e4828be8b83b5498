//! Reads past the page cache (`O_DIRECT`): offset, length and memory are aligned.
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
    fn window(self, at: u64, count: usize) -> Range<u64> {
        let end = at + count as u64;
        at / self.0 * self.0..end.div_ceil(self.0) * self.0
    }
}

/// Reads `count` bytes from offset `at` on; the buffer, and where they are in it.
///
/// # Errors
/// What reading the file gave; a file that has become shorter is `UnexpectedEof`.
pub(super) fn read(
    file: BorrowedFd<'_>,
    alignment: Alignment,
    at: u64,
    count: usize,
) -> io::Result<(Vec<u8>, Range<usize>)> {
    let window = alignment.window(at, count);
    let length = (window.end - window.start) as usize;
    let mut buffer: Vec<u8> = Vec::with_capacity(length + alignment.0 as usize);
    let head = buffer.as_ptr().align_offset(alignment.0 as usize);
    buffer.resize(head, 0);
    let start = head + (at - window.start) as usize;
    while buffer.len() < start + count {
        let done = buffer.len() - head;
        let offset = window.start + done as u64;
        let flags = ReadWriteFlags::empty();
        // A part of a unit is the end of the file: nothing could be read behind it.
        let is_whole = (done as u64).is_multiple_of(alignment.0);
        match weir_sys::file::read_at(file, &mut buffer, length - done, offset, flags) {
            Ok(read) if read > 0 && is_whole => {}
            Err(Errno::INTR) => {}
            Err(error) if is_whole => return Err(error.into()),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Ok((buffer, start..start + count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_lies_in_whole_units() {
        let alignment = Alignment::new(500);
        assert_eq!(alignment, Alignment(512));
        assert_eq!(alignment.window(0, 1), 0..512);
        assert_eq!(alignment.window(511, 2), 0..1024);
        assert_eq!(alignment.window(1024, 512), 1024..1536);
        assert_eq!(Alignment::new(0), Alignment(1));
        assert_eq!(Alignment::new(u64::MAX), Alignment(LARGEST));
    }
}

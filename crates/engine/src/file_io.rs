//! Files that requests read and write, and where that is done (`aio`).
//!
//! ```text
//!   read_now ── lies in the page cache ──▶ bytes, at once
//!      └ WouldBlock ──▶ read ──┬─ off ────▶ the loop waits for the disk
//!                              ├─ on ─────▶ the loop's ring, or a pool where there is none
//!                              └─ threads ▶ a pool
//! ```
//!
//! All file operations of requests pass through here; a simulated disk takes the place of this
//! module. What leaves the loop owns its buffer and its descriptor, so nothing depends on whether
//! somebody still waits for it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};

use crate::buffer::{self, Buf};
use crate::temp_file::{self, Attributes, KeepError};
use crate::thread_pool::ThreadPool;

mod path;
mod reading;
mod window;
mod writing;

pub use path::learn;
pub use reading::Reading;
use window::{Alignment, Window};
use writing::Writes;

/// Where what may have to wait for a disk is done (`aio`).
#[derive(Clone, Debug, Default)]
pub enum Aio {
    /// On the loop, which waits.
    #[default]
    Off,
    /// By the kernel, or by this pool on a loop that has no ring.
    On(ThreadPool),
    /// By this pool.
    Threads(ThreadPool),
}

impl Aio {
    /// Whether the loop waits.
    pub fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// The pool for operations that the ring is not used for.
    pub fn pool(&self) -> Option<&ThreadPool> {
        match self {
            Self::Off => None,
            Self::On(pool) | Self::Threads(pool) => Some(pool),
        }
    }
}

/// The unit of the page cache, in bytes. A page that is larger is several of these.
const PAGE: u64 = 4096;

/// An open file of a thread's requests.
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    /// How reads have to be aligned that go past the page cache (`directio`).
    direct: Cell<Option<Alignment>>,
    writes: RefCell<Writes>,
}

impl File {
    /// A file as it was opened.
    pub fn new(file: std::fs::File) -> Self {
        Self { file, direct: Cell::new(None), writes: RefCell::default() }
    }

    /// Has the file read past the page cache from here on; `alignment` is that of offsets, lengths
    /// and memory, in bytes (`directio_alignment`).
    ///
    /// # Errors
    /// The system's, where the file system cannot do that.
    pub fn bypass_cache(&self, alignment: u64) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags | OFlags::DIRECT)?;
        self.direct.set(Some(Alignment::new(alignment)));
        Ok(())
    }

    /// Whether it is read past the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct.get().is_some()
    }

    /// Reads at most `count` bytes from offset `at` on behind what `into` holds, without waiting
    /// for a disk; how many came, at least one.
    ///
    /// # Errors
    /// `WouldBlock` when the page cache has nothing of them or cannot tell, `UnexpectedEof` behind
    /// the end, or the system's.
    pub fn read_now(&self, at: u64, count: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        if self.is_direct() || self.is_writing() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match weir_sys::file::read_at(self.file.as_fd(), into, count, at, ReadWriteFlags::NOWAIT) {
            Ok(0) if count > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(count),
            Err(error) if is_not_now(error) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many bytes from offset `at` on lie in the page cache, as far as up to `most` of them
    /// can be looked at without a wait. Costs a system call for each page of them.
    pub fn cached(&self, at: u64, most: u64) -> u64 {
        if self.is_direct() || self.is_writing() {
            return 0;
        }
        let mut end = at;
        while end < at + most {
            let mut byte = [0];
            let mut into = [IoSliceMut::new(&mut byte)];
            match rustix::io::preadv2(&self.file, &mut into, end, ReadWriteFlags::NOWAIT) {
                Ok(1) => end = (end / PAGE + 1) * PAGE,
                _ => break,
            }
        }
        end.min(at + most) - at
    }

    /// Reads `count` bytes from offset `at` on behind what `into` holds; the loop waits for them.
    /// After an error that is all that it holds. Not for a file that is read past the page cache.
    ///
    /// # Errors
    /// What reading the file gave; a file that has become shorter is `UnexpectedEof`.
    pub fn read_behind(&self, at: u64, count: usize, into: &mut Buf) -> io::Result<()> {
        let start = into.len();
        into.reserve(count);
        while into.len() < start + count {
            let at = at + (into.len() - start) as u64;
            // The buffer may have more room than is wanted.
            let room = rustix::buffer::spare_capacity(&mut **into);
            let fault = match rustix::io::pread(&self.file, room, at) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) | Err(Errno::INTR) => continue,
                Err(error) => error.into(),
            };
            into.truncate(start);
            return Err(fault);
        }
        into.truncate(start + count);
        Ok(())
    }

    /// Reads `count` bytes from offset `at` on, while the loop waits for them; the buffer, and
    /// where in it they are.
    ///
    /// # Errors
    /// What reading the file gave; a file that has become shorter is `UnexpectedEof`.
    pub fn load(&self, at: u64, count: usize) -> io::Result<(Buf, Range<usize>)> {
        if self.is_direct() {
            let (window, mut memory) = Window::new(self.direct.get(), at, count);
            window.read(self.file.as_fd(), &mut memory)?;
            return Ok((memory.into(), window.wanted));
        }
        let mut buf = buffer::take(count);
        self.read_behind(at, count, &mut buf)?;
        Ok((buf, 0..count))
    }

    /// Begins to read `count` bytes from offset `at` on, where `aio` says.
    pub fn read(&self, aio: &Aio, at: u64, count: usize) -> Reading {
        Reading::start(self, aio, at, count)
    }

    /// Writes two pieces, one behind the other, at the place where the last such call ended; with
    /// one system call, as a rule. The loop waits for it.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&self, one: &[u8], two: &[u8]) -> io::Result<()> {
        let mut slices = [IoSlice::new(one), IoSlice::new(two)];
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match (&self.file).write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives a temporary file a name, where `aio` says.
    ///
    /// # Errors
    /// As [`temp_file::keep`] has them. A pool whose queue is full leaves it to the loop.
    pub async fn keep(
        &self,
        aio: &Aio,
        to: PathBuf,
        attributes: Attributes,
    ) -> Result<(), KeepError> {
        if let (Some(pool), Ok(other)) = (aio.pool(), self.file.try_clone()) {
            let path = to.clone();
            let kept = pool.run(move || temp_file::keep(&other, &path, attributes));
            if let Ok(kept) = kept
                && let Ok(kept) = kept.await
            {
                return kept;
            }
        }
        temp_file::keep(&self.file, &to, attributes)
    }

    /// Writes all of `bytes` at offset `at`; the loop waits for it.
    ///
    /// # Errors
    /// The system's.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether a read without a wait has failed because it would have had to wait, or because the file
/// system (FUSE, overlayfs) cannot read without.
fn is_not_now(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS | Errno::INVAL)
}

#[cfg(test)]
mod tests;

//! File operations of requests, on the loop or beside it (`aio`).
//!
//! ```text
//!   read_now ── in the page cache ──▶ bytes, at once
//!      └ WouldBlock ──▶ read ──┬─ off ────▶ the loop waits for the disk
//!                              ├─ on ─────▶ the loop's ring, or a pool without one
//!                              └─ threads ▶ a pool
//! ```
//!
//! All file operations of requests pass through here; a simulated disk would replace this module.
//! An operation beside the loop owns its buffer and its descriptor, so nothing depends on whether
//! anyone still waits for it.

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

/// The place of file operations that may block (`aio`).
#[derive(Clone, Debug, Default)]
pub enum Aio {
    /// On the loop, which blocks.
    #[default]
    Off,
    /// In the kernel, or in this pool if the loop has no ring.
    On(ThreadPool),
    /// In this pool.
    Threads(ThreadPool),
}

impl Aio {
    /// Whether operations block the loop.
    pub fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// The pool for operations that the ring does not perform.
    pub fn pool(&self) -> Option<&ThreadPool> {
        match self {
            Self::Off => None,
            Self::On(pool) | Self::Threads(pool) => Some(pool),
        }
    }
}

/// The unit for queries to the page cache, in bytes. A larger page counts as several.
const PAGE: u64 = 4096;

/// An open file of a thread's requests.
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    /// The alignment of reads that bypass the page cache (`directio`).
    direct: Cell<Option<Alignment>>,
    writes: RefCell<Writes>,
}

impl File {
    /// Wraps an open file.
    pub fn new(file: std::fs::File) -> Self {
        Self { file, direct: Cell::new(None), writes: RefCell::default() }
    }

    /// Makes reads bypass the page cache; `alignment` applies to offsets, lengths and memory, in
    /// bytes (`directio_alignment`).
    ///
    /// # Errors
    /// A system error if the file system does not support it.
    pub fn bypass_cache(&self, alignment: u64) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags | OFlags::DIRECT)?;
        self.direct.set(Some(Alignment::new(alignment)));
        Ok(())
    }

    /// Whether reads bypass the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct.get().is_some()
    }

    /// Appends up to `count` bytes at offset `at` to `into` without waiting for a disk. Returns
    /// their number, at least one.
    ///
    /// # Errors
    /// `WouldBlock` if the page cache has none of them or cannot tell, `UnexpectedEof` at the end
    /// of the file, or a system error.
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

    /// The number of bytes at offset `at` in the page cache, up to `most`, as far as can be
    /// determined without blocking. Costs a system call per page.
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

    /// Appends `count` bytes at offset `at` to `into`, blocking the loop. On an error, `into` keeps
    /// the bytes read so far. Not for files that bypass the page cache.
    ///
    /// # Errors
    /// A read error; a file that has become shorter is `UnexpectedEof`.
    pub fn read_behind(&self, at: u64, count: usize, into: &mut Buf) -> io::Result<()> {
        let start = into.len();
        into.reserve(count);
        while into.len() < start + count {
            let at = at + (into.len() - start) as u64;
            // The buffer may have more space than needed.
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

    /// Reads `count` bytes at offset `at`, blocking the loop. Returns the buffer and the range of
    /// the bytes in it.
    ///
    /// # Errors
    /// A read error; a file that has become shorter is `UnexpectedEof`.
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

    /// Starts to read `count` bytes at offset `at`, in the place that `aio` selects.
    pub fn read(&self, aio: &Aio, at: u64, count: usize) -> Reading {
        Reading::start(self, aio, at, count)
    }

    /// Writes two slices where the previous call ended, usually with one system call. Blocks the
    /// loop.
    ///
    /// # Errors
    /// A system error.
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

    /// Gives a temporary file a name, in the place that `aio` selects.
    ///
    /// # Errors
    /// Those of [`temp_file::keep`]. If the pool's queue is full, the loop does the work.
    pub async fn keep(
        &self,
        aio: &Aio,
        to: PathBuf,
        attributes: Attributes,
    ) -> Result<(), KeepError> {
        if let Some(pool) = aio.pool()
            && let Ok(other) = self.file.try_clone()
        {
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

    /// Writes `bytes` at offset `at`, blocking the loop.
    ///
    /// # Errors
    /// A system error.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether a nonblocking read failed because it would block, or because the file system (FUSE,
/// overlayfs) does not support it.
fn is_not_now(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS | Errno::INVAL)
}

#[cfg(test)]
mod tests;

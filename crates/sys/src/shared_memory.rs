//! Memory that processes share: a row of atomic words, for beats and flags.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// A row of words that starts as zeros. A forked process has the same words; another process gets
/// them by [`Words::open`] from the descriptor.
#[derive(Debug)]
pub struct Words {
    fd: OwnedFd,
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the words are only reached as shared references to atomics, and the mapping belongs to
// this value until it is dropped.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

/// No sharer can shorten the file, which would turn a read of the others into SIGBUS.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

impl Words {
    /// A new row.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2), fcntl(2) and mmap(2).
    pub fn new(count: usize) -> io::Result<Self> {
        let fd = memfd_create(c"weir-words", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, bytes(count)? as u64)?;
        fcntl_add_seals(&fd, SEALS)?;
        Self::map(fd, count)
    }

    /// The row behind a descriptor from another process.
    ///
    /// # Errors
    /// As [`Self::new`]; `InvalidData` if it is no row of that length.
    pub fn open(fd: OwnedFd, count: usize) -> io::Result<Self> {
        let is_sealed = fcntl_get_seals(&fd)?.contains(SEALS);
        let length = rustix::fs::fstat(&fd)?.st_size;
        if !is_sealed || u64::try_from(length).ok() != Some(bytes(count)? as u64) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(fd, count)
    }

    fn map(fd: OwnedFd, count: usize) -> io::Result<Self> {
        let length = bytes(count)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses a new place, so no memory in use changes; the descriptor is
        // open, and the file has this length for ever by its seals.
        let start = unsafe {
            let nowhere = std::ptr::null_mut();
            libc::mmap(nowhere, length, access, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { fd, start, count })
    }

    /// All words.
    pub fn all(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds `count` aligned words until `self` is dropped, every bit
        // pattern is valid, and all processes use atomic operations.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl AsFd for Words {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and no reference to it outlives the value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// The length of a row in bytes, at least one word.
fn bytes(count: usize) -> io::Result<usize> {
    let length = count.checked_mul(size_of::<AtomicU64>()).filter(|&length| length > 0);
    length.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn both_sides_see_the_same_words() {
        let one = Words::new(3).unwrap();
        let fd = one.as_fd().try_clone_to_owned().unwrap();
        let two = Words::open(fd, 3).unwrap();
        one.all()[2].store(7, Relaxed);
        assert_eq!(two.all()[2].load(Relaxed), 7);
        drop(one);
        assert_eq!(two.all()[2].load(Relaxed), 7);
    }

    #[test]
    fn other_files_are_refused() {
        let one = Words::new(3).unwrap();
        let fd = || one.as_fd().try_clone_to_owned().unwrap();
        assert!(Words::open(fd(), 4).is_err());
        assert!(rustix::fs::ftruncate(fd(), 0).is_err(), "nobody can shorten it");
        let loose = crate::memory_file::empty().unwrap();
        loose.set_len(24).unwrap();
        assert!(Words::open(loose.into(), 3).is_err());
        assert!(Words::new(0).is_err());
    }
}

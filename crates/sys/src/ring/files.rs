//! File reads by the kernel: the ring owns their descriptors and memory until they complete.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use rustix::io::{Errno, ReadWriteFlags};

use super::Ring;

/// Active reads, by the number that their owner assigned.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Option<Read>>);

#[derive(Debug)]
struct Read {
    file: OwnedFd,
    memory: Vec<u8>,
    /// The number of bytes that the kernel may write after the memory's length.
    count: usize,
}

impl Files {
    /// Leaks the memory, since the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

impl Ring {
    /// Requests at most `count` bytes of a file from offset `at`, to be appended to `memory`.
    /// Completes with `data`; then [`Ring::file_read`] returns the memory. False if the kernel
    /// accepts no more requests for now; then it returns the memory at once.
    ///
    /// # Panics
    /// If a read of that number is active.
    #[must_use]
    pub fn read_file(
        &mut self,
        number: u32,
        file: OwnedFd,
        mut memory: Vec<u8>,
        (at, count): (u64, usize),
        data: u64,
    ) -> bool {
        memory.reserve(count);
        let room = memory.spare_capacity_mut()[..count].as_mut_ptr();
        let length = u32::try_from(count).unwrap_or(u32::MAX);
        let read = opcode::Read::new(Fd(file.as_raw_fd()), room.cast(), length).offset(at);
        let way = if always_waits(&file) { Flags::ASYNC } else { Flags::empty() };
        let place = number as usize;
        if self.files.0.len() <= place {
            self.files.0.resize_with(place + 1, || None);
        }
        assert!(self.files.0[place].is_none(), "a number for each read");
        self.files.0[place] = Some(Read { file, memory, count });
        self.push(read.build().flags(way).user_data(data))
    }

    /// Takes the descriptor and the memory of a read that completed with `result`. `None` if there
    /// is no such read.
    pub fn file_read(
        &mut self,
        number: u32,
        result: i32,
    ) -> Option<(OwnedFd, io::Result<Vec<u8>>)> {
        let read = self.files.0.get_mut(number as usize)?.take()?;
        let Read { file, mut memory, count } = read;
        let Ok(came) = usize::try_from(result) else {
            return Some((file, Err(io::Error::from_raw_os_error(-result))));
        };
        assert!(came <= count, "no more than was asked for");
        // SAFETY: the kernel has written `came` bytes after the length, within the capacity.
        unsafe { memory.set_len(memory.len() + came) };
        Some((file, Ok(memory)))
    }
}

/// Whether the file system has no reads that do not wait (FUSE, overlayfs). The kernel takes a FUSE
/// file for one that has them, because it can be polled, and would read it in the ring's own call;
/// a thread of the kernel is to do it.
fn always_waits(file: impl AsFd) -> bool {
    let mut byte = [0];
    let read =
        rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
    read == Err(Errno::OPNOTSUPP)
}

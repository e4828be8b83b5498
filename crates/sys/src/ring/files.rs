//! Files that the kernel reads: their descriptors and their memory are the ring's until it has.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::types::Fd;

use super::Ring;

/// Reads that are under way, by the numbers that their owner gives them.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Option<Read>>);

#[derive(Debug)]
struct Read {
    file: OwnedFd,
    memory: Vec<u8>,
    /// How many bytes behind what the memory holds the kernel may write.
    count: usize,
}

impl Files {
    /// Lets the memory stay where the kernel may still write into it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

impl Ring {
    /// Asks for at most `count` bytes of a file, from offset `at` on, behind what `memory` holds.
    /// Completes with `data`; then [`Ring::file_read`] has the memory. False if the kernel takes no
    /// more requests for now; then it has the memory at once.
    ///
    /// # Panics
    /// If a read of that number is under way.
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
        let place = number as usize;
        if self.files.0.len() <= place {
            self.files.0.resize_with(place + 1, || None);
        }
        assert!(self.files.0[place].is_none(), "a number for each read");
        self.files.0[place] = Some(Read { file, memory, count });
        self.push(read.build().user_data(data))
    }

    /// Ends a read that has completed with this result: its descriptor, and its memory with what
    /// was read. None if there is no such read.
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
        // SAFETY: the kernel has written so many bytes behind the length, where there was room.
        unsafe { memory.set_len(memory.len() + came) };
        Some((file, Ok(memory)))
    }
}

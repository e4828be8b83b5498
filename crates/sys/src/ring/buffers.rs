//! The buffers that the kernel receives into, and the ring that it takes them from.

use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The size of a buffer in bytes: the head of a request and most small answers.
pub const BUFFER_SIZE: usize = 4096;

/// How many there are, a power of two. Those that are in use belong to connections whose bytes
/// nobody has read yet, mostly as many as have received something in one turn of a loop. Who finds
/// none left receives by a call of its own.
pub(super) const BUFFERS: u16 = 128;

/// The number that requests name them by.
pub(super) const GROUP: u16 = 0;

/// Counts the rings of the process.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// Bytes that were received; a buffer that is not the kernel's until it is given back. Dropped
/// without that, it is lost to its ring.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    ring: u32,
    buffer: u16,
    len: u16,
}

const _: () = assert!(BUFFER_SIZE <= u16::MAX as usize && BUFFERS.is_power_of_two());

impl Received {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[derive(Debug)]
pub(super) struct Buffers {
    number: u32,
    memory: Mapping,
    ring: Mapping,
    tail: u16,
}

impl Buffers {
    /// All of them, for the ring to take.
    pub(super) fn registered(ring: &IoUring) -> io::Result<Self> {
        let mut buffers = Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            memory: Mapping::new(usize::from(BUFFERS) * BUFFER_SIZE)?,
            ring: Mapping::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?,
            tail: 0,
        };
        let address = buffers.ring.start.as_ptr() as u64;
        // SAFETY: the memory is mapped, page by page, and is unmapped only when the ring of
        // requests is closed and nothing is under way.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)? };
        for buffer in 0..BUFFERS {
            buffers.offer(buffer);
        }
        Ok(buffers)
    }

    /// What the kernel says that it has put into a buffer.
    pub(super) fn received(&self, buffer: u16, result: i32) -> Received {
        let len = u16::try_from(result).unwrap_or(0).min(BUFFER_SIZE as u16);
        Received { ring: self.number, buffer: buffer & (BUFFERS - 1), len }
    }

    pub(super) fn bytes(&self, received: &Received) -> &[u8] {
        assert_eq!(received.ring, self.number, "a buffer belongs to its ring");
        let place = self.at(received.buffer);
        // SAFETY: the buffer is inside of the mapping, and its memory was zero before the kernel
        // wrote to it. The kernel writes to what it was offered only; there is one `Received` for
        // a buffer, and it is offered again when that is given up, which ends this borrow first.
        unsafe { std::slice::from_raw_parts(place, received.len()) }
    }

    pub(super) fn give_back(&mut self, received: Received) {
        assert_eq!(received.ring, self.number, "a buffer belongs to its ring");
        self.offer(received.buffer);
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        debug_assert!(buffer < BUFFERS);
        // SAFETY: numbers of buffers are below their count, so this stays inside of the mapping.
        unsafe { self.memory.start.as_ptr().add(usize::from(buffer) * BUFFER_SIZE) }
    }

    fn offer(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        let ring = self.ring.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the place is inside of the ring, and the kernel reads it only once the tail is
        // past it: no more buffers are offered than there are places.
        unsafe {
            let entry = &mut *ring.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(address);
            entry.set_len(BUFFER_SIZE as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(ring).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// Leaves the memory to whoever may still use it.
    #[cold]
    pub(super) fn leak(&mut self) {
        self.memory.leaked = true;
        self.ring.leaked = true;
    }
}

/// Memory of the process's own, zero at first.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    leaked: bool,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_ANONYMOUS | libc::MAP_PRIVATE);
        // SAFETY: a new mapping overlaps nothing.
        let place = unsafe { libc::mmap(null_mut(), len, access, kind, -1, 0) };
        match NonNull::new(place.cast()) {
            Some(start) if place != libc::MAP_FAILED => Ok(Self { start, len, leaked: false }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: the mapping is ours, and nothing refers to it any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

//! The receive buffers of a ring, and the ring from which the kernel takes them.

use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The size of a buffer in bytes; fits a request's head and most small responses.
pub const BUFFER_SIZE: usize = 4096;

/// The number of buffers, a power of two. Used buffers hold bytes that no task has read yet, mostly
/// as many as the sockets that received in one turn of a loop. Without a free buffer, a socket is
/// received from by a call of its own.
pub(super) const BUFFERS: u16 = 128;

/// The buffer group's id in requests.
pub(super) const GROUP: u16 = 0;

/// The number of rings made by the process.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// Received bytes, in a buffer that the kernel does not use until it is given back. If dropped, the
/// buffer is lost to its ring.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    ring: u32,
    buffer: u16,
    len: u16,
}

const _: () = assert!(BUFFER_SIZE <= u16::MAX as usize && BUFFERS.is_power_of_two());

impl Received {
    /// The number of bytes.
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
    /// Allocates all buffers and offers them to the ring.
    pub(super) fn registered(ring: &IoUring) -> io::Result<Self> {
        let mut buffers = Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            memory: Mapping::new(usize::from(BUFFERS) * BUFFER_SIZE)?,
            ring: Mapping::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?,
            tail: 0,
        };
        let address = buffers.ring.start.as_ptr() as u64;
        // SAFETY: the memory is mapped, page by page, and is unmapped only when the ring is closed
        // and no request is active.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)? };
        for buffer in 0..BUFFERS {
            buffers.offer(buffer);
        }
        Ok(buffers)
    }

    /// A buffer that the kernel filled, according to its completion.
    pub(super) fn received(&self, buffer: u16, result: i32) -> Received {
        let len = u16::try_from(result).unwrap_or(0).min(BUFFER_SIZE as u16);
        Received { ring: self.number, buffer: buffer & (BUFFERS - 1), len }
    }

    pub(super) fn bytes(&self, received: &Received) -> &[u8] {
        assert_eq!(received.ring, self.number, "a buffer belongs to its ring");
        let place = self.at(received.buffer);
        // SAFETY: the buffer is inside the mapping, and its memory was zero before the kernel wrote
        // to it. The kernel writes only to offered buffers; each has one `Received`, and is offered
        // again only when that is given back, which ends this borrow first.
        unsafe { std::slice::from_raw_parts(place, received.len()) }
    }

    pub(super) fn give_back(&mut self, received: Received) {
        assert_eq!(received.ring, self.number, "a buffer belongs to its ring");
        self.offer(received.buffer);
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        debug_assert!(buffer < BUFFERS);
        // SAFETY: buffer numbers are below their count, so this stays inside the mapping.
        unsafe { self.memory.start.as_ptr().add(usize::from(buffer) * BUFFER_SIZE) }
    }

    fn offer(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        let ring = self.ring.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the place is inside the ring, and the kernel reads it only once the tail has
        // passed it: at most as many buffers are offered as there are places.
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

    /// Leaks the memory, since the kernel may still use it.
    #[cold]
    pub(super) fn leak(&mut self) {
        self.memory.leaked = true;
        self.ring.leaked = true;
    }
}

/// Anonymous private memory, initially zero.
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

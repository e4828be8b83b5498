//! By completion: io_uring with one receive for the life of a connection, buffers that the kernel
//! chooses, and sends that are handed over together, before the ring waits.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::MESSAGE;
use crate::connections::Connections;

/// Entries of the queue of requests; what completes has four times as many.
const ENTRIES: u32 = 1024;

/// Buffers for what is received, a power of two.
const BUFFERS: u16 = 1024;

/// The group that the buffers are in.
const GROUP: u16 = 0;

/// The number that stands for the listener.
const LISTENER: u64 = u64::MAX;

/// Marks what was sent; the rest of the number is the buffer's.
const SENT: u64 = 1 << 62;

pub fn run(listener: &TcpListener, backend: SocketAddr) -> io::Result<()> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_cqsize(ENTRIES * 4);
    let mut ring = builder.build(ENTRIES)?;
    let mut buffers = Buffers::registered(&ring)?;
    let mut connections = Connections::new(backend);
    ring.push(opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(LISTENER))?;
    let mut completed: Vec<cqueue::Entry> = Vec::new();
    loop {
        ring.submit_and_wait(1)?;
        completed.extend(ring.completion());
        for entry in completed.drain(..) {
            let data = entry.user_data();
            if data == LISTENER {
                if entry.result() >= 0 {
                    // SAFETY: the kernel has just opened the descriptor for us.
                    let stream = unsafe { TcpStream::from_raw_fd(entry.result()) };
                    let fd = stream.as_raw_fd();
                    let number = connections.add(stream)?;
                    ring.push(receive(fd, number))?;
                }
            } else if data & SENT != 0 {
                buffers.give_back((data & !SENT) as u16);
            } else {
                received(&mut ring, &mut buffers, &mut connections, data as usize, &entry)?;
            }
        }
    }
}

/// Passes a message on, or forgets a connection that has ended.
fn received(
    ring: &mut IoUring,
    buffers: &mut Buffers,
    connections: &mut Connections,
    number: usize,
    entry: &cqueue::Entry,
) -> io::Result<()> {
    let no_buffer = entry.result() == -libc::ENOBUFS;
    if entry.result() > 0 {
        let buffer = cqueue::buffer_select(entry.flags()).expect("what came is in a buffer");
        let receiver = connections
            .receiver(number, |stream, backend| ring.push(receive(stream.as_raw_fd(), backend)))?;
        match receiver.and_then(|receiver| connections.get(receiver)) {
            Some(end) => {
                let fd = Fd(end.stream.as_raw_fd());
                let send = opcode::Send::new(fd, buffers.at(buffer), entry.result() as u32);
                let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
                ring.push(send.user_data(SENT | u64::from(buffer)))?;
            }
            None => buffers.give_back(buffer),
        }
    } else if !no_buffer {
        connections.close(number);
        return Ok(());
    }
    match connections.get(number) {
        Some(end) if !cqueue::more(entry.flags()) => {
            ring.push(receive(end.stream.as_raw_fd(), number))
        }
        _ => Ok(()),
    }
}

fn receive(fd: i32, number: usize) -> squeue::Entry {
    opcode::RecvMulti::new(Fd(fd), GROUP).build().user_data(number as u64)
}

/// Puts requests into the ring.
trait Push {
    fn push(&mut self, entry: squeue::Entry) -> io::Result<()>;
}

impl Push for IoUring {
    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: descriptors are checked by the kernel, and buffers live as long as the program.
        while unsafe { self.submission().push(&entry) }.is_err() {
            self.submit()?;
        }
        Ok(())
    }
}

/// The buffers that the kernel receives into, and the ring that it takes them from.
struct Buffers {
    memory: *mut u8,
    ring: *mut BufRingEntry,
    tail: u16,
}

impl Buffers {
    fn registered(ring: &IoUring) -> io::Result<Self> {
        let bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        let mut buffers = Self {
            memory: map(usize::from(BUFFERS) * MESSAGE)?.cast(),
            ring: map(bytes)?.cast(),
            tail: 0,
        };
        // SAFETY: the memory is mapped, and stays so.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(buffers.ring as u64, BUFFERS, GROUP, 0)?
        };
        (0..BUFFERS).for_each(|buffer| buffers.give_back(buffer));
        Ok(buffers)
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: the kernel and this file know no other numbers than those of buffers.
        unsafe { self.memory.add(usize::from(buffer) * MESSAGE) }
    }

    /// Lets the kernel have a buffer again.
    fn give_back(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        // SAFETY: the place is inside the ring, and the kernel reads it only once the tail is past it.
        unsafe {
            let entry = &mut *self.ring.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(address);
            entry.set_len(MESSAGE as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.ring).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

/// Memory of the program's own, for as long as it runs.
fn map(bytes: usize) -> io::Result<*mut libc::c_void> {
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_ANONYMOUS | libc::MAP_PRIVATE);
    // SAFETY: a new mapping overlaps nothing.
    let place = unsafe { libc::mmap(null_mut(), bytes, access, kind, -1, 0) };
    if place == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(place) }
}

//! io_uring: one call submits all requests and waits for completions.
//!
//! ```text
//!   poll, receive, cancel ─▶ [queue] ── enter ─▶ kernel ─▶ [queue] ─▶ completions
//!                                                  │ takes a buffer for what it receives
//!   give_back ───────────────▶ [ring of buffers] ──┘
//! ```
//!
//! The kernel works on requests only while the ring's thread is inside [`Ring::enter`]
//! (`IORING_SETUP_DEFER_TASKRUN`): between two calls no socket changes without the thread's
//! knowledge.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

mod buffers;
mod files;

use buffers::Buffers;
pub use buffers::{BUFFER_SIZE, Received};
use files::Files;

/// The length of the submission queue. More requests take a call of their own.
const REQUESTS: u32 = 256;

/// The length of the completion queue; the kernel keeps further completions.
const COMPLETIONS: u32 = 2048;

/// The limit of attempts to submit requests that cannot stay in the queue.
const SUBMISSIONS: usize = 1000;

/// The limit of moves of overflown completions into the queue at once.
const FLUSHES: usize = 64;

/// The time limit for the kernel to cancel requests at the end of a ring.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// `IORING_RECVSEND_POLL_FIRST`: the socket is known to be empty, so the kernel waits before it
/// tries to receive.
const POLL_FIRST: u16 = 1;

/// `IORING_RECV_MULTISHOT`.
const MULTISHOT: u16 = 2;

/// A ring of one thread, with its receive buffers.
#[derive(Debug)]
pub struct Ring {
    ring: Queues,
    buffers: Buffers,
    flags: EnterFlags,
    /// The bytes that queued requests to send point to. Declared after the queue, so that it is
    /// dropped later.
    sending: Vec<u8>,
    /// The memory that file reads write to. Also declared after the queue.
    files: Files,
    /// Requests or completions were lost.
    broken: bool,
}

struct Queues(IoUring);

/// The readiness to wait for, in the bits of poll(2), as in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Bytes to read, or the end of the peer's stream.
    pub const READ: Self = Self((libc::POLLIN | libc::POLLPRI | libc::POLLRDHUP) as u32);
    /// Room to write.
    pub const WRITE: Self = Self(libc::POLLOUT as u32);
    /// A connection to accept; wakes one of all waiters.
    pub const ACCEPT: Self = Self(libc::POLLIN as u32 | libc::EPOLLEXCLUSIVE as u32);
}

/// A completed request.
#[derive(Debug)]
pub struct Completion {
    /// The request's user data.
    pub data: u64,
    /// The bits of a poll, the number of bytes received, or `-errno`.
    pub result: i32,
    /// The received bytes; the buffer must be given back to the ring.
    pub received: Option<Received>,
    /// Whether the request stays active and will complete again.
    pub more: bool,
}

/// The time that [`Ring::enter`] waits for a first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// None.
    None,
    /// At most this long.
    For(Duration),
    /// Until there is one.
    Forever,
}

impl Ring {
    /// A ring for the calling thread; no other thread may use it.
    ///
    /// # Errors
    /// Those of io_uring_setup(2): `ENOSYS` or `EINVAL` from kernels before 6.1, `EPERM` where a
    /// policy (seccomp, `kernel.io_uring_disabled`) forbids it, `ENOMEM` over a limit of memory.
    pub fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        builder.setup_submit_all().setup_clamp().setup_cqsize(COMPLETIONS);
        let ring = builder.build(REQUESTS)?;
        let buffers = Buffers::registered(&ring)?;
        let mut flags = EnterFlags::GETEVENTS;
        if ring.params().is_feature_no_iowait() {
            // Otherwise an idle server is shown as waiting for a disk.
            flags |= EnterFlags::NO_IOWAIT;
        }
        let ring = Queues(ring);
        Ok(Self {
            ring,
            buffers,
            flags,
            sending: Vec::new(),
            files: Files::default(),
            broken: false,
        })
    }

    /// Requests one notice of readiness. The descriptor is looked up when the ring is entered.
    /// False if the kernel accepts no more requests for now.
    #[must_use]
    pub fn poll(&mut self, fd: RawFd, interest: Interest, data: u64) -> bool {
        self.push(opcode::PollAdd::new(Fd(fd), interest.0).build().user_data(data))
    }

    /// Requests edge-triggered notices of readability.
    #[must_use]
    pub fn poll_edges(&mut self, fd: RawFd, data: u64) -> bool {
        let poll = opcode::PollAdd::new(Fd(fd), Interest::READ.0).multi(true);
        self.push(poll.build().user_data(data))
    }

    /// Requests the next bytes of a socket, at most [`BUFFER_SIZE`], once or repeatedly
    /// (`goes_on`). `ENOBUFS` means that bytes came while all buffers were in use.
    #[must_use]
    pub fn receive(&mut self, fd: RawFd, goes_on: bool, data: u64) -> bool {
        let receive = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0)
            .ioprio(if goes_on { POLL_FIRST | MULTISHOT } else { POLL_FIRST })
            .buf_group(buffers::GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(receive.user_data(data))
    }

    /// Cancels the request with user data `data`. An active one completes with `ECANCELED`; if
    /// there is none, a completion has user data `answer`.
    #[must_use]
    pub fn cancel(&mut self, data: u64, answer: u64) -> bool {
        let cancel = opcode::AsyncCancel::new(data).build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push(cancel.user_data(answer))
    }

    /// Sends messages with one call; each takes its length of `bytes` to the socket of its number.
    /// All sends are over on return: a message not taken in full has completed with its user data,
    /// and with the number of bytes taken or an error.
    ///
    /// # Panics
    /// If the kernel has no memory for requests. The ring then cannot be entered any more, and
    /// keeps the bytes, since queued requests may point to them.
    pub fn send_all(
        &mut self,
        bytes: &mut Vec<u8>,
        messages: impl Iterator<Item = (RawFd, Range<usize>, u64)>,
    ) {
        assert!(!std::mem::replace(&mut self.broken, true), "io_uring has failed");
        self.sending = std::mem::take(bytes);
        for (socket, range, data) in messages {
            let bytes = &self.sending[range];
            // A send that would block fails, so nothing waits in the kernel. Success then means all
            // bytes, and success posts no completion.
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;
            let send = opcode::Send::new(Fd(socket), bytes.as_ptr(), bytes.len() as u32);
            let send = send.flags(flags).build().flags(squeue::Flags::SKIP_SUCCESS);
            let send = send.user_data(data);
            // SAFETY: the bytes are read before they leave the ring, at the end of this function,
            // and nothing changes or moves them before.
            while unsafe { self.ring.0.submission().push(&send) }.is_err() {
                self.submit_all();
            }
        }
        self.submit_all();
        *bytes = std::mem::take(&mut self.sending);
        self.broken = false;
    }

    /// Makes the kernel take all requests from the queue.
    fn submit_all(&mut self) {
        for _ in 0..SUBMISSIONS {
            let _ = self.enter_with(0, EnterFlags::empty());
            if self.ring.0.submission().is_empty() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("io_uring takes no requests");
    }

    fn push(&mut self, entry: squeue::Entry) -> bool {
        // SAFETY: requests hold no pointers, except sends, which have left the queue when
        // [`Ring::send_all`] returns, and file reads. The kernel writes to the ring's own buffers
        // and memory, which live until no request is active.
        if unsafe { self.ring.0.submission().push(&entry) }.is_ok() {
            return true;
        }
        // The call neither waits nor runs completions, so no socket changes unnoticed.
        let _ = self.enter_with(0, EnterFlags::empty());
        // SAFETY: as above.
        unsafe { self.ring.0.submission().push(&entry) }.is_ok()
    }

    /// Submits the queued requests and waits for completions.
    ///
    /// # Errors
    /// Those of io_uring_enter(2). Requests that were not submitted stay in the queue.
    ///
    /// # Panics
    /// If the ring has failed before: requests were lost, and their waiters would hang.
    pub fn enter(&mut self, patience: Patience) -> io::Result<()> {
        assert!(!self.broken, "io_uring has failed");
        match patience {
            Patience::None if self.is_quiet() => Ok(()),
            Patience::None => self.enter_with(0, self.flags),
            Patience::Forever => self.enter_with(1, self.flags),
            Patience::For(time) => self.enter_for(time),
        }
    }

    /// Whether a call would neither submit nor complete anything.
    pub fn is_quiet(&mut self) -> bool {
        let queue = self.ring.0.submission();
        queue.is_empty() && !queue.taskrun() && !queue.cq_overflow()
    }

    fn enter_with(&mut self, least: u32, flags: EnterFlags) -> io::Result<()> {
        let count = self.ring.0.submission().len() as u32;
        let submitter = self.ring.0.submitter();
        // SAFETY: there is no argument for the kernel to read.
        let done = unsafe { submitter.enter::<()>(count, least, flags.bits(), None) };
        self.note(done)
    }

    /// Records a permanent failure: the kernel had no memory for completions beyond the queue.
    fn note(&mut self, done: io::Result<usize>) -> io::Result<()> {
        self.broken |= matches!(&done, Err(error) if error.raw_os_error() == Some(libc::EBADR));
        done.map(drop)
    }

    fn enter_for(&mut self, time: Duration) -> io::Result<()> {
        let count = self.ring.0.submission().len() as u32;
        let time = Timespec::from(time);
        let arguments = SubmitArgs::new().timespec(&time);
        let flags = self.flags | EnterFlags::EXT_ARG;
        // SAFETY: the argument has the type that the flag announces, and lives during the call.
        let done =
            unsafe { self.ring.0.submitter().enter(count, 1, flags.bits(), Some(&arguments)) };
        match done {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            done => self.note(done),
        }
    }

    /// Moves all completions into `into`, including those beyond the queue.
    pub fn all_completions(&mut self, into: &mut Vec<Completion>) {
        self.completions(into);
        for _ in 0..FLUSHES {
            if !self.ring.0.submission().cq_overflow() {
                return;
            }
            let _ = self.enter_with(0, EnterFlags::GETEVENTS);
            self.completions(into);
        }
    }

    /// Moves the completions in the queue into `into`.
    pub fn completions(&mut self, into: &mut Vec<Completion>) {
        for entry in self.ring.0.completion() {
            let buffer = cqueue::buffer_select(entry.flags());
            into.push(Completion {
                data: entry.user_data(),
                result: entry.result(),
                received: buffer.map(|buffer| self.buffers.received(buffer, entry.result())),
                more: cqueue::more(entry.flags()),
            });
        }
    }

    /// The received bytes.
    ///
    /// # Panics
    /// If another ring received them.
    pub fn bytes(&self, received: &Received) -> &[u8] {
        self.buffers.bytes(received)
    }

    /// Returns a buffer to the kernel.
    ///
    /// # Panics
    /// If the buffer is another ring's.
    pub fn give_back(&mut self, received: Received) {
        self.buffers.give_back(received);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let patience = Timespec::from(CANCEL_PATIENCE);
        let done =
            self.ring.0.submitter().register_sync_cancel(Some(patience), CancelBuilder::any());
        match done.map_err(|error| error.raw_os_error()) {
            Ok(()) | Err(Some(libc::ENOENT)) => {}
            // The kernel may still write to the buffers, so their memory stays.
            Err(_) => {
                self.buffers.leak();
                self.files.leak();
            }
        }
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queues").field(self.0.params()).finish()
    }
}

#[cfg(test)]
mod tests;

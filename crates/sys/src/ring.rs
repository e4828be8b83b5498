//! io_uring: what is to be done is handed over together, in the call that waits for what is done.
//!
//! ```text
//!   poll, receive, cancel ─▶ [queue] ── enter ─▶ kernel ─▶ [queue] ─▶ completions
//!                                                  │ takes a buffer for what it receives
//!   give_back ───────────────▶ [ring of buffers] ──┘
//! ```
//!
//! The kernel works on what was handed over only while the ring's thread is inside of
//! [`Ring::enter`] (`IORING_SETUP_DEFER_TASKRUN`): between two of those calls nothing happens to
//! a socket that the thread has not been told of.

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

/// How many requests the queue to the kernel holds. More take a call of their own.
const REQUESTS: u32 = 256;

/// How many completions are taken without a detour: the kernel keeps what is beyond them.
const COMPLETIONS: u32 = 2048;

/// How often the kernel is asked to take requests that cannot stay in the queue.
const SUBMISSIONS: usize = 1000;

/// How often completions beyond the queue's length are moved into it at once.
const FLUSHES: usize = 64;

/// How long the end of a ring waits for the kernel to let go of what is under way.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// `IORING_RECVSEND_POLL_FIRST`: the socket is known to be empty, so nothing is tried before
/// something has come.
const POLL_FIRST: u16 = 1;

/// `IORING_RECV_MULTISHOT`.
const MULTISHOT: u16 = 2;

/// A ring of one thread, with the buffers that it receives into.
#[derive(Debug)]
pub struct Ring {
    ring: Queues,
    buffers: Buffers,
    flags: EnterFlags,
    /// What requests to send point at, as long as they are in the queue. Behind the queue, so that
    /// it outlives that.
    sending: Vec<u8>,
    /// What requests to read files write into. Behind the queue, too.
    files: Files,
    /// Requests or completions were lost.
    broken: bool,
}

struct Queues(IoUring);

/// What a descriptor is to be ready for; bits as poll(2) has them, in what completes as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Something to read, or the end of what the peer sends.
    pub const READ: Self = Self((libc::POLLIN | libc::POLLPRI | libc::POLLRDHUP) as u32);
    /// Room to write.
    pub const WRITE: Self = Self(libc::POLLOUT as u32);
    /// A connection to accept, told to one of all that ask.
    pub const ACCEPT: Self = Self(libc::POLLIN as u32 | libc::EPOLLEXCLUSIVE as u32);
}

/// Something is done.
#[derive(Debug)]
pub struct Completion {
    /// What it was asked with.
    pub data: u64,
    /// The bits of a poll, the number of bytes received, or an error of the system as `-errno`.
    pub result: i32,
    /// The bytes, to be given back to the ring.
    pub received: Option<Received>,
    /// Whether there will be more of it without asking again.
    pub more: bool,
}

/// How long [`Ring::enter`] waits for a first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// At most so long.
    For(Duration),
    /// Until there is one.
    Forever,
}

impl Ring {
    /// A ring for the calling thread, which is the only one that may use it.
    ///
    /// # Errors
    /// The system's: `ENOSYS` or `EINVAL` from a kernel before 6.1, `EPERM` where a policy
    /// (seccomp, `kernel.io_uring_disabled`) forbids it, `ENOMEM` beyond a limit of memory.
    pub fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        builder.setup_submit_all().setup_clamp().setup_cqsize(COMPLETIONS);
        let ring = builder.build(REQUESTS)?;
        let buffers = Buffers::registered(&ring)?;
        let mut flags = EnterFlags::GETEVENTS;
        if ring.params().is_feature_no_iowait() {
            // Else an idle server looks as if it waited for a disk.
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

    /// Asks to be told once when a descriptor is ready. Only its number is looked at, when the
    /// ring is entered. False if the kernel takes no more requests for now.
    #[must_use]
    pub fn poll(&mut self, fd: RawFd, interest: Interest, data: u64) -> bool {
        self.push(opcode::PollAdd::new(Fd(fd), interest.0).build().user_data(data))
    }

    /// Asks to be told whenever a descriptor becomes readable, by edges.
    #[must_use]
    pub fn poll_edges(&mut self, fd: RawFd, data: u64) -> bool {
        let poll = opcode::PollAdd::new(Fd(fd), Interest::READ.0).multi(true);
        self.push(poll.build().user_data(data))
    }

    /// Asks for what a socket receives next, at most [`BUFFER_SIZE`] bytes, or for that again and
    /// again (`goes_on`). `ENOBUFS` says that something has come while all buffers were in use.
    #[must_use]
    pub fn receive(&mut self, fd: RawFd, goes_on: bool, data: u64) -> bool {
        let receive = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0)
            .ioprio(if goes_on { POLL_FIRST | MULTISHOT } else { POLL_FIRST })
            .buf_group(buffers::GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(receive.user_data(data))
    }

    /// Takes back what was asked for with `data`, which then completes with `ECANCELED` if it was
    /// still under way. If it was not, there is a completion with `answer`.
    #[must_use]
    pub fn cancel(&mut self, data: u64, answer: u64) -> bool {
        let cancel = opcode::AsyncCancel::new(data).build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push(cancel.user_data(answer))
    }

    /// Sends messages, each of them so many of the bytes to the socket with this number, in one
    /// call. Nothing is under way when it returns: a message that a socket did not take as a whole
    /// has completed with its data, and with the bytes taken, or with an error.
    ///
    /// # Panics
    /// If the kernel has no memory for requests. After a panic the ring cannot be entered any more;
    /// it keeps the bytes, which requests in its queue may point at.
    pub fn send_all(
        &mut self,
        bytes: &mut Vec<u8>,
        messages: impl Iterator<Item = (RawFd, Range<usize>, u64)>,
    ) {
        assert!(!std::mem::replace(&mut self.broken, true), "io_uring has failed");
        self.sending = std::mem::take(bytes);
        for (socket, range, data) in messages {
            let bytes = &self.sending[range];
            // What cannot be sent without waiting fails, and so nothing waits in the kernel. All or
            // nothing is a success then, which nobody has to hear of.
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

    /// Has the kernel take all requests from the queue.
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
        // SAFETY: no request has a pointer in it but those that are gone from the queue when
        // [`Ring::send_all`] returns, and those to read files. What the kernel receives or reads
        // goes to the ring's own buffers, which live until nothing is under way any more.
        if unsafe { self.ring.0.submission().push(&entry) }.is_ok() {
            return true;
        }
        // Nothing is waited for and nothing is run, so nothing happens behind the caller's back.
        let _ = self.enter_with(0, EnterFlags::empty());
        // SAFETY: as above.
        unsafe { self.ring.0.submission().push(&entry) }.is_ok()
    }

    /// Hands over what was asked for, and takes in what is done.
    ///
    /// # Errors
    /// The system's. What could not be handed over stays in the queue.
    ///
    /// # Panics
    /// If the ring has failed before: what it was asked for is lost, and with it whoever waits.
    pub fn enter(&mut self, patience: Patience) -> io::Result<()> {
        assert!(!self.broken, "io_uring has failed");
        match patience {
            Patience::None if self.is_quiet() => Ok(()),
            Patience::None => self.enter_with(0, self.flags),
            Patience::Forever => self.enter_with(1, self.flags),
            Patience::For(time) => self.enter_for(time),
        }
    }

    /// Whether a call would neither hand over nor take in anything.
    pub fn is_quiet(&mut self) -> bool {
        let queue = self.ring.0.submission();
        queue.is_empty() && !queue.taskrun() && !queue.cq_overflow()
    }

    fn enter_with(&mut self, least: u32, flags: EnterFlags) -> io::Result<()> {
        let count = self.ring.0.submission().len() as u32;
        let submitter = self.ring.0.submitter();
        // SAFETY: there is no argument that the kernel would read.
        let done = unsafe { submitter.enter::<()>(count, least, flags.bits(), None) };
        self.note(done)
    }

    /// Takes note of a failure that cannot be mended: the kernel had no memory for completions that
    /// did not fit into the queue.
    fn note(&mut self, done: io::Result<usize>) -> io::Result<()> {
        self.broken |= matches!(&done, Err(error) if error.raw_os_error() == Some(libc::EBADR));
        done.map(drop)
    }

    fn enter_for(&mut self, time: Duration) -> io::Result<()> {
        let count = self.ring.0.submission().len() as u32;
        let time = Timespec::from(time);
        let arguments = SubmitArgs::new().timespec(&time);
        let flags = self.flags | EnterFlags::EXT_ARG;
        // SAFETY: the argument is the one that the flag announces, and lives during the call.
        let done =
            unsafe { self.ring.0.submitter().enter(count, 1, flags.bits(), Some(&arguments)) };
        match done {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            done => self.note(done),
        }
    }

    /// Moves what is done into `into`, also what was more than the queue holds.
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

    /// Moves what is done into `into`, at most the queue's length of it.
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

    /// The bytes of something received.
    ///
    /// # Panics
    /// If another ring has received it.
    pub fn bytes(&self, received: &Received) -> &[u8] {
        self.buffers.bytes(received)
    }

    /// Lets the kernel have a buffer again.
    ///
    /// # Panics
    /// If it is another ring's.
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
            // The kernel may still write into the buffers, so their memory stays.
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

//! A stretch of a file on its way into memory.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::{Errno, ReadWriteFlags};

use super::direct::{self, Alignment};
use super::{Aio, File};
use crate::buffer::{self, Buf};
use crate::error_log::{Level, process_log};
use crate::thread_pool::{ThreadPool, Work};
use crate::timer::Deadline;

/// After how long it is told that a disk does not answer; nginx's time. The wait goes on.
pub(super) const TOO_LONG: Duration = Duration::from_secs(60);

/// Bytes that are being read. When this is dropped, the read comes to its end all the same, into
/// a buffer of its own.
#[derive(Debug)]
pub struct Reading {
    state: State,
    slow: Deadline,
}

type Stretch = (Vec<u8>, Range<usize>);

#[derive(Debug)]
enum State {
    Done(Option<io::Result<(Buf, Range<usize>)>>),
    Pool(Work<io::Result<Stretch>>),
}

impl Reading {
    pub(super) fn start(file: &File, aio: &Aio, at: u64, count: usize) -> Self {
        let state = match aio {
            Aio::Off => State::here(file, at, count),
            Aio::On(pool) | Aio::Threads(pool) => State::in_pool(file, pool, at, count),
        };
        let mut slow = Deadline::new();
        slow.after(TOO_LONG);
        Self { state, slow }
    }

    /// The buffer, and where in it the bytes are.
    ///
    /// # Errors
    /// What reading the file gave; a file that has become shorter is `UnexpectedEof`, and a pool
    /// whose queue is full `QuotaExceeded`, which has been logged.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Buf, Range<usize>)>> {
        let read = match &mut self.state {
            State::Done(read) => return Poll::Ready(read.take().unwrap_or_else(lost)),
            State::Pool(work) => {
                Pin::new(work).poll(cx).map(|read| read.unwrap_or_else(|_| lost()))
            }
        };
        if read.is_pending() && self.slow.poll(cx).is_ready() {
            self.slow.clear();
            process_log().log(Level::Alert, 0, "thread operation took too long");
        }
        let (bytes, range) = ready!(read)?;
        Poll::Ready(Ok((Buf::from(bytes), range)))
    }
}

impl State {
    /// Reads while the loop waits.
    fn here(file: &File, at: u64, count: usize) -> Self {
        Self::Done(Some(file.load(at, count)))
    }

    fn in_pool(file: &File, pool: &ThreadPool, at: u64, count: usize) -> Self {
        // Without a descriptor for the thread, the loop has to wait.
        let Ok(other) = file.file.try_clone() else { return Self::here(file, at, count) };
        let (alignment, buffer) = (file.direct.get(), buffer_for(file, count));
        match pool.run(move || read(&other, alignment, buffer, at, count)) {
            Ok(work) => Self::Pool(work),
            Err(overflow) => {
                process_log().log(Level::Error, 0, &overflow);
                Self::Done(Some(Err(io::ErrorKind::QuotaExceeded.into())))
            }
        }
    }
}

/// The loop's own buffers go to the thread and come back; aligned ones are made there.
fn buffer_for(file: &File, count: usize) -> Vec<u8> {
    if file.is_direct() { Vec::new() } else { buffer::take(count).into_vec() }
}

fn lost<T>() -> io::Result<T> {
    Err(io::Error::other("the read was lost"))
}

fn read(
    file: &std::fs::File,
    alignment: Option<Alignment>,
    mut into: Vec<u8>,
    at: u64,
    count: usize,
) -> io::Result<Stretch> {
    if let Some(alignment) = alignment {
        return direct::read(file.as_fd(), alignment, at, count);
    }
    while into.len() < count {
        let (done, flags) = (into.len(), ReadWriteFlags::empty());
        let offset = at + done as u64;
        match weir_sys::file::read_at(file.as_fd(), &mut into, count - done, offset, flags) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((into, 0..count))
}

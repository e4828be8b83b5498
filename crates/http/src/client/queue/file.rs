//! The file at the front of the queue, on its way to the client.
//!
//! ```text
//!   by the kernel ── off, or cached ──▶ sendfile
//!        └ not cached ─┐
//!   by reading ────────┴─ cached ──▶ bytes       the loop never waits for a disk, unless
//!                         └ not ──▶ reading ──▶ bytes                   `aio` is off
//! ```

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use weir_engine::buffer::Buf;
use weir_engine::file_io::{Aio, File, Reading};

use super::Queue;
use crate::piece::Piece;

/// The number of bytes that are looked up in the page cache before the kernel sends them. The
/// lookup costs a system call for each page.
const LOOKED_AT: u64 = 256 * 1024;

/// The minimum length of a read in place of the kernel's sending, for a file that is not cached.
const UNCACHED_READ: u64 = 128 * 1024;

/// The state of the file at the front of the queue.
#[derive(Default)]
pub(super) struct Front {
    reading: Option<Reading>,
    /// The number of bytes from its start that are in the page cache.
    cached: u64,
}

/// The next step with a file.
enum Next {
    /// The kernel sends this many bytes.
    Send(u64),
    /// These bytes of it have been read.
    Bytes(Buf, Range<usize>),
}

impl Front {
    /// Forgets the file that was at the front.
    pub(super) fn reset(&mut self) {
        if self.reading.is_some() {
            self.reading = None;
        }
        self.cached = 0;
    }

    /// The next step with `stretch` of `file`, which is not empty: at most `most` bytes are sent by
    /// the kernel if it may send them, otherwise one read of `read` bytes.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        aio: &Aio,
        (file, stretch): (&Rc<File>, &Range<u64>),
        most: Option<u64>,
        read: u64,
    ) -> Poll<io::Result<Next>> {
        if self.reading.is_none() {
            ready!(file.poll_written(cx))?;
            if let Some(most) = most.filter(|_| !file.is_direct()) {
                if aio.is_off() {
                    return Poll::Ready(Ok(Next::Send(most)));
                }
                if self.cached == 0 {
                    self.cached = file.cached(stretch.start, most.min(LOOKED_AT));
                }
                if self.cached > 0 {
                    return Poll::Ready(Ok(Next::Send(most.min(self.cached))));
                }
            }
            let read = if most.is_some() { read.max(UNCACHED_READ) } else { read };
            let count = (stretch.end - stretch.start).min(read) as usize;
            if !aio.is_off() {
                let mut buf = weir_engine::buffer::take(count);
                match file.read_now(stretch.start, count, &mut buf) {
                    Ok(count) => return Poll::Ready(Ok(Next::Bytes(buf, 0..count))),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            self.reading = Some(file.read(aio, stretch.start, count));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let read = ready!(reading.poll(cx));
        self.reading = None;
        Poll::Ready(read.map(|(buf, range)| Next::Bytes(buf, range)))
    }
}

/// Reads a small range of a file behind the content of `into`, if the loop may do that now. A fault
/// recurs when the file is sent, and is reported then.
pub(super) fn read_small(
    aio: &Aio,
    file: &File,
    at: u64,
    count: usize,
    into: &mut Buf,
) -> Result<(), ()> {
    if aio.is_off() && !file.is_direct() && !file.is_writing() {
        return file.read_behind(at, count, into).map_err(drop);
    }
    let start = into.len();
    while into.len() < start + count {
        let done = into.len() - start;
        if file.read_now(at + done as u64, count - done, into).is_err() {
            into.truncate(start);
            return Err(());
        }
    }
    Ok(())
}

impl Queue {
    /// Sets how files are read.
    pub(in crate::client) fn set_aio(&mut self, aio: Aio) {
        self.aio = aio;
    }

    /// How files are read.
    pub(in crate::client) fn aio(&self) -> &Aio {
        &self.aio
    }

    /// Whether the queue waits for a disk, and not for the client.
    pub(in crate::client) fn waits_for_disk(&self) -> bool {
        self.front.reading.is_some()
    }

    /// Takes the next step with the file in front. Returns the number of bytes for the kernel to
    /// send, of at most `most` if it may send any, or None if a part of at most `read` bytes is in
    /// memory.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub(in crate::client) fn poll_file(
        &mut self,
        cx: &mut Context<'_>,
        most: Option<u64>,
        read: u64,
    ) -> Poll<io::Result<Option<u64>>> {
        let Some(Piece::File(file, stretch)) = self.pieces.front_mut() else {
            return Poll::Ready(Ok(None));
        };
        let (buf, range) =
            match ready!(self.front.poll(cx, &self.aio, (file, stretch), most, read))? {
                Next::Send(count) => return Poll::Ready(Ok(Some(count))),
                Next::Bytes(buf, range) => (buf, range),
            };
        stretch.start += range.len() as u64;
        if stretch.is_empty() {
            self.pieces.pop_front();
        }
        self.pieces.push_front(Piece::Buf(buf, range));
        Poll::Ready(Ok(None))
    }

    /// Removes bytes that the kernel has sent from the file in front.
    pub(in crate::client) fn sent_file(&mut self, count: u64) {
        self.front.cached = self.front.cached.saturating_sub(count);
        self.consume(count);
    }
}

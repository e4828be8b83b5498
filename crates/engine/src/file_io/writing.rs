//! Write-behind: data goes to a file while its task does something else.
//!
//! ```text
//!   idle ── write_behind ──▶ one write in progress ──▶ idle
//!                              │       ▲ └ failed: for good, reported by every poll
//!                              └ next ─┘ bytes added meanwhile
//! ```
//!
//! A file has one write in progress at a time, and each starts where the previous one ends.

use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::reading::TOO_LONG;
use super::{Aio, File};
use crate::error_log::{Level, process_log};
use crate::thread_pool::Work;
use crate::timer::Deadline;

/// The pending writes of a file.
#[derive(Debug, Default)]
pub(super) struct Writes {
    under_way: Option<UnderWay>,
    /// The bytes of the next write. Limited by the writer, which checks [`File::unwritten`].
    next: Vec<u8>,
    failed: Option<(io::ErrorKind, Option<i32>)>,
}

#[derive(Debug)]
struct UnderWay {
    work: Work<io::Result<()>>,
    length: usize,
    /// The offset of the next write.
    end: u64,
    aio: Aio,
    slow: Deadline,
}

impl File {
    /// Whether writes are pending or have failed, so that the file cannot be read.
    pub fn is_writing(&self) -> bool {
        let writes = self.writes.borrow();
        writes.under_way.is_some() || writes.failed.is_some()
    }

    /// The number of bytes pending.
    pub fn unwritten(&self) -> usize {
        let writes = self.writes.borrow();
        writes.next.len() + writes.under_way.as_ref().map_or(0, |write| write.length)
    }

    /// Writes `bytes` at offset `at`, which must follow the pending bytes, in the place that `aio`
    /// selects.
    ///
    /// # Errors
    /// A system error if the loop writes; `QuotaExceeded`, which has been logged, if the pool's
    /// queue is full.
    pub fn write_behind(&self, aio: &Aio, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut writes = self.writes.borrow_mut();
        if let Some(write) = &writes.under_way {
            debug_assert_eq!(write.end + writes.next.len() as u64, at, "bytes in their order");
            writes.next.extend_from_slice(bytes);
            return Ok(());
        }
        if aio.is_off() {
            return self.write_at(bytes, at);
        }
        writes.under_way = self.begin(aio.clone(), bytes.to_vec(), at)?;
        Ok(())
    }

    /// Starts a write; `None` if it is complete.
    fn begin(&self, aio: Aio, bytes: Vec<u8>, at: u64) -> io::Result<Option<UnderWay>> {
        let length = bytes.len();
        let (Some(pool), Ok(other)) = (aio.pool(), self.file.try_clone()) else {
            // Without a descriptor for the thread, the write blocks the loop.
            return self.write_at(&bytes, at).map(|()| None);
        };
        let work = pool.run(move || other.write_all_at(&bytes, at)).map_err(|overflow| {
            process_log().log(Level::Error, 0, &overflow);
            io::Error::from(io::ErrorKind::QuotaExceeded)
        })?;
        let mut slow = Deadline::new();
        slow.after(TOO_LONG);
        Ok(Some(UnderWay { work, length, end: at + length as u64, aio, slow }))
    }

    /// Ready when no writes are pending.
    ///
    /// # Errors
    /// The error of a failed write, from then on.
    pub fn poll_written(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writes = self.writes.borrow_mut();
        let writes = &mut *writes;
        if let Some((kind, number)) = writes.failed {
            let error = number.map_or_else(|| kind.into(), io::Error::from_raw_os_error);
            return Poll::Ready(Err(error));
        }
        while let Some(write) = &mut writes.under_way {
            let written = ready!(write.poll(cx));
            let (end, aio) = (write.end, write.aio.clone());
            writes.under_way = None;
            let bytes = std::mem::take(&mut writes.next);
            let next = match written {
                Ok(()) if bytes.is_empty() => Ok(None),
                Ok(()) => self.begin(aio, bytes, end),
                Err(error) => Err(error),
            };
            match next {
                Ok(next) => writes.under_way = next,
                Err(error) => {
                    writes.failed = Some((error.kind(), error.raw_os_error()));
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl UnderWay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.work).poll(cx);
        if written.is_pending() && self.slow.poll(cx).is_ready() {
            self.slow.clear();
            process_log().log(Level::Alert, 0, "thread operation took too long");
        }
        written
            .map(|written| written.unwrap_or_else(|_| Err(io::Error::other("the write was lost"))))
    }
}

//! Writing behind: what is to be in a file goes there while its task does something else.
//!
//! ```text
//!   idle ── write_behind ──▶ one write under way ──▶ idle
//!                              │       ▲ └ failed: stays so, every poll says it
//!                              └ next ─┘ what has come meanwhile
//! ```
//!
//! Writes of a file follow each other, and each begins where the one before it ends.

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

/// What is on its way into a file.
#[derive(Debug, Default)]
pub(super) struct Writes {
    under_way: Option<UnderWay>,
    /// What follows it. As much as the writer adds before it looks at [`File::unwritten`].
    next: Vec<u8>,
    failed: Option<(io::ErrorKind, Option<i32>)>,
}

#[derive(Debug)]
struct UnderWay {
    work: Work<io::Result<()>>,
    length: usize,
    /// Where what follows begins.
    end: u64,
    aio: Aio,
    slow: Deadline,
}

impl File {
    /// Whether bytes are on their way, or have failed to get there: then the file cannot be read.
    pub fn is_writing(&self) -> bool {
        let writes = self.writes.borrow();
        writes.under_way.is_some() || writes.failed.is_some()
    }

    /// How many bytes are on their way.
    pub fn unwritten(&self) -> usize {
        let writes = self.writes.borrow();
        writes.next.len() + writes.under_way.as_ref().map_or(0, |write| write.length)
    }

    /// Writes all of `bytes` at offset `at`, where `aio` says. What is on its way must end there.
    ///
    /// # Errors
    /// The system's where the loop writes; a pool whose queue is full is `QuotaExceeded`, which has
    /// been logged.
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

    /// Hands a write over; None if it is done.
    fn begin(&self, aio: Aio, bytes: Vec<u8>, at: u64) -> io::Result<Option<UnderWay>> {
        let length = bytes.len();
        let (Some(pool), Ok(other)) = (aio.pool(), self.file.try_clone()) else {
            // Without a descriptor for the thread, the loop has to wait.
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

    /// Ready when nothing is on its way.
    ///
    /// # Errors
    /// That of a write that has failed; then and ever after.
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

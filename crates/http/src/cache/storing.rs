//! Storing a response: its body goes to a temporary file, then its sums and its head, and then the
//! file gets its name.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use weir_engine::temp_file::Attributes;

use super::faults;
use super::file::{Head, Sums};
use super::index::{Claim, Kept, Now, Varied};
use super::volume::{self, Volume};
use crate::core::temp_path::{TempFileError, TempPath};
use crate::module::Pending;
use crate::pass::keep::Keeping;
use crate::pass::temp_file::TempFile;
use crate::piece::Piece;
use crate::request::Request;

/// A response that is being stored.
pub(super) struct Storing<'a> {
    file: TempFile<'a>,
    volume: Arc<Volume>,
    head: Head,
    sums: Sums,
    /// The length that the body must have.
    length: Option<u64>,
    /// Whether head, body and sums are in the file already, or are on their way.
    is_written: bool,
    /// Ends the turn of the request when the response is stored, or is given up.
    _claim: Option<Claim>,
}

impl<'a> Storing<'a> {
    pub(super) fn new(
        request: &mut Request,
        folder: Option<&'a TempPath>,
        volume: &Arc<Volume>,
        head: Head,
        length: Option<u64>,
        claim: Option<Claim>,
    ) -> Self {
        let file = TempFile::new(request, folder);
        let (volume, sums) = (Arc::clone(volume), Sums::default());
        Self { file, volume, head, sums, length, is_written: false, _claim: claim }
    }

    /// Leaves room for the head, which is written last, when the length of the body is known.
    fn leave_room(&mut self) {
        if self.file.len() == 0 {
            self.file.leave_room(self.head.to_bytes().len() as u64);
        }
    }

    /// Completes the file.
    async fn write_rest(&mut self) -> Result<(), TempFileError> {
        if self.is_written {
            return poll_fn(|cx| self.file.poll_written(cx)).await;
        }
        self.leave_room();
        let sums = std::mem::take(&mut self.sums).finish();
        if !sums.is_empty() {
            self.file.put(&sums)?;
        }
        poll_fn(|cx| self.file.poll_written(cx)).await?;
        let head = self.head.to_bytes();
        self.file.write_at(&head, 0)
    }

    async fn finished(mut self: Box<Self>, request: &mut Request) {
        if self.length.is_some_and(|length| length != self.head.body) {
            return;
        }
        if let Err(error) = self.write_rest().await {
            return faults::not_kept(request, &error);
        }
        let file = match self.file.open() {
            Ok(file) => Rc::clone(file),
            Err(error) => return faults::not_kept(request, &error),
        };
        let Head { main, variant, times, .. } = self.head;
        let vary = &self.head.vary;
        let varied = (!vary.is_empty()).then(|| Varied { vary: vary.as_slice().into(), variant });
        let digest = match &varied {
            Some(varied) => self.volume.index.place(&main, &varied.vary, &variant),
            None => main,
        };
        let attributes = Attributes { mode: 0o600, modified: None };
        let path = self.volume.file(&digest);
        if let Err(error) = file.keep(self.file.aio(), path, attributes).await {
            return faults::not_kept(request, &error);
        }
        let size = volume::taken(self.file.len());
        let kept = Kept { times, size, main, varied };
        self.volume.index.stored(&digest, kept, Now::of_turn());
        if let Some(status) = request.attempts.cache.status {
            self.volume.counters.count_written(status, self.head.body);
        }
    }
}

impl Keeping for Storing<'_> {
    fn put(&mut self, request: &Request, bytes: &[u8]) -> Option<Piece> {
        self.leave_room();
        self.sums.add(bytes);
        self.head.body += bytes.len() as u64;
        let put = self.file.put(bytes);
        put.inspect_err(|error| faults::not_kept(request, error)).ok()
    }

    /// Writes the file with one call.
    fn put_whole(&mut self, request: &Request, bytes: &[u8]) -> bool {
        self.sums.add(bytes);
        self.head.body = bytes.len() as u64;
        let sums = std::mem::take(&mut self.sums).finish();
        let whole = [&self.head.to_bytes(), bytes, &sums].concat();
        self.is_written = true;
        let put = self.file.put(&whole);
        put.inspect_err(|error| faults::not_kept(request, error)).is_ok()
    }

    fn share(&self, most: u64) -> u64 {
        match self.file.len() {
            0 => most,
            at => up_to_boundary(at, most),
        }
    }

    fn is_behind(&self) -> bool {
        self.file.is_behind()
    }

    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>> {
        self.file.poll_written(cx)
    }

    fn finish<'r>(self: Box<Self>, request: &'r mut Request) -> Pending<'r, ()>
    where
        Self: 'r,
    {
        Box::pin(self.finished(request))
    }
}

/// The length of the stretches of a file that are written as a whole, in bytes. The kernel keeps a
/// stretch in one piece of the page cache (a large folio) if one write covers it, and then sends it
/// with less work than single pages.
const STRETCH: u64 = 64 * 1024;

/// The largest number of bytes, at most `most`, that end at a boundary of stretches if they are
/// written from `at`; `most` if those would be no more than half of it.
fn up_to_boundary(at: u64, most: u64) -> u64 {
    let end = at.saturating_add(most);
    let share = (end - end % STRETCH).saturating_sub(at);
    if share <= most / 2 { most } else { share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_end_at_boundaries_where_that_is_possible() {
        const K: u64 = 1024;
        for (at, most, share) in [
            (384, 128 * K, 128 * K - 384),
            (128 * K, 128 * K, 128 * K),
            (112_000, 128 * K, 192 * K - 112_000),
            // No boundary is near.
            (65 * K, 8 * K, 8 * K),
            (64 * K, 1, 1),
            // A small share is not worth a write of its own.
            (64 * K - 1, 16 * K, 16 * K),
            (63 * K, K, K),
            (0, u64::MAX, u64::MAX - u64::MAX % STRETCH),
        ] {
            assert_eq!(up_to_boundary(at, most), share, "{most} from {at}");
        }
    }
}

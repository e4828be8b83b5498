//! Storage of responses: as files with names of their own (`proxy_store`), or in a cache.
//!
//! ```text
//!   handler ── answer? ──▶ yes: the response is the kept one
//!                 └ no ──▶ upstream ──▶ head: wanted? ──▶ put, put, … ──▶ finish
//!                                                           └ dropped: nothing is kept
//! ```

use std::task::{Context, Poll};

use super::protocol::UpstreamHead;
use super::transfer::Transfer;
use crate::core::temp_path::TempFileError;
use crate::module::{Pending, Verdict};
use crate::piece::Piece;
use crate::request::Request;

/// The storage for the responses of a location.
pub(super) trait Keep {
    /// Answers in place of the upstream. None, immediately or from the future, means that the
    /// upstream is asked.
    fn answer<'a>(&'a self, _: &'a mut Request) -> Option<Pending<'a, Option<Verdict>>> {
        None
    }

    /// Whether to store the response with this head.
    fn wants(&self, request: &Request, settings: &Transfer, head: &UpstreamHead) -> bool;

    /// Starts to store a response.
    fn begin<'a>(&self, request: &mut Request, settings: &'a Transfer) -> Box<dyn Keeping + 'a>;
}

/// A response that is being stored. It is discarded if this is dropped before its end.
pub(super) trait Keeping {
    /// Appends bytes. Returns the range of the file that holds them, now or later; None if they
    /// cannot be stored, which has been logged.
    fn put(&mut self, request: &Request, bytes: &[u8]) -> Option<Piece>;

    /// Whether appended bytes must be written before more come.
    fn is_behind(&self) -> bool;

    /// Ready when all appended bytes are written.
    ///
    /// # Errors
    /// They could not be written.
    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>>;

    /// Completes the response. A fault is logged.
    fn finish<'a>(self: Box<Self>, request: &'a mut Request) -> Pending<'a, ()>
    where
        Self: 'a;
}

impl Transfer {
    /// The storage, if there is one.
    #[inline]
    pub(super) fn keep(&self) -> Option<&dyn Keep> {
        if self.store.is_on() { Some(&self.store) } else { None }
    }
}

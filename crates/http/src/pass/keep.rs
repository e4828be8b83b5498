//! What keeps responses for later: files under names of their own (`proxy_store`), or a cache.
//!
//! ```text
//!   handler ── answer? ──▶ yes: the response is what was kept
//!                 └ no ──▶ upstream ──▶ head: wanted? ──▶ put, put, … ──▶ finish
//!                                                           └ dropped: nothing is kept
//! ```

use std::task::{Context, Poll};

use super::ResponseHead;
use super::temp_file::Unwritten;
use super::transfer::Transfer;
use crate::module::{Pending, Verdict};
use crate::piece::Piece;
use crate::request::Request;

/// What keeps the responses of a location.
pub(super) trait Keep {
    /// Answers in place of the upstream. None, at once or when it has looked, if the upstream is to
    /// be asked.
    fn answer<'a>(&'a self, _: &'a mut Request) -> Option<Pending<'a, Option<Verdict>>> {
        None
    }

    /// Whether the response with this head is to be kept.
    fn wants(&self, request: &Request, settings: &Transfer, head: &ResponseHead) -> bool;

    /// Begins to keep a response.
    fn begin<'a>(&self, request: &mut Request, settings: &'a Transfer) -> Box<dyn Keeping + 'a>;
}

/// A response that is being kept. It is not if this is dropped before its end.
pub(super) trait Keeping {
    /// Takes what comes next; the stretch of a file that holds it, or will. None if it cannot be
    /// kept, which has been logged.
    fn put(&mut self, request: &Request, bytes: &[u8]) -> Option<Piece>;

    /// Whether what was put must be written before more comes.
    fn is_behind(&self) -> bool;

    /// Ready when what was put is written.
    ///
    /// # Errors
    /// When it could not be written.
    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), Unwritten>>;

    /// Keeps the response, which is whole. A fault is logged.
    fn finish<'a>(self: Box<Self>, request: &'a mut Request) -> Pending<'a, ()>
    where
        Self: 'a;
}

impl Transfer {
    /// What keeps responses, if anything does.
    #[inline]
    pub(super) fn keep(&self) -> Option<&dyn Keep> {
        if self.store.is_on() { Some(&self.store) } else { None }
    }
}

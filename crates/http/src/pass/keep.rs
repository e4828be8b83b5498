//! Storage of responses: as files with names of their own (`proxy_store`), or in a cache.
//!
//! ```text
//!   head ── wants? ──▶ begin ──▶ put, put, … ──▶ finish
//!                                  └ dropped: nothing is kept
//! ```
//!
//! A cache may also answer in place of an upstream that fails, or says that nothing has changed.

use std::task::{Context, Poll};

use weir_upstream::Causes;

use super::course::Pass;
use super::protocol::UpstreamHead;
use crate::core::temp_path::TempFileError;
use crate::module::{Pending, Verdict};
use crate::piece::Piece;
use crate::request::Request;

/// The storage for the response to one request.
pub(crate) trait Keep<'a> {
    /// Whether the response is received even if the client leaves.
    fn outlasts_client(&self, request: &Request) -> bool;

    /// Decides whether to store the response with this head, before it is sent.
    fn wants(&mut self, request: &mut Request, pass: &Pass<'_>, head: &UpstreamHead) -> bool;

    /// Starts to store the response.
    fn begin(&mut self, request: &mut Request, pass: &Pass<'a>) -> Box<dyn Keeping + 'a>;

    /// Whether a response that is already stored answers the request in this case.
    fn answers(&self, _: &Request, _: Case) -> bool {
        false
    }

    /// Answers in a case in which [`Keep::answers`].
    fn answer<'r>(
        &'r mut self,
        _: &'r mut Request,
        _: &'r Pass<'_>,
        _: Case,
    ) -> Pending<'r, Verdict> {
        Box::pin(std::future::ready(Verdict::Status(500)))
    }

    /// Notes that the response is one of our own with this status, in place of the upstream's if
    /// one is received.
    fn replaced(&mut self, _: &Request, _: &Pass<'_>, _status: u16, _is_received: bool) {}
}

/// A case in which a stored response may be the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// No upstream has answered.
    Failed(Causes),
    /// The upstream has answered with a status that counts as a failure.
    Refused(Causes),
    /// The upstream has answered that nothing has changed.
    NotModified,
}

impl Case {
    /// The case of a status.
    pub(crate) fn of_status(status: u16) -> Option<Self> {
        match status {
            304 => Some(Self::NotModified),
            _ => Causes::of_status(status).map(Self::Refused),
        }
    }
}

/// A response that is being stored. It is discarded if this is dropped before its end.
pub(crate) trait Keeping {
    /// Appends bytes. Returns the range of the file that holds them, now or later; None if they
    /// cannot be stored, which has been logged.
    fn put(&mut self, request: &Request, bytes: &[u8]) -> Option<Piece>;

    /// Stores bytes that are the whole content. Returns whether that is possible; if not, it has
    /// been logged.
    fn put_whole(&mut self, request: &Request, bytes: &[u8]) -> bool {
        self.put(request, bytes).is_some()
    }

    /// The number of bytes to append next, at most `most`, so that the file is written in whole
    /// blocks where possible.
    fn share(&self, most: u64) -> u64 {
        most
    }

    /// Whether appended bytes must be written before more come.
    fn is_behind(&self) -> bool;

    /// Ready when all appended bytes are written.
    ///
    /// # Errors
    /// They could not be written.
    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>>;

    /// Completes the response. A fault is logged.
    fn finish<'r>(self: Box<Self>, request: &'r mut Request) -> Pending<'r, ()>
    where
        Self: 'r;
}

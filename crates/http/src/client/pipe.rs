//! From a subrequest to the response that includes it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::piece::Piece;

/// What a subrequest has given and the request that includes it has not taken yet.
#[derive(Default)]
pub struct Pipe {
    pieces: RefCell<VecDeque<Piece>>,
    pub(super) bytes: Cell<u64>,
    /// Whether anything has ever come.
    used: Cell<bool>,
    /// Whether the subrequest is to come to its end even if nobody takes what it gives.
    pub(super) wanted: Cell<bool>,
    /// Whether nobody takes anything any more.
    closed: Cell<bool>,
}

impl Pipe {
    pub(super) fn push(&self, piece: Piece) {
        self.used.set(true);
        if self.closed.get() {
            return;
        }
        self.bytes.set(self.bytes.get() + piece.len());
        self.pieces.borrow_mut().push_back(piece);
    }

    /// The next piece.
    pub fn take(&self) -> Option<Piece> {
        let piece = self.pieces.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - piece.len());
        Some(piece)
    }

    /// Whether anything has ever come.
    pub fn was_used(&self) -> bool {
        self.used.get()
    }

    /// Drops what is there and whatever comes, if the subrequest is to go on nevertheless; whether
    /// it is.
    pub(crate) fn close_if_wanted(&self) -> bool {
        if self.wanted.get() {
            self.closed.set(true);
            self.pieces.borrow_mut().clear();
            self.bytes.set(0);
        }
        self.wanted.get()
    }
}

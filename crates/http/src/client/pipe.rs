//! The pipe from a subrequest to the response that includes it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::piece::Piece;

/// The output of a subrequest that the including request has not taken yet.
#[derive(Default)]
pub struct Pipe {
    pieces: RefCell<VecDeque<Piece>>,
    pub(super) bytes: Cell<u64>,
    /// Whether there has been any output.
    used: Cell<bool>,
    /// Whether the subrequest runs to its end even if its output is not wanted.
    pub(super) wanted: Cell<bool>,
    /// Whether all output is dropped.
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

    /// Whether there has been any output.
    pub fn was_used(&self) -> bool {
        self.used.get()
    }

    /// Drops all output if the subrequest runs on nevertheless. Returns whether it does.
    pub(crate) fn close_if_wanted(&self) -> bool {
        if self.wanted.get() {
            self.closed.set(true);
            self.pieces.borrow_mut().clear();
            self.bytes.set(0);
        }
        self.wanted.get()
    }
}

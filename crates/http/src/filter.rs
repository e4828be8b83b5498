//! The body filter chain: plain push functions, pieces in, pieces out.
//!
//! A header filter that wants to see the body pushes a [`BodyFilter`] onto the response's chain.
//! Header filters run in the order of `MODULES`, and so do the body filters that they add.

use std::io;

use crate::piece::Piece;
use crate::request::Request;

/// One transformation of a body. State lives in the filter, one per response.
pub trait BodyFilter {
    /// Takes a piece and pushes what comes of it.
    ///
    /// # Errors
    /// Only for what makes the rest of the response impossible; the connection is then closed.
    fn push(&mut self, request: &mut Request, input: Piece, out: &mut Vec<Piece>)
    -> io::Result<()>;

    /// The sender asked for what there is to be sent on; a filter that holds bytes back for
    /// efficiency only (a compressor) gives them out.
    ///
    /// # Errors
    /// As for [`BodyFilter::push`].
    fn flush(&mut self, _: &mut Request, _out: &mut Vec<Piece>) -> io::Result<()> {
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// As for [`BodyFilter::push`].
    fn finish(&mut self, _: &mut Request, _out: &mut Vec<Piece>) -> io::Result<()> {
        Ok(())
    }

    /// Whether it only cuts pieces and never looks at their bytes: a file then need not be read.
    fn only_cuts(&self) -> bool {
        false
    }
}

/// The filters of one response, first to last.
#[derive(Default)]
pub struct Chain {
    filters: Vec<Box<dyn BodyFilter>>,
}

/// What happens after a piece has been pushed through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// More will come.
    More,
    /// More will come, but what there is should go out.
    Flush,
    /// That was the last piece.
    Finish,
}

impl Chain {
    /// Adds a filter behind those that are there.
    pub fn add(&mut self, filter: Box<dyn BodyFilter>) {
        self.filters.push(filter);
    }

    /// Adds a filter before those that are there: what it sees is the body as it was produced.
    pub fn add_first(&mut self, filter: Box<dyn BodyFilter>) {
        self.filters.insert(0, filter);
    }

    /// Whether the first filter wants a body in one piece, or there is none.
    pub fn takes_whole(&self) -> bool {
        self.filters.iter().all(|filter| filter.only_cuts())
    }

    /// Whether pieces pass unseen.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Drops all filters.
    pub fn clear(&mut self) {
        self.filters.clear();
    }

    /// Pushes `input` through every filter; gives what comes out. `request` is the one that the
    /// chain was taken out of.
    ///
    /// # Errors
    /// The first error of a filter.
    pub fn run(
        &mut self,
        request: &mut Request,
        input: Option<Piece>,
        after: After,
    ) -> io::Result<Vec<Piece>> {
        let mut pieces: Vec<Piece> = input.into_iter().collect();
        for filter in &mut self.filters {
            let mut out = Vec::new();
            for piece in pieces {
                filter.push(request, piece, &mut out)?;
            }
            match after {
                After::More => {}
                After::Flush => filter.flush(request, &mut out)?,
                After::Finish => filter.finish(request, &mut out)?,
            }
            pieces = out;
        }
        Ok(pieces)
    }
}

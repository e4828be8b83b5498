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

    /// A filter before this one includes the response of a subrequest here. What was held back
    /// goes before it.
    ///
    /// # Errors
    /// As for [`BodyFilter::push`].
    fn include(
        &mut self,
        request: &mut Request,
        child: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        self.flush(request, out)?;
        out.push(child);
        Ok(())
    }

    /// Whether the filter waits for a subrequest of its own, and holds its input back meanwhile;
    /// the end of the body too. Only the last filter before [`Chain::split`] may wait.
    fn waits(&self) -> bool {
        false
    }

    /// The subrequest that the filter waits for has ended.
    ///
    /// # Errors
    /// As for [`BodyFilter::push`].
    fn resume(&mut self, _: &mut Request, _out: &mut Vec<Piece>) -> io::Result<()> {
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
    /// How many of them stand before the place where responses of subrequests join; all do while
    /// nobody has said.
    split: Option<usize>,
    /// Whether there is nothing behind that place: a subrequest's body joins the main request's.
    ends_there: bool,
}

/// A part of the chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The filters that see only what the request itself produces.
    Own,
    /// The filters that see what subrequests give as well.
    Joint,
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
        if !self.ends_there {
            self.filters.push(filter);
        }
    }

    /// From here on filters see what subrequests give as well (nginx: the postpone filter). With
    /// `ends` there are none: a subrequest's own response goes through those of its main request.
    pub fn split(&mut self, ends: bool) {
        self.split = Some(self.filters.len());
        self.ends_there = ends;
    }

    fn part(&mut self, part: Part) -> &mut [Box<dyn BodyFilter>] {
        let at = self.split.unwrap_or(self.filters.len()).min(self.filters.len());
        match part {
            Part::Own => &mut self.filters[..at],
            Part::Joint => &mut self.filters[at..],
        }
    }

    /// Whether there are filters behind the split.
    pub(crate) fn has_joint(&self) -> bool {
        self.split.is_some_and(|split| split < self.filters.len())
    }

    /// Whether a filter holds input back until a subrequest has ended.
    pub fn waits(&self) -> bool {
        self.filters.iter().any(|filter| filter.waits())
    }

    /// Lets the filter go on that waited; gives what comes out.
    ///
    /// # Errors
    /// The error of the filter.
    pub fn resume(&mut self, request: &mut Request) -> io::Result<Vec<Piece>> {
        let mut out = Vec::new();
        if let Some(filter) = self.filters.iter_mut().find(|filter| filter.waits()) {
            filter.resume(request, &mut out)?;
        }
        Ok(out)
    }

    /// Adds a filter before those that are there: what it sees is the body as it was produced.
    pub fn add_first(&mut self, filter: Box<dyn BodyFilter>) {
        self.filters.insert(0, filter);
        self.split = self.split.map(|split| split + 1);
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
        *self = Self { filters: std::mem::take(&mut self.filters), ..Self::default() };
        self.filters.clear();
    }

    /// Pushes the pieces of `input` through every filter of a part; gives what comes out. `request`
    /// is the one that the chain was taken out of.
    ///
    /// # Errors
    /// The first error of a filter.
    pub fn run(
        &mut self,
        request: &mut Request,
        part: Part,
        input: impl IntoIterator<Item = Piece>,
        after: After,
    ) -> io::Result<Vec<Piece>> {
        let mut pieces: Vec<Piece> = input.into_iter().collect();
        for filter in self.part(part) {
            let mut out = Vec::new();
            for piece in pieces {
                match piece {
                    Piece::Include(_) => filter.include(request, piece, &mut out)?,
                    piece => filter.push(request, piece, &mut out)?,
                }
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

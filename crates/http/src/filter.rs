//! The body filter chain: synchronous push functions from pieces to pieces.
//!
//! A header filter that needs the body adds a [`BodyFilter`] to the response's chain. Both kinds of
//! filters run in the order of `MODULES`.

use std::io;
use std::time::Duration;

use crate::piece::Piece;
use crate::request::Request;

/// The maximum time that filters may hold bytes back while an upstream or an included subrequest
/// pauses.
pub(crate) const HELD_AT_MOST: Duration = Duration::from_millis(20);

/// One transformation of a response body, with its state.
pub trait BodyFilter {
    /// Takes a piece and pushes the result.
    ///
    /// # Errors
    /// The rest of the response is impossible. The connection is then closed.
    fn push(&mut self, request: &mut Request, input: Piece, out: &mut Vec<Piece>)
    -> io::Result<()>;

    /// The response is flushed. A filter that holds bytes back for efficiency, such as a
    /// compressor, pushes them.
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

    /// A filter before this one includes the response of a subrequest. Held bytes go before it.
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

    /// Whether the filter waits for a subrequest, and meanwhile holds back its input and the end of
    /// the body. Only the last filter before [`Chain::split`] may wait.
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

    /// The body breaks off here. Whether the filter can end it all the same, so that the client
    /// learns of the break; [`BodyFilter::finish`] then follows.
    fn ends_broken(&mut self) -> bool {
        false
    }

    /// Whether the filter only cuts pieces and never reads their bytes. A file need not be read
    /// then.
    fn only_cuts(&self) -> bool {
        false
    }
}

/// The filters of one response, first to last.
#[derive(Default)]
pub struct Chain {
    filters: Vec<Box<dyn BodyFilter>>,
    /// The number of filters before the point where responses of subrequests join. None means all.
    split: Option<usize>,
    /// Whether no filters follow that point: the body of a subrequest joins the main request's.
    ends_there: bool,
}

/// A part of the chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The filters that see only the request's own output.
    Own,
    /// The filters that also see the responses of subrequests.
    Joint,
}

/// The state of the body after a push.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// More pieces will come.
    More,
    /// More pieces will come, but held bytes are pushed.
    Flush,
    /// The body has ended.
    Finish,
}

impl Chain {
    /// Appends a filter.
    pub fn add(&mut self, filter: Box<dyn BodyFilter>) {
        if !self.ends_there {
            self.filters.push(filter);
        }
    }

    /// Replaces the filter that was appended last.
    pub(crate) fn replace_last(&mut self, filter: Box<dyn BodyFilter>) {
        self.filters.pop();
        self.filters.push(filter);
    }

    /// Splits the chain: later filters also see the responses of subrequests (nginx: the postpone
    /// filter). With `ends` there are none, since the response of a subrequest passes through those
    /// of its main request.
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

    /// Whether a filter can end a body that breaks off here ([`BodyFilter::ends_broken`]).
    pub(crate) fn ends_broken(&mut self) -> bool {
        self.filters.iter_mut().any(|filter| filter.ends_broken())
    }

    /// Resumes the waiting filter, and returns its output.
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

    /// Prepends a filter, which sees the body as it was produced.
    pub fn add_first(&mut self, filter: Box<dyn BodyFilter>) {
        self.filters.insert(0, filter);
        self.split = self.split.map(|split| split + 1);
    }

    /// Adds a filter as the first of those that also see the responses of subrequests.
    pub fn add_joint(&mut self, filter: Box<dyn BodyFilter>) {
        let at = *self.split.get_or_insert(self.filters.len());
        self.filters.insert(at.min(self.filters.len()), filter);
    }

    /// Whether no filter reads bytes, so that a body can pass in one piece.
    pub fn takes_whole(&self) -> bool {
        self.filters.iter().all(|filter| filter.only_cuts())
    }

    /// Whether there are no filters.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Drops all filters.
    pub fn clear(&mut self) {
        let Self { filters, split, ends_there } = self;
        if !filters.is_empty() {
            filters.clear();
        }
        (*split, *ends_there) = (None, false);
    }

    /// Pushes `input` through the filters of a part, and returns the output. `request` is the one
    /// that the chain was taken from.
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

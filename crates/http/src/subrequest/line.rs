//! The line of a request: pieces of its response, and the subrequests whose responses go between
//! them.
//!
//! A subrequest to include first passes the request's own filters as a piece without bytes, which
//! holds its number ([`Included`]). When the piece comes out, the subrequest takes its place in
//! line.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::family::{Family, RunningChild};
use weir_engine::timer::Deadline;

use crate::client::Pipe;
use crate::piece::{Included, Piece};
use crate::request::Request;

/// The maximum number of included subrequests of a client's request that run at once. Beyond it,
/// only the first in each line starts.
pub(super) const PARALLEL: usize = 64;

/// A function of a request and its ended subrequest.
pub type Done = Box<dyn FnOnce(&mut Request, &mut Request)>;

/// The future of a subrequest. It returns the ended request.
pub(super) type Run = Pin<Box<dyn Future<Output = Box<Request>>>>;

/// A subrequest that is included in a response.
pub(crate) struct Child {
    pub(super) run: Option<Run>,
    /// Counts the subrequest while it runs.
    running: Option<RunningChild>,
    family: Rc<Family>,
    pub(super) ended: Option<Box<Request>>,
    pub(super) pipe: Rc<Pipe>,
    pub(super) waited: bool,
    pub(super) done: Option<Done>,
    /// Whether its variables stay its own.
    pub(super) apart: bool,
}

/// An item in line.
pub(super) enum Waiting {
    /// A piece of the request's own body.
    Piece(Piece),
    /// A subrequest, for its output.
    Child(Box<Child>),
}

/// Output that waits for subrequests to end.
#[derive(Default)]
pub(crate) struct Line {
    /// Subrequests whose pieces are among the request's own filters, by their numbers.
    announced: Vec<Option<Box<Child>>>,
    pub(super) waiting: VecDeque<Waiting>,
    /// The number of bytes in line, without children.
    pub(super) bytes: u64,
    /// The number of bytes that a waiting filter holds back.
    pub(crate) held: u64,
    /// The number of bytes that the filters behind the line have got since they were flushed.
    pub(super) held_joint: u64,
    /// When they are flushed, if they wait.
    pub(super) held_until: Option<Deadline>,
    /// Whether what they have been flushed for is sent, however little it is.
    pub(super) sends: bool,
    /// Whether the request's own body has ended.
    pub(super) closing: bool,
}

impl Line {
    /// Empties the line, and keeps its memory.
    pub(crate) fn reset(&mut self) {
        let Self { announced, waiting, bytes, held, held_joint, held_until, sends, closing } = self;
        announced.clear();
        if !waiting.is_empty() {
            waiting.clear();
        }
        (*bytes, *held, *held_joint, *held_until) = (0, 0, 0, None);
        (*sends, *closing) = (false, false);
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of pieces and subrequests, including those whose pieces are among the filters.
    pub(super) fn len(&self) -> usize {
        self.announced.len() + self.waiting.len()
    }

    /// Keeps a subrequest until its piece has gone through the filters.
    pub(super) fn announce(&mut self, child: Child) -> Included {
        self.announced.push(Some(Box::new(child)));
        Included(self.announced.len() as u32 - 1)
    }

    /// The subrequest whose piece has come out of the filters.
    pub(super) fn take(&mut self, Included(number): Included) -> Option<Box<Child>> {
        let child = self.announced.get_mut(number as usize)?.take();
        while let Some(None) = self.announced.last() {
            self.announced.pop();
        }
        child
    }
}

impl Child {
    pub(super) fn new(run: Run, family: Rc<Family>, pipe: Rc<Pipe>) -> Self {
        Self {
            run: Some(run),
            running: None,
            family,
            ended: None,
            pipe,
            waited: false,
            done: None,
            apart: false,
        }
    }

    /// Whether the child has started, or may start.
    pub(super) fn may_go_on(&self) -> bool {
        self.running.is_some() || self.family.running.get() < PARALLEL
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(run) = &mut self.run else { return };
        self.running.get_or_insert_with(|| RunningChild::new(&self.family));
        if let Poll::Ready(request) = run.as_mut().poll(cx) {
            (self.run, self.running) = (None, None);
            self.ended = Some(request);
        }
    }
}

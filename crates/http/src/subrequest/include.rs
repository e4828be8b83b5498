//! Inclusion of subrequests in a response (nginx: the postpone filter).
//!
//! A body filter makes a subrequest with [`Request::include`], and pushes the returned piece in the
//! place of the response. Pushing stays synchronous: the piece passes the filters up to the split
//! of the chain, where it is held in a line, and everything after it too. Flushing the request
//! drives the subrequests, at most [`PARALLEL`] at once, and forwards the output of the first in
//! line:
//!
//! ```text
//!  push ─▶ own filters ─▶ in line: piece, child, piece, child ─▶ joint filters ─▶ client's queue
//!                                          │ ▲
//!                                  phases, its own filters
//! ```
//!
//! A child whose turn has not come fills its pipe and stops, as with a client that reads nothing.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;

use crate::client::{Behind, Pipe, Sink};
use crate::core::{CONNECTION, ERRORS, LIMITS, Lingering};
use crate::filter::{After, HELD_AT_MOST, Part};
use crate::module::{EntryPoint, Verdict};
use crate::phase;
use crate::piece::Piece;
use crate::request::Request;
use crate::response::Sent;

use super::line::{Child, Done, Line, PARALLEL, Waiting};

/// The maximum length of a request's line (nginx: the range of a 16-bit counter of subrequests,
/// less a reserve of 1000).
const IN_LINE: usize = 65535 - 1000;

/// The number of queued bytes above which the line is not forwarded.
const QUEUE_LIMIT: u64 = 64 * 1024;

/// A subrequest to include.
#[derive(Default)]
pub struct Include {
    /// The path, decoded.
    pub uri: Vec<u8>,
    /// The arguments.
    pub args: Vec<u8>,
    /// Whether the body is captured for `done`, instead of becoming part of the response.
    pub capture: bool,
    /// Whether the filter waits for the end of the subrequest.
    pub waited: bool,
    /// The text in place of a failed or empty response.
    pub stub: Option<Vec<u8>>,
    /// Asks for the content of this request's location once more, without the phases before, after
    /// this function has prepared the subrequest. Such ones do not count for the limit of
    /// subrequests: one follows the other, and each brings a part of a body of known length.
    pub again: Option<fn(&mut Request)>,
    /// Prepares the subrequest before it runs.
    pub prepare: Option<Prepare>,
    /// Whether the subrequest has variables of its own. Otherwise it begins with those of this
    /// request, which takes over what it sets.
    pub apart: bool,
    /// A function to run when the subrequest has ended.
    pub done: Option<Done>,
}

/// Prepares a subrequest.
pub type Prepare = Box<dyn FnOnce(&mut Request)>;

/// Why forwarding has stopped.
enum Stop {
    Empty,
    /// Children must make progress.
    Children,
    /// The client's queue is full.
    Full,
}

impl Request {
    /// Makes a subrequest whose response becomes part of this one; the piece marks its place. None
    /// if there are too many or they nest too deep, which has been logged.
    pub fn include(&mut self, include: Include) -> Option<Piece> {
        if self.line.len() >= IN_LINE {
            let uri = weir_wire::shown(&include.uri).into_owned();
            let message = format!("request reference counter overflow while processing \"{uri}\"");
            self.log(Level::Crit, &message);
            return None;
        }
        let pipe = Rc::new(Pipe::default());
        let sink = match include.capture {
            true => Sink::Capture(Vec::new(), usize::MAX),
            false => Sink::Pipe(Rc::clone(&pipe)),
        };
        let mut child = Box::new(self.fork(include.uri, include.args, sink)?);
        if !include.apart {
            child.values = self.values.clone();
        }
        if let Some(prepare) = include.prepare {
            prepare(&mut child);
        }
        if let Some(prepare) = include.again {
            self.repeat(&mut child);
            prepare(&mut child);
        }
        let family = Rc::clone(child.family.get_or_insert_default());
        let content_type = self.response.content_type.clone();
        let stub = include.stub.map(|text| Stub { text, content_type, pipe: Rc::clone(&pipe) });
        let Include { waited, done, again, apart, .. } = include;
        let run = Box::pin(run(child, stub, again.is_some()));
        let mut child = Child::new(run, family, pipe);
        (child.waited, child.done, child.apart) = (waited, done, apart);
        Some(Piece::Include(self.line.announce(child)))
    }

    /// Puts a subrequest where this request is, in the content phase of its location.
    fn repeat(&self, child: &mut Self) {
        child.location = self.location.clone();
        child.content = self.content;
        child.enter_location();
        (child.uri_intact, child.location_valid) = (self.uri_intact, self.location_valid);
        child.uri_in_alias = self.uri_in_alias;
        if let Some(family) = &child.family {
            family.made.set(family.made.get().saturating_sub(1));
        }
    }

    /// Takes the output of the request's own filters.
    pub(crate) fn join(&mut self, pieces: Vec<Piece>, after: After) -> io::Result<()> {
        self.line.closing |= after == After::Finish;
        let mut free = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Include(included) => {
                    let child = self.line.take(included).map(Waiting::Child);
                    self.line.waiting.extend(child);
                }
                piece if piece.is_empty() => {}
                piece if self.line.waiting.is_empty() => free.push(piece),
                piece => {
                    self.line.bytes += piece.len();
                    self.line.waiting.push_back(Waiting::Piece(piece));
                }
            }
        }
        let flushes = after == After::Flush && self.line.waiting.is_empty();
        self.run_joint(free, if flushes { After::Flush } else { After::More })?;
        self.close_line()
    }

    /// Ends the response if its body has ended and the line is empty.
    fn close_line(&mut self) -> io::Result<()> {
        let ends = self.line.closing && self.line.waiting.is_empty();
        if !ends || self.response.sent == Sent::All || self.chain.waits() {
            return Ok(());
        }
        self.run_joint(Vec::new(), After::Finish)?;
        self.response.sent = Sent::All;
        if !self.is_subrequest() && !self.response.header_only {
            self.client.queue_end(&self.response);
        }
        Ok(())
    }

    /// The number of bytes that wait to be sent, including those in line.
    pub fn queued(&self) -> u64 {
        self.client.queued() + self.line.bytes + self.line.held
    }

    /// Sends the queued bytes that the client accepts, and drives included subrequests.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.waiting.is_empty() {
            // The line may have emptied when the queue was full.
            self.close_line()?;
            let behind = self.comes_behind();
            return self.client.poll_flush_before(cx, behind);
        }
        loop {
            let stop = self.poll_line(cx)?;
            let waits = matches!(stop, Stop::Children);
            if waits && self.is_held_long(cx) {
                self.run_joint(Vec::new(), After::Flush)?;
                self.line.sends = true;
            }
            // A head without a body is not worth a packet (`postpone_output`).
            let few = self.client.queued() < self.get(&CONNECTION).postpone_output.0;
            if waits && few && !self.line.sends && !self.is_subrequest() {
                return Poll::Pending;
            }
            let sent = self.client.poll_flush(cx);
            self.line.sends &= sent.is_pending();
            match (sent, stop) {
                (Poll::Ready(Ok(())), Stop::Children) => return Poll::Pending,
                (Poll::Ready(Ok(())), Stop::Full) => {}
                (other, _) => return other,
            }
        }
    }

    /// Whether the filters behind the line have held enough for a packet long enough.
    fn is_held_long(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.chain.has_joint() || self.line.held_joint == 0 {
            return false;
        }
        if self.line.held_joint < self.get(&CONNECTION).postpone_output.0 {
            return false;
        }
        let deadline = self.line.held_until.get_or_insert_with(|| {
            let mut deadline = Deadline::new();
            deadline.after(HELD_AT_MOST);
            deadline
        });
        deadline.poll(cx).is_ready()
    }

    /// What follows the queued bytes on the connection.
    fn comes_behind(&mut self) -> Behind {
        let answered = self.response.sent == Sent::All
            && !self.upgraded
            && self.body.is_done()
            && self.client.unread() == Some(0);
        match self.keepalive {
            _ if !answered => Behind::More,
            true => Behind::Request,
            // What comes before the end may take its time, and must not delay the response.
            false if self.location.usual.post_action || self.attempts.cache.end_waits => {
                Behind::More
            }
            // With unread data, closing resets the connection, and held-back bytes would be lost.
            false if self.get(&CONNECTION).lingering_close == Lingering::Off => Behind::More,
            false => Behind::Close,
        }
    }

    /// Whether the queue is known to be empty, without asking the connection.
    pub(crate) fn has_left(&self) -> bool {
        self.line.waiting.is_empty() && self.client.has_left()
    }

    /// Waits until everything queued has been sent, including the output of subrequests.
    ///
    /// # Errors
    /// As for [`Request::poll_flush`].
    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Pending => self.client.poll_gone(cx).map(Err),
            flushed => flushed,
        })
        .await
    }

    /// Drives the children, and forwards the output of the first in line.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> io::Result<Stop> {
        loop {
            let children = self.line.waiting.iter_mut().filter_map(|waiting| match waiting {
                Waiting::Child(child) => Some(child),
                Waiting::Piece(_) => None,
            });
            for (at, child) in children.take(PARALLEL).enumerate() {
                if at == 0 || child.may_go_on() {
                    child.poll(cx);
                }
            }
            let mut moved = false;
            loop {
                if self.client.queued() > QUEUE_LIMIT {
                    return Ok(Stop::Full);
                }
                match self.next_in_line()? {
                    Next::Moved => moved = true,
                    Next::Nothing => return Ok(Stop::Empty),
                    Next::Wait => break,
                }
            }
            if !moved {
                return Ok(Stop::Children);
            }
        }
    }

    /// Forwards the output of the first in line.
    fn next_in_line(&mut self) -> io::Result<Next> {
        let Some(first) = self.line.waiting.front_mut() else {
            self.close_line()?;
            return Ok(Next::Nothing);
        };
        let mut ready = Vec::new();
        if let Waiting::Child(child) = first {
            ready.extend(std::iter::from_fn(|| child.pipe.take()));
            if ready.is_empty() {
                let Some(ended) = child.ended.take() else { return Ok(Next::Wait) };
                let (waited, apart) = (child.waited, child.apart);
                let done = child.done.take();
                self.line.waiting.pop_front();
                if !apart {
                    self.values.merge(&ended.values);
                }
                self.end_child(ended, waited, done)?;
                return Ok(Next::Moved);
            }
        }
        if ready.is_empty() {
            let plain = |waiting: &mut Waiting| matches!(waiting, Waiting::Piece(_));
            while let Some(Waiting::Piece(piece)) = self.line.waiting.pop_front_if(plain) {
                ready.push(piece);
            }
            self.line.bytes -= ready.iter().map(Piece::len).sum::<u64>();
        }
        self.run_joint(ready, After::More)?;
        Ok(Next::Moved)
    }

    /// Ends a child whose output has been forwarded.
    fn end_child(
        &mut self,
        mut child: Box<Self>,
        waited: bool,
        done: Option<Done>,
    ) -> io::Result<()> {
        if child.client.overflowed() {
            child.log(Level::Error, "too big subrequest response");
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // A part that failed breaks the whole response.
        if child.response.sent != Sent::All {
            self.end_like(&child);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if let Some(done) = done {
            done(self, &mut child);
        }
        drop(child);
        if !waited {
            return Ok(());
        }
        let mut chain = std::mem::take(&mut self.chain);
        let pieces = chain.resume(self);
        self.chain = chain;
        self.join(pieces?, After::More)
    }

    /// Takes over that a subrequest closes the connection without a response, as 444 does. The
    /// status is its own if the client has got nothing (nginx: `ngx_http_terminate_request`).
    fn end_like(&mut self, child: &Self) {
        if child.response.status != 444 {
            return;
        }
        self.client.timed_out = true;
        if self.is_subrequest() || self.client.bytes_sent == 0 {
            self.response.status = 444;
        }
    }

    /// Drops the line when no client takes it any more. Subrequests whose responses are to be kept
    /// are detached.
    pub(crate) fn abandon_line(&mut self) {
        for waiting in std::mem::take(&mut self.line).waiting {
            if let Waiting::Child(mut child) = waiting
                && child.pipe.close_if_wanted()
                && let Some(run) = child.run.take()
            {
                super::detach(run);
            }
        }
    }

    /// Runs the filters behind the line, and queues their output.
    fn run_joint(&mut self, pieces: Vec<Piece>, after: After) -> io::Result<()> {
        if !self.chain.has_joint() {
            self.client.queue_all(&self.response, pieces);
            return Ok(());
        }
        self.line.held_joint += pieces.iter().map(Piece::len).sum::<u64>();
        if after != After::More {
            (self.line.held_joint, self.line.held_until) = (0, None);
        }
        let mut chain = std::mem::take(&mut self.chain);
        let result = chain.run(self, Part::Joint, pieces, after);
        self.chain = chain;
        self.client.queue_all(&self.response, result?);
        Ok(())
    }
}

/// The result of forwarding.
enum Next {
    Moved,
    /// The line is empty.
    Nothing,
    /// The first in line has no output yet.
    Wait,
}

/// The text in place of a failed or empty response.
struct Stub {
    text: Vec<u8>,
    /// The content type of the including response.
    content_type: Vec<u8>,
    pipe: Rc<Pipe>,
}

/// Runs a subrequest to the end of its response.
async fn run(mut child: Box<Request>, stub: Option<Stub>, again: bool) -> Box<Request> {
    let mut verdict = Verdict::Restart(EntryPoint::ServerRewrite);
    if again {
        verdict = phase::content(&mut child).await;
    }
    if let Verdict::Restart(entry) = verdict {
        verdict = phase::process(&mut child, entry).await;
    }
    match stub {
        None => phase::finalize(&mut child, verdict).await,
        Some(stub) => {
            let failed = matches!(verdict, Verdict::Next | Verdict::Granted | Verdict::Status(_));
            if !failed {
                phase::finalize(&mut child, verdict).await;
            }
            if verdict != Verdict::Abort && !stub.pipe.was_used() {
                put_stub(&mut child, stub).await;
            }
        }
    }
    if child.get(&ERRORS).log_subrequest {
        phase::log(&mut child).await;
    }
    child
}

async fn put_stub(child: &mut Request, stub: Stub) {
    child.reset_response();
    child.line = Line::default();
    child.error_status = 0;
    child.send_all(200, &stub.content_type, stub.text).await;
}

/// Limits the captured body of a subrequest, by the settings of its location.
pub(crate) fn limit_capture(request: &mut Request) {
    let limit = request.get(&LIMITS).subrequest_output_buffer_size.0;
    request.client.limit_capture(usize::try_from(limit).unwrap_or(usize::MAX));
}

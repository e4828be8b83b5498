//! The relay of a body that does not come all at once: a state machine of reads from the upstream
//! and writes to the client.
//!
//! Each round hands on what the client has room for, then waits for the first of: bytes from the
//! upstream (read, or moved by the kernel), room with the client, a pause that filters must not
//! outlast, the client's leaving, a timeout. It ends when the upstream's end was handed on.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::Instant;
use weir_engine::connection::splice;
use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;

use super::{End, READING, is_buffered, passes_unseen, take};
use crate::pass::Pass;
use crate::pass::attempt::{Exchange, Watch, io_failed};
use crate::pass::body::BodyReader;
use crate::pass::keep::Keeping;
use crate::pass::spill::Spill;
use crate::pass::transfer::LARGEST_READ;
use crate::piece::Piece;
use crate::request::Request;

mod line;

/// What one read takes at most without buffering.
const UNBUFFERED_READ: u64 = 16 * 1024;

/// How much must still be to come for it to be moved without being read: for less, copying is no
/// dearer.
const LEAST_MOVED: u64 = 64 * 1024;

/// How much a read takes beyond [`LARGEST_READ`] when that is all there is.
const SMALL_REST: u64 = 8 * 1024;

/// How much is relayed before the other connections have their turn.
const TURN: u64 = 1024 * 1024;

pub(super) struct Relay<'a> {
    pass: &'a Pass<'a>,
    exchange: &'a mut Exchange,
    /// Whether pieces go straight into the client's queue. Otherwise filters or another response
    /// stand between, and what waits must wait here.
    direct: bool,
    /// Whether bytes may go from connection to connection without being read.
    moves: bool,
    /// Decoded pieces that the client's queue has no room for yet.
    waiting: VecDeque<Piece>,
    waiting_memory: u64,
    spill: Spill<'a>,
    /// Where the response is kept, until its end has come.
    kept: Option<Box<dyn Keeping + 'a>>,
    /// Whether the client is gone, and only the file is left to be filled.
    unheard: bool,
    buffering: bool,
    /// How much may wait in memory.
    memory: u64,
    /// How much may be with the client before more is handed on (`busy_buffers_size`).
    busy: u64,
    ended: bool,
    rate: Option<crate::client::Rate>,
    received: u64,
    /// Bytes relayed since the other connections had their turn.
    turn: u64,
    /// When filters have held back for long enough what they were given.
    held_until: Deadline,
    watch: Watch,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        request: &mut Request,
        pass: &'a Pass<'a>,
        exchange: &'a mut Exchange,
        ended: bool,
        kept: Option<Box<dyn Keeping + 'a>>,
    ) -> Self {
        let settings = pass.settings;
        let buffering = is_buffered(request, settings);
        // An unknown pool has been logged.
        let aio = request.aio().unwrap_or_default();
        request.client.set_aio(aio);
        let mut rate = None;
        if buffering {
            rate = crate::pass::target::limit_rate(request, pass);
        } else {
            // What is passed on at once has no rate, as in nginx.
            request.client.rate = None;
            request.client.rate_set = true;
        }
        let moves = rate.is_none()
            && kept.is_none()
            && request.client.is_movable(&request.response)
            && exchange.channel.can_move()
            && exchange.head.body.movable().is_some_and(|left| left >= LEAST_MOVED)
            && splice::is_possible();
        Self {
            pass,
            ended,
            moves,
            exchange,
            direct: buffering && passes_unseen(request),
            waiting: VecDeque::new(),
            waiting_memory: 0,
            spill: Spill::new(request, settings),
            kept,
            unheard: false,
            buffering,
            memory: settings.buffers.total(),
            busy: settings.busy(),
            rate,
            received: 0,
            turn: 0,
            held_until: Deadline::new(),
            watch: Watch::new(settings.outlasts_client),
        }
    }

    /// Relays the body behind `first`, which came with the head.
    pub(super) async fn run(&mut self, request: &mut Request, first: Option<Piece>) -> End {
        if let Some(first) = first
            && let Err(end) = self.hold(request, first)
        {
            return end;
        }
        self.exchange.channel.end_wait();
        let timeout = self.pass.settings.read_timeout.0;
        loop {
            if self.ended
                && let Some(kept) = self.kept.take()
            {
                kept.finish(request).await;
            }
            if let Err(end) = self.hand_on(request).await {
                return end;
            }
            if self.ended && self.waiting.is_empty() {
                return if self.unheard { End::Unheard } else { End::Complete };
            }
            let event = poll_fn(|cx| {
                let event = self.poll_event(cx, request, timeout);
                if event.is_pending() {
                    self.turn = 0;
                }
                event
            })
            .await;
            let result = match event {
                Event::Drained => Ok(()),
                Event::Paused => {
                    self.held_until.clear();
                    request.push_flush().map_err(|_| End::Stuck)
                }
                Event::ClientGone => self.client_gone(request),
                Event::SpillFailed => Err(End::Stuck),
                Event::Received(Ok(0)) => self.closed(request).await,
                Event::Received(Ok(n)) => self.received(request, n as u64),
                Event::Received(Err(error)) => {
                    io_failed(request, &error, READING, "recv() failed");
                    Err(End::Broken)
                }
                Event::TimedOut => {
                    let error = io::ErrorKind::TimedOut.into();
                    io_failed(request, &error, READING, "");
                    Err(End::Broken)
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// Waits for whatever comes first: bytes from the upstream, or room with the client.
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
        timeout: Duration,
    ) -> Poll<Event> {
        if self.turn >= TURN {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(Err(())) = self.poll_written(cx, request) {
            return Poll::Ready(Event::SpillFailed);
        }
        let reads = self.may_read(request);
        if !self.exchange.sender.is_done() {
            let Exchange { sender, channel, .. } = &mut *self.exchange;
            if let Poll::Ready(Err(_)) = sender.poll(cx, request, channel) {
                sender.abandon();
                self.exchange.head.reusable = false;
            }
        }
        // A client that keeps up gets what there is before more is read, or moved.
        let full = reads
            && (self.waiting_memory + request.queued() >= self.memory.min(LARGEST_READ)
                || request.queued() > 0 && self.is_to_move());
        if full {
            if let Poll::Ready(event) = self.poll_out(cx, request, reads) {
                return Poll::Ready(event);
            }
            if self.direct
                && self.kept.is_none()
                && self.spill.relieve(request, self.memory).is_err()
            {
                return Poll::Ready(Event::SpillFailed);
            }
        }
        if reads {
            let event = match self.moves(request) {
                true => self.poll_move(cx, request),
                false => self.poll_read(cx, request).map(Event::Received),
            };
            if event.is_ready() {
                return event;
            }
        }
        if !full && let Poll::Ready(event) = self.poll_out(cx, request, reads) {
            return Poll::Ready(event);
        }
        if self.watch.is_gone(cx, request) {
            return Poll::Ready(Event::ClientGone);
        }
        if reads {
            if self.held_until.at() != Instant::NEVER && self.held_until.poll(cx).is_ready() {
                return Poll::Ready(Event::Paused);
            }
            self.exchange.channel.begin_wait(timeout);
            return self.exchange.channel.poll_wait(cx).map(|()| Event::TimedOut);
        }
        Poll::Pending
    }

    /// Sends what there is. Pending when nothing has come of it that changes what can be done.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
        reads: bool,
    ) -> Poll<Event> {
        if self.unheard {
            return Poll::Pending;
        }
        let before = request.queued();
        match request.poll_flush(cx) {
            Poll::Ready(Ok(())) if before > 0 => Poll::Ready(Event::Drained),
            Poll::Ready(Ok(())) => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Event::ClientGone),
            Poll::Pending if self.moved(request, before) => Poll::Ready(Event::Drained),
            Poll::Pending if !reads && self.may_read(request) => Poll::Ready(Event::Drained),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the client took so much that more can be handed on.
    fn moved(&self, request: &Request, before: u64) -> bool {
        !self.waiting.is_empty() && before > self.busy && request.queued() <= self.busy
    }

    /// Whether there is room for more from the upstream.
    fn may_read(&self, request: &Request) -> bool {
        !self.ended
            && match self.buffering {
                true => self.room(request) >= self.pass.settings.buffers.size,
                false => self.waiting_memory + request.queued() == 0,
            }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, request: &Request) -> Poll<io::Result<usize>> {
        let mut want = match self.buffering {
            true => self.room(request).min(LARGEST_READ),
            false => UNBUFFERED_READ,
        };
        if let Some(rate) = &mut self.rate {
            want = want.min(std::task::ready!(rate.poll_budget(cx, self.received)));
        }
        if let Some(left) = self.exchange.head.body.movable() {
            // One byte more shows what an upstream sends beyond its own length.
            let all = left.saturating_add(1);
            // A small rest is not worth a read and a write of its own.
            let near = want == LARGEST_READ && all <= LARGEST_READ + SMALL_REST;
            want = if near { all } else { want.min(all) };
        }
        let Exchange { channel, input, .. } = &mut *self.exchange;
        input.poll_fill(cx, channel, want as usize)
    }

    /// Whether so much is still to come that it should go past our memory, and nothing of it is
    /// waiting before the client.
    fn moves(&self, request: &Request) -> bool {
        self.is_to_move() && request.client.can_move()
    }

    /// The same without a look at the client.
    fn is_to_move(&self) -> bool {
        self.direct
            && self.moves
            && self.exchange.head.body.movable().is_some_and(|left| left >= LEAST_MOVED)
            && self.exchange.input.is_empty()
    }

    /// Moves a part of the body from the upstream's connection to the client's.
    fn poll_move(&mut self, cx: &mut Context<'_>, request: &mut Request) -> Poll<Event> {
        let room = self.room(request);
        let Exchange { channel, head, input, usage, .. } = &mut *self.exchange;
        let left = head.body.movable().unwrap_or_default();
        let most = usize::try_from(room.min(left)).unwrap_or(usize::MAX);
        let moved = request.client.poll_move(cx, channel.connection(), most);
        let received = match std::task::ready!(moved) {
            Ok(received) => received,
            Err(error) => return Poll::Ready(Event::Received(Err(error))),
        };
        if request.client.broken {
            return Poll::Ready(Event::ClientGone);
        }
        usage.large = true;
        head.body.pass_over(received as u64);
        if head.body.is_done()
            && let Poll::Ready(Ok(0) | Err(_)) = input.poll_fill(cx, channel, 1)
        {
            // The end, or one byte more than there should be, is seen here as it is by a read.
            head.reusable = false;
        }
        Poll::Ready(Event::Received(Ok(received)))
    }

    /// Takes the body out of the `n` bytes that were received.
    fn received(&mut self, request: &mut Request, n: u64) -> Result<(), End> {
        self.received += n;
        self.turn += n;
        if let Some(attempt) = request.attempts.current() {
            attempt.received += n;
            attempt.body += n;
        }
        let was_amid_line = self.exchange.head.body.is_amid_line();
        let (piece, ended) = take(request, self.pass, self.exchange, false)?;
        // A line between two chunks must be there in time, however it comes.
        if piece.is_some() || !was_amid_line || !self.exchange.head.body.is_amid_line() {
            self.exchange.channel.end_wait();
        }
        self.ended = ended;
        piece.map_or(Ok(()), |piece| self.hold(request, piece))
    }

    /// The upstream closed its connection.
    async fn closed(&mut self, request: &mut Request) -> Result<(), End> {
        self.exchange.head.reusable = false;
        if matches!(self.exchange.head.body, BodyReader::Close) {
            self.ended = true;
            return Ok(());
        }
        let message = "upstream prematurely closed connection while reading upstream";
        request.log_upstream(Level::Error, message);
        // What there is goes out before the connection ends.
        while let Some(piece) = self.next_waiting(request).await? {
            request.push(piece).map_err(|_| End::Stuck)?;
        }
        Err(End::Broken)
    }

    /// The client is gone. Only a response that is to be kept goes on.
    fn client_gone(&mut self, request: &mut Request) -> Result<(), End> {
        request.keepalive = false;
        if self.kept.is_none() {
            let message = "client prematurely closed connection, so upstream connection is closed \
                           too while reading upstream";
            request.log_upstream(Level::Info, message);
            return Err(End::ClientGone);
        }
        let message = match request.client.timed_out {
            true => "client timed out (110: Connection timed out) while reading upstream",
            false => "client prematurely closed connection while reading upstream",
        };
        request.log_upstream(Level::Info, message);
        self.unheard = true;
        self.waiting.clear();
        self.waiting_memory = 0;
        Ok(())
    }
}

enum Event {
    Received(io::Result<usize>),
    /// The client took something.
    Drained,
    /// The upstream has had nothing more to say for a while.
    Paused,
    ClientGone,
    SpillFailed,
    TimedOut,
}

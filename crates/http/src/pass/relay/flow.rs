//! The relay of a body that does not come all at once: a state machine of reads from the upstream
//! and writes to the client.
//!
//! Each round forwards as much as the client has room for, then waits for the first of these
//! events: bytes from the upstream (read, or moved by the kernel), room at the client, the time to
//! flush filters, the client's leaving, a timeout. It ends when the upstream's end has been
//! forwarded.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::Instant;
use weir_engine::connection::splice;
use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;

use super::{End, Ending, READING, is_buffered, limit_rate, passes_unseen, take, without_rate};
use crate::body::BodyError;
use crate::errors::Cause;
use crate::pass::attempt::{UpstreamExchange, Watch, io_failed};
use crate::pass::body::STREAM_CUT;
use crate::pass::course::Pass;
use crate::pass::keep::Keeping;
use crate::pass::sender::SendError;
use crate::pass::spill::Spill;
use crate::pass::transfer::LARGEST_READ;
use crate::piece::Piece;
use crate::request::Request;

mod line;

/// The maximum length of a read without buffering.
const UNBUFFERED_READ: u64 = 16 * 1024;

/// The number of bytes left from which the kernel moves them: copying fewer costs no more.
const LEAST_MOVED: u64 = 64 * 1024;

/// The number of bytes by which a read may exceed [`LARGEST_READ`] if nothing else is left.
const SMALL_REST: u64 = 8 * 1024;

/// The number of bytes relayed before other connections get their turn.
const TURN: u64 = 1024 * 1024;

pub(super) struct Relay<'a> {
    pass: &'a Pass<'a>,
    exchange: &'a mut UpstreamExchange,
    /// Whether pieces go straight into the client's queue. Otherwise filters or an including
    /// response are in between, and pieces wait here.
    direct: bool,
    /// Whether the kernel may move bytes from one connection to the other.
    moves: bool,
    /// Decoded pieces for which the client's queue has no room yet.
    waiting: VecDeque<Piece>,
    waiting_memory: u64,
    spill: Spill<'a>,
    /// The stored response, until it is complete.
    kept: Option<Box<dyn Keeping + 'a>>,
    /// Whether the client is gone, and the response is received only for the store.
    unheard: bool,
    buffering: bool,
    /// The maximum number of bytes that wait in memory.
    memory: u64,
    /// The maximum number of bytes queued for the client (`busy_buffers_size`).
    busy: u64,
    ended: bool,
    /// Whether the upstream has broken the response off.
    broken: bool,
    rate: Option<crate::client::Rate>,
    received: u64,
    /// The number of bytes relayed since other connections had their turn.
    turn: u64,
    /// The time to flush filters that hold bytes back.
    held_until: Deadline,
    watch: Watch,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        request: &mut Request,
        pass: &'a Pass<'a>,
        exchange: &'a mut UpstreamExchange,
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
            rate = limit_rate(request, pass);
        } else {
            without_rate(request);
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
            broken: false,
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
            watch: Watch::new(pass.outlasts_client),
        }
    }

    /// Relays the body after `first`, which came with the head.
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
                Event::SpillFailed => {
                    request.blame(Cause::Internal);
                    Err(End::Stuck)
                }
                Event::Received(Ok(0)) => self.closed(request).await,
                Event::Received(Ok(n)) => match self.received(request, n as u64) {
                    Ok(()) if self.broken => {
                        request.blame(Cause::UpstreamBadResponse);
                        self.break_off(request).await
                    }
                    received => received,
                },
                Event::Received(Err(error)) => {
                    io_failed(request, &error, READING, "recv() failed");
                    Err(End::Broken)
                }
                Event::Untranslatable(error) => {
                    request.body_failed(error);
                    Err(End::Stuck)
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

    /// Waits for the next event, such as bytes from the upstream or room at the client.
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
        let mut reads = self.may_read(request);
        if !self.exchange.sender.is_done() {
            let UpstreamExchange { sender, channel, .. } = &mut *self.exchange;
            if let Poll::Ready(Err(error)) = sender.poll(cx, request, channel) {
                sender.abandon();
                self.exchange.head.reusable = false;
                if let SendError::Client(error @ BodyError::Untranslatable(_)) = error {
                    return Poll::Ready(Event::Untranslatable(error));
                }
            }
        }
        // A client that keeps up gets everything before more is read or moved.
        let full = reads
            && (self.waiting_memory + request.queued() >= self.memory.min(LARGEST_READ)
                || request.queued() > 0 && self.is_to_move());
        if full {
            if let Poll::Ready(event) = self.poll_out(cx, request, reads) {
                return Poll::Ready(event);
            }
            if self.direct && self.kept.is_none() {
                if request.client.waits_for_turn() {
                    // It keeps up: no file is needed.
                    reads = false;
                } else {
                    self.spill.relieve(request, self.memory);
                    // There is no room if that has failed.
                    reads = self.may_read(request);
                }
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

    /// Sends queued bytes to the client. Pending if that enables no other step.
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

    /// Whether the client has taken enough for more to be passed on.
    fn moved(&self, request: &Request, before: u64) -> bool {
        !self.waiting.is_empty() && before > self.busy && request.queued() <= self.busy
    }

    /// Whether there is room to read from the upstream.
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
        let mut is_last = false;
        if let Some(left) = self.exchange.head.body.movable() {
            // One byte more reveals data beyond the announced length.
            let all = left.saturating_add(1);
            // A small rest is not worth a read and a write of its own.
            let near = want == LARGEST_READ && all <= LARGEST_READ + SMALL_REST;
            want = if near { all } else { want.min(all) };
            is_last = want == all;
        }
        if let Some(kept) = &self.kept
            && !is_last
        {
            want = kept.share(want);
        }
        let UpstreamExchange { channel, input, .. } = &mut *self.exchange;
        input.poll_fill(cx, channel, want as usize)
    }

    /// Whether the kernel is to move the body: enough is left, and nothing waits for the client.
    fn moves(&self, request: &Request) -> bool {
        self.is_to_move() && request.client.can_move()
    }

    /// Like [`Relay::moves`], without a look at the client.
    fn is_to_move(&self) -> bool {
        self.direct
            && self.moves
            && self.exchange.head.body.movable().is_some_and(|left| left >= LEAST_MOVED)
            && self.exchange.input.is_empty()
    }

    /// Moves a part of the body from the upstream's connection to the client's.
    fn poll_move(&mut self, cx: &mut Context<'_>, request: &mut Request) -> Poll<Event> {
        let room = self.room(request);
        let UpstreamExchange { channel, head, input, usage, .. } = &mut *self.exchange;
        let left = head.body.movable().unwrap_or_default();
        let most = usize::try_from(room.min(left)).unwrap_or(usize::MAX);
        let Some(conn) = channel.connection() else { return Poll::Pending };
        let moved = request.client.poll_move(cx, conn, most);
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
            // The end, or an excess byte, is detected here as a read would detect it.
            head.reusable = false;
        }
        Poll::Ready(Event::Received(Ok(received)))
    }

    /// Takes the body out of the `n` received bytes.
    fn received(&mut self, request: &mut Request, n: u64) -> Result<(), End> {
        self.received += n;
        self.turn += n;
        if let Some(attempt) = request.attempts.current() {
            attempt.received += n;
            attempt.body += n;
        }
        let was_amid_line = self.exchange.head.body.is_amid_line();
        let (piece, ending) = take(request, self.pass, self.exchange, false)?;
        // A line between chunks must be complete in time, even if it comes byte by byte.
        if piece.is_some() || !was_amid_line || !self.exchange.head.body.is_amid_line() {
            self.exchange.channel.end_wait();
        }
        self.ended = ending == Ending::Complete;
        self.broken = ending == Ending::Broken;
        piece.map_or(Ok(()), |piece| self.hold(request, piece))
    }

    /// Handles the end of the upstream's connection.
    async fn closed(&mut self, request: &mut Request) -> Result<(), End> {
        self.exchange.head.reusable = false;
        if self.exchange.head.body.may_close() {
            self.ended = true;
            return Ok(());
        }
        let what = match self.exchange.channel.stream() {
            Some(_) => STREAM_CUT,
            None => "upstream prematurely closed connection",
        };
        request.blame(Cause::UpstreamClosed);
        request.log_upstream(Level::Error, &format!("{what} while {READING}"));
        self.break_off(request).await
    }

    /// Ends a response that breaks off. Waiting pieces are sent before the connection ends.
    async fn break_off(&mut self, request: &mut Request) -> Result<(), End> {
        while let Some(piece) = self.next_waiting(request).await? {
            request.push(piece).map_err(|_| End::Stuck)?;
        }
        Err(End::Broken)
    }

    /// Handles the client's leaving. Only a response that is being stored continues.
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
    /// The client has taken bytes.
    Drained,
    /// The upstream has paused.
    Paused,
    ClientGone,
    SpillFailed,
    /// The client's body cannot be passed on as the upstream needs it.
    Untranslatable(BodyError),
    TimedOut,
}

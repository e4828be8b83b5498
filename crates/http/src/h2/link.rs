//! The shared half of a connection: the machine, and an entry for each stream.

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use weir_engine::buffer::{self, Buf};
use weir_engine::clock::Instant;
use weir_engine::connection::Conn;
use weir_engine::event_loop::Task;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::hpack::BlockWriter;
use weir_wire::h2::{Connection, ErrorCode, StreamId};

use super::entry::{self, Entry};
use super::{Driver, Ended, Stream};

/// The number of heads whose memory a connection keeps for the next ones.
const SPARE_HEADS: usize = 16;

/// The size of the output's memory, which the pool lends to a connection with output: bodies up to
/// `weir_wire::h2::OUTPUT_LIMIT`, and heads.
const OUTPUT: usize = 128 * 1024;

/// The number of entries that a connection without streams keeps.
const SPARE_ENTRIES: usize = 16;

/// A connection, shared by its driver and its streams.
pub(crate) struct Link {
    pub(super) conn: RefCell<Conn>,
    pub(super) state: RefCell<State>,
}

/// The state of a connection.
pub(super) struct State {
    pub machine: Connection,
    /// By the slots of streams.
    entries: Vec<Entry>,
    spare: Vec<FieldBlock>,
    /// The number of bytes that have ever been sent.
    pub sent: u64,
    /// The socket takes nothing for now.
    pub blocked: bool,
    /// The last time at which the socket has taken something, while it is blocked.
    pub blocked_since: Instant,
    /// The number of streams that wait until their output has left.
    pub flushing: usize,
    /// A ping was answered.
    pub pong: bool,
    /// The machine has memory for its output, from the pool.
    lent: bool,
    /// The driver will run at the end of the turn.
    pub scheduled: bool,
    /// Streams are of no more use.
    pub closed: bool,
    /// The peer will accept no more streams.
    pub leaving: bool,
    /// The code of the peer's GOAWAY.
    pub goaway: Option<ErrorCode>,
    pub task: Option<Task>,
    pub waker: Option<Waker>,
    /// Tasks that wait to open a stream, in line, each with its ticket.
    line: VecDeque<(u64, Waker)>,
    tickets: u64,
}

impl State {
    fn new(machine: Connection) -> Self {
        Self {
            machine,
            entries: Vec::new(),
            spare: Vec::new(),
            sent: 0,
            blocked: false,
            blocked_since: Instant::NEVER,
            flushing: 0,
            pong: false,
            lent: false,
            scheduled: false,
            closed: false,
            leaving: false,
            goaway: None,
            task: None,
            waker: None,
            line: VecDeque::new(),
            tickets: 0,
        }
    }

    /// Notes the task that drives the connection.
    pub(super) fn driven_by(&mut self, cx: &Context<'_>) {
        let task = weir_engine::event_loop::current_task();
        if self.task != task {
            (self.task, self.scheduled) = (task, false);
        }
        entry::note(&mut self.waker, cx);
    }

    /// Has the driver run at the end of this turn.
    pub(super) fn schedule(&mut self) {
        if self.scheduled {
            return;
        }
        match (self.task, &self.waker) {
            (Some(task), _) => task.run_at_end(),
            (None, Some(waker)) => waker.wake_by_ref(),
            // It was not polled yet.
            (None, None) => return,
        }
        self.scheduled = true;
    }

    /// Has the driver send what a stream has put into the output.
    pub(super) fn touched(&mut self) {
        if !self.blocked && !self.machine.output().is_empty() {
            self.schedule();
        }
    }

    /// The machine, with memory for output.
    #[inline]
    pub(super) fn writer(&mut self) -> &mut Connection {
        if !self.lent && self.machine.output().is_empty() {
            self.lent = true;
            drop(self.machine.take_back());
            self.machine.lend(buffer::take(OUTPUT).into_vec());
        }
        &mut self.machine
    }

    /// Gives the memory back if the output is empty.
    pub(super) fn take_back(&mut self) {
        if self.machine.output().is_empty() {
            self.lent = false;
            drop(self.machine.take_back().map(Buf::from));
        }
    }

    /// The position behind the output.
    pub(super) fn end_of_output(&self) -> u64 {
        self.sent + self.machine.output().len() as u64
    }

    /// The entry of a stream that has a handle.
    pub(super) fn entry(&mut self, stream: StreamId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(stream.slot as usize)?;
        (entry.id == Some(stream)).then_some(entry)
    }

    /// All streams' entries.
    pub(super) fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(|entry| entry.id.is_some())
    }

    /// Makes the entry of a new stream.
    pub(super) fn begin(&mut self, stream: StreamId, ended: bool) {
        let mark = self.end_of_output();
        let slot = stream.slot as usize;
        if slot >= self.entries.len() {
            self.entries.resize_with(slot + 1, Entry::default);
        }
        self.entries[slot].begin(stream, ended, mark);
    }

    /// Forgets a stream, whose handle is dropped.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.machine.forget(stream);
        let Some(entry) = self.entry(stream) else { return };
        let was_flushing = entry.flushing;
        for head in entry.clear() {
            self.reuse(head);
        }
        self.flushing -= usize::from(was_flushing);
        if self.machine.streams() == 0 {
            self.entries.truncate(SPARE_ENTRIES);
            self.entries.shrink_to(SPARE_ENTRIES);
        }
        self.tell_waiting();
        // The driver looks at the end of the connection, too.
        self.schedule();
    }

    /// Wakes the first task that waits for a stream, if one can be opened; it leaves the line and
    /// wakes the next. All of them if none ever can be.
    pub(super) fn tell_waiting(&self) {
        if self.closed || self.leaving {
            self.line.iter().for_each(|(_, waker)| waker.wake_by_ref());
        } else if let Some((_, first)) = self.line.front()
            && self.machine.can_open()
        {
            first.wake_by_ref();
        }
    }

    /// Memory for a head.
    pub(super) fn spare(&mut self) -> FieldBlock {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps the memory of a head for the next.
    pub(super) fn reuse(&mut self, mut head: FieldBlock) {
        if self.spare.len() < SPARE_HEADS {
            head.clear();
            self.spare.push(head);
        }
    }

    /// Ends all streams: the connection is lost.
    pub(super) fn lose(&mut self) {
        self.closed = true;
        let sent = self.sent;
        for entry in self.entries() {
            entry.fail(Ended::Lost { unprocessed: sent < entry.head_end });
        }
        self.tell_waiting();
    }
}

/// A connection of either side.
impl Link {
    /// Begins to speak HTTP/2 on an opened connection. The caller runs the driver.
    pub(crate) fn start(conn: Conn, machine: Connection) -> Driver {
        let state = RefCell::new(State::new(machine));
        Driver::new(Rc::new(Self { conn: RefCell::new(conn), state }))
    }

    /// Keeps the memory of a head for the next.
    pub(crate) fn reuse(&self, head: FieldBlock) {
        self.state.borrow_mut().reuse(head);
    }

    /// The number of open streams.
    pub(crate) fn streams(&self) -> usize {
        self.state.borrow().machine.streams()
    }

    /// Whether streams are of use: the connection is not lost.
    pub(crate) fn is_alive(&self) -> bool {
        !self.state.borrow().closed
    }

    /// Begins a graceful end, or hastens one: see `weir_wire::h2::Connection::shut_down`.
    pub(crate) fn shut_down(&self) {
        let state = &mut *self.state.borrow_mut();
        state.leaving = true;
        state.machine.shut_down();
        state.schedule();
        state.tell_waiting();
    }

    /// Ends the connection with this code; its driver returns.
    pub(crate) fn abort(&self, code: ErrorCode) {
        let state = &mut *self.state.borrow_mut();
        state.machine.abort(code);
        state.lose();
        state.schedule();
    }

    /// Facts about the connection (addresses, TLS, number).
    pub(crate) fn conn(&self) -> Ref<'_, Conn> {
        self.conn.borrow()
    }
}

/// A connection to an upstream.
impl Link {
    /// Whether another stream can be opened now.
    pub(crate) fn can_open(&self) -> bool {
        let state = self.state.borrow();
        !state.closed && !state.leaving && state.machine.can_open()
    }

    /// Whether the connection will accept streams again; false after GOAWAY and errors.
    pub(crate) fn is_usable(&self) -> bool {
        let state = self.state.borrow();
        !state.closed && !state.leaving
    }

    /// The code of the peer's GOAWAY, if there was one.
    pub(crate) fn goaway(&self) -> Option<ErrorCode> {
        self.state.borrow().goaway
    }

    /// Whether the peer offers extended CONNECT (RFC 8441).
    pub(crate) fn takes_extended_connect(&self) -> bool {
        self.state.borrow().machine.peer_takes_extended_connect()
    }

    /// Opens a stream with a request's head. Allowed if [`Link::can_open`].
    pub(crate) fn open(
        self: &Rc<Self>,
        end: bool,
        head: impl FnOnce(&mut BlockWriter<'_>),
    ) -> Stream {
        let state = &mut *self.state.borrow_mut();
        let id = state.writer().open(end, head);
        state.begin(id, false);
        state.touched();
        Stream::new(Rc::clone(self), id)
    }

    /// A wait for a stream that can be opened.
    pub(crate) fn wait(self: &Rc<Self>) -> Opening {
        Opening { link: Rc::clone(self), ticket: None }
    }
}

/// The wait for a stream, in the order of first polls. Dropping it leaves the line.
pub(crate) struct Opening {
    link: Rc<Link>,
    ticket: Option<u64>,
}

impl Opening {
    /// Ready when a stream can be opened (true), or never again (false).
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<bool> {
        let state = &mut *self.link.state.borrow_mut();
        if state.closed || state.leaving {
            return Poll::Ready(false);
        }
        let place = self.ticket.and_then(|own| state.line.iter().position(|(one, _)| *one == own));
        if state.machine.can_open() && place.is_none_or(|place| place == 0) {
            return Poll::Ready(true);
        }
        match place {
            Some(place) => state.line[place].1.clone_from(cx.waker()),
            None => {
                state.tickets += 1;
                self.ticket = Some(state.tickets);
                state.line.push_back((state.tickets, cx.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(own) = self.ticket else { return };
        let state = &mut *self.link.state.borrow_mut();
        if let Some(place) = state.line.iter().position(|(one, _)| *one == own) {
            state.line.remove(place);
            state.tell_waiting();
        }
    }
}

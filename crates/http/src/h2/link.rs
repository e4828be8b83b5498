//! The shared half of a connection: the machine, and an entry for each stream.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use weir_engine::TcpInfo;
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
    /// Whether some streams wait because others come first.
    pub patient: bool,
    /// A ping was answered.
    pub pong: bool,
    /// Answered streams whose clients still send. Each is forgotten, which resets it, after its
    /// response has been sent: some clients do not look at a response that comes with a reset.
    answered: Vec<StreamId>,
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
    /// The task that waits for the peer's settings.
    settling: Option<Waker>,
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
            answered: Vec::new(),
            patient: false,
            pong: false,
            lent: false,
            scheduled: false,
            closed: false,
            leaving: false,
            goaway: None,
            task: None,
            waker: None,
            settling: None,
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
        if self.machine.is_answered_early(stream) {
            self.answered.push(stream);
        } else {
            self.machine.forget(stream);
        }
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
        // The driver looks at the end of the connection, too.
        self.schedule();
    }

    /// Forgets streams whose responses have been sent. Returns whether there were any.
    pub(super) fn forget_answered(&mut self) -> bool {
        let some = !self.answered.is_empty();
        for stream in std::mem::take(&mut self.answered) {
            self.writer().forget(stream);
        }
        some
    }

    /// Wakes the task that waits for the peer's settings, once they are known or never will be.
    pub(super) fn tell_settled(&mut self) {
        if (self.closed || self.machine.knows_settings())
            && let Some(waker) = self.settling.take()
        {
            waker.wake();
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
        self.tell_settled();
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

    /// The TCP state of the connection; `None` for a unix socket.
    pub(crate) fn tcp_info(&self) -> Option<TcpInfo> {
        self.conn.borrow().tcp_info()
    }

    /// The number of open streams.
    pub(crate) fn streams(&self) -> usize {
        self.state.borrow().machine.streams()
    }

    /// Allows the peer larger frames: see `weir_wire::h2::Connection::announce_frame_size`.
    pub(crate) fn announce_frame_size(&self, size: u32) {
        let state = &mut *self.state.borrow_mut();
        state.writer().announce_frame_size(size);
        state.touched();
    }

    /// Begins a graceful end, or hastens one: see `weir_wire::h2::Connection::shut_down`.
    pub(crate) fn shut_down(&self) {
        let state = &mut *self.state.borrow_mut();
        state.leaving = true;
        state.machine.shut_down();
        state.schedule();
    }

    /// Ends the stream of the head that is under way, which takes too long. False if there is none.
    pub(crate) fn reset_late_head(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        let reset = state.writer().reset_late_head();
        state.schedule();
        reset
    }

    /// Ends the connection with this code; its driver returns.
    pub(crate) fn abort(&self, code: ErrorCode) {
        let state = &mut *self.state.borrow_mut();
        state.machine.abort(code);
        state.lose();
        state.schedule();
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

    /// Opens a stream with a request's head. Allowed if [`Link::can_open`].
    pub(crate) fn open(
        self: &Rc<Self>,
        end: bool,
        head: impl FnOnce(&mut BlockWriter<'_>),
    ) -> Stream {
        let state = &mut *self.state.borrow_mut();
        let before = state.end_of_output();
        let id = state.writer().open(end, head);
        state.begin(id, false);
        let count = state.end_of_output() - before;
        if let Some(entry) = state.entry(id) {
            entry.queued = count;
        }
        state.touched();
        Stream::new(Rc::clone(self), id)
    }

    /// Waits for the peer's settings, which say how many streams can be open. False if the
    /// connection is lost before.
    pub(crate) async fn settled(&self) -> bool {
        poll_fn(|cx| {
            let state = &mut *self.state.borrow_mut();
            match (state.closed, state.machine.knows_settings()) {
                (true, _) => Poll::Ready(false),
                (false, true) => Poll::Ready(true),
                (false, false) => {
                    entry::note(&mut state.settling, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

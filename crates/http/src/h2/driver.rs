//! The half of a connection that its task has: it reads, sends, and finds the end.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::clock;
use weir_engine::event_loop;
use weir_engine::timer::Deadline;
use weir_wire::field_block::FieldBlock;
use weir_wire::h2::ConnectionError;

use super::{Link, Stream};

/// The maximum number of bytes per read. After a read of so many, other tasks have their turn.
const READ: usize = 64 * 1024;

/// A request that a client has begun.
pub(crate) struct Begun {
    pub stream: Stream,
    /// The head's fields; see [`Stream::reuse`].
    pub fields: FieldBlock,
    /// Whether there is no body.
    pub ended: bool,
    /// The length of the head as received, without frame heads and padding, in bytes.
    pub length: u32,
}

/// Why a connection is of no more use. All its streams have been told.
#[derive(Debug)]
pub(crate) enum Closed {
    /// It has ended gracefully, or by [`Link::abort`].
    Over,
    /// The peer has closed it, with an error of the socket if there was one.
    Gone(Option<io::Error>),
    /// The peer has made a fault.
    Faulty(ConnectionError),
    /// The peer has taken nothing for `send_timeout`.
    SendTimedOut,
    /// The peer has not answered a ping. (client)
    Silent,
    /// It was idle for too long. (client)
    Idle,
}

/// The driver of a connection. Nothing is read or sent unless it is polled; if it is dropped, the
/// streams are lost.
pub(crate) struct Driver {
    pub(super) link: Rc<Link>,
    /// Received bytes, of which `used` have been processed. Unallocated between reads.
    pub(super) input: Buf,
    pub(super) used: usize,
    /// The time that the peer may take nothing while there is output.
    pub(super) send_timeout: Duration,
    /// The end of that time.
    sending: Deadline,
    /// The last bytes were received in this millisecond.
    pub(super) received_at: clock::Instant,
}

/// Without a configured one.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

impl Driver {
    pub(super) fn new(link: Rc<Link>) -> Self {
        Self {
            link,
            input: Buf::empty(),
            used: 0,
            send_timeout: SEND_TIMEOUT,
            sending: Deadline::new(),
            received_at: clock::now(),
        }
    }

    /// The connection.
    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Sets the time that the peer may take nothing while there is output (`send_timeout`).
    pub(crate) fn set_send_timeout(&mut self, timeout: Duration) {
        self.send_timeout = timeout;
    }

    /// Whether there is nothing to do: no stream, no output, no received bytes.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.link.state.borrow();
        self.input.is_empty()
            && state.machine.streams() == 0
            && state.machine.output().is_empty()
            && !state.blocked
            && !state.machine.holds_part()
    }

    /// Whether a part of a head, or of another short frame, was received that is waited for.
    pub(crate) fn has_part_of_head(&self) -> bool {
        self.link.state.borrow().machine.holds_part_of_head()
    }

    /// The next request of a client. While it is pending, the connection is served; poll it
    /// whenever the task runs.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Begun, Closed>> {
        match self.poll(cx) {
            Ok(Some(begun)) => Poll::Ready(Ok(begun)),
            Ok(None) => Poll::Pending,
            Err(closed) => {
                self.link.state.borrow_mut().lose();
                Poll::Ready(Err(closed))
            }
        }
    }

    /// Serves the connection as far as possible now: reads, hands out, sends. Returns at a request.
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<Option<Begun>, Closed> {
        self.link.state.borrow_mut().driven_by(cx);
        if let Some(begun) = self.poll_receive(cx)? {
            return Ok(Some(begun));
        }
        let link = Rc::clone(&self.link);
        let state = &mut *link.state.borrow_mut();
        state.wake_writers();
        state.tell_settled();
        let now = state.task.is_none() || event_loop::is_end_of_turn();
        if now {
            state.scheduled = false;
            let sent = state.send(cx, &mut link.conn.borrow_mut());
            sent.map_err(|error| Closed::Gone(Some(error)))?;
            state.wake_writers();
        } else if state.blocked || !state.machine.output().is_empty() {
            state.schedule();
        } else {
            state.take_back();
        }
        if state.blocked {
            self.sending.set(state.blocked_since + self.send_timeout);
            return match self.sending.poll(cx) {
                Poll::Ready(()) => Err(Closed::SendTimedOut),
                Poll::Pending => Ok(None),
            };
        }
        match state.machine.is_over() && state.machine.output().is_empty() {
            true => Err(Closed::Over),
            false => Ok(None),
        }
    }

    /// Reads and processes what there is, up to a request.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<Option<Begun>, Closed> {
        loop {
            if let Some(begun) = self.process()? {
                return Ok(Some(begun));
            }
            let state = self.link.state.borrow();
            if !state.machine.takes_input() || state.closed {
                return Ok(None);
            }
            drop(state);
            let mut conn = self.link.conn.borrow_mut();
            match conn.poll_fill(cx, &mut self.input, READ) {
                Poll::Pending => return Ok(None),
                Poll::Ready(Ok(0)) => return Err(Closed::Gone(None)),
                Poll::Ready(Err(error)) => return Err(Closed::Gone(Some(error))),
                Poll::Ready(Ok(count)) => {
                    self.received_at = clock::now();
                    if count == READ {
                        // Others have their turn after this much.
                        cx.waker().wake_by_ref();
                        drop(conn);
                        return self.process();
                    }
                }
            }
        }
    }

    /// Processes received bytes, up to a request.
    fn process(&mut self) -> Result<Option<Begun>, Closed> {
        if self.input.is_empty() {
            return Ok(None);
        }
        let begun = Link::take_in(&self.link, &self.input, &mut self.used);
        if self.used == self.input.len() {
            (self.input, self.used) = (Buf::empty(), 0);
        }
        begun.map_err(Closed::Faulty)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link.state.borrow_mut().lose();
    }
}

//! The output: sent at the end of the loop's turn, and filled again by the streams that wait, in
//! the order of their priorities.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use weir_engine::clock;
use weir_engine::connection::Conn;

use super::entry;
use super::link::State;

/// Up to this size, output is left to the end of the turn, where it is sent together with that of
/// other connections. The loop copies it.
const POST_MOST: usize = 8 * 1024;

impl State {
    /// Sends the output, as far as the socket takes it.
    ///
    /// # Errors
    /// Of the socket.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, conn: &mut Conn) -> io::Result<()> {
        let was_blocked = self.blocked;
        let before = self.sent;
        let mut done = self.poll_output(cx, conn)?;
        if done.is_ready() && self.forget_answered() {
            done = self.poll_output(cx, conn)?;
        }
        self.blocked = done.is_pending();
        if self.blocked && (!was_blocked || self.sent > before) {
            self.blocked_since = clock::now();
        }
        if self.patient && (self.blocked || !self.machine.has_connection_window()) {
            self.tell_patient();
        }
        if self.flushing > 0 && (self.sent > before || !self.blocked) {
            self.tell_flushing();
        }
        Ok(())
    }

    fn poll_output(&mut self, cx: &mut Context<'_>, conn: &mut Conn) -> io::Result<Poll<()>> {
        loop {
            let output = self.machine.output();
            let sent = match output.len() {
                0 => break,
                1..=POST_MOST => conn.poll_post(cx, output),
                _ => conn.poll_send(cx, &[IoSlice::new(output)]),
            };
            match sent {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(count)) => {
                    self.sent += count as u64;
                    self.machine.sent(count);
                }
            }
        }
        self.take_back();
        match conn.poll_flush(cx) {
            Poll::Ready(done) => done.map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Wakes streams that have waited for others: now they wait for the peer.
    fn tell_patient(&mut self) {
        self.patient = false;
        for entry in self.entries().filter(|entry| entry.patient) {
            entry.patient = false;
            entry::wake(&mut entry.writer);
        }
    }

    /// Wakes streams that wait until what they have queued is sent.
    fn tell_flushing(&mut self) {
        let (sent, blocked) = (self.sent, self.blocked);
        let mut told = 0;
        for entry in self.entries().filter(|entry| entry.flushing) {
            if !blocked || entry.mark <= sent {
                entry.flushing = false;
                entry::wake(&mut entry.writer);
                told += 1;
            }
        }
        self.flushing -= told;
    }

    /// Wakes streams that wait for room and have some now, as many as fill the output. They run
    /// before the driver does at the end of the turn, which then looks again.
    pub(super) fn wake_writers(&mut self) {
        let mut some = false;
        while let Some(stream) = self.machine.poll_writable() {
            if let Some(entry) = self.entry(stream) {
                entry::wake(&mut entry.writer);
                some = true;
            }
        }
        if some {
            self.schedule();
        }
    }
}

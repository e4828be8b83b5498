//! The end of a connection: the rest of the output, and what the peer has sent meanwhile.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::buffer::Buf;
use weir_engine::timer::Deadline;

use super::Driver;

/// The size of a read whose bytes are dropped.
const DROPPED: usize = 16 * 1024;

/// The number of such reads before other tasks have their turn.
const DROPS_PER_TURN: usize = 8;

/// How long a connection is read from before it is closed, so that the peer sees the last frames
/// and not a reset (`lingering_time`, `lingering_timeout`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linger {
    /// In all.
    pub total: Duration,
    /// Between two reads.
    pub each: Duration,
}

impl Driver {
    /// Sends the rest of the output, within the send timeout, and closes the connection; with
    /// `linger` after the peer has closed it or the time is up. Handles of streams that are left
    /// keep the socket.
    pub(crate) async fn close(self, linger: Option<Linger>) {
        self.link.state.borrow_mut().lose();
        let mut deadline = Deadline::new();
        let timeout = self.send_timeout;
        let mut before = u64::MAX;
        let sent = poll_fn(|cx| {
            let done = self.poll_rest(cx);
            let now = self.link.state.borrow().sent;
            if std::mem::replace(&mut before, now) != now {
                deadline.after(timeout);
            }
            match done {
                Poll::Pending => deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
                done => done,
            }
        });
        if sent.await.is_err() {
            return;
        }
        if let Some(linger) = linger {
            return self.linger(linger).await;
        }
        let link = Rc::clone(&self.link);
        drop(self);
        match Rc::try_unwrap(link) {
            Ok(link) => link.conn.into_inner().close(),
            Err(link) => {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                let _ = link.conn.borrow_mut().poll_shutdown(&mut cx);
            }
        }
    }

    /// Ready when the socket has all output.
    fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.link.state.borrow_mut();
        state.send(cx, &mut self.link.conn.borrow_mut())?;
        match state.blocked {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    /// Ends the sending direction, and reads and drops what still comes.
    async fn linger(&self, linger: Linger) {
        let (mut each, mut total) = (Deadline::new(), Deadline::new());
        total.after(linger.total);
        let shut = poll_fn(|cx| match self.link.conn.borrow_mut().poll_shutdown(cx) {
            Poll::Pending => total.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            done => done,
        });
        if shut.await.is_err() {
            return;
        }
        each.after(linger.each);
        poll_fn(|cx| {
            let mut sink = Buf::empty();
            for _ in 0..DROPS_PER_TURN {
                match self.link.conn.borrow_mut().poll_fill(cx, &mut sink, DROPPED) {
                    Poll::Ready(Ok(1..)) => each.after(linger.each),
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {
                        let over = each.poll(cx).is_ready() || total.poll(cx).is_ready();
                        return if over { Poll::Ready(()) } else { Poll::Pending };
                    }
                }
                sink.clear();
            }
            cx.waker().wake_by_ref();
            total.poll(cx)
        })
        .await;
    }
}

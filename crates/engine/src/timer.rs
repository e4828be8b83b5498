//! Deadlines that are cheap to move.

use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::event_loop::here::{here, with_here};

/// A time limit for a wait.
///
/// The loop's timer is armed when the task first has to wait, and is not touched when the deadline
/// moves further away, as it does with every request of a connection: the timer then fires early
/// once, and is armed again.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    /// The timer's expiry; `NEVER` if it is not armed.
    armed: Instant,
    timer: Option<Timer>,
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadline {
    /// No deadline.
    pub const fn new() -> Self {
        Self { at: Instant::NEVER, armed: Instant::NEVER, timer: None }
    }

    /// Moves the deadline.
    pub fn set(&mut self, at: Instant) {
        self.at = at;
    }

    /// Moves the deadline to `duration` from now.
    pub fn after(&mut self, duration: Duration) {
        self.at = clock::now() + duration;
    }

    /// Removes the deadline.
    pub fn clear(&mut self) {
        self.at = Instant::NEVER;
    }

    /// The deadline; `NEVER` if there is none.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Ready when the deadline has passed. Poll it only after the awaited operation is pending.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.at == Instant::NEVER {
            return Poll::Pending;
        }
        if let Some(timer) = &mut self.timer
            && self.armed <= self.at
        {
            ready!(timer.poll(cx));
            self.armed = Instant::NEVER;
        }
        // The timer is unarmed, or fired for an earlier deadline, or the deadline has passed.
        if clock::now() >= self.at {
            return Poll::Ready(());
        }
        match &mut self.timer {
            Some(timer) => timer.set(self.at, cx),
            None => self.timer = Some(Timer::new(self.at, cx)),
        }
        self.armed = self.at;
        Poll::Pending
    }

    /// Runs `operation` until the deadline.
    ///
    /// # Errors
    /// `TimedOut` if the deadline passes first, else the operation's own error.
    pub async fn within<T>(
        &mut self,
        mut operation: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        poll_fn(|cx| match operation(cx) {
            Poll::Pending => self.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            done => done,
        })
        .await
    }

    /// Waits until the deadline.
    pub async fn wait(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

/// A timer of this thread's loop that is set or has fired. Once dropped, it never fires.
#[derive(Debug)]
struct Timer {
    key: u32,
    not_send: PhantomData<*const ()>,
}

impl Timer {
    fn new(at: Instant, cx: &Context<'_>) -> Self {
        Self { key: here().timers.start(at, cx), not_send: PhantomData }
    }

    fn set(&mut self, at: Instant, cx: &Context<'_>) {
        here().timers.set(self.key, at, cx);
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        here().timers.poll(self.key, cx)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        with_here(|here| here.timers.stop(self.key));
    }
}

/// Waits for at least `duration`.
pub async fn sleep(duration: Duration) {
    let mut deadline = Deadline::new();
    deadline.set(clock::precise() + duration);
    deadline.wait().await;
}

/// Runs `future` for at most `limit`.
///
/// # Errors
/// `TimedOut` if the limit passes first; the future is dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> io::Result<F::Output> {
    let mut deadline = Deadline::new();
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if deadline.at() == Instant::NEVER {
            deadline.set(clock::precise() + limit);
        }
        deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::block_on;
    use std::task::Waker;

    #[test]
    fn a_deadline_fires_and_can_be_moved_before_that() {
        block_on(async {
            let mut deadline = Deadline::new();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(deadline.poll(&mut cx).is_pending());
            deadline.after(Duration::from_millis(1));
            assert!(deadline.poll(&mut cx).is_pending() || clock::precise() >= deadline.at());
            deadline.after(Duration::from_secs(3600));
            assert!(deadline.poll(&mut cx).is_pending());
            deadline.after(Duration::from_millis(2));
            let at = deadline.at();
            deadline.wait().await;
            assert!(clock::precise() >= at);
        });
    }

    #[test]
    fn within_prefers_the_operation() {
        block_on(async {
            let mut deadline = Deadline::new();
            deadline.set(Instant::default());
            assert_eq!(deadline.within(|_| Poll::Ready(Ok(7))).await.unwrap(), 7);
            let late = deadline.within::<()>(|_| Poll::Pending).await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        });
    }
}

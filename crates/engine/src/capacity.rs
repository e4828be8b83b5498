//! How many connections a thread may have (`worker_connections`), and what happens when they run
//! short: first idle connections are closed, then new ones are refused. And when descriptors do,
//! which belong to the whole process: accepting rests until one is free.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error_log::{Level, Seldom};
use crate::stats;
use crate::timer::Deadline;

/// nginx's default for `worker_connections`.
pub const DEFAULT_LIMIT: u64 = 512;

/// Idle connections are closed when less than this part of the limit is free.
const SCARCE_PART: u64 = 16;

/// How long accepting rests at most: other threads, and files, free descriptors as well.
const REST: Duration = Duration::from_millis(100);

/// What closes idle connections, now or before this turn of the loop ends; returns how many.
type Reclaim = Rc<dyn Fn() -> usize>;

thread_local! {
    static LIMIT: Cell<u64> = const { Cell::new(DEFAULT_LIMIT) };
    static RECLAIM: RefCell<Vec<Reclaim>> = const { RefCell::new(Vec::new()) };
    /// Whether anybody is in [`RESTING`].
    static RESTS: Cell<bool> = const { Cell::new(false) };
    /// Who rests until a descriptor is free.
    static RESTING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

static NOT_ENOUGH: Seldom = Seldom::new();
static REUSING: Seldom = Seldom::new();

/// Sets the limit for this thread.
pub fn set_limit(connections: u64) {
    LIMIT.set(connections);
}

/// The limit of this thread.
pub fn limit() -> u64 {
    LIMIT.get()
}

/// Adds somebody who can close idle connections of this thread when they run short, and who is
/// asked if those before could not.
pub fn on_shortage(reclaim: impl Fn() -> usize + 'static) {
    RECLAIM.with_borrow_mut(|all| all.push(Rc::new(reclaim)));
}

/// Whether there is room for one more connection. Complains if there is not, in nginx's words.
pub(crate) fn claim() -> bool {
    let (used, limit) = (stats::connections_here(), LIMIT.get());
    if limit.saturating_sub(used) > limit / SCARCE_PART {
        return true;
    }
    // One that is being closed makes room, even if it has not gone yet.
    if reclaim(limit) || stats::connections_here() < limit {
        return true;
    }
    NOT_ENOUGH.log(Level::Alert, format_args!("{limit} worker_connections are not enough"));
    false
}

#[cold]
fn reclaim(limit: u64) -> bool {
    let all = RECLAIM.with_borrow(Clone::clone);
    let closed = all.iter().any(|reclaim| reclaim() > 0);
    if closed {
        let message =
            format_args!("{limit} worker_connections are not enough, reusing connections");
        REUSING.log(Level::Warn, message);
    }
    closed
}

/// [`claim`] as a result.
pub(crate) fn claim_or_fail() -> io::Result<()> {
    if claim() { Ok(()) } else { Err(io::ErrorKind::QuotaExceeded.into()) }
}

/// A connection of this thread has gone, and its descriptor.
#[inline]
pub(crate) fn freed() {
    if RESTS.try_with(|rests| rests.replace(false)) == Ok(true) {
        wake_resting();
    }
}

#[cold]
fn wake_resting() {
    let resting = RESTING.try_with(RefCell::take);
    resting.into_iter().flatten().for_each(Waker::wake);
}

/// Waits until a descriptor may be free: a connection of this thread goes, or some time.
pub(crate) async fn rest() {
    let mut deadline = Deadline::new();
    deadline.after(REST);
    let mut begun = false;
    let mut poll = |cx: &mut Context<'_>| {
        let rests = RESTING.with_borrow(|all| all.iter().any(|one| one.will_wake(cx.waker())));
        if std::mem::replace(&mut begun, true) && !rests {
            return Poll::Ready(());
        }
        if !rests {
            RESTING.with_borrow_mut(|all| all.push(cx.waker().clone()));
        }
        RESTS.set(true);
        deadline.poll(cx)
    };
    poll_fn(&mut poll).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::block_on;
    use crate::stats::Slot;
    use std::pin::Pin;

    async fn is_ready(rest: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *rest).poll(cx).is_ready())).await
    }

    #[test]
    fn accepting_rests_until_a_connection_goes() {
        block_on(async {
            let slot = Slot::outgoing();
            let mut rest = Box::pin(rest());
            assert!(!is_ready(&mut rest).await && !is_ready(&mut rest).await);
            drop(slot);
            // The time has not gone on.
            assert!(is_ready(&mut rest).await);
        });
    }

    #[test]
    fn one_after_the_other_is_asked_for_room() {
        std::thread::spawn(|| {
            set_limit(1);
            let _slot = Slot::outgoing();
            assert!(!claim());
            let left = Rc::new(Cell::new(1));
            let taken = Rc::clone(&left);
            on_shortage(move || taken.replace(0));
            on_shortage(|| panic!("there is room"));
            assert!(claim());
        })
        .join()
        .unwrap();
    }
}

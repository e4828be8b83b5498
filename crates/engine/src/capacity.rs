//! Limits on connections. If a thread's connections (`worker_connections`) run short, idle ones are
//! closed, then new ones refused. If the descriptors of the process run out, kept connections to
//! upstreams are closed, and accepting pauses until one is free.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;

use crate::error_log::{Level, Seldom};
use crate::stats;
use crate::timer::Deadline;

mod slot;

pub(crate) use slot::Slot;

/// nginx's default for `worker_connections`.
pub(crate) const DEFAULT_LIMIT: u64 = 512;

/// Idle connections are closed when less than this fraction of the limit is free.
const SCARCE_PART: u64 = 16;

/// The maximum pause of accepting: other threads, and closed files, free descriptors as well.
const REST: Duration = Duration::from_millis(100);

/// Closes idle connections, now or before the loop's turn ends; returns their number.
type Reclaim = Rc<dyn Fn() -> usize>;

thread_local! {
    static LIMIT: Cell<u64> = const { Cell::new(DEFAULT_LIMIT) };
    static RECLAIM: RefCell<Vec<Reclaim>> = const { RefCell::new(Vec::new()) };
    /// The functions that a shortage of descriptors calls, too.
    static SPARE: RefCell<Vec<Reclaim>> = const { RefCell::new(Vec::new()) };
    /// Whether [`RESTING`] has entries.
    static RESTS: Cell<bool> = const { Cell::new(false) };
    /// The tasks that wait for a free descriptor.
    static RESTING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// How often the descriptors of the process have run out.
static EXHAUSTIONS: AtomicU64 = AtomicU64::new(0);

static NOT_ENOUGH: Seldom = Seldom::new();
static REUSING: Seldom = Seldom::new();

/// Sets this thread's limit.
pub fn set_limit(connections: u64) {
    LIMIT.set(connections);
}

/// This thread's limit.
pub fn limit() -> u64 {
    LIMIT.get()
}

/// Registers a function that closes idle connections of this thread on a shortage. It is called if
/// those registered earlier could close none.
pub fn on_shortage(reclaim: impl Fn() -> usize + 'static) {
    RECLAIM.with_borrow_mut(|all| all.push(Rc::new(reclaim)));
}

/// Registers a function as [`on_shortage`] does that is also called if the descriptors of the
/// process run out: no client loses anything by what it closes.
pub fn on_any_shortage(reclaim: impl Fn() -> usize + 'static) {
    let reclaim: Reclaim = Rc::new(reclaim);
    RECLAIM.with_borrow_mut(|all| all.push(Rc::clone(&reclaim)));
    SPARE.with_borrow_mut(|all| all.push(reclaim));
}

/// Whether the error says that there are no descriptors.
pub(crate) fn is_exhausted(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Closes connections because the descriptors of the process have run out; returns whether there
/// were any. Other threads learn of it by [`exhaustions`].
#[cold]
pub(crate) fn give_up_spare() -> bool {
    EXHAUSTIONS.fetch_add(1, Ordering::Relaxed);
    let all = SPARE.with_borrow(Clone::clone);
    all.iter().any(|reclaim| reclaim() > 0)
}

/// How often the descriptors of the process have run out.
pub fn exhaustions() -> u64 {
    EXHAUSTIONS.load(Ordering::Relaxed)
}

/// Whether another connection is allowed. Logs nginx's message if not.
pub(crate) fn claim() -> bool {
    let (used, limit) = (stats::connections_here(), LIMIT.get());
    if limit.saturating_sub(used) > limit / SCARCE_PART {
        return true;
    }
    // A connection being closed makes room, even if it still exists.
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

/// Called when a connection of this thread, and its descriptor, is closed.
#[inline]
fn freed() {
    if RESTS.try_with(|rests| rests.replace(false)) == Ok(true) {
        wake_resting();
    }
}

#[cold]
fn wake_resting() {
    let resting = RESTING.try_with(RefCell::take);
    resting.into_iter().flatten().for_each(Waker::wake);
}

/// Waits until a descriptor may be free: until a connection of this thread is closed, or for
/// [`REST`].
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
            // No time has passed.
            assert!(is_ready(&mut rest).await);
        });
    }

    #[test]
    fn only_what_is_spare_goes_for_descriptors() {
        std::thread::spawn(|| {
            let before = exhaustions();
            on_shortage(|| panic!("clients stay"));
            assert!(!give_up_spare());
            let left = Rc::new(Cell::new(1));
            on_any_shortage(move || left.replace(0));
            assert!(give_up_spare() && !give_up_spare());
            assert!(exhaustions() >= before + 3);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn reclaimers_are_called_in_order() {
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

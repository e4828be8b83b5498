//! How many connections a thread may have (`worker_connections`), and what happens when they run
//! short: first idle connections are closed, then new ones are refused.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use crate::clock;
use crate::error_log::{Level, process_log};
use crate::stats;

/// nginx's default for `worker_connections`.
pub const DEFAULT_LIMIT: u64 = 512;

/// Idle connections are closed when less than this part of the limit is free.
const SCARCE_PART: u64 = 16;

/// What closes idle connections; returns how many it has closed.
type Reclaim = Rc<dyn Fn() -> usize>;

thread_local! {
    static LIMIT: Cell<u64> = const { Cell::new(DEFAULT_LIMIT) };
    static RECLAIM: RefCell<Vec<Reclaim>> = const { RefCell::new(Vec::new()) };
    static WARNED: Cell<i64> = const { Cell::new(0) };
}

/// Sets the limit for this thread.
pub fn set_limit(connections: u64) {
    LIMIT.set(connections);
}

/// The limit of this thread.
pub fn limit() -> u64 {
    LIMIT.get()
}

/// Adds somebody who can close idle connections of this thread when they run short.
pub fn on_shortage(reclaim: impl Fn() -> usize + 'static) {
    RECLAIM.with_borrow_mut(|all| all.push(Rc::new(reclaim)));
}

/// Whether there is room for one more connection. Complains if there is not, in nginx's words.
pub(crate) fn claim() -> bool {
    let (used, limit) = (stats::connections_here(), LIMIT.get());
    if limit.saturating_sub(used) > limit / SCARCE_PART {
        return true;
    }
    reclaim(limit);
    if stats::connections_here() < limit {
        return true;
    }
    let message = format_args!("{limit} worker_connections are not enough");
    process_log().log(Level::Alert, 0, message);
    false
}

#[cold]
fn reclaim(limit: u64) {
    let all = RECLAIM.with_borrow(Clone::clone);
    let closed: usize = all.iter().map(|reclaim| reclaim()).sum();
    let second = clock::wall_secs();
    // Once a second: this happens for each new connection while they are short.
    if closed > 0 && WARNED.replace(second) != second {
        let message =
            format_args!("{limit} worker_connections are not enough, reusing connections");
        process_log().log(Level::Warn, 0, message);
    }
}

/// [`claim`] as a result.
pub(crate) fn claim_or_fail() -> io::Result<()> {
    if claim() { Ok(()) } else { Err(io::ErrorKind::QuotaExceeded.into()) }
}

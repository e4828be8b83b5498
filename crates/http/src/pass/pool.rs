//! Kept connections to upstreams. Each thread has its own, because a connection belongs to the loop
//! that opened it. They survive reloads.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use weir_engine::capacity;
use weir_engine::connection::Conn;
use weir_upstream::{Peer, Pools, Usage};

use super::course::Pass;
use super::{clock, made, shared_links};
use crate::request::Request;

thread_local! {
    static POOLS: RefCell<Pools<Box<Conn>>> = RefCell::default();
    static SWEEPING: Cell<bool> = const { Cell::new(false) };
    /// Whether a shortage of connections closes kept ones.
    static GIVES_UP: Cell<bool> = const { Cell::new(false) };
    static CLOSED: Cell<bool> = const { Cell::new(false) };
    static RANDOM: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::new());
}

/// The interval of sweeps, which close connections that are dead, have been idle for too long, or
/// are those of a group that no configuration has any more.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// The most connections that one shortage closes, as of idle clients.
const RECLAIM_MOST: usize = 32;

/// A kept connection.
pub(crate) struct Kept {
    /// The connection.
    pub conn: Box<Conn>,
    /// Its history.
    pub usage: Usage,
}

/// Runs `f` with this thread's source of randomness.
pub(crate) fn with_random<T>(f: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    RANDOM.with_borrow_mut(f)
}

/// A live kept connection to `peer` with the parameters that this request needs.
pub(crate) fn take(peer: &Peer, request: &mut Request, pass: &Pass<'_>) -> Option<Kept> {
    let config = pass.target.keepalive();
    if config.connections == 0 {
        return None;
    }
    let place = pass.target.upstream()?.place.id();
    let made = made::wanted(request, pass)?;
    POOLS.with_borrow_mut(|pools| {
        let pool = pools.get(place)?;
        loop {
            let (mut conn, usage) = pool.take(config, peer.address_key, pass.tag(), made)?;
            if conn.is_idle_alive() {
                return Some(Kept { conn, usage });
            }
        }
    })
}

/// Keeps a connection that its response has left reusable.
pub(crate) fn put(peer: &Peer, pass: &Pass<'_>, conn: Box<Conn>, mut usage: Usage) {
    let config = pass.target.keepalive();
    if config.connections == 0 || CLOSED.get() {
        return;
    }
    let Some(upstream) = pass.target.upstream() else { return };
    usage.requests += 1;
    let now = clock::millis();
    let evicted = POOLS.with_borrow_mut(|pools| {
        let pool = pools.pool(&upstream.place);
        pool.count_for(&upstream.group);
        pool.put(config, conn, peer.address_key, pass.tag(), usage, now)
    });
    drop(evicted);
    sweep_later();
}

/// From now on, kept connections are closed if the connections of this thread or the descriptors of
/// the process run short: they must not cost a client an error. Idle clients are registered
/// earlier, so they go first if connections run short, as in nginx.
fn give_up_on_shortage() {
    if !GIVES_UP.replace(true) {
        capacity::on_any_shortage(reclaim);
    }
}

fn reclaim() -> usize {
    let closed = POOLS.with_borrow_mut(|pools| pools.reclaim(RECLAIM_MOST));
    if closed > 0 { closed } else { shared_links::reclaim(RECLAIM_MOST) }
}

/// Starts the sweeps of this thread, which run while it keeps connections.
#[inline]
pub(super) fn sweep_later() {
    if !SWEEPING.replace(true) {
        start_sweeps();
    }
}

#[cold]
fn start_sweeps() {
    give_up_on_shortage();
    weir_engine::event_loop::spawn(async {
        let mut exhaustions = capacity::exhaustions();
        loop {
            weir_engine::timer::sleep(SWEEP_EVERY).await;
            // Another thread has met the shortage.
            if capacity::exhaustions()
                != std::mem::replace(&mut exhaustions, capacity::exhaustions())
            {
                reclaim();
            }
            let shared = shared_links::close_gone();
            let left = POOLS.with_borrow_mut(|pools| {
                let now = clock::millis();
                pools.close_gone();
                pools
                    .iter_mut()
                    .map(|pool| {
                        pool.sweep(now, |conn| !conn.is_idle_alive());
                        pool.len()
                    })
                    .sum::<usize>()
            });
            if left + shared == 0 {
                return SWEEPING.set(false);
            }
        }
    });
}

/// Closes all kept connections, and keeps none from now on, because the thread is ending.
pub(crate) fn close_all() {
    CLOSED.set(true);
    POOLS.with_borrow_mut(Pools::clear);
}

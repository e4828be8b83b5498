//! A simulated kernel for one thread: sockets that are entries in a network of the simulation's
//! own, readiness that this network decides, and a clock that moves only when the loop waits.
//!
//! ```text
//!   the code under test                          the test
//!   ───────────────────                          ────────
//!   Conn, listen, timers                         Peer, Listening
//!          │                                        │
//!   event_loop (epoll, unchanged)                   │
//!          │  crate::kernel                         │
//!          ▼                                        ▼
//!   ┌─ calls ──── World: ends ⇄ parcels on their way ⇄ ends ─┐
//!   │             latency, splits, stalls, resets, losses    │
//!   └──────────── poll: readiness, and time ─────────────────┘
//! ```
//!
//! Whatever happens follows from the seed. The tasks of the test run on the loop under test, but
//! what they send arrives by way of the network only, at a later time. A wait of the loop moves
//! the clock to the next event or to the end of the wait, whichever is earlier; a turn takes some
//! microseconds by itself, so that a loop that never sleeps runs into the time's end.
//!
//! Descriptors are real ones that stand for nothing, so a call that does not go through
//! [`crate::kernel`] fails or does nothing, and whatever holds a number holds a valid one.
//!
//! What it does not hold yet:
//!
//! * io_uring: the loop runs by epoll. `completion` has tests of its own.
//! * Files: they are the real ones, without faults and without a time that they take.
//! * Datagrams and so name servers; sockets of the kind `AF_UNIX`; binding before connecting.
//! * More than one thread, and wakes from another one: work for other threads is done at once.
//! * TLS: it runs, but its randomness is the library's own, so a seed does not replay.
//! * `MSG_MORE` and `TCP_CORK`: nothing is kept back.
//! * Retransmission: a lost packet is a delay, or a connection that is lost for good.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::event_loop::{EventLoop, Method};
use crate::stats::{self, Gauge};

pub(crate) mod calls;
mod faults;
mod network;
mod peer;
mod poll;

pub use faults::{Faults, Sabotage};
pub use network::Fate;
use network::World;
pub use peer::{Listening, Peer};

/// The end of time: a simulation that comes this far never ends by itself.
const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// Runs a future on an event loop of the calling thread, which must have none, in a world made
/// from `seed`. Draws that the code under test makes by `fastrand` follow from the seed as well.
///
/// # Panics
/// If time comes to its end, or if the future waits for something that cannot happen any more.
pub fn run<F: Future>(seed: u64, faults: Faults, main: F) -> F::Output {
    fastrand::seed(seed);
    let _world = Inside::enter(World::new(seed, faults, HORIZON));
    EventLoop::new(Method::Epoll).expect("an event loop").block_on(main)
}

/// While it lives, the thread's kernel is the simulated one.
struct Inside;

impl Inside {
    fn enter(world: World) -> Self {
        network::enter(world);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        network::leave();
    }
}

/// A socket for the code under test that listens at an address of the simulated network.
pub fn listener(address: SocketAddr) -> Arc<OwnedFd> {
    Arc::new(network::with(|world| world.listen_by_descriptor(address)).expect("in a simulation"))
}

/// Breaks the world from here on.
pub fn sabotage(sabotage: Sabotage) {
    network::with(|world| world.sabotage = Some(sabotage));
}

/// Draws from the randomness of the simulated world, for what the test itself leaves to chance.
pub fn draw<T>(draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    network::with(|world| draw(&mut world.random)).expect("in a simulation")
}

/// What the network has done to the connection of that number until now.
pub fn fate(connection: u32) -> Fate {
    network::with(|world| world.fate_of(connection)).expect("in a simulation")
}

/// Notes a line in the trace, if there is one.
pub fn note(line: impl FnOnce() -> String) {
    network::with(|world| world.note(line));
}

/// Begins to keep a trace: lines of what happens in the world, each with its time.
pub fn keep_trace() {
    network::with(|world| world.trace = Some(Vec::new()));
}

/// The trace of the world that this thread was in last.
pub fn take_trace() -> Vec<String> {
    network::take_trace()
}

/// What a thread has, to be compared with what it had before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Tasks of the loop.
    pub tasks: usize,
    /// Timers that were made, whether they are set or not.
    pub timers: usize,
    /// Descriptors that the loop watches.
    pub sources: usize,
    /// Simulated sockets that the code under test has open, listeners too.
    pub sockets: usize,
    /// Connections that count as in use.
    pub connections: u64,
    /// Connections by what they are doing: reading, writing, waiting.
    pub gauges: [u64; 3],
}

impl Census {
    /// Counts.
    ///
    /// # Panics
    /// Outside of a simulation.
    pub fn take() -> Self {
        let here = crate::event_loop::here();
        let gauges = [Gauge::Reading, Gauge::Writing, Gauge::Waiting];
        Self {
            tasks: here.tasks.live(),
            timers: here.timers.live(),
            sources: here.reactor.live(),
            sockets: network::with(|world| world.descriptors()).expect("in a simulation"),
            connections: stats::connections_here(),
            gauges: gauges.map(stats::gauge_here),
        }
    }
}

#[cfg(test)]
mod tests;

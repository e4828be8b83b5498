//! A simulated kernel for one thread: sockets that are ends in a simulated network, readiness that
//! the network decides, and a clock that advances only while the loop waits.
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
//! Everything follows from the seed. The test's tasks run on the loop under test, but their data
//! arrives only through the network, at a later time. A wait of the loop advances the clock to the
//! next event or to the wait's timeout, whichever is earlier; each turn takes some microseconds, so
//! that a loop that never sleeps reaches the end of time.
//!
//! Descriptors are real placeholders, so every descriptor is valid, and a call that bypasses
//! [`crate::kernel`] fails or has no effect.
//!
//! Not simulated yet:
//!
//! * io_uring: the loop uses epoll. `completion` has tests of its own.
//! * Files: they are real, without faults or delays.
//! * Datagrams, and so name servers; `AF_UNIX` sockets; binding before connecting.
//! * Several threads, and wakeups from other threads: work for other threads runs at once.
//! * TLS: it runs, but with the library's own randomness, so a seed does not replay.
//! * `MSG_MORE` and `TCP_CORK`: nothing is held back.
//! * Retransmission: a lost packet is a delay or a broken connection.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::event_loop::here::here;
use crate::event_loop::{EventLoop, Method};
use crate::stats::{self, Gauge};

pub(crate) mod calls;
mod faults;
mod network;
mod peer;
mod poll;
pub mod seeds;

pub use faults::{Faults, Sabotage};
pub use network::Fate;
use network::World;
pub use peer::{Listening, Peer};

/// The end of time: a simulation that reaches it would never end.
const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// Runs a future on a new event loop of the calling thread, in a world made from `seed`. The code
/// under test gets its `fastrand` numbers from the seed as well.
///
/// # Panics
/// If time ends, or if the future waits for something that can no longer happen.
pub fn run<F: Future>(seed: u64, faults: Faults, main: F) -> F::Output {
    fastrand::seed(seed);
    let _world = Inside::enter(World::new(seed, faults, HORIZON));
    EventLoop::new(Method::Epoll).expect("an event loop").block_on(main)
}

/// The guard of a simulation: while it lives, the thread uses the simulated kernel.
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

/// A listening socket for the code under test.
pub fn listener(address: SocketAddr) -> Arc<OwnedFd> {
    Arc::new(network::with(|world| world.listen_by_descriptor(address)).expect("in a simulation"))
}

/// Sabotages the world from here on.
pub fn sabotage(sabotage: Sabotage) {
    network::with(|world| world.sabotage = Some(sabotage));
}

/// Draws from the world's randomness, for choices of the test itself.
pub fn draw<T>(draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    network::with(|world| draw(&mut world.random)).expect("in a simulation")
}

/// The faults that the connection has suffered so far.
pub fn fate(connection: u32) -> Fate {
    network::with(|world| world.fate_of(connection)).expect("in a simulation")
}

/// Adds a line to the trace, if one is kept.
pub fn note(line: impl FnOnce() -> String) {
    network::with(|world| world.note(line));
}

/// Starts a trace: timestamped lines about the events of the world.
pub fn keep_trace() {
    network::with(|world| world.trace = Some(Vec::new()));
}

/// The trace of this thread's latest world.
pub fn take_trace() -> Vec<String> {
    network::take_trace()
}

/// The resources of a thread, for comparison with an earlier state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Tasks on the loop.
    pub tasks: usize,
    /// Existing timers, armed or not.
    pub timers: usize,
    /// Descriptors watched by the loop.
    pub sources: usize,
    /// Open simulated sockets of the code under test, listeners included.
    pub sockets: usize,
    /// Connections counted as in use.
    pub connections: u64,
    /// Connections by state: reading, writing, waiting.
    pub gauges: [u64; 3],
}

impl Census {
    /// Takes a census.
    ///
    /// # Panics
    /// Outside a simulation.
    pub fn take() -> Self {
        let here = here();
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

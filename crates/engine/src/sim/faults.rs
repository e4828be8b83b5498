//! What a simulated network is asked to do to connections.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What the network does to connections. All of it is drawn from the seed.
#[derive(Clone, Debug)]
pub struct Faults {
    /// How long a piece of what was sent is on its way.
    pub latency: RangeInclusive<Duration>,
    /// How large the pieces are that a message is sent in, in bytes.
    pub pieces: RangeInclusive<usize>,
    /// How much an end holds of what it has received or not sent yet, in bytes.
    pub buffers: RangeInclusive<usize>,
    /// One in so many pieces is late, by up to so long.
    pub stalls: Option<(u32, Duration)>,
    /// One in so many connections is reset, after up to `reach` bytes in one direction.
    pub resets: Option<u32>,
    /// One in so many connections is lost without a word, likewise.
    pub losses: Option<u32>,
    /// Bytes after which a fault comes, at most.
    pub reach: u64,
    /// One in so many attempts to connect is refused, and as many are never answered.
    pub refusals: Option<u32>,
    /// One in so many calls that would open a descriptor finds none left.
    pub shortages: Option<u32>,
}

impl Faults {
    /// A network that delivers everything, at some pace.
    pub fn none() -> Self {
        Self {
            latency: Duration::from_micros(50)..=Duration::from_millis(2),
            pieces: 1400..=1400,
            buffers: 64 * 1024..=64 * 1024,
            stalls: None,
            resets: None,
            losses: None,
            reach: 0,
            refusals: None,
            shortages: None,
        }
    }
}

/// What no network and no kernel may do, to see whether a test notices it: as if the code under
/// test had a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// One in so many messages of the code under test loses its last byte on its way.
    LosesBytes(u32),
    /// One in so many messages of the code under test is sent again over a connection of its own.
    SendsAgain(u32),
    /// A socket that is closed stays open.
    KeepsSockets,
    /// No timer ends a wait.
    ForgetsTimers,
}

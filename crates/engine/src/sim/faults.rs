//! The faults of a simulated network.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The network's behaviour; all of it is drawn from the seed.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The transit time of a parcel.
    pub latency: RangeInclusive<Duration>,
    /// The sizes of parcels that a message is split into, in bytes.
    pub pieces: RangeInclusive<usize>,
    /// The sizes of an end's receive and send buffers, in bytes.
    pub buffers: RangeInclusive<usize>,
    /// One in this many parcels is delayed, by up to this long.
    pub stalls: Option<(u32, Duration)>,
    /// One in this many connections is reset, after up to `reach` bytes in one direction.
    pub resets: Option<u32>,
    /// One in this many connections is lost silently, after up to `reach` bytes.
    pub losses: Option<u32>,
    /// The maximum number of bytes before a fault.
    pub reach: u64,
    /// One in this many connection attempts is refused, and as many are never answered.
    pub refusals: Option<u32>,
    /// One in this many calls that open a descriptor fails for lack of descriptors.
    pub shortages: Option<u32>,
}

impl Faults {
    /// A network that delivers everything, with some latency.
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

/// Misbehaviour that no network or kernel shows, as if the code under test were faulty: tests must
/// detect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// One in this many messages of the code under test loses its last byte in transit.
    LosesBytes(u32),
    /// One in this many messages of the code under test is sent a second time over a new
    /// connection.
    SendsAgain(u32),
    /// Closed sockets stay open.
    KeepsSockets,
    /// Timers never fire.
    ForgetsTimers,
}

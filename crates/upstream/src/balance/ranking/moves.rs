//! The peers whose number of requests or times have changed, for rankings that follow them.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Release, SeqCst},
};

/// The number of moves that are kept. A ranking that has missed more looks at every peer.
const KEPT: usize = 1024;

/// The last moves of the peers of a group, and of those that took over from it. Threads add to them
/// without a lock; each ranking reads them in its turn.
#[derive(Debug)]
pub(crate) struct Moves {
    /// Whether a ranking reads them.
    followed: AtomicBool,
    /// The number of moves so far.
    count: AtomicU64,
    /// The lower half of a move's number, plus one, and that of the peer's serial.
    kept: Box<[AtomicU64]>,
}

impl Default for Moves {
    fn default() -> Self {
        let kept = (0..KEPT).map(|_| AtomicU64::new(0)).collect();
        Self { followed: AtomicBool::new(false), count: AtomicU64::new(0), kept }
    }
}

impl Moves {
    /// A peer has changed, by a sequentially consistent operation.
    pub(crate) fn add(&self, serial: u64) {
        if self.followed.load(SeqCst) {
            let number = self.count.fetch_add(1, SeqCst);
            self.kept[number as usize % KEPT].store(tag(number) << 32 | low(serial), Release);
        }
    }

    /// Begins to follow them, before the peers are looked at. Returns the place to read from.
    pub(super) fn follow(&self) -> u64 {
        self.followed.store(true, SeqCst);
        self.count.load(SeqCst)
    }

    /// Passes the peers of the moves from a place on to `each`. Returns the place to read from
    /// next, or `None` if some are lost.
    pub(super) fn read(&self, from: u64, mut each: impl FnMut(u32)) -> Option<u64> {
        let count = self.count.load(Acquire);
        if count - from > KEPT as u64 / 2 {
            return None;
        }
        let mut next = None;
        for number in from..count {
            let kept = self.kept[number as usize % KEPT].load(Acquire);
            if kept >> 32 == tag(number) {
                each(kept as u32);
            } else {
                // It is being written, and read again next time with those that follow.
                next = next.or(Some(number));
            }
        }
        Some(next.unwrap_or(count))
    }
}

fn tag(number: u64) -> u64 {
    low(number.wrapping_add(1))
}

fn low(number: u64) -> u64 {
    number & u64::from(u32::MAX)
}

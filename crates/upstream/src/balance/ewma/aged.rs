//! A number with the time of its last change, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock::Now;

/// The clocks of threads differ by less than this many milliseconds.
const SKEW: u32 = 60_000;

/// A non-negative number and the age of its last change. Threads change it without a lock, and none
/// of the changes is lost.
#[derive(Debug, Default)]
pub(crate) struct Aged(AtomicU64);

impl Aged {
    /// The number, and its age in milliseconds; `None` before the first change.
    pub(crate) fn read(&self, now: Now) -> Option<(f32, f32)> {
        open(self.0.load(Relaxed), now)
    }

    /// Changes the number to the result of `change`, if it has one, from the number and the part of
    /// its weight that is left: after `tau` milliseconds 1/e.
    pub(crate) fn update(
        &self,
        tau: f32,
        now: Now,
        change: impl Fn(Option<f32>, f32) -> Option<f32>,
    ) {
        let change = |word| {
            let known = open(word, now);
            let rest = known.map_or(0.0, |(_, age)| (-age / tau).exp());
            change(known.map(|(number, _)| number), rest).map(|number| close(number, now))
        };
        // It fails if there is nothing to change.
        let _ = self.0.fetch_update(Relaxed, Relaxed, change);
    }

    /// Sets the number, unless another thread already has.
    pub(crate) fn seed(&self, number: f32, now: Now) {
        let _ = self.0.compare_exchange(0, close(number, now), Relaxed, Relaxed);
    }

    /// Forgets the number.
    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    /// Sets the number.
    pub(crate) fn set(&self, number: f32, now: Now) {
        self.0.store(close(number, now), Relaxed);
    }
}

/// The number in the upper half, the millisecond in the lower.
fn close(number: f32, now: Now) -> u64 {
    u64::from(number.to_bits()) << 32 | now.millis & u64::from(u32::MAX)
}

fn open(word: u64, now: Now) -> Option<(f32, f32)> {
    if word == 0 {
        return None;
    }
    // Wraps after 49 days, which makes a number younger than it is.
    let age = (now.millis as u32).wrapping_sub(word as u32);
    let age = if age.wrapping_neg() < SKEW { 0 } else { age };
    Some((f32::from_bits((word >> 32) as u32), age as f32))
}

//! Waits for events, with deadlines.

use std::time::{Duration, Instant};

/// The time limit of all waits. It is long because the machine may be loaded; a passing test never
/// waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The shortest polling interval for conditions without notification.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The pause after a look, as a multiple of its duration: looks that start processes would
/// otherwise take the processor from what they wait for.
const PAUSE: u32 = 3;

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(60);

/// Waits until `happened` returns true; panics with `what` on a timeout.
#[track_caller]
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    until_some(what, || happened().then_some(()));
}

/// Waits for a value from `look`; panics with `what` on a timeout.
#[track_caller]
pub(crate) fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let look_began = Instant::now();
        if let Some(value) = look() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        let pause = (look_began.elapsed() * PAUSE).clamp(LOOK_AGAIN, LONGEST_PAUSE);
        std::thread::park_timeout(pause);
    }
}

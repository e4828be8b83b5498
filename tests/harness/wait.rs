//! Waits for events, with deadlines.

use std::time::{Duration, Instant};

/// The time limit of all waits. It is long because the machine may be loaded; a passing test never
/// waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The polling interval for conditions without notification.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

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
        if let Some(value) = look() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

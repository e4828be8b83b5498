//! Waiting for an event with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails. Long, because the machine may be loaded;
/// a passing test never waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition that nobody announces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Returns once `happened` is true; panics with `what` when it does not become so in time.
#[track_caller]
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    until_some(what, || happened().then_some(()));
}

/// Returns the first value that `look` gives; panics with `what` when it gives none in time.
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

//! Which node of several does what is done once for all of them, such as ordering certificates.
//! The mirror decides, and others look. Neither knows the other.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;

/// Whether it is this node's turn. Without other nodes it always is.
static OURS: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(true));

/// Whether somebody decides.
static IS_DECIDED: AtomicBool = AtomicBool::new(false);

/// Says that a mirror will decide. Until then it is not this node's turn.
pub fn expect() {
    if !IS_DECIDED.swap(true, Relaxed) {
        OURS.send_replace(false);
    }
}

/// Decides.
pub fn set(is_ours: bool) {
    IS_DECIDED.store(true, Relaxed);
    OURS.send_if_modified(|known| std::mem::replace(known, is_ours) != is_ours);
}

/// Whether it is this node's turn.
pub fn is_ours() -> bool {
    *OURS.borrow()
}

/// Tells of changes.
pub fn watch() -> watch::Receiver<bool> {
    OURS.subscribe()
}

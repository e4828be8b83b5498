//! Wakes the mirror when there is something to take: from [`crate::shared_records`] and
//! [`crate::shared_zone`], of any thread.

use tokio::sync::Notify;

static NEWS: Notify = Notify::const_new();

/// Says that there is something where there was nothing.
pub(crate) fn tell() {
    NEWS.notify_one();
}

/// Waits until something has been told since the last time. One task waits.
pub async fn news() {
    NEWS.notified().await;
}

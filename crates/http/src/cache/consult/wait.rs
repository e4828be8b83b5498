//! Waiting for another request that fetches the same response.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::timer::Deadline;

use crate::cache::lock::{Ended, Turn};
use crate::client::Sign;
use crate::request::Request;

/// The end of waiting for another request.
pub(super) enum Waited {
    Ended(Ended),
    /// The other one takes too long, and another may take its turn.
    TooOld,
    /// The request has waited for too long.
    TooLong,
    ClientGone,
}

/// Waits for the end of another's turn.
pub(super) async fn wait(
    request: &mut Request,
    turn: &Turn,
    left: Duration,
    until: Instant,
) -> Waited {
    let takes_over = clock::precise() + left;
    let mut deadline = Deadline::new();
    deadline.set(until.min(takes_over));
    let mut watching = true;
    let wait = request.begin_wait("cache_lock");
    let waited = poll_fn(|cx| {
        if let Poll::Ready(how) = turn.poll(cx) {
            return Poll::Ready(Waited::Ended(how));
        }
        if deadline.poll(cx).is_ready() {
            let is_over = until <= takes_over;
            return Poll::Ready(if is_over { Waited::TooLong } else { Waited::TooOld });
        }
        if watching && let Poll::Ready(sign) = request.client.poll_sign(cx) {
            if sign == Sign::Gone {
                return Poll::Ready(Waited::ClientGone);
            }
            watching = false;
        }
        Poll::Pending
    })
    .await;
    request.end_wait(wait);
    waited
}

//! Turns: of several requests for one response, one fetches it, and the others may wait for that
//! (`…_cache_lock`), whatever threads they are on.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The result of a turn, for those who waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Look again: there is a response now, or nobody fetches it any more.
    Again,
    /// The response is not kept. All who waited may fetch their own at once, rather than one after
    /// the other.
    NotKept,
}

/// The turn of the one who fetches a response.
#[derive(Debug, Default)]
pub(crate) struct Turn(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: Option<Ended>,
    waiting: Vec<Waker>,
}

impl Turn {
    /// Ends the turn, and wakes all who wait. Only the first end counts.
    pub(super) fn end(&self, how: Ended) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended.get_or_insert(how);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready when the turn has ended.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(how) = state.ended {
            return Poll::Ready(how);
        }
        // One waker per request, as requests are connections: their number is limited.
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

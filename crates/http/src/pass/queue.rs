//! `queue`: a request waits until a server can take it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::timer::Deadline;
use weir_upstream::{NoWait, Now, Peer, Pick};

use super::attempt::{CONNECTING, Failure, Watch, client_gone, no_peer};
use super::course::Pass;
use super::state::Asked;
use super::{clock, pool};
use crate::errors::Cause;
use crate::request::Request;

/// How often the first in line looks for servers that time has made available.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What ends a wait.
enum End {
    Found(Arc<Peer>),
    Late,
    ClientGone,
}

/// Waits for a peer, after there was none at once. Returns it with the milliseconds of the wait.
pub(super) async fn wait(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
) -> Result<(Arc<Peer>, Option<u64>), Failure> {
    let began = clock::now();
    let timeout = match pick.wait(began) {
        Ok(timeout) => timeout,
        Err(NoWait::Vain) => {
            pick.count_no_live();
            return Err(no_peer(request, pick, None, (Cause::NoLive, "no live upstreams")));
        }
        Err(NoWait::Full) => {
            return Err(no_peer(request, pick, None, (Cause::QueueFull, "upstream queue is full")));
        }
    };
    let (mut late, mut look) = (Deadline::new(), Deadline::new());
    late.after(Duration::from_millis(timeout));
    look.after(LOOK_EVERY);
    let mut watch = Watch::new(pass.outlasts_client);
    let waits = request.begin_wait("queue");
    let end = poll_fn(|cx| {
        if let Some(peer) = poll_peer(pick, cx, &mut look) {
            return Poll::Ready(End::Found(peer));
        }
        if watch.is_gone(cx, request) {
            return Poll::Ready(End::ClientGone);
        }
        late.poll(cx).map(|()| End::Late)
    })
    .await;
    request.end_wait(waits);
    let waited = since(began);
    pick.count_wait(waited, matches!(end, End::Late));
    let queued = Some(waited);
    match end {
        End::Found(peer) => Ok((peer, queued)),
        End::Late => {
            pick.stop_waiting();
            Err(no_peer(request, pick, queued, (Cause::QueueTimeout, "upstream queue timed out")))
        }
        End::ClientGone => {
            pick.stop_waiting();
            request.attempts.begin(Asked::Group(Arc::clone(pick.group())));
            request.attempts.queued(queued);
            request.note_attempt(pick);
            Err(client_gone(request, CONNECTING))
        }
    }
}

/// The peer, if it is the request's turn and there is one.
fn poll_peer(pick: &mut Pick<'_>, cx: &mut Context<'_>, look: &mut Deadline) -> Option<Arc<Peer>> {
    loop {
        while pick.poll_turn(cx).is_ready() {
            let next = pool::with_random(|random| pick.next(random, clock::now()));
            if let Ok(peer) = next {
                return Some(peer);
            }
        }
        if look.poll(cx).is_pending() {
            return None;
        }
        look.after(LOOK_EVERY);
        pick.look_around(clock::now());
    }
}

fn since(began: Now) -> u64 {
    clock::now().millis.saturating_sub(began.millis)
}

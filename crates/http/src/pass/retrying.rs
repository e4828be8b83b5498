//! The decision on another attempt, and the time limit of each.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;
use weir_upstream::{Causes, Now, Pick, Progress, Retry, RetryBudget};
use weir_wire::h1::Method;

use super::attempt::{Failure, UpstreamFailure};
use super::clock;
use super::course::Pass;
use super::doing::Doing;
use super::transfer::Transfer;
use crate::request::Request;

/// How often a request whose attempt has reached its limit looks for another server, or for a
/// budget that allows one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The rules for the attempts of one pass. Most passes have a single attempt, so they are
/// evaluated only when it has failed.
pub(crate) struct Retrying<'a> {
    settings: &'a Transfer,
    causes: Causes,
    /// The start of the first attempt.
    started: Now,
}

impl<'a> Retrying<'a> {
    pub(crate) fn new(pass: &Pass<'a>) -> Self {
        let Pass { settings, next_upstream: causes, .. } = *pass;
        Self { settings, causes, started: clock::now() }
    }

    fn retry(&self) -> Retry {
        let timeout = self.settings.next_upstream_timeout.0.as_millis() as u64;
        Retry { causes: self.causes, timeout }
    }

    fn budget(&self) -> Option<RetryBudget> {
        self.settings.next_upstream_budget.0
    }

    /// The cause for another attempt because of the status, if there is one.
    pub(crate) fn refuses(
        &self,
        request: &Request,
        pick: &mut Pick<'_>,
        status: u16,
    ) -> Option<Causes> {
        let cause = Causes::of_status(status)?;
        let refused = self.retry().refuses(cause, &self.progress(request, pick, true));
        (refused && pick.begin_retry(self.budget())).then_some(cause)
    }

    /// Whether to make another attempt after a failed one, whose peer was freed.
    pub(crate) fn goes_on(
        &self,
        request: &Request,
        pick: &mut Pick<'_>,
        failure: &UpstreamFailure,
    ) -> bool {
        let progress = self.progress(request, pick, failure.sent);
        self.retry().goes_on(failure.cause, &progress) && pick.begin_retry(self.budget())
    }

    /// Why [`Retrying::goes_on`] has allowed no other attempt.
    #[cold]
    pub(crate) fn reason(
        &self,
        request: &Request,
        pick: &Pick<'_>,
        failure: &UpstreamFailure,
    ) -> &'static str {
        let progress = self.progress(request, pick, failure.sent);
        let retry = self.retry();
        let allows = |progress: Progress| {
            retry.goes_on(failure.cause, &Progress { tries: progress.tries.max(1), ..progress })
        };
        let Progress { tries, request_sent, non_idempotent, .. } = progress;
        let repeatable = Progress { non_idempotent: false, ..progress };
        let kept = Progress { body_gone: false, body_spent: false, ..progress };
        let in_time = Progress { elapsed: 0, ..progress };
        match () {
            () if !self.causes.contains(failure.cause) => "next_upstream does not have the cause",
            () if request_sent && non_idempotent && allows(repeatable) => {
                "the method is not idempotent"
            }
            () if allows(kept) && !allows(progress) => "the body is not kept",
            () if allows(in_time) && !allows(progress) => "next_upstream_timeout has passed",
            () if tries == 0 => "no server is left to try",
            () if allows(progress) => "next_upstream_budget is used up",
            () => "next_upstream allows none",
        }
    }

    fn progress(&self, request: &Request, pick: &Pick<'_>, sent: bool) -> Progress {
        Progress {
            tries: pick.tries(),
            request_sent: sent,
            non_idempotent: matches!(request.method, Method::Post | Method::Lock | Method::Patch),
            body_gone: request.body.content.is_none() && request.body.is_announced(),
            body_spent: request.body.is_spent(),
            elapsed: clock::millis().saturating_sub(self.started.millis),
        }
    }

    /// The time limit of an attempt that begins now, if another may follow it.
    pub(crate) fn limit(&self, request: &Request, pick: &Pick<'_>) -> Option<Box<TryLimit>> {
        let limit = self.settings.next_upstream_try_timeout.0;
        if limit.is_zero() {
            return None;
        }
        // At the limit, this attempt will be over, and time will have passed.
        let then = |sent| {
            let now = self.progress(request, pick, sent);
            let elapsed = now.elapsed.saturating_add(limit.as_millis() as u64);
            Progress { tries: now.tries.saturating_sub(1), elapsed, ..now }
        };
        let retry = self.retry();
        if !retry.goes_on(Causes::TIMEOUT, &then(false)) {
            return None;
        }
        let repeatable = retry.goes_on(Causes::TIMEOUT, &then(true));
        let mut deadline = Deadline::new();
        deadline.after(limit);
        let until = (retry.timeout != 0).then(|| self.started.millis.saturating_add(retry.timeout));
        Some(Box::new(TryLimit { deadline, until, repeatable, budget: self.budget() }))
    }
}

/// The time limit of one attempt (`…_next_upstream_try_timeout`). It ends an attempt only for the
/// sake of another one: where none can follow, the attempt has all the time of the other timeouts.
pub(crate) struct TryLimit {
    deadline: Deadline,
    /// The time from which no other attempt may follow, in milliseconds.
    until: Option<u64>,
    /// Whether the request may be repeated once it was sent.
    pub(crate) repeatable: bool,
    budget: Option<RetryBudget>,
}

impl TryLimit {
    /// Ready when the attempt is to end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, pick: &mut Pick<'_>) -> Poll<()> {
        loop {
            ready!(self.deadline.poll(cx));
            let now = clock::now();
            if self.until.is_some_and(|until| now.millis >= until) {
                self.deadline.clear();
                return Poll::Pending;
            }
            if pick.has_another(now) && pick.begin_retry(self.budget) {
                return Poll::Ready(());
            }
            self.deadline.after(LOOK_AGAIN);
        }
    }

    /// Logs that the attempt took too long.
    #[cold]
    pub(crate) fn exceeded(request: &Request, doing: Doing) -> Failure {
        request.blame(doing.cause(ErrorKind::TimedOut));
        let message = format!("upstream timed out (limit of one try) while {doing}");
        request.log_upstream(Level::Error, &message);
        Failure::upstream(Causes::TIMEOUT)
    }
}

/// Runs `future` within the limit, if there is one; None if the attempt is to end.
pub(crate) async fn within<T>(
    limit: &mut Option<Box<TryLimit>>,
    pick: &mut Pick<'_>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match (future.as_mut().poll(cx), &mut *limit) {
        (Poll::Ready(value), _) => Poll::Ready(Some(value)),
        (Poll::Pending, Some(limit)) => limit.poll(cx, pick).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

//! The duty to send spans: what has come together in an interval, or a full batch at once.
//!
//! ```text
//!           a span            the interval, a full batch, the end
//!   idle ───────────▶ gathers ────────────────────▶ sends ──┐
//!    ▲                                    ▲  a wait  │ fails │ all are sent
//!    │                                    └──────────┘       │
//!    └───────────────────────────────────────────────────────┘
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::duty::{Duty, Plans};
use weir_engine::error_log::{Level, process_log};
use weir_engine::random::unguessable;
use weir_engine::timer;

use super::exchange::{self, Failure, Line};
use super::exporter::Exporter;
use super::queue::{self, Batch};
use crate::spans::{self, Lost};

/// How long the end of the duty may take: a reload without an exporter, or the end of the process.
const GRACE: Duration = Duration::from_secs(3);

/// How long spans are still sent at the end; the rest of [`GRACE`] is for telling of the others.
const LAST: Duration = Duration::from_secs(2);

/// The first wait after a failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait by itself.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// The longest wait that a collector can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// How long the same spans are sent again: those that come later find no place meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two complaints.
const COMPLAINTS: Duration = Duration::from_secs(60);

/// The duty to send spans by these settings.
pub(super) fn duty(exporter: Arc<Exporter>) -> Duty {
    let begin = |plans| async move { Sender::new(plans).run().await };
    Duty::planned("send spans".to_owned(), exporter, begin).ending_within(GRACE)
}

struct Sender {
    plans: Plans<Arc<Exporter>>,
    /// A connection, and the settings that it was made by.
    kept: Option<(Arc<Exporter>, Line)>,
    /// When the duty ends, as nobody wants it any more.
    ends: Option<Instant>,
    /// When somebody was told of a failure; since then no success has followed.
    told: Option<Instant>,
    /// Failures have been told and are not over.
    failing: bool,
}

impl Sender {
    fn new(plans: Plans<Arc<Exporter>>) -> Self {
        Self { plans, kept: None, ends: None, told: None, failing: false }
    }

    fn is_ending(&self) -> bool {
        self.ends.is_some()
    }

    /// Notes whether the duty is still wanted.
    fn heed(&mut self, wanted: bool) {
        if !wanted {
            self.ends.get_or_insert_with(|| clock::now() + LAST);
        }
    }

    async fn run(mut self) {
        while !self.is_ending() {
            self.wait_for_spans().await;
            self.gather().await;
            for batch in queue::take() {
                self.deliver(&batch).await;
            }
            self.tell_dropped();
        }
    }

    async fn wait_for_spans(&mut self) {
        loop {
            tokio::select! {
                () = queue::SOME.notified() => return,
                () = attend(&mut self.kept) => self.kept = None,
                wanted = self.plans.changed_or_ending() => {
                    self.heed(wanted);
                    if !wanted {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until spans are due.
    async fn gather(&mut self) {
        if self.is_ending() {
            return;
        }
        let mut due = pin!(timer::sleep(self.plans.current().interval));
        loop {
            tokio::select! {
                () = &mut due => return,
                () = queue::FULL.notified() => return,
                () = attend(&mut self.kept) => self.kept = None,
                // The spans so far belong to the configuration that was.
                wanted = self.plans.changed_or_ending() => return self.heed(wanted),
            }
        }
    }

    /// Sends a batch, again if it may help.
    async fn deliver(&mut self, batch: &Batch) {
        let began = clock::now();
        let mut wait = FIRST_WAIT;
        loop {
            let failure = match self.send(batch).await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            let asked = failure.wait.map(|asked| asked.min(LONGEST_ASKED));
            let next = asked.unwrap_or_else(|| jitter(wait));
            let late = clock::now().since(began) + next > PATIENCE;
            let gives_up = !failure.may_retry || late || self.is_ending();
            spans::FAILURES.fetch_add(1, Relaxed);
            if gives_up {
                let reason = if failure.may_retry { Lost::TooLate } else { Lost::Refused };
                queue::drop_spans(batch.count, reason);
            }
            self.tell(batch, &failure, gives_up);
            if gives_up {
                return;
            }
            self.pause(next).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), Failure> {
        let is_same = |(known, _): &(Arc<Exporter>, Line)| Arc::ptr_eq(known, &batch.exporter);
        let mut line = self.kept.take().filter(is_same).map(|(_, line)| line);
        let sent = {
            let mut sending = pin!(exchange::send(&batch.exporter, &mut line, &batch.spans));
            loop {
                let left = self.ends.map(|end| end.since(clock::now()));
                tokio::select! {
                    sent = &mut sending => break sent,
                    wanted = self.plans.changed_or_ending(), if left.is_none() => self.heed(wanted),
                    () = timer::sleep(left.unwrap_or_default()), if left.is_some() => {
                        break Err(Failure::out_of_time());
                    }
                }
            }
        };
        self.kept = line.map(|line| (Arc::clone(&batch.exporter), line));
        let said = sent?;
        let refused = u64::try_from(said.refused).unwrap_or(0).min(batch.count as u64);
        spans::EXPORTED.fetch_add(batch.count as u64 - refused, Relaxed);
        Lost::Refused.add(refused);
        if self.failing {
            self.failing = false;
            log(Level::Notice, &format!("otel: {} takes spans again", name(batch)));
        }
        if said.refused > 0 || !said.message.is_empty() {
            let message = weir_wire::shown(&said.message);
            let text = format!("otel: {} refused {} spans: {message}", name(batch), said.refused);
            self.complain(&text);
        }
        Ok(())
    }

    /// Waits before a repetition; the end of the duty ends the wait.
    async fn pause(&mut self, time: Duration) {
        let until = clock::now() + time;
        while !self.is_ending() {
            let left = until.since(clock::now());
            tokio::select! {
                () = timer::sleep(left) => return,
                () = attend(&mut self.kept) => self.kept = None,
                wanted = self.plans.changed_or_ending() => self.heed(wanted),
            }
        }
    }

    fn tell(&mut self, batch: &Batch, failure: &Failure, gives_up: bool) {
        let next = if gives_up { "they are dropped" } else { "they will be sent again" };
        let Failure { reason, .. } = failure;
        let (name, count) = (name(batch), batch.count);
        if self.complain(&format!("otel: {name} did not take {count} spans: {reason}; {next}")) {
            self.failing = true;
        }
    }

    /// Tells how many spans are lost, once in a while.
    fn tell_dropped(&mut self) {
        if self.told.is_some_and(|told| clock::now().since(told) < COMPLAINTS) && !self.is_ending()
        {
            return;
        }
        let dropped = queue::take_dropped();
        if dropped > 0 {
            self.told = Some(clock::now());
            let what = "spans were dropped, since the collector does not take them fast enough";
            log(Level::Warn, &format!("otel: {dropped} {what}"));
        }
    }

    /// Writes a line unless there was one lately. Returns whether it has.
    fn complain(&mut self, text: &str) -> bool {
        let now = clock::now();
        if self.told.is_some_and(|told| now.since(told) < COMPLAINTS) {
            return false;
        }
        self.told = Some(now);
        log(Level::Error, text);
        true
    }
}

/// Does what a kept connection needs while nothing is sent, until it is of no more use.
async fn attend(kept: &mut Option<(Arc<Exporter>, Line)>) {
    match kept {
        Some((_, line)) => line.attend().await,
        None => std::future::pending().await,
    }
}

fn name(batch: &Batch) -> &str {
    &batch.exporter.endpoint.authority
}

fn log(level: Level, text: &str) {
    process_log().log(level, 0, text);
}

/// A time between the half and the whole of this, so that many senders do not come together.
fn jitter(wait: Duration) -> Duration {
    let share = u32::from(u16::from_ne_bytes(unguessable()));
    wait / 2 + wait / 2 * share / u32::from(u16::MAX)
}

//! The cost of a peer: its latency and its failures, as seen lately by all threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{balance::ewma::aged::Aged, clock::Now};

/// How much one answer moves the share of failures: three failures in a row quadruple the cost.
const STEP: f32 = 0.2;

/// The largest share of failures that counts, so that a cost is finite.
const WORST: f32 = 0.99;

/// The smallest share of failures that is kept.
const LEAST: f32 = 0.001;

/// Latencies up to this many milliseconds are equal, as the clock of a loop has no finer ones.
const FINEST: f32 = 1.0;

/// What is known about a peer.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// The average of its latency in milliseconds. A slower answer replaces it; a faster one has a
    /// weight that grows with the time since the last answer.
    latency: Aged,
    /// The share of failures in its last answers.
    failures: Aged,
    /// The number of unanswered requests in the upper bits, and the sum of their starts in the
    /// lower ones, which wraps.
    waiting: AtomicU64,
}

/// The end of a wait for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A good answer.
    Good,
    /// A failure, or an answer that tells of one.
    Bad,
    /// No answer, through no fault of the peer.
    None,
}

impl Cost {
    /// A request is sent.
    pub(crate) fn sent(&self, now: Now) {
        self.wait(|count, starts| (count + 1, starts.wrapping_add(now.millis)));
    }

    /// The request that was sent at `start` waits no longer, after `millis` milliseconds. `tau` is
    /// the time in milliseconds in which knowledge loses its weight but for 1/e.
    pub(crate) fn answered(&self, answer: Answer, start: Now, millis: u64, tau: f32, now: Now) {
        self.wait(|count, starts| (count.saturating_sub(1), starts.wrapping_sub(start.millis)));
        let sample = (millis as f32).max(FINEST);
        self.latency.update(tau, now, |latency, rest| match (answer, latency) {
            (Answer::Good, Some(latency)) if sample < latency => {
                Some(sample + (latency - sample) * rest)
            }
            (Answer::Good, _) => Some(sample),
            // An answer would have taken at least as long. A fast failure is no speed.
            (_, latency) => latency.filter(|latency| sample > latency * rest).map(|_| sample),
        });
        let bad = match answer {
            Answer::Good => 0.0,
            Answer::Bad => 1.0,
            Answer::None => return,
        };
        self.failures.update(tau, now, |share, rest| {
            let share = share.unwrap_or(0.0) * rest;
            (bad > 0.0 || share > LEAST).then_some(share + (bad - share) * STEP)
        });
    }

    /// Forgets the answers so far: the peer was out, and is found to be well.
    pub(crate) fn forget(&self) {
        self.latency.clear();
        self.failures.clear();
    }

    /// The latency in milliseconds, if any is known. It falls while no answers come.
    pub(crate) fn latency(&self, tau: f32, now: Now) -> Option<f32> {
        self.latency.read(now).map(|(latency, age)| latency * (-age / tau).exp())
    }

    /// The expected milliseconds of a request, more for a peer that fails. `mean` is the mean
    /// latency of its siblings: a new peer begins with it.
    pub(crate) fn expected(&self, mean: Option<f32>, tau: f32, now: Now) -> f32 {
        let known = self.latency.read(now);
        if let (None, Some(mean)) = (known, mean) {
            self.latency.seed(mean, now);
        }
        let mean = mean.unwrap_or(FINEST);
        let (last, age) = known.unwrap_or((mean, 0.0));
        // A peer without requests is forgiven its slowness, but not taken for much faster than the
        // others: that would send it a flood.
        let mut latency = (last * (-age / tau).exp()).max(last.min(mean / 2.0)).max(FINEST);
        latency = latency.max(self.mean_wait(now));
        let Some((share, age)) = self.failures.read(now) else { return latency };
        let share = share * (-age / tau).exp();
        // What fails fast might be as slow as the others otherwise.
        latency += share * (mean - latency).max(0.0);
        let good = 1.0 - share.min(WORST);
        latency / (good * good)
    }

    /// The mean age of the unanswered requests in milliseconds.
    fn mean_wait(&self, now: Now) -> f32 {
        let (count, starts) = unpack(self.waiting.load(Relaxed));
        let ages = count.wrapping_mul(now.millis).wrapping_sub(starts) & STARTS;
        // Clocks of threads differ by a turn of a loop, so a sum may be below zero.
        if count == 0 || ages > STARTS / 2 { 0.0 } else { ages as f32 / count as f32 }
    }

    /// Changes the number of unanswered requests and the sum of their starts.
    fn wait(&self, change: impl Fn(u64, u64) -> (u64, u64)) {
        let change = |packed| {
            let (count, starts) = unpack(packed);
            let (count, starts) = change(count, starts);
            Some(count << STARTS.count_ones() | starts & STARTS)
        };
        // The change always happens.
        let _ = self.waiting.fetch_update(Relaxed, Relaxed, change);
    }
}

/// The bits of a sum of starts. Ages of a million requests of four hours fit.
const STARTS: u64 = (1 << 44) - 1;

fn unpack(packed: u64) -> (u64, u64) {
    (packed >> STARTS.count_ones(), packed & STARTS)
}

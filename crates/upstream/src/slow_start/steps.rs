//! The steps of `slow_start=auto` in a set of peers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    clock::Now,
    peer::{Peer, PeerState, average},
    server::SlowStart,
    slow_start::ramp::{Answers, FIRST, REQUESTS, STEP, Step, WHOLE, judge},
};

impl PeerState {
    /// Begins with a small share.
    pub(crate) fn begin_ramp(&self) {
        self.ramp.share.store(FIRST, Relaxed);
        self.ramp.time.store(0, Relaxed);
        self.ramp.holds.store(0, Relaxed);
        self.begin_step();
    }

    /// Begins a step with the present counts, which may have been reset.
    pub(crate) fn begin_step(&self) {
        self.since_step(true);
    }

    /// Adds the time to the header of an answer.
    pub(crate) fn measure_ramp(&self, header: Option<u64>) {
        if let (Some(header), true) = (header, self.ramp.share() < WHOLE) {
            average(&self.ramp.time, header);
        }
    }

    /// The numbers of requests and failures since the last step, which `ends` here.
    fn since_step(&self, ends: bool) -> (u64, u64) {
        let requests = self.requests.load(Relaxed);
        let failures = self.failures.load(Relaxed) + self.errors.load(Relaxed);
        let since = (
            requests.saturating_sub(self.ramp.requests.load(Relaxed)),
            failures.saturating_sub(self.ramp.failures.load(Relaxed)),
        );
        if ends {
            self.ramp.requests.store(requests, Relaxed);
            self.ramp.failures.store(failures, Relaxed);
        }
        since
    }
}

/// The time of the last step of a set, in milliseconds; 0 before the first.
#[derive(Debug, Default)]
pub(crate) struct Stepped(AtomicU64);

impl Stepped {
    /// Goes on from the steps of the set before.
    pub(crate) fn succeed(&self, before: &Self) {
        self.0.store(before.0.load(Relaxed), Relaxed);
    }

    /// Makes the steps that are due.
    pub(crate) fn proceed(&self, peers: &[Arc<Peer>], now: Now) {
        let last = self.0.load(Relaxed);
        if last != 0 && now.millis.saturating_sub(last) < STEP {
            return;
        }
        if self.0.compare_exchange(last, now.millis.max(1), Relaxed, Relaxed).is_err() {
            // Another thread makes them.
            return;
        }
        let (ramping, settled): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| {
            peer.limits.slow_start == SlowStart::Auto && peer.state.ramp.share() < WHOLE
        });
        let median = median_of(&settled, now);
        for peer in ramping.into_iter().filter(|_| last != 0) {
            step(&peer.state, median);
        }
    }
}

/// Makes the step of one server.
fn step(state: &PeerState, median: Option<Answers>) {
    let ramp = &state.ramp;
    let (requests, failures) = state.since_step(false);
    if requests < REQUESTS && median.is_some() {
        return;
    }
    state.since_step(true);
    let failures = Answers::failures(requests, failures);
    let own = Answers { time: ramp.time.load(Relaxed), failures };
    let (share, holds) = (ramp.share(), ramp.holds.load(Relaxed));
    let (share, holds) = match judge(own, median, holds) {
        Step::Up => ((share * 2).min(WHOLE), 0),
        Step::Hold => (share, holds + 1),
        Step::Down => ((share / 2).max(FIRST), 0),
    };
    ramp.share.store(share, Relaxed);
    ramp.holds.store(holds, Relaxed);
}

/// The median of the servers that take requests; their step ends.
fn median_of(peers: &[&Arc<Peer>], now: Now) -> Option<Answers> {
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    for peer in peers {
        let (requests, failed) = peer.state.since_step(true);
        if !peer.is_available(now) && !peer.is_full() {
            continue;
        }
        failures.push(Answers::failures(requests, failed));
        let time = peer.state.header_time.load(Relaxed);
        if time > 0 {
            times.push(time);
        }
    }
    Some(Answers { failures: median(&mut failures)?, time: median(&mut times).unwrap_or(0) })
}

/// The lower median.
fn median(values: &mut [u64]) -> Option<u64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests;

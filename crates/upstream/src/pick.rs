//! The walk of one request over the peers of a group.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    balance::method::{Balance, Choice, Method, Moment, Turn, Walk},
    balance::{least_time::inflight_done, round_robin::RoundRobin},
    clock::Now,
    group::Group,
    peer::{Peer, average},
};

/// No peer can take the request: `no live upstreams`; `$upstream_addr` names the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLive;

/// The outcome of an attempt, for the peer's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A good response.
    Success,
    /// No response, or one listed as a failure: counts towards `max_fails`.
    Failed,
    /// A response after which the request goes on to another peer (403, 404): counts as neither.
    NotCounted,
}

/// The measured times of an attempt in milliseconds. Missing times are not averaged: http omits all
/// for a response without a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the connection.
    pub connect: Option<u64>,
    /// Until the header, or the first byte.
    pub header: Option<u64>,
    /// Until the last byte.
    pub response: Option<u64>,
}

/// The effect of freeing a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// The peer reached `max_fails`: `upstream server temporarily disabled` (warn).
    pub disabled: bool,
}

/// The walk of one request: the tried peers, and the current one. Dropping it frees the peer as
/// after a good response.
#[derive(Debug)]
pub struct Pick<'a> {
    group: &'a Arc<Group>,
    walk: Walk,
    /// The number of attempts left, including the current one.
    tries: usize,
    current: Option<Current>,
    /// The last time passed in, for freeing the peer on drop.
    seen: Now,
}

#[derive(Debug)]
struct Current {
    peer: Arc<Peer>,
    started: Now,
    /// The method measures the request's unfinished time and has not been told its end.
    followed: bool,
    /// The moment whose time was averaged already.
    averaged: Option<Moment>,
}

impl<'a> Pick<'a> {
    pub(crate) fn new(group: &'a Arc<Group>, walk: Walk, tries: usize) -> Self {
        Self { group, walk, tries, current: None, seen: Now::default() }
    }

    /// The group.
    pub fn group(&self) -> &Arc<Group> {
        self.group
    }

    /// The current peer.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.current.as_ref().map(|current| &current.peer)
    }

    /// The number of attempts left, including the current one.
    pub fn tries(&self) -> usize {
        self.tries
    }

    /// `proxy_next_upstream_tries`; 0 is no limit.
    pub fn limit_tries(&mut self, limit: usize) {
        if limit != 0 {
            self.tries = self.tries.min(limit);
        }
    }

    /// Restores an attempt that was lost to a kept connection the peer had closed.
    pub fn give_back_try(&mut self) {
        self.tries += 1;
    }

    /// Ignores `sticky` from here on.
    pub fn forget_sticky(&mut self) {
        self.walk.hint.clear();
    }

    /// Chooses the next peer; the current one, if any, is freed as not counted.
    pub fn next(&mut self, random: &mut fastrand::Rng, now: Now) -> Result<Arc<Peer>, NoLive> {
        if self.current.is_some() {
            self.free(Outcome::NotCounted, Timings::default(), now);
        }
        self.seen = now;
        let Self { group, walk, current, .. } = self;
        let method = group.method();
        let sets = group.sets();
        if !std::mem::replace(&mut walk.started, true) {
            method.start(&sets, walk);
        }
        let mut leave_to_round_robin = false;
        loop {
            let set = match &sets.backup {
                Some(backup) if walk.on_backup => backup,
                _ => &sets.primary,
            };
            let turn = &mut Turn { sets: &sets, set, walk, random, now };
            let mut choice = Choice::RoundRobin;
            if !leave_to_round_robin {
                choice = method.choose(turn);
            }
            if choice == Choice::RoundRobin {
                leave_to_round_robin = true;
                choice = RoundRobin.choose(turn);
            }
            match choice {
                Choice::Peer(place) => {
                    let peer = &set.peers[place];
                    walk.single = set.single;
                    *current = Some(Current::take(peer, method, walk, now));
                    return Ok(Arc::clone(peer));
                }
                Choice::Nobody if !walk.on_backup && sets.backup.is_some() => {
                    walk.on_backup = true;
                    walk.tried.clear();
                }
                _ => return Err(NoLive),
            }
        }
    }

    /// A TCP connection is up, by which stream considers a peer working.
    pub fn connected(&mut self) {
        if let Some(peer) = self.peer() {
            revive(peer, self.seen);
        }
    }

    /// Reports a measured moment of the response to the method.
    pub fn reached(&mut self, moment: Moment, millis: u64, now: Now) {
        self.seen = now;
        let Some(current) = &mut self.current else { return };
        if self.group.method().watched() != Some(moment) {
            return;
        }
        let _lock = self.group.sets();
        let state = &current.peer.state;
        let times = match moment {
            Moment::Connected => &state.connect_time,
            Moment::Header => &state.header_time,
        };
        average(times, millis);
        current.averaged = Some(moment);
        if std::mem::take(&mut current.followed) {
            inflight_done(&current.peer, millis, now);
        }
    }

    /// Frees the peer.
    pub fn free(&mut self, outcome: Outcome, timings: Timings, now: Now) -> Freed {
        self.seen = now;
        let Some(current) = self.current.take() else { return Freed::default() };
        let peer = &current.peer;
        if current.followed {
            let _lock = self.group.sets();
            let waited = now.millis.saturating_sub(current.started.millis);
            inflight_done(peer, timings.response.unwrap_or(waited), now);
        }
        if outcome == Outcome::Success {
            // Without the lock: concurrent threads may lose a sample of the average, at worst.
            measure(peer, timings, current.averaged);
        }
        if self.walk.single {
            peer.state.fails.store(0, Relaxed);
            if outcome == Outcome::Failed {
                peer.state.failures.fetch_add(1, Relaxed);
            }
            peer.state.conns.fetch_sub(1, Relaxed);
            self.tries = 0;
            return Freed::default();
        }
        let mut freed = Freed::default();
        if outcome == Outcome::Failed {
            let _lock = self.group.sets();
            freed.disabled = fail(peer, now);
        } else {
            revive(peer, now);
        }
        peer.state.conns.fetch_sub(1, Relaxed);
        self.tries = self.tries.saturating_sub(1);
        freed
    }
}

impl Current {
    /// Assigns the request to the peer, under the group's lock.
    fn take(peer: &Arc<Peer>, method: &Method, walk: &mut Walk, now: Now) -> Self {
        let state = &peer.state;
        let mut followed = false;
        if !walk.single {
            followed = method.taken(peer, now);
            walk.tried.push(peer.serial());
            if now.seconds - state.checked.load(Relaxed) > peer.limits.fail_timeout {
                state.checked.store(now.seconds, Relaxed);
            }
        }
        state.conns.fetch_add(1, Relaxed);
        state.requests.fetch_add(1, Relaxed);
        state.selected.store(now.seconds, Relaxed);
        Self { peer: Arc::clone(peer), started: now, followed, averaged: None }
    }
}

impl Drop for Pick<'_> {
    fn drop(&mut self) {
        self.free(Outcome::Success, Timings::default(), self.seen);
    }
}

/// Averages the times of a successful attempt.
fn measure(peer: &Peer, timings: Timings, averaged: Option<Moment>) {
    let state = &peer.state;
    if let Some(response) = timings.response {
        average(&state.response_time, response);
    }
    if let (Some(header), true) = (timings.header, averaged != Some(Moment::Header)) {
        average(&state.header_time, header);
    }
    if let (Some(connect), true) = (timings.connect, averaged != Some(Moment::Connected)) {
        average(&state.connect_time, connect);
    }
}

/// Clears the failures of a working peer, once `fail_timeout` has passed since the last one.
fn revive(peer: &Peer, now: Now) {
    let (state, max_fails) = (&peer.state, peer.limits.max_fails);
    if state.accessed.load(Relaxed) < state.checked.load(Relaxed) {
        if max_fails != 0 && state.fails.load(Relaxed) >= max_fails {
            peer.recovers(now);
        }
        state.fails.store(0, Relaxed);
    }
}

/// Counts a failure; returns whether it disabled the peer.
fn fail(peer: &Peer, now: Now) -> bool {
    let state = &peer.state;
    let fails = state.fails.fetch_add(1, Relaxed) + 1;
    state.failures.fetch_add(1, Relaxed);
    state.accessed.store(now.seconds, Relaxed);
    state.checked.store(now.seconds, Relaxed);
    let max_fails = peer.limits.max_fails;
    if max_fails == 0 {
        return false;
    }
    let step = peer.weight() / i64::try_from(max_fails).unwrap_or(i64::MAX);
    let effective = state.effective_weight.load(Relaxed) - step;
    state.effective_weight.store(effective.max(0), Relaxed);
    if fails == max_fails {
        state.unavailable.fetch_add(1, Relaxed);
    }
    fails >= max_fails
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use weir_engine::Addr;

    use super::*;
    use crate::{balance::method::Request, config::GroupConfig};

    fn group(ports: std::ops::Range<u16>) -> Arc<Group> {
        let addresses = ports.map(|port| Addr::Inet(([127, 0, 0, 1], port).into())).collect();
        Arc::new(Group::new(GroupConfig::implicit(String::new(), "g", addresses), None))
    }

    fn total(group: &Group, counter: impl Fn(&crate::PeerState) -> &AtomicU64) -> u64 {
        group.peers().iter().map(|peer| counter(&peer.state).load(Relaxed)).sum()
    }

    #[test]
    fn a_dropped_request_gives_its_peer_back() {
        let group = group(1..4);
        let mut pick = group.start(Request::default());
        pick.next(&mut fastrand::Rng::with_seed(1), Now::default()).unwrap();
        assert_eq!(total(&group, |state| &state.conns), 1);
        drop(pick);
        assert_eq!(total(&group, |state| &state.conns), 0);
    }

    #[test]
    fn tries_are_counted_limited_and_given_back() {
        let group = group(1..5);
        let mut random = fastrand::Rng::with_seed(1);
        let mut pick = group.start(Request::default());
        assert_eq!(pick.tries(), 4);
        pick.limit_tries(2);
        pick.next(&mut random, Now::default()).unwrap();
        pick.free(Outcome::Failed, Timings::default(), Now::default());
        assert_eq!(pick.tries(), 1);
        pick.give_back_try();
        assert_eq!(pick.tries(), 2);
    }

    #[test]
    fn threads_share_a_group_evenly() {
        let group = group(1..5);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let group = &group;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..1000 {
                        let mut pick = group.start(Request::default());
                        pick.next(&mut random, Now::default()).unwrap();
                        pick.free(Outcome::Success, Timings::default(), Now::default());
                    }
                });
            }
        });
        for peer in group.peers() {
            assert_eq!(peer.state.requests.load(Relaxed), 1000);
            assert_eq!(peer.state.conns.load(Relaxed), 0);
        }
    }
}

//! The walk of one request over the peers of a group.

mod waiting;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    balance::method::{Balance, Choice, Method, Moment, Sample, Turn, Walk},
    balance::round_robin::RoundRobin,
    clock::Now,
    group::Group,
    group_counters::GroupCounters,
    locality::Order,
    outcome::{Outcome, Timings},
    peer::{Peer, average},
    queue::Place,
    retry::budget::{RetryBudget, Retrying},
    server::SlowStart,
    set::{Set, Sets},
};

pub use waiting::NoWait;

/// No peer can take the request: `no live upstreams`; `$upstream_addr` names the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLive;

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
    retrying: Retrying,
    /// Its number among the requests of the queue, once it has looked for a peer.
    ticket: Option<u64>,
    /// Its place in the queue.
    place: Option<Place>,
    /// A freed peer of which nobody in the queue knows yet: this request may need it itself.
    untold: Option<Arc<Peer>>,
}

#[derive(Debug)]
struct Current {
    peer: Arc<Peer>,
    /// Its place in the set that it was chosen from.
    place: usize,
    started: Now,
    /// The method is to be told of the answer.
    followed: bool,
}

impl<'a> Pick<'a> {
    pub(crate) fn new(group: &'a Arc<Group>, walk: Walk, tries: usize) -> Self {
        Self {
            group,
            walk,
            tries,
            current: None,
            seen: Now::default(),
            retrying: Retrying::default(),
            ticket: None,
            place: None,
            untold: None,
        }
    }

    /// The group.
    pub fn group(&self) -> &Arc<Group> {
        self.group
    }

    /// The sid of the peer that the request is bound to; empty if it is not.
    pub fn bound(&self) -> &[u8] {
        &self.walk.hint
    }

    /// The current peer.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.current.as_ref().map(|current| &current.peer)
    }

    /// The number of attempts left, including the current one.
    pub fn tries(&self) -> usize {
        self.tries
    }

    /// The place of the current peer in the set that it was chosen from.
    pub(crate) fn place(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.place)
    }

    /// Whether the current peer is the only one of its group.
    pub(crate) fn is_alone(&self) -> bool {
        self.walk.single
    }

    /// Whether the walk is among the backup servers.
    pub(crate) fn is_on_backup(&self) -> bool {
        self.walk.on_backup
    }

    /// The number of the set of primary peers that it was in last.
    pub(crate) fn set_number(&self) -> Option<usize> {
        self.walk.started
    }

    /// Whether a peer of the current set was tried.
    pub(crate) fn has_tried(&self, peer: &Peer) -> bool {
        self.walk.was_tried(peer)
    }

    /// `proxy_next_upstream_tries`; 0 is no limit.
    pub fn limit_tries(&mut self, limit: usize) {
        if limit != 0 {
            self.tries = self.tries.min(limit);
        }
    }

    /// Restores an attempt that was lost to a kept connection the peer had closed. The first of
    /// these costs nothing of the budget of retries, either: the peer has not worked for it.
    pub fn give_back_try(&mut self) {
        self.tries += 1;
        self.retrying.forgive();
    }

    /// Whether the group's budget allows this request another attempt; without a budget, always.
    /// From its first retry to [`Pick::end_retry`], the request counts as one retry under way.
    pub fn begin_retry(&mut self, budget: Option<RetryBudget>) -> bool {
        let Some(budget) = budget else { return true };
        // This request is active as well, whether its peer was freed or not.
        let own = u64::from(self.current.is_none());
        let all = (&*self.group.retries, self.group.name());
        let is_allowed = self.retrying.begin(all, || self.group.active() + own, budget);
        if !is_allowed {
            self.group.counters.iter().for_each(GroupCounters::count_refused_retry);
        }
        is_allowed
    }

    /// A peer has answered, so there will be no further attempt.
    pub fn end_retry(&mut self) {
        self.retrying.end(&self.group.retries);
    }

    /// Whether a peer that was not tried yet could take the request now.
    pub fn has_another(&self, now: Now) -> bool {
        let sets = self.group.sets();
        let takes = |peer: &Arc<Peer>| self.walk.may_take(peer, now);
        match &sets.backup {
            Some(backup) if self.walk.on_backup => backup.peers.iter().any(takes),
            Some(backup) if backup.peers.iter().any(|peer| peer.is_available(now)) => true,
            _ => sets.primary.peers.iter().any(takes),
        }
    }

    /// Chooses the next peer; the current one, if any, is freed as not counted.
    ///
    /// # Errors
    /// No peer can take the request, or others wait for one. It may [`wait`](Self::wait), too.
    pub fn next(&mut self, random: &mut fastrand::Rng, now: Now) -> Result<Arc<Peer>, NoLive> {
        if self.current.is_some() {
            self.free(Outcome::NotCounted, Timings::default(), now);
        }
        self.seen = now;
        self.group.review(now);
        let Some(queue) = self.group.queue() else { return self.choose(random, now) };
        let ticket = *self.ticket.get_or_insert_with(|| queue.ticket());
        if self.place.is_none() && queue.is_waited_before(ticket, self.group.tag()) {
            self.tell();
            return Err(NoLive);
        }
        let mark = self.walk.mark();
        let chosen = self.choose(random, now);
        self.tell();
        match chosen {
            Ok(_) => {
                if let Some(place) = self.place.take() {
                    place.served(|| self.group.has_room(now));
                }
            }
            Err(NoLive) => {
                self.walk.return_to(mark);
                self.place.iter().for_each(Place::pass_on);
            }
        }
        chosen
    }

    fn choose(&mut self, random: &mut fastrand::Rng, now: Now) -> Result<Arc<Peer>, NoLive> {
        let Self { group, walk, current, .. } = self;
        let method = group.method();
        let sets = group.sets();
        let mut order = start(&sets, walk, now);
        // The only peer of a group needs no turn.
        let takes_turns = method.takes_turns() && !sets.primary.single;
        let mut turns = takes_turns.then(|| group.turns());
        let (mut leave_to_round_robin, mut has_readmitted) = (false, false);
        loop {
            let set = match &sets.backup {
                Some(backup) if walk.on_backup => backup,
                _ => place_in(&sets, &order),
            };
            if !walk.on_backup {
                walk.enter(set, &**method);
            }
            let turn =
                &mut Turn { sets: &sets, set, walk, random, now, turns: turns.as_deref_mut() };
            let mut choice = Choice::RoundRobin;
            if !leave_to_round_robin {
                choice = method.choose(turn);
            }
            if choice == Choice::RoundRobin {
                leave_to_round_robin = true;
                if !set.single {
                    turns.get_or_insert_with(|| group.turns());
                }
                let turns = turns.as_deref_mut();
                choice =
                    RoundRobin.choose(&mut Turn { sets: &sets, set, walk, random, now, turns });
            }
            match choice {
                // Another thread may have taken the last of `max_conns`.
                Choice::Peer(place) if !set.peers[place].reserve() => {}
                Choice::Peer(place) => {
                    let peer = &set.peers[place];
                    walk.single = set.single;
                    *current = Some(Current::take(peer, place, method, walk, now));
                    return Ok(Arc::clone(peer));
                }
                Choice::Nobody if !walk.on_backup && advance(&sets, &mut order) => {
                    leave_to_round_robin = false;
                }
                Choice::Nobody if !walk.on_backup && sets.backup.is_some() => {
                    walk.on_backup = true;
                    walk.tried.clear();
                }
                _ if !has_readmitted && group.readmit_all(&sets, now) => {
                    has_readmitted = true;
                    walk.on_backup = false;
                    order = start(&sets, walk, now);
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

    /// Reports a measured moment of the response to the method, with what is known of the outcome.
    pub fn reached(&mut self, moment: Moment, millis: u64, outcome: Outcome, now: Now) {
        self.seen = now;
        let Some(current) = &mut self.current else { return };
        let method = self.group.method();
        if method.watched() != Some(moment) {
            return;
        }
        let _lock = method.takes_turns().then(|| self.group.turns());
        let state = &current.peer.state;
        let times = match moment {
            Moment::Connected => &state.connect_time,
            Moment::Header => &state.header_time,
        };
        average(times, millis);
        current.peer.tell_move();
        if std::mem::take(&mut current.followed) {
            let start = current.started;
            method.answered(&current.peer, Sample { start, millis, outcome, complete: true }, now);
        }
    }

    /// Whether [`Pick::free`] needs the times of the attempt.
    pub fn needs_timings(&self) -> bool {
        self.group.needs_times || self.current.as_ref().is_some_and(|current| current.followed)
    }

    /// Frees the peer.
    pub fn free(&mut self, outcome: Outcome, timings: Timings, now: Now) -> Freed {
        self.seen = now;
        let Some(current) = self.current.take() else { return Freed::default() };
        let peer = &current.peer;
        if current.followed {
            let (sample, method) = (current.sample(outcome, timings, now), self.group.method());
            let _lock = method.takes_turns().then(|| self.group.turns());
            method.answered(peer, sample, now);
        }
        if self.group.measures && matches!(outcome, Outcome::Success | Outcome::Error) {
            // Without the lock: concurrent threads may lose a sample of the average, at worst.
            measure(peer, timings, self.group.method().watched());
        }
        if outcome == Outcome::Error {
            peer.state.errors.fetch_add(1, Relaxed);
        }
        if self.walk.single {
            peer.state.fails.store(0, Relaxed);
            if outcome == Outcome::Failed {
                peer.state.failures.fetch_add(1, Relaxed);
            }
            self.tries = 0;
            self.release(current, outcome);
            return Freed::default();
        }
        let mut freed = Freed::default();
        if outcome == Outcome::Failed {
            let _lock = self.group.turns();
            freed.disabled = fail(peer, now);
        } else {
            revive(peer, now);
        }
        self.tries = self.tries.saturating_sub(1);
        self.group.follow(peer, outcome, timings.header, now);
        self.release(current, outcome);
        freed
    }
}

/// The localities to ask in one attempt; none if all primary peers are asked together.
fn start(sets: &Sets, walk: &mut Walk, now: Now) -> Order {
    let Some(localities) = sets.localities.as_ref() else { return Order::default() };
    if walk.localities.is_empty() || walk.hinted(&sets.primary, now).is_some() {
        return Order::default();
    }
    if sets.primary.is_scaled {
        // The steps of servers that warm up are made among all.
        sets.primary.scale(now);
    }
    localities.order(walk, now).unwrap_or_default()
}

/// The primary peers to choose from.
fn place_in<'a>(sets: &'a Sets, order: &Order) -> &'a Set {
    let place = sets.localities.as_ref().zip(order.place());
    place.map_or(&sets.primary, |(localities, place)| &localities.sets[place])
}

fn advance(sets: &Sets, order: &mut Order) -> bool {
    sets.localities.as_ref().is_some_and(|localities| order.advance(localities))
}

impl Current {
    /// The sample of an attempt that ends before the watched moment, or with it.
    fn sample(&self, outcome: Outcome, timings: Timings, now: Now) -> Sample {
        let waited = now.millis.saturating_sub(self.started.millis);
        let millis = timings.response.unwrap_or(waited);
        let complete = timings.response.is_some();
        Sample { start: self.started, millis, outcome, complete }
    }

    /// Assigns the request to the peer that has reserved a place for it, under the group's lock.
    fn take(peer: &Arc<Peer>, place: usize, method: &Method, walk: &mut Walk, now: Now) -> Self {
        let state = &peer.state;
        let mut followed = false;
        if !walk.single {
            followed = method.taken(peer, now);
            walk.tried.push(peer.serial());
            if now.seconds - state.checked.load(Relaxed) > peer.limits.fail_timeout {
                state.checked.store(now.seconds, Relaxed);
                if peer.is_failed(now) {
                    // It stays unavailable for others until this request has tried it.
                    state.downtime.fail(end_of_timeout(peer, now), now.millis);
                }
            }
        }
        state.requests.fetch_add(1, Relaxed);
        state.selected.store(now.seconds, Relaxed);
        Self { peer: Arc::clone(peer), place, started: now, followed }
    }
}

impl Drop for Pick<'_> {
    fn drop(&mut self) {
        if self.current.is_some() {
            self.free(Outcome::Success, Timings::default(), self.seen);
        }
        self.end_retry();
        self.tell();
    }
}

/// Averages the times of a successful attempt. That of a watched moment is averaged only when it is
/// reached: as in nginx, an intercepted response does not count.
fn measure(peer: &Peer, timings: Timings, watched: Option<Moment>) {
    let state = &peer.state;
    if peer.limits.slow_start == SlowStart::Auto {
        state.measure_ramp(timings.header);
    }
    if let Some(response) = timings.response {
        average(&state.response_time, response);
    }
    if let (Some(header), true) = (timings.header, watched != Some(Moment::Header)) {
        average(&state.header_time, header);
    }
    if let (Some(connect), true) = (timings.connect, watched != Some(Moment::Connected)) {
        average(&state.connect_time, connect);
    }
}

/// Clears the failures of a working peer, once `fail_timeout` has passed since the last one.
fn revive(peer: &Peer, now: Now) {
    let (state, max_fails) = (&peer.state, peer.limits.max_fails);
    if state.accessed.load(Relaxed) < state.checked.load(Relaxed) {
        if max_fails != 0 && state.fails.load(Relaxed) >= max_fails {
            peer.recovers(now);
            state.downtime.work(now.millis);
        }
        if state.fails.load(Relaxed) != 0 {
            state.fails.store(0, Relaxed);
            peer.tell_change();
        }
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
    peer.tell_change();
    if fails == max_fails {
        state.unavailable.fetch_add(1, Relaxed);
    }
    let is_disabled = fails >= max_fails;
    if is_disabled {
        state.downtime.fail(end_of_timeout(peer, now), now.millis);
    }
    is_disabled
}

/// The end of a `fail_timeout` that begins now, in milliseconds: it includes its last second.
fn end_of_timeout(peer: &Peer, now: Now) -> u64 {
    let seconds = u64::try_from(peer.limits.fail_timeout).unwrap_or(0).saturating_add(1);
    let passed = now.millis % 1000;
    (now.millis - passed).saturating_add(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests;

//! `least_time`: the peer with the least expected time, from measured times.

use std::sync::atomic::Ordering::Relaxed;

use weir_conf::{Cx, Fault, Node, Slot, Table, directives};

use crate::{
    balance::method::{Balance, Choice, Compared, Moment, Sample, Turn, Weighing, pay, smooth},
    balance::ranking::{Mark, Ranking},
    clock::Now,
    peer::{Peer, average},
    set::Set,
    settings::{begin_method, choose, side},
    upstreams::Side,
};

static LEAST_TIME: Slot<LeastTimeRow> = Slot::new();

directives! {
    /// Balancing by measured times.
    struct LeastTimeRow as LeastTimeWritten in [upstream, stream_upstream] {
        /// Passes a request to the server with the least average time and the fewest active
        /// requests, relative to its weight. `inflight` includes unfinished requests.
        "least_time" [1, 2]: "header | connect | first_byte | last_byte [inflight]"
            => set_least_time,
        field written: weir_conf::Local<bool>
    }
}

pub(super) static TABLE: Table = LeastTimeRow::table(&LEAST_TIME);

fn set_least_time(row: &mut LeastTimeWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    begin_method(cx);
    let inflight = match node.arg(1) {
        None => false,
        Some(word) if word.is("inflight") => true,
        Some(word) => return Err(Fault::parameter(word)),
    };
    if row.written.replace(true).is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    let metric = Metric::of(&word.value, side(cx)).ok_or_else(|| Fault::invalid(word))?;
    choose(cx, LeastTime { metric, inflight }, None);
    Ok(())
}

/// Times over this many milliseconds are equal.
const WORST: u64 = 5000;

/// Times are rounded up to multiples of this many milliseconds.
const GRAIN: u64 = 20;

/// The measured time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Until the connection (stream).
    Connect,
    /// Until the header, or the first byte (stream).
    Header,
    /// Until the last byte.
    LastByte,
}

impl Metric {
    /// The time of that name in `least_time`.
    pub(crate) fn of(name: &[u8], side: Side) -> Option<Self> {
        match (name, side) {
            (b"header", Side::Http) | (b"first_byte", Side::Stream) => Some(Self::Header),
            (b"connect", Side::Stream) => Some(Self::Connect),
            (b"last_byte", _) => Some(Self::LastByte),
            _ => None,
        }
    }
}

/// Balancing by expected time.
#[derive(Debug)]
pub(crate) struct LeastTime {
    pub(crate) metric: Metric,
    /// Whether unfinished requests count too.
    pub(crate) inflight: bool,
}

impl LeastTime {
    /// Whether peers have ranks. Ages of unfinished requests change them at every choice, and
    /// equals among unequal weights depend on the order of the comparisons.
    fn is_ranked(&self, set: &Set) -> bool {
        !self.inflight && set.weights == 1 && Ranking::suits(set)
    }

    fn mark(&self) -> Mark {
        match self.metric {
            Metric::Connect => |peer, now| eta(Metric::Connect, peer, now) as u64,
            Metric::Header => |peer, now| eta(Metric::Header, peer, now) as u64,
            Metric::LastByte => |peer, now| eta(Metric::LastByte, peer, now) as u64,
        }
    }
}

impl Balance for LeastTime {
    fn name(&self) -> &'static str {
        "least_time"
    }

    fn compared(&self) -> Option<Compared> {
        Some(Compared::TIME)
    }

    fn score(&self, weighing: &mut Weighing<'_>, place: usize) -> Option<f64> {
        Some(shown_eta(self.metric, weighing, place))
    }

    fn follows_moves(&self) -> bool {
        !self.inflight
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        if turn.set.single {
            return Choice::RoundRobin;
        }
        let Turn { sets, set, walk, now, turns, .. } = turn;
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        if let Some(turns) = turns.as_mut().filter(|_| self.is_ranked(set)) {
            let least = turns.ranking(sets, set).least(set, walk, self.mark(), *now);
            return least.map_or(Choice::Nobody, Choice::Peer);
        }
        let scale = set.scale(*now);
        let weight = |peer: &Peer| scale.of(peer.weight(), peer).max(1) as u128;
        let mut least: Option<(usize, u128)> = None;
        let mut many = false;
        for (place, peer) in set.peers.iter().enumerate() {
            if !walk.may_take(peer, *now) {
                continue;
            }
            age_inflight(peer, *now);
            let eta = eta(self.metric, peer, *now);
            let order = least.map(|(best, best_eta)| {
                (eta * weight(&set.peers[best])).cmp(&(best_eta * weight(peer)))
            });
            match order {
                None | Some(std::cmp::Ordering::Less) => {
                    least = Some((place, eta));
                    many = false;
                }
                Some(std::cmp::Ordering::Equal) => many = true,
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        let Some((mut best, best_eta)) = least else { return Choice::Nobody };
        if many {
            // As in nginx, the least time is weighed by the current leader, which need not be the
            // peer it was measured on: with unequal weights the sequence depends on it.
            let (chosen, total) =
                smooth(&set.peers, scale, best..set.peers.len(), Some(best), |peer, leader| {
                    let leader = weight(&set.peers[leader.unwrap_or(best)]);
                    eta(self.metric, peer, *now) * leader == best_eta * weight(peer)
                        && walk.may_take(peer, *now)
                });
            best = chosen.unwrap_or(best);
            pay(&set.peers[best], total);
        }
        Choice::Peer(best)
    }

    fn taken(&self, peer: &Peer, now: Now) -> bool {
        if self.inflight {
            let state = &peer.state;
            let running = state.inflight.load(Relaxed);
            if running > 0 {
                let waited = now.millis.saturating_sub(state.inflight_changed.load(Relaxed));
                state.inflight_last.fetch_add(waited * running, Relaxed);
            }
            state.inflight_changed.store(now.millis, Relaxed);
            state.inflight.store(running + 1, Relaxed);
        }
        self.inflight
    }

    fn answered(&self, peer: &Peer, sample: Sample, now: Now) {
        inflight_done(peer, sample.millis, now);
    }

    fn compares_times(&self) -> bool {
        true
    }

    fn watched(&self) -> Option<Moment> {
        match self.metric {
            _ if !self.inflight => None,
            Metric::Connect => Some(Moment::Connected),
            Metric::Header => Some(Moment::Header),
            Metric::LastByte => None,
        }
    }
}

/// The expected time for the peer's requests and one more.
pub(crate) fn eta(metric: Metric, peer: &Peer, now: Now) -> u128 {
    let state = &peer.state;
    let mut time = match metric {
        Metric::Connect => state.connect_time.load(Relaxed),
        Metric::Header => state.header_time.load(Relaxed),
        Metric::LastByte => state.response_time.load(Relaxed),
    };
    let fail_timeout = peer.limits.fail_timeout;
    let unchecked = now.seconds - state.checked.load(Relaxed);
    if unchecked > fail_timeout {
        // A slow peer gets too few requests to show that it recovered: its time halves with each
        // `fail_timeout` without one.
        let halvings = (unchecked / (fail_timeout + 1)).clamp(0, 63);
        time >>= halvings;
    }
    if state.inflight.load(Relaxed) > 0 {
        time = time.max(state.inflight_time.load(Relaxed));
    }
    time = if time > WORST { WORST } else { time + GRAIN - time % GRAIN };
    u128::from(time) * (1 + u128::from(state.conns.load(Relaxed)))
}

/// [`eta`] in relation to the weight, without the request that chooses.
pub(crate) fn shown_eta(metric: Metric, weighing: &Weighing<'_>, place: usize) -> f64 {
    let peer = &weighing.set.peers[place];
    let all = 1.0 + peer.active() as f64;
    let time = eta(metric, peer, weighing.now) as f64 / all;
    time * (1.0 + weighing.active(peer)) / weighing.weight(peer)
}

/// Ages the average of unfinished requests while none finishes.
fn age_inflight(peer: &Peer, now: Now) {
    let state = &peer.state;
    let running = state.inflight.load(Relaxed);
    if let Some(age) = state.inflight_last.load(Relaxed).checked_div(running) {
        let since = now.millis.saturating_sub(state.inflight_changed.load(Relaxed));
        average(&state.inflight_time, age + since);
    }
}

/// Removes a request, finished or at the measured moment, after `last` milliseconds.
fn inflight_done(peer: &Peer, last: u64, now: Now) {
    let state = &peer.state;
    let running = state.inflight.load(Relaxed);
    if running <= 1 {
        state.inflight_last.store(0, Relaxed);
    } else {
        let waited = now.millis.saturating_sub(state.inflight_changed.load(Relaxed)) * running;
        let total = (state.inflight_last.load(Relaxed) + waited).saturating_sub(last);
        state.inflight_last.store(total, Relaxed);
        state.inflight_changed.store(now.millis, Relaxed);
    }
    state.inflight.store(running.saturating_sub(1), Relaxed);
}

#[cfg(test)]
mod tests;

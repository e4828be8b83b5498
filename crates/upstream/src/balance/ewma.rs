//! `ewma`: of two random peers, the one with the lower expected time (peak EWMA).

use weir_conf::{Cx, Fault, Node, Slot, Table, directives, value::parse_msec};

use crate::{
    balance::ewma::cost::Answer,
    balance::least_time::Metric,
    balance::method::{Balance, Choice, Compared, Moment, Sample, Turn, Weighing},
    clock::Now,
    outcome::Outcome,
    peer::Peer,
    set::Sets,
    settings::{begin_method, choose, side},
    upstreams::Side,
};

pub(crate) mod aged;
pub(crate) mod cost;

static EWMA: Slot<EwmaRow> = Slot::new();

directives! {
    /// Balancing by expected time.
    struct EwmaRow as EwmaWritten in [upstream, stream_upstream] {
        /// Of two random servers, drawn by weight, passes a request to the one with the lower
        /// product of latency and active requests, relative to its weight (peak EWMA). The latency
        /// is the time until the header, in stream until the connection, or the named time. A slow
        /// response counts at once, faster ones as an average over the time `tau`, by default 10s;
        /// without requests a latency fades in that time. Unanswered requests count with their age.
        /// Failures, including the responses 500, 502, 503, 504 and above, multiply the latency by
        /// up to 10,000, fast ones too. A new server begins with the mean of the others, and so
        /// does one that a check or `outlier_ejection` lets in again.
        "ewma" [0, 1, 2]: "[header | connect | first_byte | last_byte] [tau=time]" => set_ewma,
    }
}

pub(super) static TABLE: Table = EwmaRow::table(&EWMA);

/// The default of `tau` in milliseconds.
const TAU: f32 = 10_000.0;

fn set_ewma(_: &mut EwmaWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    begin_method(cx);
    let side = side(cx);
    let (mut metric, mut tau) = (None, None);
    for word in &node.args {
        let invalid = || Fault::parameter(word);
        if let Some(text) = word.after("tau=").filter(|_| tau.is_none()) {
            let time = parse_msec(text).filter(|time| !time.is_zero()).ok_or_else(invalid)?;
            tau = Some(time.as_millis() as f32);
        } else if metric.is_none() {
            metric = Some(Metric::of(&word.value, side).ok_or_else(invalid)?);
        } else {
            return Err(invalid());
        }
    }
    let usual = if side == Side::Stream { Metric::Connect } else { Metric::Header };
    choose(cx, Ewma { metric: metric.unwrap_or(usual), tau: tau.unwrap_or(TAU) }, None);
    Ok(())
}

/// The limit of draws for two peers. After that, all peers are compared.
const DRAWS: u32 = 20;

/// The milliseconds between two computations of the mean latency of a group.
const MEAN_EVERY: f32 = 1000.0;

/// Balancing by expected time among two random peers.
#[derive(Debug)]
pub(crate) struct Ewma {
    /// The latency.
    pub(crate) metric: Metric,
    /// The time in milliseconds in which knowledge loses its weight but for 1/e.
    pub(crate) tau: f32,
}

impl Balance for Ewma {
    fn name(&self) -> &'static str {
        "ewma"
    }

    fn compared(&self) -> Option<Compared> {
        Some(Compared::TIME)
    }

    fn score(&self, weighing: &mut Weighing<'_>, place: usize) -> Option<f64> {
        let Weighing { sets, set, now, .. } = weighing;
        let peer = &set.peers[place];
        let expected = peer.state.cost.expected(self.mean(sets, *now), self.tau, *now);
        Some(f64::from(expected) * (weighing.active(peer) + 1.0) / weighing.weight(peer))
    }

    fn takes_turns(&self) -> bool {
        false
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        if turn.set.single || turn.set.peers.is_empty() {
            return Choice::RoundRobin;
        }
        let Turn { sets, set, walk, now, random, .. } = turn;
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        let (mean, scale) = (self.mean(sets, *now), set.scale(*now));
        let load = |place: usize| {
            let peer = &set.peers[place];
            let active = peer.state.conns.load(std::sync::atomic::Ordering::Relaxed) as f32;
            let weight = scale.of(peer.weight(), peer).max(1) as f32;
            peer.state.cost.expected(mean, self.tau, *now) * (active + 1.0) / weight
        };
        let mut draw = || set.draw(random);
        let start = draw();
        let mut first = None;
        let mut place = start;
        for _ in 0..DRAWS {
            if first != Some(place) && walk.may_take(&set.peers[place], *now) {
                match first {
                    None => first = Some(place),
                    Some(first) if load(place) < load(first) => return Choice::Peer(place),
                    Some(first) => return Choice::Peer(first),
                }
            }
            place = draw();
        }
        // Few can take it. Of equal ones, the first from a random place on is taken.
        let count = set.peers.len();
        let takers = (0..count)
            .map(|step| (start + step) % count)
            .filter(|&place| walk.may_take(&set.peers[place], *now));
        let least = takers.min_by(|one, two| load(*one).total_cmp(&load(*two)));
        least.map_or(Choice::Nobody, Choice::Peer)
    }

    fn taken(&self, peer: &Peer, now: Now) -> bool {
        peer.state.cost.sent(now);
        true
    }

    fn watched(&self) -> Option<Moment> {
        match self.metric {
            Metric::Connect => Some(Moment::Connected),
            Metric::Header => Some(Moment::Header),
            Metric::LastByte => None,
        }
    }

    fn answered(&self, peer: &Peer, sample: Sample, now: Now) {
        let answer = match sample.outcome {
            Outcome::Success if sample.complete => Answer::Good,
            Outcome::Error | Outcome::Failed => Answer::Bad,
            Outcome::Success | Outcome::NotCounted => Answer::None,
        };
        peer.state.cost.answered(answer, sample.start, sample.millis, self.tau, now);
    }
}

impl Ewma {
    /// The mean latency of all peers in milliseconds, at most a second old.
    fn mean(&self, sets: &Sets, now: Now) -> Option<f32> {
        let known = sets.mean_latency.read(now).filter(|(_, age)| *age < MEAN_EVERY);
        let mean = known.map_or_else(|| self.compute_mean(sets, now), |(mean, _)| mean);
        (mean > 0.0).then_some(mean)
    }

    fn compute_mean(&self, sets: &Sets, now: Now) -> f32 {
        let known = sets.peers().filter_map(|peer| peer.state.cost.latency(self.tau, now));
        let (count, sum) = known.fold((0.0, 0.0), |(count, sum), it| (count + 1.0, sum + it));
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        sets.mean_latency.set(mean, now);
        mean
    }
}

#[cfg(test)]
mod tests;

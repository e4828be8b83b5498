//! `random [two [least_conn | least_time=TIME]]`: weighted random choice.

use weir_conf::{Cx, Fault, Node, Slot, Table, directives};

use crate::{
    balance::least_conn::compare,
    balance::least_time::{Metric, eta, shown_eta},
    balance::method::{Balance, Choice, Compared, MAX_REHASHES, Turn, Weighing},
    clock::Now,
    peer::Peer,
    settings::{begin_method, choose, side},
    slow_start::Scale,
};

static RANDOM: Slot<RandomRow> = Slot::new();

directives! {
    /// Balancing by chance.
    struct RandomRow as RandomWritten in [upstream, stream_upstream] {
        /// Passes a request to a random server, by weight. With `two`, chooses two servers and
        /// passes the request to the better one by the method: `least_conn`, the default, or
        /// `least_time=header`, `least_time=last_byte` and in stream `least_time=connect`,
        /// `least_time=first_byte`.
        "random" [0, 1, 2]: "[two [method]]" => set_random,
    }
}

pub(super) static TABLE: Table = RandomRow::table(&RANDOM);

fn set_random(_: &mut RandomWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    begin_method(cx);
    let mut two = None;
    if let Some(word) = node.arg(0) {
        if !word.is("two") {
            return Err(Fault::parameter(word));
        }
        two = Some(Better::LeastConn);
    }
    if let Some(word) = node.arg(1).filter(|word| !word.is("least_conn")) {
        let metric = word.after("least_time=").and_then(|name| Metric::of(name, side(cx)));
        two = Some(Better::LeastTime(metric.ok_or_else(|| Fault::parameter(word))?));
    }
    choose(cx, Random { two }, None);
    Ok(())
}

/// Balancing at random.
#[derive(Debug)]
pub(crate) struct Random {
    /// Draw two peers, and take the better one.
    pub(crate) two: Option<Better>,
}

/// The comparison of two drawn peers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Better {
    /// Fewer connections.
    LeastConn,
    /// Less expected time.
    LeastTime(Metric),
}

impl Better {
    /// Whether the first of two peers is worse than the second.
    fn is_worse(self, one: &Peer, two: &Peer, scale: Scale, now: Now) -> bool {
        match self {
            Self::LeastConn => compare(one, two, scale).is_gt(),
            Self::LeastTime(metric) => {
                let weight = |peer: &Peer| scale.of(peer.weight(), peer).max(1) as u128;
                eta(metric, one, now) * weight(two) > eta(metric, two, now) * weight(one)
            }
        }
    }
}

impl Balance for Random {
    fn name(&self) -> &'static str {
        match self.two {
            None => "random",
            Some(Better::LeastConn) => "random two least_conn",
            Some(Better::LeastTime(_)) => "random two least_time",
        }
    }

    fn compared(&self) -> Option<Compared> {
        self.two.map(|better| match better {
            Better::LeastConn => Compared::ACTIVE,
            Better::LeastTime(_) => Compared::TIME,
        })
    }

    fn score(&self, weighing: &mut Weighing<'_>, place: usize) -> Option<f64> {
        let peer = &weighing.set.peers[place];
        Some(match self.two? {
            Better::LeastConn => weighing.active(peer) / weighing.weight(peer),
            Better::LeastTime(metric) => shown_eta(metric, weighing, place),
        })
    }

    fn knows_backup(&self) -> bool {
        false
    }

    fn takes_turns(&self) -> bool {
        false
    }

    fn compares_times(&self) -> bool {
        matches!(self.two, Some(Better::LeastTime(_)))
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { set, walk, now, random, .. } = turn;
        if walk.tries > MAX_REHASHES || set.peers.len() < 2 {
            return Choice::RoundRobin;
        }
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        let scale = set.scale(*now);
        let mut first: Option<usize> = None;
        loop {
            let place = set.draw(random);
            if first != Some(place) && walk.may_take(&set.peers[place], *now) {
                match (self.two, first) {
                    // As in nginx, the first of two draws counts as an attempt.
                    (Some(_), None) => first = Some(place),
                    (Some(better), Some(kept))
                        if better.is_worse(&set.peers[place], &set.peers[kept], scale, *now) =>
                    {
                        return Choice::Peer(kept);
                    }
                    _ => return Choice::Peer(place),
                }
            }
            walk.tries += 1;
            if walk.tries > MAX_REHASHES {
                return Choice::RoundRobin;
            }
        }
    }
}

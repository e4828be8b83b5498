//! `least_conn`: the peer with the fewest requests relative to its weight.

use std::sync::atomic::Ordering::Relaxed;

use weir_conf::{Cx, Fault, Node, Slot, Table, directives};

use crate::{
    balance::method::{Balance, Choice, Compared, Turn, Weighing, pay, smooth},
    balance::ranking::Ranking,
    clock::Now,
    peer::Peer,
    settings::{begin_method, choose},
    slow_start::Scale,
};

static LEAST_CONN: Slot<LeastConnRow> = Slot::new();

directives! {
    /// Balancing by the number of requests.
    struct LeastConnRow as LeastConnWritten in [upstream, stream_upstream] {
        /// Passes a request to the server with the fewest active requests relative to its weight;
        /// round robin among equals.
        "least_conn" [0]: "" => set_least_conn,
    }
}

pub(super) static TABLE: Table = LeastConnRow::table(&LEAST_CONN);

fn set_least_conn(_: &mut LeastConnWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    begin_method(cx);
    choose(cx, LeastConn, None);
    Ok(())
}

/// The fewest connections; round robin among equals.
#[derive(Debug)]
pub(crate) struct LeastConn;

impl Balance for LeastConn {
    fn name(&self) -> &'static str {
        "least_conn"
    }

    fn compared(&self) -> Option<Compared> {
        Some(Compared::ACTIVE)
    }

    fn score(&self, weighing: &mut Weighing<'_>, place: usize) -> Option<f64> {
        let peer = &weighing.set.peers[place];
        Some(weighing.active(peer) / weighing.weight(peer))
    }

    fn follows_moves(&self) -> bool {
        true
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        if turn.set.single {
            return Choice::RoundRobin;
        }
        let Turn { sets, set, walk, now, turns, .. } = turn;
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        if let Some(turns) = turns.as_mut().filter(|_| Ranking::suits(set)) {
            let least = turns.ranking(sets, set).least(set, walk, conns, *now);
            return least.map_or(Choice::Nobody, Choice::Peer);
        }
        let scale = set.scale(*now);
        let mut least: Option<usize> = None;
        let mut many = false;
        for (place, peer) in set.peers.iter().enumerate() {
            if !walk.may_take(peer, *now) {
                continue;
            }
            match least.map(|best| compare(peer, &set.peers[best], scale)) {
                None | Some(std::cmp::Ordering::Less) => {
                    least = Some(place);
                    many = false;
                }
                Some(std::cmp::Ordering::Equal) => many = true,
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        let Some(mut best) = least else { return Choice::Nobody };
        if many {
            let model = &set.peers[best];
            let (chosen, total) =
                smooth(&set.peers, scale, best..set.peers.len(), Some(best), |peer, _| {
                    compare(peer, model, scale).is_eq() && walk.may_take(peer, *now)
                });
            best = chosen.unwrap_or(best);
            pay(&set.peers[best], total);
        }
        Choice::Peer(best)
    }
}

fn conns(peer: &Peer, _: Now) -> u64 {
    peer.state.conns.load(Relaxed)
}

/// Compares two peers' connections relative to their weights.
pub(crate) fn compare(one: &Peer, two: &Peer, scale: Scale) -> std::cmp::Ordering {
    let conns = |peer: &Peer| u128::from(peer.state.conns.load(Relaxed));
    // At least one part, so that a peer without connections may start.
    let weight = |peer: &Peer| scale.of(peer.weight(), peer).max(1) as u128;
    (conns(one) * weight(two)).cmp(&(conns(two) * weight(one)))
}

//! `random [two [least_conn]]`: weighted random choice.

use weir_conf::{Cx, Fault, Node, Slot, Table, directives};

use crate::{
    balance::least_conn::compare,
    balance::method::{Balance, Choice, MAX_REHASHES, Turn},
    settings::{begin_method, choose},
    slow_start::Scale,
};

static RANDOM: Slot<RandomRow> = Slot::new();

directives! {
    /// Balancing by chance.
    struct RandomRow as RandomWritten in [upstream, stream_upstream] {
        /// Passes a request to a random server, by weight. With `two`, chooses two servers and
        /// passes the request to the one with fewer active requests.
        "random" [0, 1, 2]: "[two [method]]" => set_random,
    }
}

pub(super) static TABLE: Table = RandomRow::table(&RANDOM);

fn set_random(_: &mut RandomWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    begin_method(cx);
    for (word, known) in node.args.iter().zip(["two", "least_conn"]) {
        if !word.is(known) {
            return Err(Fault::parameter(word));
        }
    }
    choose(cx, Random { two: !node.args.is_empty() }, None);
    Ok(())
}

/// Balancing at random.
#[derive(Debug)]
pub(crate) struct Random {
    /// Draw two peers, and take the one with fewer connections.
    pub(crate) two: bool,
}

impl Balance for Random {
    fn knows_backup(&self) -> bool {
        false
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { set, walk, now, random, .. } = turn;
        if walk.tries > MAX_REHASHES || set.peers.len() < 2 {
            return Choice::RoundRobin;
        }
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        let mut first: Option<usize> = None;
        loop {
            let place = set.at_weight(random.i64(0..set.total_weight.max(1)));
            if first != Some(place) && walk.may_take(&set.peers[place], *now) {
                match first {
                    None if self.two => {
                        // As in nginx, this draw counts as an attempt.
                        first = Some(place);
                    }
                    Some(kept)
                        if compare(&set.peers[place], &set.peers[kept], Scale::Units).is_gt() =>
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

//! What one request at a time uses for its choice.

use crate::{
    balance::{consistent::bound::Shares, ranking::Ranking, sequence::Sequence},
    set::{Set, Sets},
};

/// The sequences of a group's peers. Threads take turns at them.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The number of the sets that they belong to.
    of: u64,
    /// At the numbers of their sets, as are the others.
    sequences: Vec<Sequence>,
    rankings: Vec<Ranking>,
    shares: Vec<Shares>,
}

impl Turns {
    fn renew(&mut self, sets: &Sets) {
        if self.of != sets.number {
            *self = Self { of: sets.number, ..Self::default() };
        }
    }

    /// The shares of a set, to be brought up to date.
    pub(crate) fn shares(&mut self, sets: &Sets, set: &Set) -> &mut Shares {
        self.renew(sets);
        at(&mut self.shares, set)
    }

    /// The shares as they are.
    pub(crate) fn known_shares(&self, set: &Set) -> Option<&Shares> {
        self.shares.get(set.index)
    }

    /// The sequence of a set.
    pub(crate) fn sequence(&mut self, sets: &Sets, set: &Set) -> &mut Sequence {
        self.renew(sets);
        at(&mut self.sequences, set)
    }

    /// The ranking of a set.
    pub(crate) fn ranking(&mut self, sets: &Sets, set: &Set) -> &mut Ranking {
        self.renew(sets);
        at(&mut self.rankings, set)
    }

    /// Gives what the sequences hold back to the state of the peers, for `next` to begin with it,
    /// or for the same sets. A peer whose weight changes begins anew.
    pub(crate) fn flush(&mut self, sets: &Sets, next: Option<&Sets>) {
        if self.of != sets.number {
            return;
        }
        let weights = next.map(Sets::weights);
        let keeps = |peer: &std::sync::Arc<crate::Peer>| {
            let weight = weights.as_ref().and_then(|weights| weights.get(&peer.serial()));
            weight.is_none_or(|weight| *weight == peer.weight())
        };
        for set in sets.all() {
            if let Some(sequence) = self.sequences.get_mut(set.index) {
                sequence.flush(set, keeps);
            }
            if let Some(ranking) = self.rankings.get_mut(set.index) {
                ranking.flush(set, keeps);
            }
        }
    }
}

/// What belongs to a set.
fn at<'a, T: Default>(all: &'a mut Vec<T>, set: &Set) -> &'a mut T {
    if all.len() <= set.index {
        all.resize_with(set.index + 1, T::default);
    }
    &mut all[set.index]
}

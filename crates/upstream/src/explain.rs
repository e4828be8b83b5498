//! What a choice went by, for people: the method, and the servers that it had to choose from.

use smallvec::SmallVec;

use crate::{
    balance::method::Weighing,
    clock::Now,
    health::Health,
    peer::Peer,
    pick::Pick,
    server::Admission,
    set::{Set, Sets},
};

/// The maximum number of servers that are looked at, from the chosen one on: this is done for each
/// choice of a request that may be recorded, so it must cost the same for thousands.
const MOST_LOOKED_AT: usize = 32;

/// The maximum number of servers that are told.
pub const MOST_RIVALS: usize = 8;

/// What a choice went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The method, or what made it unnecessary: `sticky`, `only server`.
    pub method: &'static str,
    /// What [`Rival::score`] is; `None` if the method does not compare servers.
    pub score: Option<&'static str>,
    /// Whether the choice was among the backup servers.
    pub backup: bool,
    /// The number of servers to choose from.
    pub servers: usize,
    /// The number of those that were looked at.
    pub looked_at: usize,
}

/// A server to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Rival<'a> {
    /// The server.
    pub peer: &'a Peer,
    /// Its active requests, without the one that chooses.
    pub active: u64,
    /// What the method compares.
    pub score: Option<f64>,
    /// Why it could not be chosen; empty if it could.
    pub excluded: &'static str,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// The place of a rival in its set.
struct Seen {
    place: usize,
    score: Option<f64>,
    excluded: &'static str,
}

impl Pick<'_> {
    /// Tells the servers that the last choice was among: the chosen one, then those that could have
    /// been chosen, by their scores, then the others. At most [`MOST_RIVALS`], as they are now.
    pub fn explain(&self, now: Now, mut tell: impl FnMut(Rival<'_>)) -> Explained {
        let sets = self.group().sets();
        let method = &**self.group().method();
        let set = self.set_of(&sets);
        let chosen = self.peer().map(|peer| peer.serial());
        // Meanwhile the set may have been replaced by a smaller one.
        let start = if self.place() < set.peers.len() { self.place() } else { 0 };
        let mut seen: SmallVec<[Seen; MOST_LOOKED_AT]> = SmallVec::new();
        let looked_at = set.peers.len().min(MOST_LOOKED_AT);
        let scale = set.scale(now);
        let mut turns = method.weighs_in_turns().then(|| self.group().turns());
        for place in (start..set.peers.len()).chain(0..start).take(looked_at) {
            let peer = &set.peers[place];
            let own = u64::from(Some(peer.serial()) == chosen);
            let excluded = if own == 1 { "" } else { self.why_not(peer, now) };
            let turns = turns.as_deref_mut();
            let mut weighing = Weighing { sets: &sets, set, scale, now, own, turns };
            seen.push(Seen { place, score: method.score(&mut weighing, place), excluded });
        }
        drop(turns);
        let compared = method.compared();
        let highest = compared.is_some_and(|compared| compared.highest);
        let order = |seen: &Seen| {
            let score = seen.score.map_or(0.0, |score| if highest { -score } else { score });
            (chosen != Some(set.peers[seen.place].serial()), !seen.excluded.is_empty(), score)
        };
        seen.sort_by(|one, two| {
            let (one, two) = (order(one), order(two));
            (one.0, one.1).cmp(&(two.0, two.1)).then(one.2.total_cmp(&two.2))
        });
        for Seen { place, score, excluded } in seen.into_iter().take(MOST_RIVALS) {
            let peer = &*set.peers[place];
            let chosen = Some(peer.serial()) == chosen;
            let active = peer.active().saturating_sub(u64::from(chosen));
            tell(Rival { peer, active, score, excluded, chosen });
        }
        Explained {
            method: match self.peer() {
                Some(_) if self.is_alone() => "only server",
                Some(peer) if !self.bound().is_empty() && peer.sid.as_bytes() == self.bound() => {
                    "sticky"
                }
                _ => method.name(),
            },
            score: compared.map(|compared| compared.name),
            backup: self.is_on_backup(),
            servers: set.peers.len(),
            looked_at,
        }
    }

    /// The set that the last choice was in.
    fn set_of<'s>(&self, sets: &'s Sets) -> &'s Set {
        match (&sets.backup, self.set_number()) {
            (Some(backup), _) if self.is_on_backup() => backup,
            (_, Some(number)) => {
                sets.all().find(|set| set.index == number).unwrap_or(&sets.primary)
            }
            _ => &sets.primary,
        }
    }

    /// Why a peer could not be chosen; empty if it could.
    fn why_not(&self, peer: &Peer, now: Now) -> &'static str {
        match (peer.admission(), peer.health()) {
            _ if self.has_tried(peer) => "tried",
            (Admission::Down, _) => "down",
            (_, Health::Unhealthy) if peer.is_only_ejected() => "ejected",
            (_, Health::Unhealthy) => "unhealthy",
            (_, Health::Checking) => "checking",
            (Admission::Draining, _) => "draining",
            _ if peer.is_failed(now) => "unavail",
            _ if peer.is_full() => "max_conns",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests;

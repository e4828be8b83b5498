//! Changes that a source of servers makes: the group gets the servers that it lists, and loses
//! those that it lists no more.
//!
//! An edit of a listed server holds while the source lists it. What the source itself changes
//! later, such as a weight, takes effect; the other parameters stay as edited.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    clock::Now,
    edit::{Change, EditError, MAX_SERVERS},
    edited::{State, Versions, place_of_address, place_of_name},
    group::Group,
    roster::{Listed, Roster},
    server::{Admission, Limits, Origin, Server, ServerId},
    set::Lines,
};

/// The effect of a list on a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The servers that it has added, as written.
    pub(crate) added: Vec<String>,
    /// The servers that it has removed.
    pub(crate) removed: Vec<String>,
    /// The number of changed servers.
    pub(crate) changed: usize,
    /// The servers that the group refuses, with the reasons.
    pub(crate) refused: Vec<String>,
}

impl Effect {
    fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed == 0
    }
}

impl Group {
    /// The servers that the group's source has listed.
    pub(crate) fn listed(&self) -> Vec<Server> {
        self.roster().listed.iter().map(|listed| listed.server.clone()).collect()
    }

    /// Whether the group's source has answered, or could not, since the start of the process.
    pub(crate) fn has_heard(&self) -> bool {
        self.roster().heard
    }

    /// Notes that the group's source has answered, or could not.
    pub(crate) fn heard(&self) {
        self.roster().heard = true;
    }

    /// Makes the servers of a list those of the group, besides those that it has from elsewhere. A
    /// large ring of a consistent hash takes long, so a loop calls it on another thread.
    pub(crate) fn list(&self, servers: &[Server]) -> Effect {
        let mut roster = self.roster();
        let mut lines = self.lines();
        let effect = self.relist(servers, &mut roster, &mut lines);
        roster.heard = true;
        if effect.is_none() {
            return effect;
        }
        self.line_up(lines);
        // A group whose configuration was replaced serves its last requests by the list, too, but
        // the heir's record is the one to keep.
        if roster.heir().is_none() {
            self.note(&roster);
        }
        self.tell_names_change();
        effect
    }

    fn relist(&self, servers: &[Server], roster: &mut Roster, lines: &mut Lines) -> Effect {
        let known = std::mem::take(&mut roster.listed);
        let mut known: HashMap<String, Listed> =
            known.into_iter().map(|listed| (listed.server.place(), listed)).collect();
        let (mut changes, mut fresh) = (HashMap::new(), Vec::new());
        for server in servers {
            let id = match known.remove(&server.place()) {
                Some(Listed { server: earlier, id }) => {
                    let change = Change::between(&earlier, server);
                    changes.extend(id.zip(change));
                    id
                }
                None => {
                    fresh.push(roster.listed.len());
                    None
                }
            };
            roster.listed.push(Listed { server: server.clone(), id });
        }
        let mut left: Vec<Listed> = known.into_values().collect();
        left.sort_by_key(|listed| listed.id);
        let gone: HashSet<ServerId> = left.iter().filter_map(|listed| listed.id).collect();
        let mut effect = Effect { changed: changes.len(), ..Effect::default() };
        let lost = left.iter().flat_map(|listed| roster.lose(&listed.server)).collect();
        effect.removed = left.into_iter().map(|listed| listed.server.text).collect();
        remove_all(&gone, roster, lines);
        change_all(&changes, roster, lines);
        self.forget_edits(lost, roster, lines);
        let ids = changes.keys();
        let changed = ids.filter_map(|id| roster.place_of_id(*id, lines));
        let changed: Vec<_> = changed.filter(|place| roster.edits.of(place).is_some()).collect();
        self.share(&changed, roster, lines);
        self.add_listed(&fresh, roster, lines, &mut effect);
        effect
    }

    /// Adds listed servers, by their places in the list.
    fn add_listed(
        &self,
        fresh: &[usize],
        roster: &mut Roster,
        lines: &mut Lines,
        effect: &mut Effect,
    ) {
        // The first servers have no others that could serve meanwhile.
        let joins = lines.iter().next().is_some();
        let is_fixed = |origin| !matches!(origin, Origin::Resolved(_));
        let fixed = lines.iter().filter(|peer| is_fixed(peer.origin));
        let mut taken: HashSet<String> = fixed.map(|peer| peer.name.clone()).collect();
        taken.extend(roster.hosts.iter().map(|host| format!("{:?}", host.name)));
        let mut count = lines.iter().count() + roster.hosts.len();
        let mut added = HashSet::new();
        for &place in fresh {
            let server = roster.listed[place].server.clone();
            let allowed = match count < MAX_SERVERS {
                true => self.check(&Change::to(&server)),
                false => Err(EditError::Full),
            };
            if let Err(error) = allowed {
                effect.refused.push(format!("server \"{}\": {error}", server.text));
            } else if roster.was_removed(&server) {
                // By an edit on another node, which has heard of it earlier.
            } else if taken.insert(server.place()) {
                let ids = roster.add(&server, Origin::Listed, lines);
                roster.listed[place].id = ids.first().copied();
                count += ids.len();
                added.extend(ids);
                effect.added.push(server.text);
            }
        }
        self.recall(&added, roster, lines);
        if joins {
            let now = Now::current();
            let new = lines.iter().filter(|peer| added.contains(&peer.id));
            new.for_each(|peer| peer.recovers(now));
        }
    }
}

impl Group {
    /// Makes edits that other nodes have made of new listed servers.
    fn recall(&self, added: &HashSet<ServerId>, roster: &mut Roster, lines: &mut Lines) {
        if roster.edits.is_empty() {
            return;
        }
        let mut changes = HashMap::new();
        for id in added {
            let Some(place) = roster.place_of_id(*id, lines) else { continue };
            let change = roster.awaited(&place, Versions::default());
            changes.extend(change.filter(|change| self.check(change).is_ok()).map(|it| (*id, it)));
        }
        change_all(&changes, roster, lines);
    }
}

impl Server {
    /// Its place among what was edited, as a listed server.
    fn listed_place(&self) -> Option<String> {
        match (&self.resolve, self.addresses.first()) {
            (Some(name), _) => Some(place_of_name(true, name, 0)),
            (None, Some(address)) => Some(place_of_address(true, &address.to_string(), 0)),
            (None, None) => None,
        }
    }

    /// What makes it another server than others of a list: its name, or its address.
    pub(crate) fn place(&self) -> String {
        match (&self.resolve, self.addresses.first()) {
            (Some(name), _) => format!("{name:?}"),
            (None, Some(address)) => address.to_string(),
            (None, None) => self.text.clone(),
        }
    }
}

impl Roster {
    /// The places of a listed server, and of the addresses of its name, about which something was
    /// edited.
    fn lose(&self, server: &Server) -> Vec<String> {
        let Some(place) = server.listed_place().filter(|_| !self.edits.is_empty()) else {
            return Vec::new();
        };
        let start = format!("resolved {place} ");
        let places = self.edits.by_place.keys();
        places.filter(|it| **it == place || it.starts_with(&start)).cloned().collect()
    }

    /// Whether another node has removed a server that its source lists.
    fn was_removed(&self, server: &Server) -> bool {
        let place = server.listed_place().filter(|_| !self.edits.is_empty());
        let edited = place.and_then(|place| self.edits.of(&place));
        edited.is_some_and(|edited| matches!(edited.state, State::Gone { .. }))
    }
}

impl Change {
    /// All parameters of a server.
    pub(crate) fn to(server: &Server) -> Self {
        let Limits {
            weight, max_conns, max_fails, fail_timeout, slow_start, admission, agent, ..
        } = server.limits;
        let locality = server.limits.locality.as_deref().unwrap_or_default();
        Self {
            weight: Some(weight),
            max_conns: Some(max_conns),
            max_fails: Some(max_fails),
            fail_timeout: Some(fail_timeout),
            slow_start: Some(slow_start),
            down: Some(admission == Admission::Down),
            drain: Some(admission == Admission::Draining),
            address: None,
            route: Some(server.route.clone().unwrap_or_default()),
            locality: Some(locality.to_owned()),
            backup: Some(server.backup),
            agent: Some(agent),
        }
    }

    /// The parameters that differ, if any.
    fn between(earlier: &Server, now: &Server) -> Option<Self> {
        fn differing<T: PartialEq>(earlier: Option<T>, now: Option<T>) -> Option<T> {
            now.filter(|now| earlier.as_ref() != Some(now))
        }
        let (earlier, now) = (Self::to(earlier), Self::to(now));
        let change = Self {
            weight: differing(earlier.weight, now.weight),
            max_conns: differing(earlier.max_conns, now.max_conns),
            max_fails: differing(earlier.max_fails, now.max_fails),
            fail_timeout: differing(earlier.fail_timeout, now.fail_timeout),
            slow_start: differing(earlier.slow_start, now.slow_start),
            down: differing(earlier.down, now.down),
            drain: differing(earlier.drain, now.drain),
            address: None,
            route: differing(earlier.route, now.route),
            locality: differing(earlier.locality, now.locality),
            backup: differing(earlier.backup, now.backup),
            agent: differing(earlier.agent, now.agent),
        };
        (change != Self::default()).then_some(change)
    }
}

/// Removes servers; a name goes with all its addresses.
pub(super) fn remove_all(gone: &HashSet<ServerId>, roster: &mut Roster, lines: &mut Lines) {
    if gone.is_empty() {
        return;
    }
    roster.hosts.retain(|host| !gone.contains(&host.id));
    lines.retain(|peer| match peer.origin {
        Origin::Resolved(name) => !gone.contains(&name),
        _ => !gone.contains(&peer.id),
    });
}

/// Changes servers as [`Lines::change`] does, all in one pass: an address of a name as the name,
/// and then for itself.
pub(super) fn change_all(
    changes: &HashMap<ServerId, Change>,
    roster: &mut Roster,
    lines: &mut Lines,
) {
    if changes.is_empty() {
        return;
    }
    for host in &mut roster.hosts {
        if let Some(change) = changes.get(&host.id) {
            *host = Arc::new(host.changed(change));
        }
    }
    let mut fresh = Lines::default();
    for backup in [false, true] {
        for peer in lines.get(backup) {
            let name = match peer.origin {
                Origin::Resolved(name) => name,
                _ => peer.id,
            };
            let of_name = changes.get(&name).filter(|_| name != peer.id);
            let (mut peer, mut backup) = (Arc::clone(peer), backup);
            for change in of_name.into_iter().chain(changes.get(&peer.id)) {
                backup = change.backup.unwrap_or(backup);
                peer = Arc::new(peer.changed(change));
            }
            fresh.of(backup).push(peer);
        }
    }
    *lines = fresh;
}

#[cfg(test)]
mod tests;

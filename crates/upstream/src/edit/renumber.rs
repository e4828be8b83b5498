//! Numbers of servers that are to be as on another node, or as they were.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    edit::Change,
    peer::Peer,
    roster::{Host, Roster},
    server::{Origin, ServerId},
    set::Lines,
};

/// Gives servers other numbers, all at once. A number that another server has stays there.
pub(crate) fn renumber(numbers: &[(ServerId, ServerId)], roster: &mut Roster, lines: &mut Lines) {
    if numbers.iter().all(|(old, new)| old == new) {
        return;
    }
    let wanted: HashMap<ServerId, ServerId> = numbers.iter().copied().collect();
    let hosts = roster.hosts.iter().map(|host| host.id);
    let ids: Vec<ServerId> = hosts.chain(lines.iter().map(|peer| peer.id)).collect();
    let mut taken: HashSet<ServerId> =
        ids.iter().filter(|id| !wanted.contains_key(id)).copied().collect();
    let mut given = HashMap::new();
    let mut left = Vec::new();
    for id in ids {
        let Some(new) = wanted.get(&id) else { continue };
        match taken.insert(*new) {
            true => drop(given.insert(id, *new)),
            false => left.push(id),
        }
    }
    roster.skip_to(given.values().copied());
    for id in left {
        let new = if taken.insert(id) { id } else { roster.next_id() };
        given.insert(id, new);
    }
    apply(&given, roster, lines);
}

fn apply(given: &HashMap<ServerId, ServerId>, roster: &mut Roster, lines: &mut Lines) {
    for host in &mut roster.hosts {
        if let Some(id) = given.get(&host.id) {
            *host = Arc::new(Host { id: *id, ..host.changed(&Change::default()) });
        }
    }
    for listed in &mut roster.listed {
        listed.id = listed.id.map(|id| given.get(&id).copied().unwrap_or(id));
    }
    for peer in lines.iter_mut() {
        let origin = match peer.origin {
            Origin::Resolved(name) => Origin::Resolved(given.get(&name).copied().unwrap_or(name)),
            origin => origin,
        };
        let id = given.get(&peer.id).copied().unwrap_or(peer.id);
        if (id, origin) != (peer.id, peer.origin) {
            *peer = Arc::new(Peer { id, origin, ..Peer::clone(peer) });
        }
    }
    roster.hosts.sort_by_key(|host| host.id);
}

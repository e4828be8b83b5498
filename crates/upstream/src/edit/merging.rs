//! The merge of other nodes' edits into a group: what is later holds, parameter by parameter.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::listed::{change_all, remove_all};
use super::places::Found;
use super::renumber::renumber;
use crate::{
    clock::Now,
    edit::{Change, EditError, MAX_SERVERS, has},
    edited::{Class, Described, Edited, Param, State, Versions},
    group::Group,
    peer::Peer,
    roster::{Host, Roster},
    server::{Origin, Server, ServerId},
    set::Lines,
};

/// The limit of servers that a group knows edits of: all that it can have, and as many more.
const MOST_EDITS: usize = 2 * MAX_SERVERS;

/// A merge of edits into a group.
pub(super) struct Merging<'a> {
    group: &'a Group,
    pub(super) roster: &'a mut Roster,
    lines: Lines,
    /// The servers that are here.
    here: HashMap<String, ServerId>,
    changes: HashMap<ServerId, Change>,
    gone: HashSet<ServerId>,
    added: Vec<(String, Edited, Described)>,
    /// Other numbers that servers get.
    numbers: Vec<(ServerId, ServerId)>,
    /// What other nodes have to be told.
    pub(super) again: Vec<String>,
    /// Whether there is something to be noted in the journal.
    pub(super) is_news: bool,
    /// The first reason for which edits are left out, and their number.
    pub(super) refused: Option<(String, usize)>,
}

impl<'a> Merging<'a> {
    pub(super) fn new(group: &'a Group, roster: &'a mut Roster) -> Self {
        let lines = group.lines();
        let places = roster.places(&lines).into_iter();
        let here = places.map(|(place, found)| (place, found.id())).collect();
        Self {
            group,
            roster,
            lines,
            here,
            changes: HashMap::new(),
            gone: HashSet::new(),
            added: Vec::new(),
            numbers: Vec::new(),
            again: Vec::new(),
            is_news: false,
            refused: None,
        }
    }

    pub(super) fn refuse(&mut self, reason: &str) {
        let refused = self.refused.get_or_insert_with(|| (reason.to_owned(), 0));
        refused.1 += 1;
    }

    fn keep(&mut self, place: String, edited: Edited) {
        self.is_news = true;
        self.roster.edits.insert(place, edited);
    }

    /// Takes one record.
    pub(super) fn take(&mut self, place: String, edited: Option<Edited>) {
        let Some(theirs) = edited else { return self.take_removal(&place) };
        let newest = theirs.version.max(theirs.params.newest());
        if !self.roster.edits.see(newest) {
            return self.refuse("it is from the far future, so a clock is wrong");
        }
        if let State::Awaited(server) = &theirs.state
            && Class::of(&place) == Class::Own
            && server.own_place().as_ref() != Some(&place)
        {
            return self.refuse("it is about another server than its key");
        }
        if self.roster.edits.by_place.len() >= MOST_EDITS {
            return self.refuse("there are too many");
        }
        match self.here.get(&place).copied() {
            Some(id) if !self.gone.contains(&id) => self.take_for(place, id, theirs),
            _ => self.take_without(place, theirs),
        }
    }

    /// Takes that another node knows nothing of a server any more: its source or its name has lost
    /// it, or the configuration says something else there.
    fn take_removal(&mut self, place: &str) {
        let Some(known) = self.roster.edits.of(place) else { return };
        match known.state {
            State::Here | State::Gone { written: true } => self.again.push(place.to_owned()),
            State::Gone { written: false } | State::Awaited(_) => {
                self.is_news |= self.roster.edits.remove(place);
            }
        }
    }

    /// Takes a record of a server that is here.
    fn take_for(&mut self, place: String, id: ServerId, theirs: Edited) {
        let class = Class::of(&place);
        let mine = self.roster.edits.of(&place).cloned().unwrap_or_default();
        let server = match theirs.state {
            State::Awaited(server) => server,
            State::Here => return,
            State::Gone { .. } if class == Class::Resolved => return,
            State::Gone { .. } if theirs.version < mine.version => return self.again.push(place),
            State::Gone { .. } => {
                self.gone.insert(id);
                let addresses = self.roster.edits.forget_addresses(&place);
                self.again.extend(addresses);
                return self.keep(place, theirs);
            }
        };
        let Some(found) = self.roster.find(id, &self.lines) else { return };
        let above = self.above(found);
        let known = Change::to(&found.describe().server);
        let is_of_file = class == Class::Own && self.group.config.state.is_some();
        let merger = Merger { mine, above, known, compares: class == Class::Own, is_of_file };
        let theirs = Edited { state: State::Here, ..theirs };
        let Merged { edited, mut change, is_older } = merger.merge(&theirs, &server.server);
        if class == Class::Resolved {
            // It is the name's.
            change.backup = None;
        }
        if let Err(error) = self.group.check(&change) {
            return self.refuse(&error.to_string());
        }
        let mine = &merger.mine;
        if theirs.version > mine.version && class == Class::Own && server.id != id {
            self.numbers.push((id, server.id));
        }
        if is_older || theirs.version < mine.version {
            self.again.push(place.clone());
        }
        self.keep_addresses(id, &place, &edited, &change);
        if change != Change::default() {
            self.changes.entry(id).or_default().fill(&change);
        }
        if edited != *mine {
            self.keep(place, edited);
        }
    }

    /// The versions of the name that a server is an address of.
    fn above(&self, found: Found<'_>) -> Versions {
        let Found::Peer(peer, _) = found else { return Versions::default() };
        let Origin::Resolved(name) = peer.origin else { return Versions::default() };
        let host = self.roster.hosts.iter().find(|host| host.id == name);
        let edited = host.and_then(|host| self.roster.edits.of(&host.place()));
        edited.map(|edited| edited.params).unwrap_or_default()
    }

    /// Lets a change of a name leave what was edited later about its addresses.
    fn keep_addresses(&mut self, id: ServerId, place: &str, edited: &Edited, change: &Change) {
        let start = format!("resolved {place} ");
        if *change == Change::default() || !self.here.keys().any(|it| it.starts_with(&start)) {
            return;
        }
        let is_its = |peer: &Peer| peer.origin == Origin::Resolved(id);
        for peer in self.lines.iter().filter(|peer| is_its(peer)) {
            let own = self.roster.place_of(peer).and_then(|it| self.roster.edits.of(&it).cloned());
            let Some(own) = own else { continue };
            let known = Change::to(&peer.as_server(false));
            let is_later = |param: &Param| own.params.of(*param) > edited.params.of(*param);
            let later = change.params().filter(is_later).filter(|it| *it != Param::Backup);
            let kept = self.changes.entry(peer.id).or_default();
            for param in later {
                // What has come for it in the meantime precedes.
                if kept.only(param) == Change::default() {
                    kept.set(param, &known);
                }
            }
        }
    }

    /// Takes a record of a server that is not here.
    fn take_without(&mut self, place: String, theirs: Edited) {
        let class = Class::of(&place);
        let mine = self.roster.edits.of(&place).cloned();
        let is_gone = |mine: &Edited| matches!(mine.state, State::Gone { .. });
        let (mine, gone) = match mine {
            Some(mine) if is_gone(&mine) => (None, Some(mine.version)),
            mine => (mine, None),
        };
        match &theirs.state {
            State::Here => {}
            State::Gone { .. } if class == Class::Resolved => {}
            State::Gone { .. } if gone.is_some_and(|gone| theirs.version < gone) => {
                self.again.push(place);
            }
            State::Gone { .. } if gone.is_some_and(|gone| theirs.version == gone) => {}
            State::Gone { .. } => self.keep(place, theirs),
            State::Awaited(_) if gone.is_some_and(|gone| theirs.version <= gone) => {
                self.again.push(place);
            }
            State::Awaited(server) => {
                let is_of_file = self.group.config.state.is_some();
                if class == Class::Own && (theirs.version > 0 || is_of_file) {
                    let server = (**server).clone();
                    return self.added.push((place, theirs, server));
                }
                self.keep(place, later_of(mine, theirs));
            }
        }
    }

    /// Changes the group. `false` if nothing is to be changed.
    pub(super) fn end(&mut self) -> bool {
        let is_none = self.changes.is_empty() && self.gone.is_empty() && self.numbers.is_empty();
        if is_none && self.added.is_empty() {
            self.again.extend(self.roster.edits.forget_oldest());
            return false;
        }
        remove_all(&self.gone, self.roster, &mut self.lines);
        change_all(&self.changes, self.roster, &mut self.lines);
        renumber(&self.numbers, self.roster, &mut self.lines);
        for (place, edited, server) in std::mem::take(&mut self.added) {
            self.add(place, edited, server);
        }
        self.roster.hosts.sort_by_key(|host| host.id);
        self.again.extend(self.roster.edits.forget_oldest());
        self.group.line_up(self.lines.clone());
        true
    }

    fn add(&mut self, place: String, edited: Edited, described: Described) {
        let (group, server) = (self.group, &described.server);
        let count = self.lines.iter().count() + self.roster.hosts.len();
        let allowed = match &server.resolve {
            _ if count >= MAX_SERVERS => Err(EditError::Full),
            Some(_) if group.config.resolver.is_none() => Err(EditError::NoResolver),
            _ => group.check(&Change::to(server)),
        };
        if let Err(error) = allowed {
            return self.refuse(&error.to_string());
        }
        self.is_news = true;
        if described.twin == 0 && has(server, self.roster, &self.lines) {
            // Its source has listed it here.
            return self.roster.edits.insert(place, edited);
        }
        add(described, self.roster, &mut self.lines);
        self.roster.edits.insert(place, Edited { state: State::Here, ..edited });
    }
}

/// Adds a server of another node.
fn add(described: Described, roster: &mut Roster, lines: &mut Lines) {
    let Described { id, twin, server, .. } = described;
    let id = roster.number_as(id, lines);
    if let Some(name) = server.resolve.clone() {
        let host = Host { twin, ..Host::new(id, Origin::RunTime, server, name) };
        return roster.hosts.push(Arc::new(host));
    }
    let Server { text, addresses, limits, backup, route, .. } = server;
    let Some(address) = addresses.into_iter().next() else { return };
    let mut peer = Peer::new(address, &text, limits, route.as_deref());
    (peer.id, peer.origin, peer.twin) = (id, Origin::RunTime, twin);
    roster.admit(&mut peer);
    peer.recovers(Now::current());
    lines.of(backup).push(Arc::new(peer));
}

/// The later of two records of a server that is not here, parameter by parameter.
fn later_of(mine: Option<Edited>, theirs: Edited) -> Edited {
    let Some(mut mine) = mine else { return theirs };
    let (State::Awaited(known), State::Awaited(server)) = (&mut mine.state, &theirs.state) else {
        return theirs;
    };
    let all = Change::to(&server.server);
    let mut change = Change::default();
    for (param, _) in Param::ALL {
        let version = theirs.params.of(param);
        if version > mine.params.of(param) {
            mine.params.set(param, version);
            change.set(param, &all);
        }
    }
    known.server.change(&change);
    mine.version = mine.version.max(theirs.version);
    mine
}

/// What is known here of a server that another node has edited.
struct Merger {
    mine: Edited,
    /// The versions of its name.
    above: Versions,
    /// Its parameters.
    known: Change,
    /// Whether equal versions are to have equal values: not if a source may have changed them.
    compares: bool,
    /// Whether version 0 is a file's, which differs from node to node.
    is_of_file: bool,
}

struct Merged {
    edited: Edited,
    change: Change,
    /// Whether something of the other node is older than what is here.
    is_older: bool,
}

impl Merger {
    fn merge(&self, theirs: &Edited, server: &Server) -> Merged {
        let all = Change::to(server);
        let mut edited = self.mine.clone();
        edited.state = State::Here;
        edited.version = edited.version.max(theirs.version);
        let (mut change, mut is_older) = (Change::default(), false);
        for (param, _) in Param::ALL {
            let (old, new) = (self.mine.params.of(param), theirs.params.of(param));
            let (known, wanted) = (self.known.only(param), all.only(param));
            let is_tie =
                old == new && known != wanted && self.compares && (new > 0 || self.is_of_file);
            // Any order will do that is the same on all nodes.
            let is_larger = || format!("{wanted:?}") > format!("{known:?}");
            if new > old {
                edited.params.set(param, new);
            }
            if (new > old && new > self.above.of(param)) || (is_tie && is_larger()) {
                change.set(param, &all);
            } else if new < old || is_tie {
                is_older = true;
            }
        }
        Merged { edited, change, is_older }
    }
}

//! The places of servers in a group, by which nodes tell them apart, and what was edited there.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    edit::Change,
    edited::{Described, Param, State, Versions, place_of_address, place_of_name},
    peer::Peer,
    quoted::quoted,
    roster::{Host, Roster},
    server::{Origin, Server, ServerId},
    set::Lines,
};

impl Host {
    pub(crate) fn place(&self) -> String {
        place_of_name(self.origin == Origin::Listed, &self.name, self.twin)
    }

    /// The place of one of its addresses. `target` is that of a service.
    pub(crate) fn place_of(&self, address: &str, target: &str) -> String {
        let mut place = format!("resolved {} {}", self.place(), quoted(address));
        if self.name.service.is_some() {
            place.push(' ');
            place.push_str(&quoted(target));
        }
        place
    }
}

/// A server in a roster: a name, or a peer with its side.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    Host(&'a Host),
    Peer(&'a Peer, bool),
}

impl Found<'_> {
    pub(crate) fn id(self) -> ServerId {
        match self {
            Self::Host(host) => host.id,
            Self::Peer(peer, _) => peer.id,
        }
    }

    fn origin(self) -> Origin {
        match self {
            Self::Host(host) => host.origin,
            Self::Peer(peer, _) => peer.origin,
        }
    }

    /// The parameters of the server, with its only address or its name.
    pub(crate) fn describe(self) -> Described {
        let (server, twin) = match self {
            Self::Host(host) => (host.server.clone(), host.twin),
            Self::Peer(peer, backup) => (peer.as_server(backup), peer.twin),
        };
        Described { id: self.id(), is_conf: self.origin() == Origin::Conf, twin, server }
    }
}

impl Roster {
    /// The servers by place.
    pub(crate) fn places<'a>(&'a self, lines: &'a Lines) -> BTreeMap<String, Found<'a>> {
        let mut found = BTreeMap::new();
        for host in &self.hosts {
            found.insert(host.place(), Found::Host(host));
        }
        for backup in [false, true] {
            for peer in lines.get(backup) {
                if let Some(place) = self.place_of(peer) {
                    found.insert(place, Found::Peer(peer, backup));
                }
            }
        }
        found
    }

    /// The place of a peer.
    pub(crate) fn place_of(&self, peer: &Peer) -> Option<String> {
        match peer.origin {
            Origin::Conf | Origin::RunTime => Some(place_of_address(false, &peer.name, peer.twin)),
            Origin::Listed => Some(place_of_address(true, &peer.name, peer.twin)),
            Origin::Resolved(id) => {
                let host = self.hosts.iter().find(|host| host.id == id)?;
                Some(host.place_of(&peer.name, &peer.server))
            }
        }
    }

    /// The places of a name's addresses about which something was edited.
    pub(crate) fn places_of(&self, host: &Host, lines: &Lines) -> BTreeSet<String> {
        if self.edits.is_empty() {
            return BTreeSet::new();
        }
        let its = lines.iter().filter(|peer| peer.origin == Origin::Resolved(host.id));
        let places = its.map(|peer| host.place_of(&peer.name, &peer.server));
        places.filter(|place| self.edits.of(place).is_some()).collect()
    }

    /// The server with that number.
    pub(crate) fn find<'a>(&'a self, id: ServerId, lines: &'a Lines) -> Option<Found<'a>> {
        if let Some(host) = self.hosts.iter().find(|host| host.id == id) {
            return Some(Found::Host(host));
        }
        [false, true].into_iter().find_map(|backup| {
            let peer = lines.get(backup).iter().find(|peer| peer.id == id)?;
            Some(Found::Peer(peer, backup))
        })
    }

    /// The server at a place.
    pub(crate) fn find_at<'a>(&'a self, place: &str, lines: &'a Lines) -> Option<Found<'a>> {
        if let Some(host) = self.hosts.iter().find(|host| host.place() == place) {
            return Some(Found::Host(host));
        }
        // A place has the address as it is, unless it has to be escaped.
        let may_be = |peer: &Peer| place.contains(&peer.name) || peer.name.contains(['"', '\\']);
        let is_it =
            |peer: &Peer| may_be(peer) && self.place_of(peer).is_some_and(|its| its == place);
        [false, true].into_iter().find_map(|backup| {
            let peer = lines.get(backup).iter().find(|peer| is_it(peer))?;
            Some(Found::Peer(peer, backup))
        })
    }

    /// The place of the server with that number.
    pub(crate) fn place_of_id(&self, id: ServerId, lines: &Lines) -> Option<String> {
        match self.find(id, lines)? {
            Found::Host(host) => Some(host.place()),
            Found::Peer(peer, _) => self.place_of(peer),
        }
    }

    /// After edits were read: those whose server is here need not wait for it.
    pub(crate) fn settle_edits(&mut self, lines: &Lines) {
        let here: HashSet<String> = self.places(lines).into_keys().collect();
        self.edits.by_place.retain(|place, edited| match edited.state {
            State::Awaited(_) if here.contains(place) => {
                edited.state = State::Here;
                true
            }
            State::Here => here.contains(place),
            State::Gone { .. } | State::Awaited(_) => true,
        });
    }

    /// What was edited elsewhere about an address of a name, before it was known here.
    pub(crate) fn awaited_of(&mut self, host: &Host, place: &str) -> Option<Change> {
        let above = self.edits.of(&host.place()).map(|edited| edited.params).unwrap_or_default();
        self.awaited(place, above)
    }

    /// What was edited elsewhere about a server, before it was known here. Later edits of its name
    /// precede.
    pub(crate) fn awaited(&mut self, place: &str, above: Versions) -> Option<Change> {
        let edited = self.edits.by_place.get_mut(place)?;
        let State::Awaited(described) = &edited.state else { return None };
        let all = Change::to(&described.server);
        let mut change = Change::default();
        for (param, _) in Param::ALL {
            if edited.params.of(param) > above.of(param) {
                change.set(param, &all);
            }
        }
        edited.state = State::Here;
        Some(change)
    }
}

impl Peer {
    /// The peer as a server with one address.
    pub(crate) fn as_server(&self, backup: bool) -> Server {
        Server {
            text: self.server.clone(),
            addresses: vec![self.address.clone()],
            limits: self.limits.clone(),
            backup,
            route: self.own_route().map(str::to_owned),
            resolve: None,
        }
    }
}

impl Change {
    /// Takes one parameter of another change.
    pub(crate) fn set(&mut self, param: Param, other: &Self) {
        match param {
            Param::Weight => self.weight = other.weight,
            Param::MaxConns => self.max_conns = other.max_conns,
            Param::MaxFails => self.max_fails = other.max_fails,
            Param::FailTimeout => self.fail_timeout = other.fail_timeout,
            Param::SlowStart => self.slow_start = other.slow_start,
            Param::Admission => (self.down, self.drain) = (other.down, other.drain),
            Param::Route => self.route.clone_from(&other.route),
            Param::Locality => self.locality.clone_from(&other.locality),
            Param::Backup => self.backup = other.backup,
            Param::Agent => self.agent = other.agent,
        }
    }

    /// Takes all parameters that another change has.
    pub(crate) fn fill(&mut self, other: &Self) {
        other.params().for_each(|param| self.set(param, other));
    }

    /// Only one parameter of it.
    pub(crate) fn only(&self, param: Param) -> Self {
        let mut only = Self::default();
        only.set(param, self);
        only
    }

    /// The parameters that it changes, its address apart.
    pub(crate) fn params(&self) -> impl Iterator<Item = Param> {
        let all = Param::ALL.into_iter().map(|(param, _)| param);
        all.filter(|&param| self.only(param) != Self::default())
    }
}

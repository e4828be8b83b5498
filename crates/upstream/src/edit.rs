//! Changes of a group at run time: servers are added, changed and removed while requests are
//! balanced. A request on a removed server finishes there.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use weir_engine::{Addr, event_loop::on_a_thread};

pub(crate) mod listed;
mod merging;
pub(crate) mod places;
pub(crate) mod renumber;
pub(crate) mod shared;

use crate::{
    agent::config::AgentAddress,
    clock::Now,
    group::Group,
    locality::MAX_LOCALITY,
    peer::{Peer, default_sid},
    roster::{Host, Roster},
    server::{Admission, Limits, MAX_ROUTE, Origin, Server, ServerId, SlowStart},
    set::Lines,
};

/// The limit of servers in one group, names included. Some methods look at all of them for each
/// request, so such a group gets slow long before.
pub const MAX_SERVERS: usize = 1 << 16;

/// One change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds a server: at addresses, or at a name to be resolved.
    Add(Server),
    /// Changes a server. A change of a name applies to all its addresses.
    Change(ServerId, Change),
    /// Removes a server; a name is removed with all its addresses.
    Remove(ServerId),
}

/// The parameters of a server to change; `None` keeps a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// `weight`, at least 1.
    pub weight: Option<u32>,
    /// `max_conns`, 0 is unlimited.
    pub max_conns: Option<u64>,
    /// `max_fails`, 0 never disables the server.
    pub max_fails: Option<u64>,
    /// `fail_timeout` in seconds.
    pub fail_timeout: Option<i64>,
    /// `slow_start`.
    pub slow_start: Option<SlowStart>,
    /// `down`, which precedes `drain`.
    pub down: Option<bool>,
    /// `drain`.
    pub drain: Option<bool>,
    /// The server as written, with its only address. It begins with new state, under its number.
    pub address: Option<(String, Addr)>,
    /// `route`; an empty one is none.
    pub route: Option<String>,
    /// `locality`; an empty one is none.
    pub locality: Option<String>,
    /// `backup`.
    pub backup: Option<bool>,
    /// `agent_addr`, `agent_port`.
    pub agent: Option<AgentAddress>,
}

/// The reason for a refused edit. The group is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The upstream has no `zone`.
    Static,
    /// No such server.
    NotFound(ServerId),
    /// The address of a name, which is removed only with the name.
    Immutable(ServerId),
    /// The address of a name, or a name, which is not changed.
    AddressImmutable(ServerId),
    /// The group has this server.
    Exists,
    /// `backup` of an address is that of its name.
    BackupImmutable(ServerId),
    /// The weight comes from the service.
    WeightImmutable(ServerId),
    /// The balancing method has no backup servers.
    NoBackup,
    /// The balancing method has no slow start.
    NoSlowStart,
    /// A weight of zero.
    BadWeight,
    /// A negative time.
    BadFailTimeout,
    /// A route longer than [`MAX_ROUTE`].
    RouteTooLong,
    /// A locality longer than [`MAX_LOCALITY`].
    LocalityTooLong,
    /// A server without an address or a name.
    NoAddress,
    /// A name without a `resolver`.
    NoResolver,
    /// The change is in force, but the `state` file could not be written, for this reason.
    NotSaved(String),
    /// The group would exceed [`MAX_SERVERS`].
    Full,
}

impl fmt::Display for EditError {
    /// In the wording of nginx's API where it has one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static => f.write_str("upstream is static"),
            Self::NotFound(id) => write!(f, "server with ID \"{id}\" does not exist"),
            Self::Immutable(id) => write!(f, "server \"{id}\" not removable"),
            Self::AddressImmutable(id) => write!(f, "server \"{id}\" address is immutable"),
            Self::Exists => f.write_str("entry exists"),
            Self::BackupImmutable(id) => write!(f, "server \"{id}\" backup is immutable"),
            Self::WeightImmutable(id) => write!(f, "server \"{id}\" weight is immutable"),
            Self::NoBackup => f.write_str("upstream has no backup"),
            Self::NoSlowStart => f.write_str("invalid \"slow_start\""),
            Self::BadWeight => f.write_str("invalid \"weight\""),
            Self::BadFailTimeout => f.write_str("invalid \"fail_timeout\""),
            Self::RouteTooLong => f.write_str("route is too long"),
            Self::LocalityTooLong => f.write_str("locality is too long"),
            Self::NoAddress => f.write_str("missing \"server\" argument"),
            Self::NoResolver => f.write_str("no resolver defined to resolve"),
            Self::NotSaved(reason) => write!(f, "in force, but not saved: {reason}"),
            Self::Full => write!(f, "more than {MAX_SERVERS} servers"),
        }
    }
}

impl std::error::Error for EditError {}

impl Group {
    /// Changes the group and returns the numbers of added servers. Picks that begin afterwards see
    /// the change. A group whose configuration was replaced forwards the edit to its heir.
    ///
    /// A large ring of a consistent hash and a `state` file take long, so a loop calls
    /// [`edit_beside`](Self::edit_beside).
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn edit(&self, edit: &Edit) -> Result<Vec<ServerId>, EditError> {
        let mut roster = self.roster();
        if let Some(heir) = roster.heir() {
            drop(roster);
            return heir.edit(edit);
        }
        if self.config.zone.is_none() {
            return Err(EditError::Static);
        }
        let mut lines = self.lines();
        let mut ids = Vec::new();
        let before = edit.id().and_then(|id| place(id, &roster, &lines));
        match edit {
            Edit::Add(server) => ids = self.add(server, &mut roster, &mut lines)?,
            Edit::Change(id, change) => {
                self.check(change)?;
                self.change(*id, change, &mut roster, &mut lines)?;
            }
            Edit::Remove(id) => remove(*id, &mut roster, &mut lines)?,
        }
        let places = shared::mark(edit, before, &ids, &mut roster, &lines);
        self.share(&places, &roster, &lines);
        self.line_up(lines);
        self.note(&roster);
        self.tell_names_change();
        drop(roster);
        self.save()?;
        Ok(ids)
    }

    /// As [`edit`](Self::edit), on another thread if a ring has to be built or a file to be
    /// written.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub async fn edit_beside(self: &Arc<Self>, edit: Edit) -> Result<Vec<ServerId>, EditError> {
        if !self.method().needs_ring() && self.config.state.is_none() {
            return self.edit(&edit);
        }
        let (group, again) = (Arc::clone(self), edit.clone());
        match on_a_thread(move || group.edit(&edit)).await {
            Ok(done) => done,
            // No thread could be started.
            Err(_) => self.edit(&again),
        }
    }

    fn add(
        &self,
        server: &Server,
        roster: &mut Roster,
        lines: &mut Lines,
    ) -> Result<Vec<ServerId>, EditError> {
        let Limits { weight, fail_timeout, slow_start, .. } = server.limits;
        let locality = server.limits.locality.as_deref().map(str::to_owned);
        self.check(&Change {
            weight: Some(weight),
            fail_timeout: Some(fail_timeout),
            slow_start: Some(slow_start),
            route: server.route.clone(),
            locality,
            backup: Some(server.backup),
            ..Change::default()
        })?;
        let mut more = server.addresses.len();
        if server.resolve.is_some() {
            self.config.resolver.as_ref().ok_or(EditError::NoResolver)?;
            more = 1;
        }
        if more == 0 {
            return Err(EditError::NoAddress);
        }
        if lines.iter().count() + roster.hosts.len() + more > MAX_SERVERS {
            return Err(EditError::Full);
        }
        if has(server, roster, lines) {
            return Err(EditError::Exists);
        }
        let ids = roster.add(server, Origin::RunTime, lines);
        let now = Now::current();
        ids.iter().filter_map(|id| lines.find(*id)).for_each(|peer| peer.recovers(now));
        Ok(ids)
    }

    /// Checks the values of a change against the group.
    fn check(&self, change: &Change) -> Result<(), EditError> {
        let Change { weight, fail_timeout, slow_start, route, locality, backup, .. } = change;
        if *weight == Some(0) {
            return Err(EditError::BadWeight);
        }
        if fail_timeout.is_some_and(|seconds| seconds < 0) {
            return Err(EditError::BadFailTimeout);
        }
        if route.as_ref().is_some_and(|route| route.len() > MAX_ROUTE) {
            return Err(EditError::RouteTooLong);
        }
        if locality.as_ref().is_some_and(|name| name.len() > MAX_LOCALITY) {
            return Err(EditError::LocalityTooLong);
        }
        let is_slow = slow_start.is_some_and(|start| start != SlowStart::Off);
        if is_slow && !self.method().knows_slow_start() {
            return Err(EditError::NoSlowStart);
        }
        if *backup == Some(true) && !self.method().knows_backup() {
            return Err(EditError::NoBackup);
        }
        Ok(())
    }

    fn change(
        &self,
        id: ServerId,
        change: &Change,
        roster: &mut Roster,
        lines: &mut Lines,
    ) -> Result<(), EditError> {
        if let Some(host) = roster.hosts.iter_mut().find(|host| host.id == id) {
            if change.address.is_some() {
                return Err(EditError::AddressImmutable(id));
            }
            *host = Arc::new(host.changed(change));
            for id in lines.ids_of(id) {
                lines.change(id, change);
            }
            return Ok(());
        }
        let peer = lines.find(id).ok_or(EditError::NotFound(id))?;
        if let Origin::Resolved(parent) = peer.origin {
            let of_service = |host: &&Arc<Host>| {
                host.id == parent && host.name.service.is_some() && host.server.limits.weight == 1
            };
            if change.weight.is_some() && roster.hosts.iter().any(|host| of_service(&host)) {
                return Err(EditError::WeightImmutable(id));
            }
            if change.backup.is_some() {
                return Err(EditError::BackupImmutable(id));
            }
            if change.address.is_some() {
                return Err(EditError::AddressImmutable(id));
            }
        }
        if let Some((_, address)) = &change.address
            && lines.iter().any(|peer| peer.id != id && is_fixed_at(peer, address))
        {
            return Err(EditError::Exists);
        }
        lines.change(id, change);
        if change.address.is_some()
            && let Some(peer) = lines.iter_mut().find(|peer| peer.id == id)
            && let Some(peer) = Arc::get_mut(peer).filter(|peer| peer.counters.is_none())
        {
            roster.admit(peer);
        }
        Ok(())
    }
}

impl Edit {
    /// The number of the server that it changes or removes.
    fn id(&self) -> Option<ServerId> {
        match self {
            Self::Add(_) => None,
            Self::Change(id, _) | Self::Remove(id) => Some(*id),
        }
    }
}

/// The place of a server, and whether the configuration has it.
fn place(id: ServerId, roster: &Roster, lines: &Lines) -> Option<(String, bool)> {
    let place = roster.place_of_id(id, lines)?;
    Some((place, roster.find(id, lines)?.describe().is_conf))
}

/// Whether a group has the name of a server, or one of its addresses.
fn has(server: &Server, roster: &Roster, lines: &Lines) -> bool {
    match &server.resolve {
        Some(name) => roster.hosts.iter().any(|host| host.name == *name),
        None => {
            let mut addresses = server.addresses.iter();
            addresses.any(|address| lines.iter().any(|peer| is_fixed_at(peer, address)))
        }
    }
}

/// Whether a peer has this address, and not from a name.
fn is_fixed_at(peer: &Peer, address: &Addr) -> bool {
    peer.address == *address && !matches!(peer.origin, Origin::Resolved(_))
}

fn remove(id: ServerId, roster: &mut Roster, lines: &mut Lines) -> Result<(), EditError> {
    if let Some(place) = roster.hosts.iter().position(|host| host.id == id) {
        roster.hosts.remove(place);
        lines.retain(|peer| peer.origin != Origin::Resolved(id));
        return Ok(());
    }
    let peer = lines.find(id).ok_or(EditError::NotFound(id))?;
    if matches!(peer.origin, Origin::Resolved(_)) {
        return Err(EditError::Immutable(id));
    }
    lines.retain(|peer| peer.id != id);
    Ok(())
}

impl Lines {
    fn ids_of(&self, name: ServerId) -> Vec<ServerId> {
        let is_its = |peer: &&Arc<Peer>| peer.origin == Origin::Resolved(name);
        self.iter().filter(is_its).map(|peer| peer.id).collect()
    }

    /// Replaces a peer by a changed one with the same state. A peer that changes between primary
    /// and backup becomes the last of its new line.
    fn change(&mut self, id: ServerId, change: &Change) {
        for backup in [false, true] {
            let line = self.of(backup);
            let Some(place) = line.iter().position(|peer| peer.id == id) else { continue };
            let changed = Arc::new(line[place].changed(change));
            if change.backup.is_none_or(|wanted| wanted == backup) {
                line[place] = changed;
            } else {
                line.remove(place);
                self.of(!backup).push(changed);
            }
            return;
        }
    }
}

impl Change {
    fn limits(&self, limits: &Limits) -> Limits {
        Limits {
            weight: self.weight.unwrap_or(limits.weight),
            max_conns: self.max_conns.unwrap_or(limits.max_conns),
            max_fails: self.max_fails.unwrap_or(limits.max_fails),
            fail_timeout: self.fail_timeout.unwrap_or(limits.fail_timeout),
            slow_start: self.slow_start.unwrap_or(limits.slow_start),
            admission: self.admission(limits.admission),
            agent: self.agent.unwrap_or(limits.agent),
            locality: match self.locality.as_deref() {
                None => limits.locality.clone(),
                Some("") => None,
                Some(name) => Some(name.into()),
            },
        }
    }
}

impl Change {
    fn admission(&self, before: Admission) -> Admission {
        let drains = self.drain.unwrap_or(before == Admission::Draining);
        match self.down.unwrap_or(before == Admission::Down) {
            true => Admission::Down,
            false if drains => Admission::Draining,
            false => Admission::Open,
        }
    }
}

impl Peer {
    pub(crate) fn changed(&self, change: &Change) -> Self {
        let mut changed = self.clone();
        if let Some((text, address)) = &change.address
            && *address != self.address
        {
            changed = self.moved(text, address);
        }
        changed.limits = change.limits(&self.limits);
        if let Some(route) = &change.route {
            changed.sid = match route.as_str() {
                "" => default_sid(&changed.name),
                route => route.to_owned(),
            };
        }
        if change.address.as_ref().is_none_or(|(_, address)| *address == self.address) {
            changed.inherit(self);
        }
        if self.limits.admission == Admission::Down && changed.limits.admission != Admission::Down {
            changed.recovers(Now::current());
        }
        changed.settle();
        changed
    }

    /// A peer with new state in place of this one, to be admitted.
    fn moved(&self, text: &str, address: &Addr) -> Self {
        let mut moved = Self::new(address.clone(), text, self.limits.clone(), self.own_route());
        (moved.id, moved.origin) = (self.id, self.origin);
        moved.recovers(Now::current());
        moved
    }
}

impl Server {
    /// Changes its parameters.
    fn change(&mut self, change: &Change) {
        self.limits = change.limits(&self.limits);
        self.backup = change.backup.unwrap_or(self.backup);
        if let Some(route) = &change.route {
            self.route = (!route.is_empty()).then(|| route.clone());
        }
    }
}

impl Host {
    pub(crate) fn changed(&self, change: &Change) -> Self {
        let mut server = self.server.clone();
        server.change(change);
        let changed = Self::new(self.id, self.origin, server, self.name.clone());
        let changed = Self { twin: self.twin, ..changed };
        changed.valid.store(self.valid.load(Relaxed), Relaxed);
        changed
    }
}

#[cfg(test)]
mod tests;

//! Changes of a group at run time: servers are added, changed and removed while requests are
//! balanced. A request on a removed server finishes there.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use weir_engine::event_loop::on_a_thread;

use crate::{
    clock::Now,
    group::Group,
    peer::{Peer, default_sid},
    roster::{Host, Roster},
    server::{Admission, Limits, MAX_ROUTE, Origin, Server, ServerId},
    set::Lines,
};

/// The limit of servers in one group, names included. Balancing walks over all of them per request,
/// so a group gets slow long before.
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
    /// `slow_start` in milliseconds, 0 is none.
    pub slow_start: Option<u64>,
    /// `down` and `drain`.
    pub admission: Option<Admission>,
    /// `route`; an empty one is none.
    pub route: Option<String>,
    /// `backup`.
    pub backup: Option<bool>,
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
    /// A server without an address or a name.
    NoAddress,
    /// A name without a `resolver`.
    NoResolver,
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
            Self::BackupImmutable(id) => write!(f, "server \"{id}\" backup is immutable"),
            Self::WeightImmutable(id) => write!(f, "server \"{id}\" weight is immutable"),
            Self::NoBackup => f.write_str("upstream has no backup"),
            Self::NoSlowStart => f.write_str("invalid \"slow_start\""),
            Self::BadWeight => f.write_str("invalid \"weight\""),
            Self::BadFailTimeout => f.write_str("invalid \"fail_timeout\""),
            Self::RouteTooLong => f.write_str("route is too long"),
            Self::NoAddress => f.write_str("missing \"server\" argument"),
            Self::NoResolver => f.write_str("no resolver defined to resolve"),
            Self::Full => write!(f, "more than {MAX_SERVERS} servers"),
        }
    }
}

impl std::error::Error for EditError {}

impl Group {
    /// Changes the group and returns the numbers of added servers. Picks that begin afterwards see
    /// the change. A group whose configuration was replaced forwards the edit to its heir.
    ///
    /// A large ring of a consistent hash takes long, so a loop calls
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
        match edit {
            Edit::Add(server) => ids = self.add(server, &mut roster, &mut lines)?,
            Edit::Change(id, change) => {
                self.check(change)?;
                self.change(*id, change, &mut roster, &mut lines)?;
            }
            Edit::Remove(id) => remove(*id, &mut roster, &mut lines)?,
        }
        self.line_up(lines);
        self.tell_names_change();
        Ok(ids)
    }

    /// As [`edit`](Self::edit), on another thread if a ring has to be built.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub async fn edit_beside(self: &Arc<Self>, edit: Edit) -> Result<Vec<ServerId>, EditError> {
        if !self.method().needs_ring() {
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
        self.check(&Change {
            weight: Some(weight),
            fail_timeout: Some(fail_timeout),
            slow_start: Some(slow_start),
            route: server.route.clone(),
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
        let ids = roster.add(server, Origin::RunTime, lines);
        let now = Now::current();
        ids.iter().filter_map(|id| lines.find(*id)).for_each(|peer| peer.recovers(now));
        Ok(ids)
    }

    /// Checks the values of a change against the group.
    fn check(&self, change: &Change) -> Result<(), EditError> {
        let Change { weight, fail_timeout, slow_start, route, backup, .. } = change;
        if *weight == Some(0) {
            return Err(EditError::BadWeight);
        }
        if fail_timeout.is_some_and(|seconds| seconds < 0) {
            return Err(EditError::BadFailTimeout);
        }
        if route.as_ref().is_some_and(|route| route.len() > MAX_ROUTE) {
            return Err(EditError::RouteTooLong);
        }
        if slow_start.is_some_and(|time| time != 0) && !self.method().knows_slow_start() {
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
        }
        lines.change(id, change);
        Ok(())
    }
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
            admission: self.admission.unwrap_or(limits.admission),
        }
    }
}

impl Peer {
    fn changed(&self, change: &Change) -> Self {
        let mut changed = self.clone();
        changed.limits = change.limits(&self.limits);
        if let Some(route) = &change.route {
            changed.sid = match route.as_str() {
                "" => default_sid(&self.name),
                route => route.to_owned(),
            };
        }
        changed.inherit(self);
        if self.limits.admission == Admission::Down && changed.limits.admission != Admission::Down {
            changed.recovers(Now::current());
        }
        changed
    }
}

impl Host {
    fn changed(&self, change: &Change) -> Self {
        let mut server = self.server.clone();
        server.limits = change.limits(&server.limits);
        server.backup = change.backup.unwrap_or(server.backup);
        if let Some(route) = &change.route {
            server.route = (!route.is_empty()).then(|| route.clone());
        }
        let changed = Self::new(self.id, self.origin, server, self.name.clone());
        changed.valid.store(self.valid.load(Relaxed), Relaxed);
        changed
    }
}

#[cfg(test)]
mod tests;

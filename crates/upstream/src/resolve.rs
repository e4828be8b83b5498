//! Duties that keep the addresses of `server … resolve` current, one per name of a group.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use weir_engine::{Addr, Level, duty::Duty, error_log::process_log, event_loop::on_a_thread};

use crate::{
    clock::Now,
    group::Group,
    peer::Peer,
    registry::Registry,
    resolver::{FAILURE_VALID, Reason, Resolver, ResolverConfig, ServiceAddress},
    roster::{Host, Roster},
    server::{Name, Origin, ServerId},
};

/// The shortest wait between two queries for a name.
const SHORTEST: Duration = Duration::from_secs(1);

impl Group {
    /// The duties for the group's current names. They are the same after changes that leave the
    /// names alone.
    pub(crate) fn names(&self, registry: &Arc<Registry>) -> Vec<Duty> {
        let Some((config, timeout)) = &self.config.resolver else { return Vec::new() };
        let duty = |host: &Arc<Host>| {
            let keeper = Keeper {
                registry: Arc::clone(registry),
                group: self.config.key.clone(),
                server: host.server.text.clone(),
                name: host.name.clone(),
                config: config.clone(),
                timeout: Duration::from_millis(*timeout),
            };
            Duty::new(keeper.key(), move || keeper.clone().keep())
        };
        self.roster().hosts.iter().map(duty).collect()
    }

    /// Whether the first query for some name of the group, or the first list of its source, has not
    /// come.
    pub fn awaits_names(&self) -> bool {
        let roster = self.roster();
        let awaits_list = self.config.discover.is_some() && !roster.heard;
        let awaits_query = self.config.resolver.is_some()
            && roster.hosts.iter().any(|host| !host.asked.load(Relaxed));
        awaits_list || awaits_query
    }

    /// As [`apply`](Self::apply), on another thread if a ring has to be built.
    async fn apply_beside(self: &Arc<Self>, id: ServerId, found: Vec<ServiceAddress>, valid: i64) {
        if !self.method().needs_ring() {
            return self.apply(id, &found, valid);
        }
        let group = Arc::clone(self);
        // If no thread can be started, the addresses stay until the next time.
        let _ = on_a_thread(move || group.apply(id, &found, valid)).await;
    }

    /// Replaces the addresses of a name; the new ones are valid until `valid`. Peers whose address
    /// remains are left alone.
    pub(crate) fn apply(&self, id: ServerId, found: &[ServiceAddress], valid: i64) {
        let mut roster = self.roster();
        // The name may have been removed in the meantime.
        let Some(host) = roster.hosts.iter().find(|host| host.id == id).map(Arc::clone) else {
            return;
        };
        let first = found.iter().map(|it| it.priority).min();
        let (preferred, others): (Vec<_>, Vec<_>) =
            found.iter().partition(|it| Some(it.priority) == first);
        let mut lines = self.lines();
        let known = roster.places_of(&host, &lines);
        if host.server.backup {
            host.replace(lines.of(true), preferred, &mut roster);
        } else {
            host.replace(lines.of(false), preferred, &mut roster);
            if host.name.service.is_some() && self.method().knows_backup() {
                host.replace(lines.of(true), others, &mut roster);
            }
        }
        let now = roster.places_of(&host, &lines);
        self.forget_edits(known.difference(&now).cloned().collect(), &mut roster, &lines);
        self.restore_resolved(&lines, Now::current());
        self.line_up(lines);
        host.valid.store(valid, Relaxed);
    }
}

impl Host {
    fn replace(
        &self,
        line: &mut Vec<Arc<Peer>>,
        mut found: Vec<&ServiceAddress>,
        roster: &mut Roster,
    ) {
        // The first addresses have no others that could serve meanwhile.
        let joins = !line.is_empty();
        line.retain(|peer| {
            if peer.origin != Origin::Resolved(self.id) {
                return true;
            }
            let same = found.iter().position(|it| self.is_same(peer, it));
            same.is_some_and(|place| {
                found.remove(place);
                true
            })
        });
        line.extend(found.into_iter().map(|it| {
            let (id, weight) = (roster.next_id(), u32::from(it.weight));
            let mut peer = self.peer(id, it.address, &it.target, weight);
            roster.admit(&mut peer);
            if joins {
                peer.recovers(Now::current());
            }
            let place = self.place_of(&peer.name, &peer.server);
            match roster.awaited_of(self, &place) {
                Some(change) => Arc::new(peer.changed(&change)),
                None => Arc::new(peer),
            }
        }));
    }

    fn is_same(&self, peer: &Peer, found: &ServiceAddress) -> bool {
        let Addr::Inet(address) = peer.address else { return false };
        if self.name.service.is_none() {
            return address.ip() == found.address.ip();
        }
        address == found.address
            && peer.server == found.target
            && (self.server.limits.weight != 1 || peer.limits.weight == u32::from(found.weight))
    }
}

/// Resolves one name repeatedly, for every live group of a key that has it: requests of earlier
/// configurations need its addresses, too.
#[derive(Clone)]
struct Keeper {
    registry: Arc<Registry>,
    /// The key of the groups.
    group: String,
    /// The server as written, which identifies a group's host.
    server: String,
    name: Name,
    config: ResolverConfig,
    timeout: Duration,
}

impl Keeper {
    fn key(&self) -> String {
        let Self { group, server, name, config, timeout, .. } = self;
        format!("resolve \"{server}\" of {group}: {name:?} by {config:?} within {timeout:?}")
    }

    async fn keep(self) {
        let resolver = self.registry.resolver(&self.config);
        let known = self.targets().iter().map(|(_, host)| host.valid.load(Relaxed)).max();
        let mut wait = until(known.unwrap_or(0), 0);
        loop {
            weir_engine::timer::sleep(wait).await;
            wait = match resolve(&resolver, &self.name, self.timeout).await {
                Some((found, valid)) => {
                    self.apply(&found, valid).await;
                    until(valid, 1).max(SHORTEST)
                }
                None => self.timeout.max(SHORTEST),
            };
            self.targets().iter().for_each(|(_, host)| host.asked.store(true, Relaxed));
        }
    }

    /// The hosts of this name, with their groups.
    fn targets(&self) -> Vec<(Arc<Group>, Arc<Host>)> {
        let mut targets = Vec::new();
        for group in self.registry.of_key(&self.group) {
            for host in &group.roster().hosts {
                if host.server.text == self.server && host.name == self.name {
                    targets.push((Arc::clone(&group), Arc::clone(host)));
                }
            }
        }
        targets
    }

    /// Applies the addresses to all groups. A group made by a reload in the meantime may have begun
    /// with the earlier ones, so this repeats until there is no new group.
    async fn apply(&self, found: &[ServiceAddress], valid: i64) {
        let mut given: Vec<(Arc<Group>, ServerId)> = Vec::new();
        loop {
            let mut fresh: Vec<_> =
                self.targets().into_iter().map(|(group, host)| (group, host.id)).collect();
            fresh.retain(|(group, id)| {
                !given.iter().any(|(known, other)| Arc::ptr_eq(known, group) && other == id)
            });
            if fresh.is_empty() {
                return;
            }
            for (group, id) in &fresh {
                group.apply_beside(*id, found.to_vec(), valid).await;
            }
            given.append(&mut fresh);
        }
    }
}

/// The time until `more` seconds after `valid`.
fn until(valid: i64, more: u64) -> Duration {
    let left = u64::try_from(valid.saturating_sub(Now::current().seconds)).unwrap_or(0);
    if left == 0 { Duration::ZERO } else { Duration::from_secs(left + more) }
}

/// The addresses of a name, and the end of their validity; empty if the name does not exist. `None`
/// after a failed query: the known addresses then stay.
async fn resolve(
    resolver: &Resolver,
    name: &Name,
    timeout: Duration,
) -> Option<(Vec<ServiceAddress>, i64)> {
    let host = &name.host;
    let (error, line) = match &name.service {
        None => match resolver.resolve(host, timeout).await {
            Ok(resolved) => {
                let plain = |address| ServiceAddress {
                    address: SocketAddr::new(address, name.port),
                    target: String::new(),
                    priority: 0,
                    weight: 1,
                };
                return Some((resolved.addresses.into_iter().map(plain).collect(), resolved.valid));
            }
            Err(error) => {
                let line = error.to_string();
                (error, line)
            }
        },
        Some(service) => {
            let (result, failed) = match resolver.resolve_service(host, service, timeout).await {
                Ok(found) => (Ok((found.addresses, found.valid)), found.failed),
                Err((error, failed)) => (Err(error), failed),
            };
            for target in failed {
                log(&format!("{target} while resolving service {service} of {host}"));
            }
            match result {
                Ok(found) => return Some(found),
                Err(error) => {
                    let line = format!("service {service} of {error}");
                    (error, line)
                }
            }
        }
    };
    log(&line);
    let valid = resolver.config().valid.unwrap_or(FAILURE_VALID);
    (error.reason == Reason::NOT_FOUND).then(|| (Vec::new(), Now::current().seconds + valid))
}

fn log(line: &str) {
    process_log().log(Level::Error, 0, line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        balance::method::Request,
        config::GroupConfig,
        server::{Limits, Server},
    };

    fn config(port: u16, service: Option<&str>, weight: u32) -> GroupConfig {
        let mut config = GroupConfig::implicit("http u".into(), "u", Vec::new());
        config.servers = vec![Server {
            text: format!("example.net:{port}"),
            limits: Limits { weight, ..Limits::default() },
            resolve: Some(Name {
                host: "example.net".into(),
                port,
                service: service.map(str::to_owned),
            }),
            ..Server::default()
        }];
        config
    }

    fn at(last: u8, port: u16, priority: u16, weight: u16) -> ServiceAddress {
        let address = SocketAddr::from(([127, 0, 0, last], port));
        ServiceAddress { address, target: "target".into(), priority, weight }
    }

    fn names(group: &Group) -> Vec<String> {
        group.peers().iter().map(|peer| peer.name.clone()).collect()
    }

    #[test]
    fn addresses_that_stay_keep_their_state() {
        let registry = Registry::default();
        let group = registry.group(&config(80, None, 1));
        assert!(
            group
                .start(Request::default())
                .next(&mut fastrand::Rng::new(), Now::default())
                .is_err()
        );
        group.apply(ServerId(0), &[at(1, 0, 0, 1), at(2, 0, 0, 1)], 0);
        assert_eq!(names(&group), ["127.0.0.1:80", "127.0.0.2:80"]);
        let kept = group.peers()[1].serial();
        group.apply(ServerId(0), &[at(3, 0, 0, 1), at(2, 0, 0, 1)], 0);
        assert_eq!(names(&group), ["127.0.0.2:80", "127.0.0.3:80"]);
        assert_eq!(group.peers()[0].serial(), kept);
        group.apply(ServerId(0), &[], 0);
        assert_eq!(names(&group), [""; 0]);
    }

    #[test]
    fn a_reload_keeps_what_was_resolved_with_the_new_port() {
        let registry = Registry::default();
        let old = registry.group(&config(80, None, 1));
        old.apply(ServerId(0), &[at(1, 0, 0, 1)], 0);
        let new = registry.group(&config(81, None, 3));
        assert_eq!(names(&new), ["127.0.0.1:81"]);
        assert_eq!(new.peers()[0].limits.weight, 3);
        assert_eq!(new.peers()[0].server, "example.net:81");
        new.apply(ServerId(0), &[at(1, 0, 0, 1)], 0);
        assert_eq!(names(&new), ["127.0.0.1:81"]);
    }

    #[test]
    fn services_bring_ports_weights_and_backups() {
        let group = Registry::default().group(&config(0, Some("http"), 1));
        group.apply(ServerId(0), &[at(1, 81, 5, 7), at(2, 82, 6, 1)], 0);
        assert_eq!(names(&group), ["127.0.0.1:81", "127.0.0.2:82"]);
        assert_eq!(group.peers()[0].limits.weight, 7);
        let backups = group.lines().get(true).len();
        assert_eq!(backups, 1);
        let before = group.peers()[0].serial();
        group.apply(ServerId(0), &[at(1, 81, 5, 8)], 0);
        assert_ne!(group.peers()[0].serial(), before);
    }
}

//! The registry of all groups in use, by key: group state outlives the configuration it was made
//! under.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{
    config::GroupConfig,
    group::Group,
    place::{Place, Places},
    resolver::{Resolver, ResolverConfig, WeakResolver},
    upstreams::Side,
};

/// Groups by key, one registry per process. It holds weak references: a group lives as long as a
/// configuration refers to it.
#[derive(Debug, Default)]
pub struct Registry {
    groups: Mutex<Groups>,
    resolvers: Mutex<Vec<WeakResolver>>,
    places: Places,
}

#[derive(Debug, Default)]
struct Groups {
    /// The groups of one key in the order of creation.
    by_key: HashMap<String, Vec<Weak<Group>>>,
    /// The number of keys at which dead ones are removed. It doubles, so the cost of sweeps per key
    /// is constant.
    sweep_at: usize,
}

impl Groups {
    fn insert(&mut self, key: &str, group: &Arc<Group>) {
        let same = self.by_key.entry(key.to_owned()).or_default();
        same.retain(|group| group.strong_count() > 0);
        same.push(Arc::downgrade(group));
        if self.by_key.len() > self.sweep_at {
            self.by_key.retain(|_, same| same.iter().any(|group| group.strong_count() > 0));
            self.sweep_at = 2 * self.by_key.len();
        }
    }

    /// The live groups of a key, newest last.
    fn living(&self, key: &str) -> impl DoubleEndedIterator<Item = Arc<Group>> {
        self.by_key.get(key).into_iter().flatten().filter_map(Weak::upgrade)
    }
}

impl Registry {
    /// The group of a configuration: the live one if it is equal, else a new one in which common
    /// peers (same address, same server text) keep their counters, weights and sessions, and
    /// resolved names keep their addresses.
    pub fn group(&self, config: &GroupConfig) -> Arc<Group> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        // A group that never came into force is gone by now.
        let earlier = groups.living(&config.key).next_back();
        if let Some(group) = &earlier
            && group.fingerprint == format!("{config:?}")
        {
            return Arc::clone(group);
        }
        let group = match &earlier {
            Some(earlier) => earlier.succeed(config.clone()),
            None => Arc::new(Group::new(config.clone(), None)),
        };
        for older in groups.living(&config.key).rev().skip(1) {
            older.roster().add_heir(&group);
        }
        groups.insert(&config.key, &group);
        group
    }

    /// The place of the group with that key in the tables of threads.
    pub fn place(&self, key: &str) -> Arc<Place> {
        self.places.of(key)
    }

    /// The resolver of a configuration: the live one with its cache, if any.
    pub fn resolver(&self, config: &ResolverConfig) -> Resolver {
        let mut resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut living = resolvers.iter().filter_map(WeakResolver::upgrade);
        if let Some(resolver) = living.find(|resolver| resolver.config() == config) {
            return resolver;
        }
        let resolver = Resolver::new(config.clone());
        resolvers.retain(|resolver| resolver.upgrade().is_some());
        resolvers.push(resolver.downgrade());
        resolver
    }

    /// All live groups, in no order.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.by_key.values().flatten().filter_map(Weak::upgrade).collect()
    }

    /// The newest group of each key, in no order.
    pub(crate) fn newest(&self) -> Vec<Arc<Group>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.by_key.keys().filter_map(|key| groups.living(key).next_back()).collect()
    }

    /// The group of an `upstream` block, in force or about to be.
    pub fn find(&self, side: Side, name: &str) -> Option<Arc<Group>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.living(&side.key(name)).next_back()
    }

    /// The live groups of a key, newest last: that of the configuration in force, and earlier ones
    /// that still have requests. Waits for a group that is being made.
    pub(crate) fn of_key(&self, key: &str) -> Vec<Arc<Group>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.living(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use weir_engine::Addr;

    use super::*;
    use crate::{
        balance::method::Request,
        clock::Now,
        outcome::{Outcome, Timings},
        server::Server,
    };

    const NOW: Now = Now { seconds: 1000, millis: 0 };

    fn config(ports: &[u16]) -> GroupConfig {
        let mut config = GroupConfig::implicit("http u".into(), "u", Vec::new());
        config.servers = ports
            .iter()
            .map(|port| Server {
                text: format!("127.0.0.1:{port}"),
                addresses: vec![Addr::Inet(([127, 0, 0, 1], *port).into())],
                ..Server::default()
            })
            .collect();
        config
    }

    fn fails(group: &Group) -> Vec<u64> {
        group.peers().iter().map(|peer| peer.state.fails.load(Relaxed)).collect()
    }

    #[test]
    fn an_equal_configuration_finds_the_same_group() {
        let registry = Registry::default();
        let group = registry.group(&config(&[80, 81]));
        assert!(Arc::ptr_eq(&group, &registry.group(&config(&[80, 81]))));
        drop(group);
        assert!(registry.groups().is_empty());
    }

    #[test]
    fn peers_of_both_configurations_keep_their_failures() {
        let registry = Registry::default();
        let old = registry.group(&config(&[80, 81, 81]));
        let mut pick = old.start(Request::default());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..3 {
            pick.next(&mut random, NOW).unwrap();
            pick.free(Outcome::Failed, Timings::default(), NOW);
        }
        assert_eq!(fails(&old), [1, 1, 1]);
        let new = registry.group(&config(&[82, 81]));
        assert_eq!(fails(&new), [0, 1]);
        // A request of the old configuration still counts for the new one.
        new.peers()[1].state.fails.store(0, Relaxed);
        assert_eq!(fails(&old), [1, 0, 1]);
    }
}

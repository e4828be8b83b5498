//! Idle connections to peers, kept for later requests. Each thread has its own, since a connection
//! belongs to the event loop that opened it.

use std::{collections::VecDeque, sync::Arc};

use weir_engine::stats::{Family, Key, Local};

use crate::{
    address_key::AddressKey,
    group::Group,
    place::{ByPlace, Place, PlaceId},
};

/// The idle connections of all threads by group, for those with a `zone`.
static KEPT: Family = Family::new(1);

/// The count of a group's idle connections.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptCount(Key);

/// An idle connection among those that are counted, until it is dropped.
#[derive(Debug)]
pub struct CountedIdle(KeptCount);

impl Drop for CountedIdle {
    fn drop(&mut self) {
        self.0.0.sub(0, 1);
    }
}

impl KeptCount {
    /// The count of the group with that key.
    pub(crate) fn of(key: &str) -> Self {
        Self(KEPT.key(key))
    }

    /// Counts one more idle connection.
    pub fn one(&self) -> CountedIdle {
        self.0.add([(0, 1)]);
        CountedIdle(self.clone())
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.read().first().copied().unwrap_or_default()
    }
}

/// `keepalive`, `keepalive_requests`, `keepalive_time`, `keepalive_timeout` of an `upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveConfig {
    /// The limit of idle connections per thread; 0 keeps none.
    pub connections: usize,
    /// Whether a connection serves only the location that opened it.
    pub local: bool,
    /// The limit of requests per connection.
    pub requests: u64,
    /// The maximum age of a connection in milliseconds.
    pub time: u64,
    /// The idle timeout in milliseconds.
    pub timeout: u64,
}

impl KeepaliveConfig {
    /// The defaults of an `upstream` block.
    pub const DEFAULT: Self =
        Self { connections: 32, local: true, requests: 1000, time: 3_600_000, timeout: 60_000 };

    /// The settings of an implicit upstream: no connections are kept.
    pub const IMPLICIT: Self = Self { connections: 0, ..Self::DEFAULT };
}

/// The history of a connection, which travels with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The time of opening, in milliseconds of the monotonic clock.
    pub opened: u64,
    /// The number of requests served.
    pub requests: u64,
    /// Whether the last response was so large that it bypassed user space. The next one is likely
    /// to be large, too.
    pub large: bool,
    /// The settings it was made with.
    pub made: Made,
}

/// A keyed hash of the settings that a connection was made with: TLS, name, local address and so
/// on; the default where none apply. A connection serves only requests that would make an equal
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made(pub u64);

impl Usage {
    /// The history of a new connection.
    pub fn new(now_millis: u64, made: Made) -> Self {
        Self { opened: now_millis, requests: 0, large: false, made }
    }
}

/// The idle connections of one thread, by group.
#[derive(Debug)]
pub struct Pools<C>(ByPlace<Pool<C>>);

impl<C> Default for Pools<C> {
    fn default() -> Self {
        Self(ByPlace::new())
    }
}

impl<C> Pools<C> {
    /// The pool of a group, if it ever had a connection in this thread.
    pub fn get(&mut self, id: PlaceId) -> Option<&mut Pool<C>> {
        self.0.get(id)
    }

    /// The pool of a group. Closes the connections of a group that is gone and had the place.
    #[inline]
    pub fn pool(&mut self, place: &Arc<Place>) -> &mut Pool<C> {
        let (pool, left) = self.0.entry(place);
        if let Some(mut left) = left {
            left.clear();
        }
        pool
    }

    /// Closes all connections.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(Pool::clear);
    }

    /// Closes the connections of groups that no configuration has any more.
    pub fn close_gone(&mut self) {
        self.0.take_gone().iter_mut().for_each(Pool::clear);
    }

    /// Closes the longest idle connections, one of each pool in turn, at most `most`. Returns their
    /// number.
    pub fn reclaim(&mut self, most: usize) -> usize {
        let mut closed = 0;
        loop {
            let before = closed;
            for pool in self.0.iter_mut() {
                if closed == most {
                    return closed;
                }
                closed += usize::from(pool.close_oldest());
            }
            if closed == before {
                return closed;
            }
        }
    }

    /// All pools, to expire connections.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pool<C>> {
        self.0.iter_mut()
    }
}

/// The idle connections of one group in one thread, latest first. There are few, so lookups are
/// linear.
#[derive(Debug)]
pub struct Pool<C> {
    idle: VecDeque<Idle<C>>,
    /// Where they are counted, if anywhere.
    count: Option<KeptCount>,
    /// That of this thread.
    here: Option<Local>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    address: AddressKey,
    tag: u64,
    usage: Usage,
    until: u64,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { idle: VecDeque::new(), count: None, here: None }
    }
}

impl<C> Pool<C> {
    /// The most recently idle connection to an address that was made with equal settings. `tag`
    /// identifies the location and counts only under `local`.
    pub fn take(
        &mut self,
        config: &KeepaliveConfig,
        address: AddressKey,
        tag: u64,
        made: Made,
    ) -> Option<(C, Usage)> {
        let fits = |idle: &Idle<C>| {
            (!config.local || idle.tag == tag) && idle.usage.made == made && idle.address == address
        };
        // Mostly it is the first; to look for it and to remove it from the midst costs more.
        let idle = match self.idle.front().is_some_and(fits) {
            true => self.idle.pop_front()?,
            false => self.idle.remove(self.idle.iter().position(fits)?)?,
        };
        self.recount(self.idle.len() + 1);
        Some((idle.connection, idle.usage))
    }

    /// Keeps a reusable connection after a complete response. `usage` includes the request just
    /// served. Returns the connection to close instead: this one if it is worn out, or the longest
    /// idle one if there are too many.
    pub fn put(
        &mut self,
        config: &KeepaliveConfig,
        connection: C,
        address: AddressKey,
        tag: u64,
        usage: Usage,
        now_millis: u64,
    ) -> Option<C> {
        let worn = usage.requests >= config.requests
            || now_millis.saturating_sub(usage.opened) > config.time;
        if worn || config.connections == 0 {
            return Some(connection);
        }
        let before = self.idle.len();
        let evicted = if self.idle.len() >= config.connections {
            self.idle.pop_back().map(|idle| idle.connection)
        } else {
            None
        };
        let until = now_millis.saturating_add(config.timeout);
        self.idle.push_front(Idle { connection, address, tag, usage, until });
        self.recount(before);
        evicted
    }

    /// Closes all connections.
    fn clear(&mut self) {
        let before = self.idle.len();
        self.idle.clear();
        self.recount(before);
    }

    /// Closes the connection that has been idle for longest, if there is one.
    fn close_oldest(&mut self) -> bool {
        let before = self.idle.len();
        let oldest = self.idle.pop_back();
        self.recount(before);
        oldest.is_some()
    }

    /// Counts the idle connections for a group, from the next change on.
    pub fn count_for(&mut self, group: &Group) {
        if self.count != group.kept {
            let all = self.idle.len();
            self.change(all, 0);
            self.count.clone_from(&group.kept);
            self.here = self.count.as_ref().and_then(|KeptCount(count)| count.local());
            self.change(0, all);
        }
    }

    fn recount(&self, before: usize) {
        self.change(before, self.idle.len());
    }

    fn change(&self, before: usize, after: usize) {
        let Some(count) = &self.here else { return };
        match after.checked_sub(before) {
            Some(0) => {}
            Some(more) => count.add([(0, more as u64)]),
            None => count.sub(0, (before - after) as u64),
        }
    }

    /// Removes connections that were idle too long, or that the peer closed or unexpectedly sent
    /// bytes on.
    pub fn sweep(&mut self, now_millis: u64, mut is_closed: impl FnMut(&mut C) -> bool) {
        let before = self.idle.len();
        self.idle.retain_mut(|idle| idle.until > now_millis && !is_closed(&mut idle.connection));
        self.recount(before);
    }

    /// The number of idle connections.
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether no connection is idle.
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::Addr;

    use super::*;
    use crate::{config::GroupConfig, place::Places};

    fn address(port: u16) -> AddressKey {
        AddressKey::of(&Addr::Inet(([127, 0, 0, 1], port).into()))
    }

    fn used(requests: u64) -> Usage {
        Usage { opened: 0, requests, large: false, made: Made::default() }
    }

    const CONFIG: KeepaliveConfig =
        KeepaliveConfig { connections: 2, local: false, requests: 3, time: 1000, timeout: 100 };

    #[test]
    fn the_latest_of_an_address_is_taken() {
        let mut pool = Pool::default();
        for (connection, port) in [(1, 80), (2, 80)] {
            assert_eq!(pool.put(&CONFIG, connection, address(port), 0, used(1), 0), None);
        }
        assert_eq!(pool.take(&CONFIG, address(81), 0, Made::default()), None);
        assert_eq!(pool.take(&CONFIG, address(80), 9, Made::default()), Some((2, used(1))));
        assert_eq!(pool.take(&CONFIG, address(80), 0, Made::default()), Some((1, used(1))));
        assert_eq!(pool.take(&CONFIG, address(80), 0, Made::default()), None);
    }

    #[test]
    fn on_a_shortage_each_pool_gives_up_its_longest_idle() {
        let (places, mut pools) = (Places::default(), Pools::default());
        let (few, many) = (places.of("few"), places.of("many"));
        for (place, connections) in [(&few, 1..2), (&many, 2..4)] {
            for connection in connections {
                let pool = pools.pool(place);
                pool.put(&CONFIG, connection, address(80), 0, used(1), 0);
            }
        }
        assert_eq!(pools.reclaim(2), 2);
        assert!(pools.pool(&few).is_empty());
        let left = pools.pool(&many).take(&CONFIG, address(80), 0, Made::default());
        assert_eq!(left, Some((3, used(1))));
        assert_eq!(pools.reclaim(2), 0);
    }

    #[test]
    fn idle_connections_of_groups_with_a_zone_are_counted() {
        let config = GroupConfig {
            zone: Some("z".into()),
            ..GroupConfig::implicit("http counted".into(), "counted", Vec::new())
        };
        let group = Group::new(config, None);
        let mut pools = Pools::default();
        let places = Places::default();
        let place = places.of("counted");
        let pool = pools.pool(&place);
        pool.put(&CONFIG, 1, address(80), 0, used(1), 0);
        pool.count_for(&group);
        assert_eq!(group.kept(), 1);
        pool.put(&CONFIG, 2, address(80), 0, used(1), 50);
        assert!(pool.put(&CONFIG, 3, address(80), 0, used(1), 50).is_some());
        assert_eq!(group.kept(), 2);
        pool.take(&CONFIG, address(80), 0, Made::default());
        assert_eq!(group.kept(), 1);
        pool.sweep(200, |_| false);
        assert_eq!(group.kept(), 0);
        pool.put(&CONFIG, 4, address(80), 0, used(1), 50);
        pools.clear();
        assert_eq!(group.kept(), 0);
        let pool = pools.pool(&place);
        pool.put(&CONFIG, 5, address(80), 0, used(1), 50);
        pools.close_gone();
        assert_eq!(group.kept(), 1);
        drop(place);
        pools.close_gone();
        assert_eq!(group.kept(), 0);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut pool = Pool::default();
        assert_eq!(pool.put(&CONFIG, 1, address(80), 0, used(1), 0), None);
        assert_eq!(pool.put(&CONFIG, 2, address(81), 0, used(1), 0), None);
        assert_eq!(pool.put(&CONFIG, 3, address(82), 0, used(1), 0), Some(1));
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn worn_out_connections_are_not_kept() {
        let mut pool = Pool::default();
        assert_eq!(pool.put(&CONFIG, 1, address(80), 0, used(3), 0), Some(1));
        assert_eq!(pool.put(&CONFIG, 1, address(80), 0, used(1), 1001), Some(1));
        let off = KeepaliveConfig { connections: 0, ..CONFIG };
        assert_eq!(pool.put(&off, 1, address(80), 0, used(1), 0), Some(1));
        assert!(pool.is_empty());
    }

    #[test]
    fn local_connections_stay_with_their_location() {
        let local = KeepaliveConfig { local: true, ..CONFIG };
        let mut pool = Pool::default();
        pool.put(&local, 1, address(80), 7, used(1), 0);
        assert_eq!(pool.take(&local, address(80), 8, Made::default()), None);
        assert_eq!(pool.take(&local, address(80), 7, Made::default()), Some((1, used(1))));
    }

    #[test]
    fn connections_serve_only_those_who_would_make_the_same() {
        let mut pool = Pool::default();
        let made = Usage { made: Made(5), ..used(1) };
        pool.put(&CONFIG, 1, address(80), 0, made, 0);
        for other in [Made::default(), Made(6)] {
            assert_eq!(pool.take(&CONFIG, address(80), 0, other), None);
        }
        assert_eq!(pool.take(&CONFIG, address(80), 0, Made(5)), Some((1, made)));
    }

    #[test]
    fn each_group_has_a_pool_of_its_own() {
        let (places, mut pools) = (Places::default(), Pools::default());
        let (one, two) = (places.of("one"), places.of("two"));
        assert!(pools.get(two.id()).is_none());
        pools.pool(&two).put(&CONFIG, 1, address(80), 0, used(1), 0);
        assert!(pools.get(one.id()).is_none());
        assert_eq!(pools.get(two.id()).map(|pool| pool.len()), Some(1));
        pools.clear();
        assert!(pools.pool(&two).is_empty());
    }

    #[test]
    fn idle_and_closed_connections_are_swept() {
        let mut pool = Pool::default();
        pool.put(&CONFIG, 1, address(80), 0, used(1), 0);
        pool.put(&CONFIG, 2, address(80), 0, used(1), 50);
        assert_eq!(pool.len(), 2);
        pool.sweep(100, |_| false);
        assert_eq!(pool.len(), 1);
        pool.sweep(101, |&mut connection| connection == 2);
        assert!(pool.is_empty());
    }
}

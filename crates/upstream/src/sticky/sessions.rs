//! The sessions of `sticky learn`, with their peers.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use md5::{Digest, Md5};
use weir_engine::clock;

use crate::shared_records;

/// The bytes of a zone per session; a megabyte holds about 8000.
const BYTES_PER_SESSION: u64 = 128;

/// The limit of expired sessions dropped per access.
const EXPIRE_AT_ONCE: usize = 16;

/// `sticky learn zone= timeout=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsConfig {
    /// The name of the zone.
    pub zone: String,
    /// Its size in bytes.
    pub size: u64,
    /// The timeout of unused sessions in milliseconds.
    pub timeout: u64,
}

/// The id of a session, as its MD5.
pub(crate) type SessionKey = [u8; 16];

/// Sessions by the MD5 of their id, shared by all threads, in order of last use.
#[derive(Debug)]
pub struct Sessions {
    config: SessionsConfig,
    /// The key of the group, for other nodes.
    pub(super) group: String,
    table: Mutex<SessionTable>,
}

#[derive(Debug, Default)]
pub(super) struct SessionTable {
    pub(super) sessions: HashMap<SessionKey, Session>,
    /// The sessions by their last use.
    uses: BTreeMap<Use, SessionKey>,
    counter: u64,
}

/// A use: its time in milliseconds, and its number.
type Use = (u64, u64);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: Box<str>,
    /// The last use, or the time up to which uses are told.
    pub(super) used: Use,
    /// The time of the last use on this node, in milliseconds.
    pub(super) used_here: Option<u64>,
    /// What other nodes know of it.
    pub(super) told: Option<Told>,
}

/// What nodes have told each other about a session: that it is used up to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The time in milliseconds of the wall clock, as told.
    pub(super) wall: u64,
    /// The same time by this node's own clock.
    pub(super) until: u64,
}

impl Sessions {
    /// No sessions yet, of the group with this key.
    pub fn new(config: SessionsConfig, group: &str) -> Self {
        Self { config, group: group.to_owned(), table: Mutex::default() }
    }

    /// Their configuration.
    pub fn config(&self) -> &SessionsConfig {
        &self.config
    }

    /// The sid of a session's peer.
    pub fn find(&self, id: &[u8], now_millis: u64) -> Option<String> {
        let mut table = self.table();
        self.expire(&mut table, now_millis);
        let session = table.sessions.get(&key(id))?;
        self.lives(session, now_millis).then(|| session.sid.to_string())
    }

    /// Binds a response's session to its peer. `found` is the sid that the session of the request
    /// had: such a request can prolong a session, and move it if nobody else has meanwhile. `None`
    /// begins one.
    pub fn learn(&self, id: &[u8], sid: &str, found: Option<&[u8]>, now_millis: u64) {
        self.learn_by(clock::msec, id, sid, found, now_millis);
    }

    /// Learns by a wall clock, which is read for other nodes.
    pub(super) fn learn_by(
        &self,
        wall: impl FnOnce() -> u64,
        id: &[u8],
        sid: &str,
        found: Option<&[u8]>,
        now_millis: u64,
    ) {
        let mut table = self.table();
        self.expire(&mut table, now_millis);
        let key = key(id);
        let known = table.sessions.get(&key);
        let living = known.filter(|session| self.lives(session, now_millis));
        let moved = match (found, living) {
            (Some(_), None) => return,
            (Some(found), Some(session)) if session.sid.as_bytes() != found => {
                Some(session.sid.clone())
            }
            _ => None,
        };
        let sid = moved.as_deref().unwrap_or(sid);
        if known.is_none() && table.sessions.len() >= self.limit() {
            self.drop_oldest(&mut table);
        }
        table.put(key, sid, now_millis).used_here = Some(now_millis);
        if shared_records::has_mirror() {
            self.tell_use(&mut table, key, now_millis, wall);
        }
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.table().sessions.len()
    }

    /// Whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of sessions that have room.
    pub(super) fn limit(&self) -> usize {
        (self.config.size / BYTES_PER_SESSION).max(1) as usize
    }

    /// Whether a session has not expired.
    pub(super) fn lives(&self, session: &Session, now: u64) -> bool {
        session.used.0.saturating_add(self.config.timeout) > now
    }

    /// Removes expired sessions.
    pub(super) fn expire(&self, table: &mut SessionTable, now: u64) {
        for _ in 0..EXPIRE_AT_ONCE {
            match table.oldest() {
                Some(last) if last.saturating_add(self.config.timeout) <= now => {
                    self.drop_oldest(table);
                }
                _ => return,
            }
        }
    }

    /// Removes the session that was used longest ago.
    pub(super) fn drop_oldest(&self, table: &mut SessionTable) {
        let Some((_, key)) = table.uses.pop_first() else { return };
        if let Some(session) = table.sessions.remove(&key)
            && session.told.is_some()
        {
            self.tell_end(key);
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionTable {
    /// Adds or changes a session, used at this time or later.
    pub(super) fn put(&mut self, key: SessionKey, sid: &str, time: u64) -> &mut Session {
        self.counter += 1;
        let used = (time, self.counter);
        match self.sessions.entry(key) {
            Entry::Occupied(known) => {
                let session = known.into_mut();
                if session.used < used {
                    self.uses.remove(&session.used);
                    self.uses.insert(used, key);
                    session.used = used;
                }
                if &*session.sid != sid {
                    session.sid = sid.into();
                    session.told = None;
                }
                session
            }
            Entry::Vacant(place) => {
                self.uses.insert(used, key);
                place.insert(Session { sid: sid.into(), used, used_here: None, told: None })
            }
        }
    }

    /// The time at which the session was used that was used longest ago.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.uses.first_key_value().map(|(used, _)| used.0)
    }

    pub(super) fn remove(&mut self, key: &SessionKey) {
        if let Some(session) = self.sessions.remove(key) {
            self.uses.remove(&session.used);
        }
    }
}

pub(super) fn key(id: &[u8]) -> SessionKey {
    Md5::digest(id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(size: u64) -> Sessions {
        Sessions::new(SessionsConfig { zone: "z".into(), size, timeout: 1000 }, "http u")
    }

    #[test]
    fn only_a_created_session_is_remembered() {
        let sessions = sessions(1 << 20);
        sessions.learn(b"a", "one", Some(b"one"), 0);
        assert_eq!(sessions.find(b"a", 0), None);
        sessions.learn(b"a", "one", None, 0);
        assert_eq!(sessions.find(b"a", 0).as_deref(), Some("one"));
        sessions.learn(b"a", "two", Some(b"one"), 0);
        assert_eq!(sessions.find(b"a", 0).as_deref(), Some("two"));
        // A request that was under way meanwhile moves nothing.
        sessions.learn(b"a", "one", Some(b"one"), 0);
        assert_eq!(sessions.find(b"a", 0).as_deref(), Some("two"));
    }

    #[test]
    fn sessions_that_are_not_used_end() {
        let sessions = sessions(1 << 20);
        sessions.learn(b"a", "one", None, 0);
        sessions.learn(b"b", "one", None, 0);
        sessions.learn(b"a", "one", Some(b"one"), 900);
        assert_eq!(sessions.find(b"a", 1000).as_deref(), Some("one"));
        assert_eq!(sessions.find(b"b", 1000), None);
        assert_eq!(sessions.find(b"a", 1900), None);
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_full_zone_gives_up_the_session_that_was_used_longest_ago() {
        let sessions = sessions(3 * BYTES_PER_SESSION);
        for id in [b"a", b"b", b"c"] {
            sessions.learn(id, "one", None, 0);
        }
        sessions.learn(b"a", "one", Some(b"one"), 1);
        sessions.learn(b"d", "one", None, 2);
        assert_eq!(sessions.len(), 3);
        assert_eq!(sessions.find(b"b", 2), None);
        assert!(sessions.find(b"a", 2).is_some());
    }
}

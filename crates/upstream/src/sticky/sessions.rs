//! The sessions of `sticky learn`, with their peers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use md5::{Digest, Md5};

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

/// Sessions by the MD5 of their id, shared by all threads, in order of last use.
#[derive(Debug)]
pub struct Sessions {
    config: SessionsConfig,
    table: Mutex<SessionTable>,
}

#[derive(Debug, Default)]
struct SessionTable {
    sessions: HashMap<[u8; 16], Session>,
    /// The number of each session's last use, with its key and time in milliseconds.
    uses: BTreeMap<u64, ([u8; 16], u64)>,
    counter: u64,
}

#[derive(Debug)]
struct Session {
    sid: Box<str>,
    used: u64,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(config: SessionsConfig) -> Self {
        Self { config, table: Mutex::default() }
    }

    /// Their configuration.
    pub fn config(&self) -> &SessionsConfig {
        &self.config
    }

    /// The sid of a session's peer.
    pub fn find(&self, id: &[u8], now_millis: u64) -> Option<String> {
        let mut table = self.table();
        table.expire(now_millis, self.config.timeout);
        table.sessions.get(&key(id)).map(|session| session.sid.to_string())
    }

    /// Binds a response's session to its peer. `create` is false for an id from the client, which
    /// can prolong and move a session but not begin one.
    pub fn learn(&self, id: &[u8], sid: &str, create: bool, now_millis: u64) {
        let mut table = self.table();
        table.expire(now_millis, self.config.timeout);
        let key = key(id);
        if !create && !table.sessions.contains_key(&key) {
            return;
        }
        let limit = (self.config.size / BYTES_PER_SESSION).max(1) as usize;
        if !table.sessions.contains_key(&key) && table.sessions.len() >= limit {
            table.drop_oldest();
        }
        table.put(key, sid, now_millis);
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.table().sessions.len()
    }

    /// Whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionTable {
    fn put(&mut self, key: [u8; 16], sid: &str, now: u64) {
        self.counter += 1;
        let used = self.counter;
        let session = self.sessions.entry(key).or_insert_with(|| Session { sid: sid.into(), used });
        if session.used != used {
            self.uses.remove(&session.used);
            session.used = used;
            if &*session.sid != sid {
                session.sid = sid.into();
            }
        }
        self.uses.insert(used, (key, now));
    }

    fn expire(&mut self, now: u64, timeout: u64) {
        for _ in 0..EXPIRE_AT_ONCE {
            match self.uses.first_key_value() {
                Some((_, &(_, last))) if last + timeout <= now => self.drop_oldest(),
                _ => return,
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, (key, _))) = self.uses.pop_first() {
            self.sessions.remove(&key);
        }
    }
}

fn key(id: &[u8]) -> [u8; 16] {
    Md5::digest(id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(size: u64) -> Sessions {
        Sessions::new(SessionsConfig { zone: "z".into(), size, timeout: 1000 })
    }

    #[test]
    fn only_a_created_session_is_remembered() {
        let sessions = sessions(1 << 20);
        sessions.learn(b"a", "one", false, 0);
        assert_eq!(sessions.find(b"a", 0), None);
        sessions.learn(b"a", "one", true, 0);
        assert_eq!(sessions.find(b"a", 0).as_deref(), Some("one"));
        sessions.learn(b"a", "two", false, 0);
        assert_eq!(sessions.find(b"a", 0).as_deref(), Some("two"));
    }

    #[test]
    fn sessions_that_are_not_used_end() {
        let sessions = sessions(1 << 20);
        sessions.learn(b"a", "one", true, 0);
        sessions.learn(b"b", "one", true, 0);
        sessions.learn(b"a", "one", false, 900);
        assert_eq!(sessions.find(b"a", 1000).as_deref(), Some("one"));
        assert_eq!(sessions.find(b"b", 1000), None);
        assert_eq!(sessions.find(b"a", 1900), None);
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_full_zone_gives_up_the_session_that_was_used_longest_ago() {
        let sessions = sessions(3 * BYTES_PER_SESSION);
        for id in [b"a", b"b", b"c"] {
            sessions.learn(id, "one", true, 0);
        }
        sessions.learn(b"a", "one", false, 1);
        sessions.learn(b"d", "one", true, 2);
        assert_eq!(sessions.len(), 3);
        assert_eq!(sessions.find(b"b", 2), None);
        assert!(sessions.find(b"a", 2).is_some());
    }
}

//! Sessions that nodes have in common. A record of one says its peer, and up to which time it is
//! used; that time lies a quarter of the timeout ahead, so that a session in use is told four times
//! in its timeout and not with each request, and ends on no node before the timeout.

use weir_engine::clock;

use super::sessions::{Session, SessionKey, SessionTable, Sessions, Told};
use crate::{
    clock::Now,
    server::MAX_ROUTE,
    shared_records::{self, Theme},
};

/// The part of the timeout that a use is told ahead.
const AHEAD: u64 = 4;

/// The longest sid: an MD5 in hex, or a route.
const MAX_SID: usize = MAX_ROUTE;

/// The time in milliseconds after which nobody but a node with another clock uses a session that
/// has expired, so that its record can go.
const LONG_EXPIRED: u64 = 3_600_000;

/// The group of a shared key, and the session.
pub(crate) fn read_key(key: &[u8]) -> Option<(&str, SessionKey)> {
    let end = key.iter().position(|&byte| byte == 0)?;
    let group = std::str::from_utf8(&key[..end]).ok()?;
    Some((group, key[end + 1..].try_into().ok()?))
}

/// A record's value: the time in milliseconds of the wall clock, big-endian, and the sid.
fn value(wall: u64, sid: &str) -> Vec<u8> {
    [&wall.to_be_bytes(), sid.as_bytes()].concat()
}

fn read_value(value: &[u8]) -> Option<(u64, &str)> {
    let (wall, sid) = value.split_first_chunk()?;
    let is_sid = (1..=MAX_SID).contains(&sid.len());
    let sid = std::str::from_utf8(sid).ok().filter(|_| is_sid)?;
    Some((u64::from_be_bytes(*wall), sid))
}

impl Sessions {
    /// Takes over a record of another node; `None` if the session has ended there.
    pub(crate) fn apply(&self, key: SessionKey, value: Option<&[u8]>) {
        let (now, wall) = (Now::current().millis, clock::msec());
        match value.map(read_value) {
            None => self.end(key, now),
            Some(Some((told, sid))) => self.take_over(key, sid, told, now, wall),
            // Malformed.
            Some(None) => {}
        }
    }

    /// Whether there is room for another session.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.limit()
    }

    fn shared_key(&self, key: SessionKey) -> Vec<u8> {
        [self.group.as_bytes(), b"\0", &key].concat()
    }

    /// The time that a use is told ahead.
    fn ahead(&self) -> u64 {
        self.config().timeout / AHEAD
    }

    /// Tells the other nodes of a use, unless they know.
    pub(super) fn tell_use(
        &self,
        table: &mut SessionTable,
        key: SessionKey,
        now: u64,
        wall: impl FnOnce() -> u64,
    ) {
        let Some(session) = table.sessions.get(&key) else { return };
        if session.told.is_some_and(|told| told.until > now) {
            return;
        }
        let (ahead, sid) = (self.ahead(), session.sid.clone());
        let told = Told { wall: wall() + ahead, until: now + ahead };
        table.put(key, &sid, told.until).told = Some(told);
        let value = value(told.wall, &sid);
        shared_records::note(Theme::Sticky, &self.shared_key(key), Some(&value));
    }

    /// Tells the other nodes that a session has ended, under the lock of the table.
    pub(super) fn tell_end(&self, key: SessionKey) {
        shared_records::note(Theme::Sticky, &self.shared_key(key), None);
    }

    /// The records of all sessions.
    pub(crate) fn tell_all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (now, wall) = (Now::current().millis, clock::msec());
        let mut table = self.table();
        let living = table.sessions.iter().filter(|(_, session)| self.lives(session, now));
        let untold = living.filter(|(_, session)| session.told.is_none());
        let untold: Vec<_> =
            untold.map(|(&key, session)| (key, session.sid.clone(), session.used.0)).collect();
        for (key, sid, used) in untold {
            let until = used.saturating_add(self.ahead());
            let told = Told { wall: shift(until, now, wall), until };
            table.put(key, &sid, until).told = Some(told);
        }
        let record = |(&key, session): (&SessionKey, &Session)| {
            let told = session.told.filter(|_| self.lives(session, now))?;
            Some((self.shared_key(key), value(told.wall, &session.sid)))
        };
        table.sessions.iter().filter_map(record).collect()
    }

    /// Takes over a session of another node. One that this node has no room for is left out.
    fn take_over(&self, key: SessionKey, sid: &str, told: u64, now: u64, wall: u64) {
        // A clock that is fast gives no session more than a fresh one has.
        let told = told.min(wall.saturating_add(self.ahead()));
        let until = shift(told, wall, now);
        let end = told.saturating_add(self.config().timeout);
        let mut table = self.table();
        if shared_records::is_noted(Theme::Sticky, &self.shared_key(key)) {
            return;
        }
        self.expire(&mut table, now);
        if end <= wall {
            if end.saturating_add(LONG_EXPIRED) <= wall && !table.sessions.contains_key(&key) {
                self.tell_end(key);
            }
            return;
        }
        if !table.sessions.contains_key(&key) && table.sessions.len() >= self.limit() {
            if table.oldest().is_some_and(|oldest| oldest >= until) {
                return;
            }
            self.drop_oldest(&mut table);
        }
        table.put(key, sid, until).told = Some(Told { wall: told, until });
    }

    /// Another node has seen a session end. One that was used here goes on, and its next use is
    /// told.
    fn end(&self, key: SessionKey, now: u64) {
        let mut table = self.table();
        if shared_records::is_noted(Theme::Sticky, &self.shared_key(key)) {
            return;
        }
        let Some(session) = table.sessions.get_mut(&key) else { return };
        let timeout = self.config().timeout;
        if session.used_here.is_some_and(|used| used.saturating_add(timeout) > now) {
            session.told = None;
        } else {
            table.remove(&key);
        }
    }
}

/// A time by another clock: `from` and `to` are the same moment.
fn shift(time: u64, from: u64, to: u64) -> u64 {
    to.saturating_add(time.saturating_sub(from)).saturating_sub(from.saturating_sub(time))
}

/// Reads bytes as a record.
pub(crate) fn fuzz(key: &[u8], value: &[u8]) {
    let config = super::SessionsConfig { zone: "z".into(), size: 1, timeout: 1000 };
    let sessions = Sessions::new(config, "http u");
    let _ = read_key(key);
    if let Some((told, sid)) = read_value(value) {
        assert_eq!(self::value(told, sid), value);
        for now in [0, told, u64::MAX / 2] {
            sessions.take_over([0; 16], sid, told, now, told.wrapping_add(now));
        }
        assert!(sessions.len() <= 1);
    }
}

#[cfg(test)]
mod tests;

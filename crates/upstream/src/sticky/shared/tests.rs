use std::{collections::HashMap, sync::Arc};

use super::*;
use crate::{
    config::GroupConfig,
    registry::Registry,
    shared_groups::LearnedSessions,
    shared_records::{Owner, take, with_mirror},
    sticky::{SessionsConfig, sessions::key},
    upstreams::Side,
};

const TIMEOUT: u64 = 1000;

/// A node, whose clocks differ from those of others.
struct Node {
    sessions: Sessions,
    start: u64,
    skew: u64,
}

/// What has been noted of sessions.
type Noted = HashMap<Vec<u8>, Option<Vec<u8>>>;

fn noted() -> Noted {
    let changes = take().by_key.into_iter();
    changes
        .filter(|((theme, _), _)| *theme == Theme::Sticky)
        .map(|((_, key), it)| (key, it))
        .collect()
}

impl Node {
    fn new(start: u64, skew: u64, room: u64) -> Self {
        let config = SessionsConfig { zone: "z".into(), size: room * 128, timeout: TIMEOUT };
        Self { sessions: Sessions::new(config, "http test"), start, skew }
    }

    fn wall(&self, now: u64) -> u64 {
        1_700_000_000_000 + self.skew + now
    }

    /// A request, and what is noted of it.
    fn learn(&self, id: &str, sid: &str, create: bool, now: u64) -> Noted {
        let time = self.start + now;
        let found = self.find(id, now);
        if create || found.is_some() {
            let found = found.as_deref().map(str::as_bytes).filter(|_| !create);
            self.sessions.learn_by(|| self.wall(now), id.as_bytes(), sid, found, time);
        }
        noted()
    }

    fn find(&self, id: &str, now: u64) -> Option<String> {
        self.sessions.find(id.as_bytes(), self.start + now)
    }

    /// Takes over what another node has noted; returns what this one notes.
    fn hear(&self, told: &Noted, now: u64) -> Noted {
        for (key, value) in told {
            let (group, session) = read_key(key).unwrap();
            assert_eq!(group, "http test");
            match value {
                None => self.sessions.end(session, self.start + now),
                Some(value) => {
                    let (told, sid) = read_value(value).unwrap();
                    let (time, wall) = (self.start + now, self.wall(now));
                    self.sessions.take_over(session, sid, told, time, wall);
                }
            }
        }
        noted()
    }
}

fn pair() -> (Node, Node) {
    (Node::new(5000, 0, 1000), Node::new(900_000, 0, 1000))
}

#[test]
fn a_session_in_use_is_told_four_times_in_its_timeout() {
    with_mirror(|| {
        let (a, b) = pair();
        let mut told = 0;
        for now in 0..10 * TIMEOUT {
            let noted = a.learn("x", "one", now == 0, now);
            told += noted.len();
            b.hear(&noted, now);
            assert_eq!(b.find("x", now).as_deref(), Some("one"), "{now}");
        }
        assert_eq!(told as u64, 10 * AHEAD);
        // It is moved at once.
        b.hear(&a.learn("x", "two", false, 9999), 9999);
        assert_eq!(b.find("x", 9999).as_deref(), Some("two"));
    });
}

#[test]
fn a_session_ends_after_its_timeout_on_every_node() {
    with_mirror(|| {
        let (a, b) = pair();
        b.hear(&a.learn("x", "one", true, 0), 0);
        // Used on the other node meanwhile, which is not told.
        assert!(b.learn("x", "one", false, 240).is_empty());
        for (node, now) in [(&a, 1239), (&b, 1239), (&a, 1249), (&b, 1249)] {
            assert_eq!(node.find("x", now).as_deref(), Some("one"), "{now}");
        }
        assert_eq!(a.find("x", 1250), None);
        let end = noted();
        assert_eq!(end.values().collect::<Vec<_>>(), [&None]);
        assert_eq!(b.find("x", 1250), None);
        assert!(b.learn("x", "one", false, 1260).is_empty() || b.find("x", 1260).is_none());
    });
}

#[test]
fn a_session_that_is_used_here_does_not_end_because_another_node_saw_it_end() {
    with_mirror(|| {
        let (a, b) = pair();
        b.hear(&a.learn("x", "one", true, 0), 0);
        // The nodes do not see each other.
        let touch = b.learn("x", "one", false, 800);
        assert_eq!(a.find("x", 1300), None);
        let end = noted();
        assert!(b.hear(&end, 1301).is_empty());
        assert_eq!(b.find("x", 1301).as_deref(), Some("one"));
        // Its next use brings it back.
        a.hear(&b.learn("x", "one", false, 1302), 1303);
        assert_eq!(a.find("x", 1303).as_deref(), Some("one"));
        drop(touch);
        // One that was not used here ends with it.
        b.hear(&a.learn("y", "one", true, 1400), 1400);
        a.find("y", 9000);
        let end = noted();
        b.hear(&end, 1401);
        assert_eq!(b.find("y", 1401), None);
    });
}

/// A reload hands all records in again, and a connection may.
#[test]
fn records_that_come_again_prolong_nothing() {
    with_mirror(|| {
        let (a, b) = pair();
        let noted = a.learn("x", "one", true, 0);
        for now in [0, 500, 1249] {
            b.hear(&noted, now);
            a.hear(&noted, now);
        }
        assert_eq!((a.find("x", 1250), b.find("x", 1250)), (None, None));
        self::noted();
        assert!(b.hear(&noted, 1251).is_empty());
        assert_eq!(b.find("x", 1251), None);
        // One that nobody has known for long is cleared away.
        let late = 1250 + LONG_EXPIRED;
        assert_eq!(b.hear(&noted, late - 1).len(), 0);
        assert_eq!(b.hear(&noted, late).into_values().collect::<Vec<_>>(), [None]);
    });
}

#[test]
fn a_change_that_waits_is_later_than_one_that_comes() {
    with_mirror(|| {
        let (a, b) = pair();
        let old = a.learn("x", "one", true, 0);
        b.hear(&old, 0);
        let time = b.start + 1;
        b.sessions.learn_by(|| b.wall(1), b"x", "two", Some(b"one"), time);
        // It was not taken yet.
        let (told, sid) = (b.wall(0) + 999, "three");
        b.sessions.take_over(key(b"x"), sid, told, time, b.wall(1));
        b.sessions.end(key(b"x"), time + 5000);
        assert_eq!(b.find("x", 2).as_deref(), Some("two"));
        let later = noted();
        a.hear(&later, 2);
        assert_eq!(a.find("x", 2).as_deref(), Some("two"));
    });
}

#[test]
fn a_full_zone_leaves_older_sessions_out_and_comes_to_rest() {
    with_mirror(|| {
        let (small, large) = (Node::new(7, 0, 3), Node::new(8, 0, 100));
        let mut first = Noted::new();
        for now in 0..20 {
            let mut waiting = large.learn(&format!("s{now}"), "one", true, now);
            let mut rounds = 0;
            if now == 0 {
                first.clone_from(&waiting);
            }
            while !waiting.is_empty() {
                let back = small.hear(&waiting, now);
                waiting = large.hear(&back, now);
                rounds += 1;
                assert!(rounds < 3, "{now}");
            }
        }
        assert_eq!((small.sessions.len(), large.sessions.len()), (3, 20));
        assert!((17..20).all(|at| small.find(&format!("s{at}"), 20).is_some()));
        assert!((0..20).all(|at| large.find(&format!("s{at}"), 20).is_some()));
        // An older one has no room, and a newer one takes that of the oldest.
        assert!(small.hear(&first, 20).is_empty());
        assert_eq!(small.find("s0", 20), None);
        small.hear(&large.learn("s1", "one", false, 21), 21);
        assert!(small.find("s1", 21).is_some() && small.find("s17", 21).is_none());
    });
}

#[test]
fn clocks_that_differ_make_no_session_immortal() {
    with_mirror(|| {
        for skew in [100_000, 400] {
            let (a, b) = (Node::new(0, skew, 100), Node::new(1000, 0, 100));
            b.hear(&a.learn("x", "one", true, 0), 0);
            assert!(b.find("x", 1249).is_some());
            assert!(b.find("x", 1250).is_none());
            // What it saw end, the other one uses.
            a.hear(&noted(), 1);
            assert!(a.find("x", 1).is_some());
            // A clock that is slow ends it early, and nothing goes to and fro.
            let (a, b) = (Node::new(0, 0, 100), Node::new(1000, skew + 1000, 100));
            let back = b.hear(&a.learn("x", "one", true, 0), 0);
            assert!(back.is_empty() && b.find("x", 0).is_none());
        }
    });
}

#[test]
fn all_sessions_are_told_alike_each_time() {
    with_mirror(|| {
        let registry = Arc::new(Registry::default());
        let sessions = SessionsConfig { zone: "z".into(), size: 1 << 20, timeout: 60_000 };
        let config = |sessions| GroupConfig {
            sessions,
            ..GroupConfig::implicit(Side::Http.key("told"), "told", Vec::new())
        };
        let group = registry.group(&config(Some(sessions)));
        let owner = LearnedSessions(Arc::clone(&registry));
        let now = Now::current().millis;
        let known = group.sessions().unwrap();
        known.learn(b"a", "one", None, now);
        known.learn(b"b", "two", None, now);
        let sorted = || {
            let mut all = owner.all();
            all.sort();
            all
        };
        let all = sorted();
        assert_eq!(all.len(), 2);
        assert_eq!(sorted(), all);
        assert!(all.iter().all(|(key, _)| owner.keeps(key)));
        assert!(!owner.keeps(b"http other\x000123456789abcdef") && !owner.keeps(b"http told"));
        // Another worker, which has noted nothing, takes them from there.
        take();
        let other = Arc::new(Registry::default());
        let group = other.group(&config(group.sessions().map(|it| it.config().clone())));
        let taker = LearnedSessions(other);
        all.iter().for_each(|(key, value)| taker.apply(key, Some(value)));
        let taken = group.sessions().unwrap();
        assert_eq!(taken.find(b"a", now).as_deref(), Some("one"));
        assert_eq!(taken.find(b"b", now).as_deref(), Some("two"));
        all.iter().for_each(|(key, _)| taker.apply(key, None));
        assert!(taken.is_empty());
    });
}

#[test]
fn malformed_records_are_refused() {
    with_mirror(|| {
        let registry = Arc::new(Registry::default());
        let sessions = Some(SessionsConfig { zone: "z".into(), size: 1 << 20, timeout: 60_000 });
        let config = GroupConfig::implicit(Side::Http.key("broken"), "broken", Vec::new());
        let group = registry.group(&GroupConfig { sessions, ..config });
        let owner = LearnedSessions(registry);
        let good = value(clock::msec(), "sid");
        for key in
            [&b""[..], b"\0", b"http broken", b"http broken\0", b"http broken\0short", b"\xff\0"]
        {
            owner.apply(key, Some(&good));
            owner.apply(key, None);
        }
        let key = b"http broken\x000123456789abcdef";
        let long = value(clock::msec(), &"x".repeat(MAX_SID + 1));
        let broken = [&good[..8], &good[..3], b"", &long, b"12345678\xff\xfe"];
        broken.into_iter().for_each(|value| owner.apply(key, Some(value)));
        assert!(group.sessions().unwrap().is_empty());
        for time in [0, 1, u64::MAX] {
            take();
            owner.apply(key, Some(&value(time, "sid")));
        }
        assert_eq!(group.sessions().unwrap().len(), 1);
        fuzz(key, &value(u64::MAX, "sid"));
    });
}

use super::*;
use crate::config::GroupConfig;

fn reader() -> Reader {
    Reader::of(&GroupConfig::implicit("http u".into(), "u", Vec::new()))
}

fn pair(key: &str, value: &str, modified: i64) -> Pair {
    Pair { key: key.into(), value: value.into(), modified }
}

fn at(revision: i64) -> Header {
    Header { cluster: 1, revision }
}

fn range(revision: i64, pairs: Vec<Pair>) -> Range {
    Range { header: at(revision), count: pairs.len() as u64, pairs }
}

/// What etcd says of `count` keys, the last of them changed at `modified`.
fn newest(revision: i64, count: u64, modified: i64) -> Range {
    let pairs = if count > 0 { vec![pair("/s/x", "", modified)] } else { Vec::new() };
    Range { header: at(revision), pairs, count }
}

fn put(revision: i64, key: &str, value: &str) -> Watched {
    Watched::Events(at(revision), vec![Event::Put(pair(key, value, revision))])
}

fn deleted(revision: i64, key: &str) -> Watched {
    Watched::Events(at(revision), vec![Event::Deleted(key.into())])
}

fn loaded() -> Mirror {
    let mut mirror = Mirror::new(b"/s/".into());
    let pairs = vec![pair("/s/a", "127.0.0.1:1", 3), pair("/s/b", "127.0.0.1:2", 5)];
    assert_eq!(mirror.load(range(9, pairs), reader()), Ok(false));
    mirror
}

fn names(mirror: &Mirror) -> Vec<String> {
    let listing = mirror.listing(false).unwrap();
    listing.servers.into_iter().map(|server| server.text).collect()
}

#[test]
fn a_prefix_is_a_range() {
    let end = |prefix: &[u8]| Mirror::new(prefix.into()).range().1;
    assert_eq!(end(b"/s/"), b"/s0");
    assert_eq!(end(b"a\xff\xff"), b"b");
    assert_eq!(end(b"\xff"), b"\0");
}

#[test]
fn changes_follow_a_list() {
    let mut mirror = loaded();
    assert_eq!(mirror.next_revision(), 10);
    assert_eq!(mirror.take(Watched::Events(at(9), Vec::new()), reader()), Taken::Nothing);
    assert_eq!(mirror.take(put(10, "/s/c", "127.0.0.1:3 weight=2"), reader()), Taken::Changed);
    assert_eq!(mirror.take(deleted(11, "/s/a"), reader()), Taken::Changed);
    assert_eq!(names(&mirror), ["127.0.0.1:2", "127.0.0.1:3"]);
    assert_eq!(mirror.next_revision(), 12);
    let ended = Watched::Ended("compacted".into());
    assert_eq!(mirror.take(ended, reader()), Taken::Lost("compacted".into()));
    let other = Watched::Events(Header { cluster: 2, revision: 12 }, Vec::new());
    assert!(matches!(mirror.take(other, reader()), Taken::Lost(_)));
}

#[test]
fn a_bad_value_is_named_by_its_key() {
    let mut mirror = loaded();
    let long = "a".repeat(MAX_VALUE + 1);
    for (revision, (key, value)) in
        (10..).zip([("/s/a", "127.0.0.1:x"), ("/s/c", &long), ("/s/d", "127.0.0.1:2")])
    {
        mirror.take(put(revision, key, value), reader());
    }
    mirror.take(put(20, "/s/e", r#"{"server": "127.0.0.1:5", "weight": 2}"#), reader());
    let listing = mirror.listing(false).unwrap();
    assert_eq!(listing.servers.len(), 2);
    assert_eq!(
        listing.faults,
        [
            "key \"/s/a\": invalid port in upstream \"127.0.0.1:x\"",
            "key \"/s/c\": the value is longer than 4096 bytes",
            "key \"/s/d\": server \"127.0.0.1:2\" is listed already",
        ]
    );
    // It is right again.
    mirror.take(put(21, "/s/a", "none"), reader());
    assert!(mirror.listing(false).unwrap().may_be_empty);
}

#[test]
fn etcd_may_lose_its_memory() {
    let mut mirror = loaded();
    assert_eq!(mirror.load(range(9, Vec::new()), reader()), Ok(false));
    assert_eq!(mirror.load(range(1, Vec::new()), reader()), Ok(true), "the revision moves back");
    let other = Range { header: Header { cluster: 2, revision: 50 }, pairs: Vec::new(), count: 0 };
    assert_eq!(mirror.load(other, reader()), Ok(true), "another cluster");
    let mut mirror = loaded();
    assert!(mirror.compare(&newest(8, 2, 5)).is_err());
}

#[test]
fn what_a_watch_misses_is_found() {
    let mut mirror = loaded();
    assert_eq!(mirror.compare(&newest(9, 2, 5)), Ok(()));
    assert_eq!(mirror.compare(&newest(30, 2, 5)), Ok(()), "changes elsewhere");
    // A key more, which the watch tells before the next comparison.
    assert_eq!(mirror.compare(&newest(31, 3, 31)), Ok(()));
    mirror.take(put(31, "/s/c", "127.0.0.1:3"), reader());
    assert_eq!(mirror.compare(&newest(32, 4, 32)), Ok(()), "other changes are in doubt now");
    mirror.take(put(32, "/s/d", "127.0.0.1:4"), reader());
    assert_eq!(mirror.compare(&newest(32, 4, 32)), Ok(()));
    // A change, and a key less, which it does not tell.
    for untold in [newest(33, 4, 33), newest(33, 3, 31)] {
        assert_eq!(mirror.compare(&untold), Ok(()));
        assert!(mirror.compare(&untold).is_err());
        mirror.doubt = None;
    }
}

#[test]
fn too_many_keys_are_no_list() {
    let mut mirror = loaded();
    let many = Range { count: MAX_LISTED as u64 + 1, ..range(9, Vec::new()) };
    assert!(mirror.load(many, reader()).is_err());
    let pair = |at: usize| pair(&format!("/s/{at}"), &format!("127.0.{}.{}", at >> 8, at & 255), 1);
    let full = range(10, (0..MAX_LISTED).map(pair).collect());
    assert_eq!(mirror.load(full, reader()), Ok(false));
    assert_eq!(mirror.take(put(11, "/s/1", "127.0.0.9"), reader()), Taken::Changed);
    assert!(matches!(mirror.take(put(11, "/s/x", ""), reader()), Taken::Lost(_)));
}

//! Tables from the sections of RFC 9111 and its relatives.

use weir_conf::Word;
use weir_wire::header::{Headers, Known};

use super::control::{Said, directives, seconds};
use super::demands::Demands;
use super::dictionary;
use super::invalidation::{replaced, resolved};
use super::lifetime::{Lifetime, Received, judge};
use super::reuse;
use super::stored;
use crate::cache::file::Times;
use crate::pass::hidden::Ignored;

/// Sun, 09 Sep 2001 01:46:40 GMT.
const NOW: i64 = 1_000_000_000;

type Lines<'l> = &'l [(&'l str, &'l str)];

fn fields(lines: Lines<'_>) -> Headers {
    let mut fields = Headers::new();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

/// A date this many seconds after [`NOW`].
fn date(after: i64) -> String {
    let mut text = Vec::new();
    weir_wire::date::http(NOW + after, &mut text);
    String::from_utf8(text).unwrap()
}

fn received<'r>(status: u16, fields: &'r Headers) -> Received<'r> {
    Received {
        status,
        fields,
        ignored: Ignored::default(),
        targets: &[],
        by_status: None,
        is_authorized: false,
        keeps_parts: false,
        now: NOW,
        delay: 0,
    }
}

/// The seconds for which a response stays fresh; None if it is not kept.
fn left(status: u16, lines: Lines<'_>) -> Option<i64> {
    let fields = fields(lines);
    let lifetime = judge(&received(status, &fields))?;
    Some(reuse::left(lifetime.times, NOW))
}

#[test]
fn lists_of_directives() {
    let parsed = |list: &str| -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let all = directives(list.as_bytes());
        all.map(|one| (text(one.name), one.argument.as_deref().map(text))).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    for (list, expected) in [
        ("", vec![]),
        (" , ,", vec![]),
        ("a", vec![("a", None)]),
        ("a=1 , b", vec![("a", some("1")), ("b", None)]),
        ("a=\"1, 2\",b", vec![("a", some("1, 2")), ("b", None)]),
        ("a=\"\\\"1\\\\\",b", vec![("a", some("\"1\\")), ("b", None)]),
        ("a=\"1, b", vec![("a", some("\"1, b"))]),
        ("a=, b==", vec![("a", some("")), ("b", some("="))]),
        ("a =1", vec![("a ", some("1"))]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(n, a)| (n.to_owned(), a)).collect();
        assert_eq!(parsed(list), expected, "{list}");
    }
}

#[test]
fn delta_seconds() {
    for (text, expected) in [
        ("0", Some(0)),
        ("003600", Some(3600)),
        ("2147483648", Some(2_147_483_648)),
        ("99999999999999999999999999", Some(i64::from(u32::MAX))),
        ("", None),
        ("-1", None),
        ("1.0", None),
        (" 1", None),
        ("'1'", None),
    ] {
        assert_eq!(seconds(text.as_bytes()), expected, "{text}");
    }
}

/// RFC 9111 section 4.2.1: the lifetime, by the first of these that there is.
#[test]
fn lifetimes() {
    let (soon, past) = (date(20), date(-20));
    let day_ago = date(-24 * 3600);
    let (odd, zone) = ("Sunday", "Sun, 09 Sep 2001 01:47:00 UTC");
    for (lines, expected) in [
        (&[("Cache-Control", "max-age=5")][..], Some(5)),
        (&[("Cache-Control", "MAX-AGE=\"5\"")], Some(5)),
        (&[("Cache-Control", "max-age=5, s-maxage=9")], Some(9)),
        (&[("Cache-Control", "max-age=5"), ("Cache-Control", "max-age=9")], Some(5)),
        (&[("Cache-Control", "max-age=5"), ("Expires", &past)], Some(5)),
        (&[("Expires", &soon)], Some(20)),
        (&[("Expires", &soon), ("Date", &soon)], None),
        (&[("Expires", &soon), ("Date", &past)], Some(20)),
        (&[("X", "max-age=5")], None),
        (&[("Cache-Control", "ext=\"max-age=5\"")], None),
        (&[("Cache-Control", "ext=\"max-age=5\", max-age=1")], Some(1)),
        // Stale, and without a validator of no use.
        (&[("Cache-Control", "max-age=0")], None),
        (&[("Cache-Control", "max-age=x")], None),
        (&[("Cache-Control", "max-age=-1")], None),
        (&[("Cache-Control", "max-age")], None),
        (&[("Cache-Control", "max-age=0"), ("ETag", "\"a\"")], Some(0)),
        (&[("Cache-Control", "max-age=x, max-age=5"), ("ETag", "\"a\"")], Some(0)),
        (&[("Expires", "0"), ("ETag", "\"a\"")], Some(0)),
        (&[("Expires", odd), ("ETag", "\"a\"")], Some(0)),
        (&[("Expires", zone), ("ETag", "\"a\"")], Some(0)),
        // Heuristic: a tenth of the time since the last change.
        (&[("Last-Modified", &day_ago)], Some(8640)),
        (&[("Last-Modified", &soon)], Some(0)),
        (&[("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")], Some(86400)),
        (&[("Last-Modified", "1"), ("ETag", "W/\"a\"")], Some(0)),
        (&[("Last-Modified", &day_ago), ("Set-Cookie", "a=b")], None),
        (&[("Cache-Control", "max-age=5"), ("Set-Cookie", "a=b")], Some(5)),
        (&[], None),
    ] {
        assert_eq!(left(200, lines), expected, "{lines:?}");
    }
}

/// RFC 9111 section 3: what may be stored.
#[test]
fn storing() {
    for (status, cache_control, expected) in [
        (200, "max-age=5, no-store", None),
        (200, "no-store", None),
        (200, "max-age=5, private", None),
        (200, "max-age=5, private=\"x-a\"", Some(5)),
        (200, "max-age=5, no-cache", Some(0)),
        (200, "max-age=5, no-cache=\"x-a\"", Some(5)),
        (200, "max-age=5, no-cache=\"\"", Some(0)),
        (200, "max-age=5, no-store, must-understand", Some(5)),
        (599, "max-age=5, no-store, must-understand", None),
        (599, "max-age=5, must-understand", None),
        (599, "max-age=5", Some(5)),
        (599, "public", Some(100)),
        (599, "", None),
        (201, "", None),
        (503, "", None),
        (404, "", Some(100)),
        (206, "max-age=5", None),
        (100, "max-age=5", None),
    ] {
        let modified = date(-1000);
        let lines =
            [("Cache-Control", cache_control), ("Last-Modified", &modified), ("ETag", "\"a\"")];
        assert_eq!(left(status, &lines), expected, "{status} {cache_control}");
    }
    let fields = fields(&[("Cache-Control", "max-age=5")]);
    let parts = Received { keeps_parts: true, ..received(206, &fields) };
    assert!(judge(&parts).is_some());
}

/// The configuration's time stands in for the heuristic one.
#[test]
fn times_by_status() {
    let left = |lines: Lines<'_>| {
        let fields = fields(lines);
        let received = Received { by_status: Some(60), ..received(503, &fields) };
        judge(&received).map(|lifetime| reuse::left(lifetime.times, NOW))
    };
    let modified = date(-10000);
    assert_eq!(left(&[]), Some(60));
    assert_eq!(left(&[("Last-Modified", &modified), ("Cache-Control", "public")]), Some(60));
    assert_eq!(left(&[("Cache-Control", "max-age=5")]), Some(5));
    assert_eq!(left(&[("Cache-Control", "no-store")]), None);
    assert_eq!(left(&[("Set-Cookie", "a=b")]), None);
}

/// RFC 9111 section 3.5.
#[test]
fn authorization() {
    for (cache_control, is_kept) in [
        ("max-age=5", false),
        ("max-age=5, public", true),
        ("max-age=5, must-revalidate", true),
        ("max-age=5, proxy-revalidate", false),
        ("s-maxage=5", true),
    ] {
        let fields = fields(&[("Cache-Control", cache_control)]);
        let received = Received { is_authorized: true, ..received(200, &fields) };
        assert_eq!(judge(&received).is_some(), is_kept, "{cache_control}");
    }
}

/// RFC 9111 sections 4.2.3 and 5.1.
#[test]
fn ages() {
    let slow = date(-7);
    for (lines, delay, expected) in [
        (&[][..], 0, 0),
        (&[], 3, 3),
        (&[("Age", "30")], 0, 30),
        (&[("Age", "30")], 3, 33),
        (&[("Age", "30, 0")], 0, 30),
        (&[("Age", "0, 30")], 0, 0),
        (&[("Age", "30"), ("Age", "0")], 0, 30),
        (&[("Age", "abc")], 0, 0),
        (&[("Age", "-7200")], 0, 0),
        (&[("Age", "7200.0")], 0, 0),
        (&[("Age", "7200;a=b")], 0, 0),
        (&[("Age", "7200=1")], 0, 0),
        (&[("Date", &slow)], 0, 7),
        (&[("Date", &slow), ("Age", "3")], 2, 7),
        (&[("Date", &slow), ("Age", "9")], 0, 9),
        (&[("Date", "Sunday")], 0, 0),
    ] {
        let mut all = vec![("Cache-Control", "max-age=4000000000")];
        all.extend(lines);
        let fields = fields(&all);
        let judged = judge(&Received { delay, ..received(200, &fields) }).unwrap();
        assert_eq!(judged.age, expected, "{lines:?}");
        assert_eq!(reuse::left(judged.times, NOW), 4_000_000_000 - expected, "{lines:?}");
    }
    for age in ["2147483647", "2147483648", "99999999999999999999"] {
        let left = left(200, &[("Cache-Control", "max-age=3600"), ("Age", age), ("ETag", "a")]);
        assert!(left.unwrap() < 0, "{age}");
    }
}

/// RFC 9111 section 4.2.4 and RFC 5861.
#[test]
fn stale_windows() {
    for (cache_control, expected) in [
        ("max-age=1", (0, 0)),
        ("max-age=1, stale-while-revalidate=3", (3, 0)),
        ("max-age=1, stale-if-error=4", (0, 4)),
        ("max-age=1, stale-while-revalidate=3, stale-if-error=4", (3, 4)),
        ("max-age=1, stale-while-revalidate=x", (0, 0)),
        ("max-age=1, stale-while-revalidate=3, must-revalidate", (0, 0)),
        ("max-age=1, stale-if-error=3, proxy-revalidate", (0, 0)),
        ("s-maxage=1, stale-if-error=3", (0, 0)),
    ] {
        let fields = fields(&[("Cache-Control", cache_control)]);
        let times = judge(&received(200, &fields)).unwrap().times;
        assert_eq!((times.updating, times.error), expected, "{cache_control}");
    }
}

/// A stale response without a validator is kept as long as it may be used.
#[test]
fn what_is_of_no_use_is_not_kept() {
    for (cache_control, age, expected) in [
        ("max-age=10, stale-while-revalidate=30", "39", Some(-29)),
        ("max-age=10, stale-while-revalidate=30", "41", None),
        ("max-age=10, stale-if-error=30", "39", Some(-29)),
        ("max-age=10", "10", None),
        ("max-age=10", "9", Some(1)),
    ] {
        let lines = [("Cache-Control", cache_control), ("Age", age)];
        assert_eq!(left(200, &lines), expected, "{cache_control} {age}");
    }
}

#[test]
fn x_accel_expires_overrules_what_is_said_to_others() {
    let past = date(-20);
    for (accel, cache_control, expected) in [
        ("7", "no-store", Some(7)),
        ("7", "private, max-age=2", Some(7)),
        ("7", "no-cache", Some(7)),
        ("0", "max-age=5", None),
        ("@1000000011", "max-age=5", Some(11)),
        ("@5", "max-age=5", None),
        ("x", "max-age=5", Some(5)),
    ] {
        let lines =
            [("X-Accel-Expires", accel), ("Cache-Control", cache_control), ("Expires", &*past)];
        assert_eq!(left(200, &lines), expected, "{accel} {cache_control}");
    }
}

fn word(text: &str) -> Word {
    Word { value: text.into(), ..Word::default() }
}

/// RFC 9213.
#[test]
fn targeted_fields() {
    let targets = [word("x-mine"), word("CDN-Cache-Control")];
    let left = |lines: Lines<'_>| {
        let fields = fields(lines);
        let received = Received { targets: &targets, ..received(200, &fields) };
        judge(&received).map(|lifetime| reuse::left(lifetime.times, NOW))
    };
    let soon = date(20);
    for (targeted, expected) in [
        ("max-age=9", Some(9)),
        ("max-age=9;a=b;c, foo=(a \"b\" 1);d, bar=:aGk=:, baz=1.5", Some(9)),
        ("no-store", None),
        ("private", None),
        ("no-cache", None),
        ("max-age=0", None),
        ("private=\"x\", max-age=9", Some(9)),
        ("private=?0, max-age=9", Some(9)),
        ("max-age=1, max-age=9", Some(9)),
        ("max-age=-9", None),
        // No dictionaries, or of wrong types: ignored.
        ("", Some(5)),
        ("max-age=9, &&&", Some(5)),
        ("max-age=9,", Some(5)),
        ("MaX-aGe=9", Some(5)),
        ("max-age =9", Some(5)),
        ("max-age= 9", Some(5)),
        ("max-age=\"9\"", Some(5)),
        ("max-age=9.5", Some(5)),
        ("max-age", Some(5)),
        ("no-store=1", Some(5)),
        ("private=(\"x\")", Some(5)),
        ("a=\"", Some(5)),
        ("a=\"\\x\"", Some(5)),
        ("a=(b", Some(5)),
        ("a=9999999999999999", Some(5)),
    ] {
        let lines =
            [("CDN-Cache-Control", targeted), ("Cache-Control", "max-age=5"), ("Expires", &soon)];
        assert_eq!(left(&lines), expected, "{targeted}");
    }
    let both = [("CDN-Cache-Control", "max-age=9"), ("X-Mine", "max-age=3")];
    assert_eq!(left(&both), Some(3));
    let over = [("CDN-Cache-Control", "max-age=9"), ("Cache-Control", "no-store")];
    assert_eq!(left(&over), Some(9));
    let lines = [("CDN-Cache-Control", "foo"), ("CDN-Cache-Control", "max-age=8")];
    assert_eq!(left(&lines), Some(8));
    // Expires has no effect beside a targeted field.
    assert_eq!(left(&[("CDN-Cache-Control", "foo"), ("Expires", &soon)]), None);
    assert_eq!(dictionary::parse(b" "), None::<Said>);
}

#[test]
fn ignored_fields_say_nothing() {
    let soon = date(20);
    let lines = [("Cache-Control", "no-store"), ("Expires", &soon), ("Set-Cookie", "a=b")];
    let fields = fields(&lines);
    let with = |ignored| judge(&Received { ignored, ..received(200, &fields) });
    assert!(with(Ignored::default()).is_none());
    let kept = with(Ignored::CACHE_CONTROL).unwrap();
    assert_eq!(reuse::left(kept.times, NOW), 20);
    assert!(with(Ignored::CACHE_CONTROL.union(Ignored::EXPIRES_FIELD)).is_none());
}

/// RFC 9111 section 5.2.1.
#[test]
fn demands_of_requests() {
    let are_met =
        |list: &str, age, left| Demands::of([list.as_bytes()].into_iter(), None).are_met(age, left);
    for (list, age, left, expected) in [
        ("", 100, 1, true),
        ("", 100, 0, false),
        ("foo, max-fresh=1", 100, 1, true),
        ("no-cache", 0, 100, false),
        ("No-Cache", 0, 100, false),
        ("max-age=10", 10, 100, true),
        ("max-age=10", 11, 100, false),
        ("max-age=\"10\"", 10, 100, true),
        ("max-age=0", 1, 100, false),
        ("max-age=x", 1, 100, false),
        ("min-fresh=10", 0, 10, true),
        ("min-fresh=10", 0, 9, false),
        ("max-stale", 100, -100, true),
        ("max-stale=10", 100, -10, true),
        ("max-stale=10", 100, -11, false),
        ("max-stale=0", 100, 0, false),
        ("max-stale=x", 100, 0, false),
        ("max-stale, max-age=10", 11, 0, false),
        ("no-store", 100, 1, true),
    ] {
        assert_eq!(are_met(list, age, left), expected, "{list} {age} {left}");
    }
    let of = |lines: &[&str], pragma: Option<&str>| {
        let lines = lines.iter().map(|line| line.as_bytes());
        Demands::of(lines, pragma.map(str::as_bytes))
    };
    assert!(of(&["no-store"], None).no_store);
    assert!(of(&["a", "only-if-cached"], None).only_if_cached);
    assert!(!of(&[], Some("x, no-cache")).are_met(0, 100));
    assert!(of(&[], Some("x")).are_met(0, 100));
    assert!(of(&["x"], Some("no-cache")).are_met(0, 100));
}

fn lifetime(age: i64, withheld: &[&str]) -> Lifetime {
    let withheld = withheld.iter().map(|name| name.as_bytes().to_vec()).collect();
    let times = Times { valid: NOW + 9, date: NOW, ..Times::default() };
    Lifetime { times, age, withheld }
}

fn shown(fields: &Headers) -> Vec<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value, _)| format!("{}: {}", text(name), text(value))).collect()
}

/// RFC 9111 section 3.1.
#[test]
fn fields_that_are_stored() {
    let all = fields(&[
        ("Connection", "close, X-A"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authentication-Info", "a"),
        ("X-a", "1"),
        ("X-B", "2"),
        ("X-C", "3"),
        ("Age", "7, 8"),
        ("Date", "yesterday"),
        ("Content-Length", "5"),
    ]);
    let stored = stored::fields(&all, &lifetime(9, &["x-b"]));
    let expected = ["X-C: 3", "Content-Length: 5", "Date: Sun, 09 Sep 2001 01:46:40 GMT", "Age: 9"];
    assert_eq!(shown(&stored), expected);
    let dated = fields(&[("Date", "Sun, 09 Sep 2001 01:46:00 GMT")]);
    let stored = stored::fields(&dated, &lifetime(0, &[]));
    assert_eq!(shown(&stored), ["Date: Sun, 09 Sep 2001 01:46:00 GMT"]);
}

/// RFC 9111 sections 3.2 and 4.3.4.
#[test]
fn fields_that_a_304_changes() {
    let stored = fields(&[
        ("ETag", "\"a\""),
        ("X-A", "1"),
        ("X-B", "2"),
        ("Content-Length", "5"),
        ("Content-Encoding", "gzip"),
        ("Age", "30"),
        ("Date", "then"),
    ]);
    let update = fields(&[
        ("x-a", "3"),
        ("x-a", "4"),
        ("Content-Length", "0"),
        ("Content-Encoding", "br"),
        ("Connection", "x-b"),
        ("X-B", "5"),
        ("Date", "now"),
    ]);
    let expected = [
        "ETag: \"a\"",
        "X-B: 2",
        "Content-Length: 5",
        "Content-Encoding: gzip",
        "x-a: 3",
        "x-a: 4",
        "Date: now",
    ];
    assert_eq!(shown(&stored::updated(&stored, &update)), expected);
    for (etag, is_meant) in [("\"a\"", true), ("\"b\"", false), ("W/\"b\"", true)] {
        let update = fields(&[("ETag", etag)]);
        assert_eq!(stored::is_meant(&stored, &update), is_meant, "{etag}");
    }
    assert!(stored::is_meant(&stored, &Headers::new()));
    assert!(update.contains(Known::Date));
}

/// RFC 9111 section 4.4.
#[test]
fn targets_that_are_invalidated() {
    let resolve = |reference: &str| {
        let target = resolved(b"http", b"a.example:81", b"/x/y?z", reference.as_bytes());
        target.map(|target| String::from_utf8_lossy(&target).into_owned())
    };
    for (reference, expected) in [
        ("/b?c#d", Some("/b?c")),
        ("b", Some("/x/b")),
        ("b?c:d", Some("/x/b?c:d")),
        ("?b", Some("/x/y?b")),
        ("", Some("/x/y?z")),
        ("http://a.example:81/b", Some("/b")),
        ("HTTP://A.example:81", Some("/")),
        ("//a.example:81?b", Some("/?b")),
        ("http://a.example/b", None),
        ("https://a.example:81/b", None),
        ("//b.example/b", None),
        ("mailto:a", None),
        ("http:b", None),
    ] {
        assert_eq!(resolve(reference), expected.map(str::to_owned), "{reference}");
    }
    let key = |key: &str| {
        let replaced = replaced(key.as_bytes(), b"/x", b"/b?c");
        replaced.map(|key| String::from_utf8_lossy(&key).into_owned())
    };
    assert_eq!(key("http://up/x"), Some("http://up/b?c".to_owned()));
    assert_eq!(key("/x-host/x#"), Some("/x-host/b?c#".to_owned()));
    assert_eq!(key("http://up/y"), None);
}

/// The seeds of the fuzz target, with a few bytes of one in place of those of another.
#[test]
fn odd_fields_are_judged() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/cache_rules");
    let seeds = std::fs::read_dir(folder).unwrap();
    let mut seeds: Vec<_> =
        seeds.map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
    seeds.sort();
    assert!(seeds.len() > 4);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let other = &seeds[random.usize(..seeds.len())];
        let mut text = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(..4) {
            let (from, to) = (random.usize(..other.len()), random.usize(..text.len()));
            let part = &other[from..other.len().min(from + random.usize(..30))];
            let end = text.len().min(to + random.usize(..30));
            text.splice(to..end, part.iter().copied());
        }
        super::fuzz::fuzz_rules(&text);
    }
}

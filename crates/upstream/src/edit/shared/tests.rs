use std::{collections::BTreeMap, sync::Arc};

use weir_engine::Addr;

use super::*;
use crate::{
    balance::{consistent::Consistent, hash::Hash},
    clock::Now,
    config::{GroupConfig, MethodHandle},
    discovery::config::DiscoverConfig,
    edit::{Change, EditError},
    edited::Param,
    registry::Registry,
    resolver::{ResolverConfig, ServiceAddress},
    server::{Admission, Limits, Name, Origin, Server, SlowStart},
    upstreams::Side,
};

fn server(port: u16) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    Server { text: format!("127.0.0.1:{port}"), addresses: vec![address], ..Server::default() }
}

fn weighted(port: u16, weight: u32) -> Server {
    Server { limits: Limits { weight, ..Limits::default() }, ..server(port) }
}

fn named(host: &str) -> Server {
    let name = Name { host: host.into(), port: 80, service: None };
    Server { text: host.into(), resolve: Some(name), ..Server::default() }
}

fn config(servers: Vec<Server>) -> GroupConfig {
    let resolver = ResolverConfig {
        servers: vec![([127, 0, 0, 1], 53).into()],
        valid: None,
        ipv4: true,
        ipv6: true,
        counters: None,
    };
    GroupConfig {
        zone: Some("u".into()),
        servers,
        resolver: Some((resolver, 1000)),
        ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
    }
}

fn group(servers: Vec<Server>) -> Group {
    Group::new(config(servers), None)
}

fn at(number: u8) -> ServiceAddress {
    let address = ([10, 0, 0, number], 80).into();
    ServiceAddress { address, target: String::new(), priority: 0, weight: 1 }
}

fn weight(weight: u32) -> Change {
    Change { weight: Some(weight), ..Change::default() }
}

fn down(down: bool) -> Change {
    Change { down: Some(down), ..Change::default() }
}

fn drain() -> Change {
    Change { drain: Some(true), ..Change::default() }
}

fn id_of(group: &Group, address: &str) -> ServerId {
    let view = group.view(Now::current());
    let found = view.servers.iter().find(|server| server.server == address);
    found.unwrap_or_else(|| panic!("no {address} in {view:?}")).id
}

fn change(group: &Group, address: &str, change: Change) {
    group.edit(&Edit::Change(id_of(group, address), change)).unwrap();
}

fn remove(group: &Group, address: &str) {
    group.edit(&Edit::Remove(id_of(group, address))).unwrap();
}

/// The servers: numbers and parameters.
fn servers(group: &Group) -> Vec<crate::ServerView> {
    group.view(Now::current()).servers
}

/// The servers by address, without their numbers.
fn content(group: &Group) -> BTreeMap<String, (Limits, String, bool)> {
    let all = servers(group).into_iter();
    all.map(|it| (it.server, (it.limits, it.route, it.backup))).collect()
}

/// The place of a record.
fn place(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).unwrap().rsplit('\0').next().unwrap().to_owned()
}

/// One node's records, as the other reads them.
fn news(of: &Group) -> News {
    let read = |value: &[u8]| Some(Edited::read_record(value, Side::Http).expect("own record"));
    of.shared().into_iter().map(|(key, value)| (place(&key), read(&value))).collect()
}

/// Tells one group everything of another, until both know the same.
fn meet(one: &Group, other: &Group) {
    for _ in 0..2 {
        other.take_over(news(one), 0);
        one.take_over(news(other), 0);
    }
}

#[test]
fn edits_of_each_kind_are_those_of_the_other_node() {
    let make = || group(vec![server(80), server(81), server(82), named("a.test")]);
    let (a, b) = (make(), make());
    let every = Change {
        weight: Some(5),
        max_conns: Some(6),
        max_fails: Some(0),
        fail_timeout: Some(7),
        slow_start: Some(SlowStart::Within(1500)),
        drain: Some(true),
        route: Some("a \"b\" \\;{}".into()),
        locality: Some("eu 1".into()),
        backup: Some(true),
        ..Change::default()
    };
    change(&a, "127.0.0.1:80", every);
    remove(&a, "127.0.0.1:81");
    a.edit(&Edit::Add(Server { backup: true, ..weighted(90, 3) })).unwrap();
    a.edit(&Edit::Add(named("b.test"))).unwrap();
    change(&a, "a.test", down(true));
    let address = Addr::Inet(([127, 0, 0, 1], 99).into());
    let moved = Change { address: Some(("local:99".into(), address)), ..Change::default() };
    change(&a, "127.0.0.1:82", moved);
    meet(&a, &b);
    assert_eq!(servers(&a).len(), 5);
    let origins =
        |group: &Group| -> Vec<Origin> { servers(group).into_iter().map(|it| it.origin).collect() };
    let without_origin = |group: &Group| -> Vec<_> {
        let all = servers(group).into_iter();
        all.map(|it| crate::ServerView { origin: Origin::Conf, ..it }).collect()
    };
    assert_eq!(without_origin(&a), without_origin(&b), "numbers included");
    // A server that was moved is another one there.
    assert_eq!(origins(&a)[1], Origin::Conf);
    assert_eq!(origins(&b)[1], Origin::RunTime);
    let names = |group: &Group| -> Vec<String> {
        group.peers().iter().map(|peer| format!("{} {}", peer.server, peer.name)).collect()
    };
    assert!(names(&b).contains(&"local:99 127.0.0.1:99".to_owned()), "{:?}", names(&b));
    // A third one that joins later has them, too, from either.
    let c = make();
    meet(&c, &b);
    assert_eq!(content(&a), content(&c));
}

#[test]
fn edits_of_one_server_on_both_nodes_are_both_there() {
    let make = || group(vec![server(80), server(81)]);
    let (a, b) = (make(), make());
    change(&a, "127.0.0.1:80", weight(5));
    change(&b, "127.0.0.1:80", drain());
    change(&b, "127.0.0.1:81", weight(7));
    meet(&a, &b);
    assert_eq!(content(&a), content(&b));
    let (limits, ..) = &content(&a)["127.0.0.1:80"];
    assert_eq!((limits.weight, limits.admission), (5, Admission::Draining));
    assert_eq!(content(&a)["127.0.0.1:81"].0.weight, 7);
}

/// Versions are given within a millisecond here, and by groups that do not see each other.
fn later(group: &Group, other: &Group) {
    let newest = other.roster().edits.next_version();
    assert!(group.roster().edits.see(newest));
}

#[test]
fn the_later_edit_holds_whatever_comes_last() {
    let make = || group(vec![server(80)]);
    for order in [false, true] {
        let (a, b) = (make(), make());
        change(&a, "127.0.0.1:80", weight(5));
        later(&b, &a);
        change(&b, "127.0.0.1:80", weight(6));
        let of_both = [news(&a), news(&b)];
        let c = make();
        for number in if order { [0, 1] } else { [1, 0] } {
            c.take_over(of_both[number].clone(), 0);
        }
        assert_eq!(content(&c)["127.0.0.1:80"].0.weight, 6);
        // Removed there, then changed here: removals and edits are apart.
        remove(&a, "127.0.0.1:80");
        later(&b, &a);
        change(&b, "127.0.0.1:80", weight(7));
        meet(&a, &b);
        assert!(content(&a).is_empty() && content(&b).is_empty());
        // It comes back by an addition, as added.
        b.edit(&Edit::Add(weighted(80, 2))).unwrap();
        meet(&a, &b);
        assert_eq!((content(&a)["127.0.0.1:80"].0.weight, content(&b).len()), (2, 1));
    }
}

#[test]
fn what_is_older_is_told_the_later() {
    let make = || group(vec![server(80), server(81)]);
    let (a, b) = (make(), make());
    change(&a, "127.0.0.1:80", weight(5));
    remove(&a, "127.0.0.1:81");
    let old = news(&a);
    b.take_over(old.clone(), 0);
    later(&b, &a);
    change(&b, "127.0.0.1:80", weight(6));
    b.edit(&Edit::Add(weighted(81, 9))).unwrap();
    let mut roster = b.roster();
    let mut merging = Merging::new(&b, &mut roster);
    old.into_iter().for_each(|(place, edited)| merging.take(place, edited));
    assert!(!merging.end());
    assert_eq!(merging.again, ["own 0 127.0.0.1:80", "own 0 127.0.0.1:81"]);
    // The same once more is no news.
    drop(roster);
    let own = news(&b);
    let mut roster = b.roster();
    let mut merging = Merging::new(&b, &mut roster);
    own.into_iter().for_each(|(place, edited)| merging.take(place, edited));
    assert!(!merging.end());
    assert!(merging.again.is_empty() && !merging.is_news);
}

#[test]
fn nodes_that_edit_all_the_time_end_with_the_same() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let lines = || vec![server(80), server(80), weighted(81, 2), server(82)];
        let nodes: Vec<Group> = (0..3).map(|_| group(lines())).collect();
        for _ in 0..random.usize(1..40) {
            let node = &nodes[random.usize(0..3)];
            let all = servers(node);
            let some = random.choice(&all).map(|server| server.id);
            let edit = match (random.u8(0..4), some) {
                (0, _) | (_, None) => Edit::Add(weighted(random.u16(80..90), random.u32(1..9))),
                (1, Some(id)) => Edit::Remove(id),
                (2, Some(id)) => Edit::Change(id, weight(random.u32(1..9))),
                (_, Some(id)) => Edit::Change(id, down(random.bool())),
            };
            match node.edit(&edit) {
                Ok(_) | Err(EditError::Exists) => {}
                Err(error) => panic!("{error}"),
            }
            if random.u8(0..3) == 0 {
                // A part of what one knows reaches another one.
                let mut some = news(&nodes[random.usize(0..3)]);
                some.retain(|_| random.bool());
                nodes[random.usize(0..3)].take_over(some, 0);
            }
        }
        for _ in 0..3 {
            for (one, other) in [(0, 1), (1, 2), (2, 0)] {
                meet(&nodes[one], &nodes[other]);
            }
        }
        let first = content(&nodes[0]);
        for node in &nodes {
            assert_eq!(content(node), first, "seed {seed}");
            let ids: Vec<ServerId> = servers(node).iter().map(|server| server.id).collect();
            let mut once = ids.clone();
            once.dedup();
            assert_eq!(ids, once, "seed {seed}: numbers are unique");
        }
    }
}

#[test]
fn equal_servers_of_a_configuration_are_told_apart() {
    let make = || group(vec![server(80), weighted(80, 2), named("a.test"), named("a.test")]);
    let (a, b) = (make(), make());
    a.edit(&Edit::Change(ServerId(0), weight(7))).unwrap();
    a.edit(&Edit::Remove(ServerId(0))).unwrap();
    a.edit(&Edit::Change(ServerId(1), weight(8))).unwrap();
    let second = servers(&a)[1].id;
    a.edit(&Edit::Change(second, down(true))).unwrap();
    meet(&a, &b);
    assert_eq!(servers(&a), servers(&b));
    assert_eq!(servers(&b).iter().filter(|it| it.limits.weight == 8).count(), 1);
    assert_eq!(servers(&b).len(), 3);
}

/// What is edited of an address of a name, on a node that has not resolved it yet.
#[test]
fn marks_of_addresses_wait_for_them() {
    let make = || group(vec![named("a.test")]);
    let (a, b) = (make(), make());
    a.apply(ServerId(0), &[at(1), at(2)], 5);
    change(&a, "10.0.0.1:80", drain());
    change(&a, "a.test", weight(3));
    change(&a, "10.0.0.2:80", weight(4));
    meet(&a, &b);
    assert_eq!(content(&b).len(), 1);
    b.apply(ServerId(0), &[at(2), at(1)], 5);
    assert_eq!(content(&a), content(&b));
    let of = |group: &Group, number: u8| content(group)[&format!("10.0.0.{number}:80")].0.clone();
    let (one, two) = (of(&b, 1), of(&b, 2));
    assert_eq!((one.weight, one.admission), (3, Admission::Draining));
    assert_eq!((two.weight, two.admission), (4, Admission::Open));
    // A later change of the name precedes; what is told of the address is older.
    change(&a, "a.test", weight(9));
    b.take_over(news(&a).into_iter().rev().collect(), 0);
    assert_eq!((of(&b, 2).weight, of(&b, 1).admission), (9, Admission::Draining));
    let c = make();
    c.apply(ServerId(0), &[at(1), at(2)], 5);
    c.take_over(news(&b), 0);
    assert_eq!(content(&c), content(&a));
    // An address that goes takes its marks along, as on a single node.
    b.apply(ServerId(0), &[at(1)], 5);
    b.apply(ServerId(0), &[at(1), at(2)], 5);
    assert_eq!((of(&b, 1).admission, of(&b, 2).admission), (Admission::Draining, Admission::Open));
    // A name that is removed takes everything along.
    remove(&a, "a.test");
    b.take_over(news(&a), 0);
    assert!(content(&b).is_empty());
    assert_eq!(b.roster().edits.by_place.len(), 1);
}

/// Whatever comes last: an edit of a name, or an earlier or a later one of its address.
#[test]
fn the_later_edit_of_a_name_or_of_its_address_holds() {
    let make = || {
        let group = group(vec![named("a.test")]);
        group.apply(ServerId(0), &[at(1)], 5);
        group
    };
    let (a, b, c) = (make(), make(), make());
    let of = |group: &Group| content(group)["10.0.0.1:80"].0.weight;
    change(&a, "a.test", weight(3));
    later(&b, &a);
    change(&b, "10.0.0.1:80", weight(7));
    let of_address = news(&b);
    b.take_over(news(&a), 0);
    assert_eq!((of(&b), content(&b)["a.test"].0.weight), (7, 3));
    later(&a, &b);
    change(&a, "a.test", weight(4));
    c.take_over(news(&a), 0);
    c.take_over(of_address, 0);
    assert_eq!(of(&c), 4);
    b.take_over(news(&a), 0);
    assert_eq!(of(&b), 4);
}

#[test]
fn servers_are_found_by_their_places() {
    let unix = r#"unix:/a "b" \c d"#;
    let address = Addr::unix(unix.strip_prefix("unix:").unwrap());
    let odd = Server { text: unix.into(), addresses: vec![address], ..Server::default() };
    let group = group(vec![server(80), server(80), server(8), odd, named("a.test")]);
    group.apply(ServerId(4), &[at(1)], 5);
    let (roster, lines) = (group.roster(), group.lines());
    let places = roster.places(&lines);
    assert_eq!(places.len(), 6);
    for (place, found) in &places {
        let same = roster.find_at(place, &lines).map(|found| found.id());
        assert_eq!(same, Some(found.id()), "{place}");
    }
    assert!(roster.find_at("own 0 127.0.0.1:800", &lines).is_none());
}

#[test]
fn listed_servers_are_each_nodes_own_and_edits_of_them_shared() {
    let discover = Some(DiscoverConfig::File(std::path::Path::new("/list").into()));
    let make =
        || Group::new(GroupConfig { discover: discover.clone(), ..config(vec![server(80)]) }, None);
    let (a, b) = (make(), make());
    a.list(&[server(81), server(82), server(83)]);
    change(&a, "127.0.0.1:81", drain());
    change(&a, "127.0.0.1:82", weight(3));
    remove(&a, "127.0.0.1:83");
    meet(&a, &b);
    assert_eq!(content(&b).len(), 1, "its source has listed nothing yet");
    b.list(&[server(80), server(83), server(82), server(81)]);
    assert_eq!(content(&a), content(&b));
    assert_eq!(content(&b)["127.0.0.1:81"].0.admission, Admission::Draining);
    // What the source changes takes effect, and what was edited besides stays.
    for group in [&a, &b] {
        group.list(&[weighted(81, 5), weighted(82, 5), server(83)]);
    }
    meet(&a, &b);
    let c = make();
    c.list(&[weighted(81, 5), weighted(82, 5), server(83)]);
    meet(&c, &a);
    for group in [&a, &b, &c] {
        assert_eq!(content(group), content(&a));
        let (limits, ..) = &content(group)["127.0.0.1:81"];
        assert_eq!((limits.weight, limits.admission), (5, Admission::Draining));
    }
    // A server that the source has dropped comes back as it lists it.
    for group in [&a, &b, &c] {
        group.list(&[server(80)]);
        group.list(&[server(80), server(81), server(83)]);
        assert!(content(group).values().all(|(limits, ..)| limits.admission == Admission::Open));
        assert_eq!(content(group).len(), 3);
    }
    meet(&a, &b);
    assert_eq!((content(&a).len(), content(&a)), (3, content(&b)));
}

#[test]
fn a_removed_record_is_forgotten_by_those_without_the_server() {
    let a = group(vec![server(80), server(81)]);
    a.edit(&Edit::Add(server(90))).unwrap();
    remove(&a, "127.0.0.1:90");
    change(&a, "127.0.0.1:80", weight(4));
    remove(&a, "127.0.0.1:81");
    let before = content(&a);
    let removed = |(place, _)| (place, None);
    a.take_over(news(&a).into_iter().map(removed).collect(), 0);
    assert_eq!(content(&a), before);
    let left: Vec<String> = a.roster().edits.by_place.keys().cloned().collect();
    assert_eq!(left, ["own 0 127.0.0.1:80", "own 0 127.0.0.1:81"]);
}

#[test]
fn what_does_not_fit_is_left_out() {
    let a = group(vec![server(80), server(81)]);
    change(&a, "127.0.0.1:80", Change { backup: Some(true), ..Change::default() });
    change(&a, "127.0.0.1:81", weight(2));
    a.edit(&Edit::Add(named("b.test"))).unwrap();
    // A method without backup servers, and no resolver.
    let other = GroupConfig {
        method: MethodHandle(Arc::new(Hash)),
        resolver: None,
        ..config(vec![server(80), server(81)])
    };
    let b = Group::new(other, None);
    b.take_over(news(&a), 0);
    assert_eq!(content(&b).len(), 2);
    assert!(!content(&b)["127.0.0.1:80"].2);
    assert_eq!(content(&b)["127.0.0.1:81"].0.weight, 2);
    // Without a zone nothing is edited.
    let fixed = Group::new(GroupConfig { zone: None, ..config(vec![server(80)]) }, None);
    fixed.take_over(news(&a), 0);
    assert!(fixed.roster().edits.is_empty() && fixed.shared().is_empty());
}

#[test]
fn nonsense_of_a_partner_changes_nothing() {
    let b = group(vec![server(80)]);
    let before = servers(&b);
    let take = |place: &str, text: &str| {
        let edited = Edited::read_record(text.as_bytes(), Side::Http);
        let broken = usize::from(edited.is_none());
        let news = edited.map(|edited| (place.to_owned(), Some(edited)));
        b.take_over(news.into_iter().collect(), broken);
        assert_eq!(servers(&b), before, "{place} {text}");
    };
    let own = "own 0 127.0.0.1:80";
    for broken in [
        "",
        ";",
        "gone",
        "gone x conf;",
        "here 1;",
        "here 1 conf 0 0 127.0.0.1:80 - 127.0.0.1:80",
        "here 1 conf 0 0 127.0.0.1:80 weight 127.0.0.1:80;",
        "here 1 conf 0 0 127.0.0.1:80 weight=x 127.0.0.1:80;",
        "here 1 conf 0 0 127.0.0.1:80 weight=9 127.0.0.1:80 weight=0;",
        "here 1 conf 0 0 example.test:80 - example.test:80;",
        "here 1 conf 4294967295 0 127.0.0.1:80 - 127.0.0.1:80 weight=2;",
        "here 1 conf 0 0 127.0.0.1:80 - 127.0.0.1:80; gone 9 conf;",
        "here 1 { conf; }",
        "here 1 conf 0 0 127.0.0.1:80 - 127.0.0.1:80 \"route=",
    ] {
        take(own, broken);
    }
    // From the far future, about another server, an address that is none, and unknown words.
    take(own, &format!("gone {} conf;", u64::MAX));
    take(own, &format!("here 0 conf 0 0 127.0.0.1:80 weight={} 127.0.0.1:80 weight=2;", u64::MAX));
    take("own 0 127.0.0.1:81", "here 7 run_time 5 0 127.0.0.1:82 - 127.0.0.1:82;");
    take("own 0 127.0.0.1:80", "here 7 run_time 5 1 127.0.0.1:80 - 127.0.0.1:80 weight=3;");
    take("resolved", "gone 7 conf;");
    take("", "gone 7 run_time;");
    take("listed 0 127.0.0.1:80", "here 7 run_time 5 0 127.0.0.1:80 - 127.0.0.1:80 down;");
    // The clock of this node goes on as before.
    assert!(b.edit(&Edit::Change(ServerId(0), weight(2))).is_ok());
    // A number that is taken.
    let news = "here 7 run_time 0 0 127.0.0.1:82 - 127.0.0.1:82;";
    let edited = Edited::read_record(news.as_bytes(), Side::Http);
    b.take_over(vec![("own 0 127.0.0.1:82".into(), edited)], 0);
    assert_ne!(id_of(&b, "127.0.0.1:82"), ServerId(0));
}

#[test]
fn what_is_absent_has_a_limit() {
    let b = group(vec![server(80)]);
    let gone = |number: u64| {
        let text = format!("gone {number} run_time;");
        (format!("own 0 x{number}"), Edited::read_record(text.as_bytes(), Side::Http))
    };
    b.take_over((1..=5000).map(gone).collect(), 0);
    let awaited = |number: u64| {
        let text = format!("here 0 conf 1 0 10.0.0.1:1 weight={number} 10.0.0.1:1;");
        (format!("listed 0 x{number}"), Edited::read_record(text.as_bytes(), Side::Http))
    };
    let mut roster = b.roster();
    let mut merging = Merging::new(&b, &mut roster);
    (1..=5000).map(awaited).for_each(|(place, edited)| merging.take(place, edited));
    assert!(!merging.end());
    assert!(merging.again.is_empty(), "it would come again and again");
    assert_eq!(roster.edits.by_place.len(), 4096);
    assert!(roster.edits.of("own 0 x5000").is_some() && roster.edits.of("own 0 x1").is_none());
}

#[test]
fn a_change_of_the_lines_drops_edits_and_a_reload_that_leaves_them_does_not() {
    let registry = Registry::default();
    let lines = vec![server(80), server(81)];
    let old = registry.group(&config(lines.clone()));
    change(&old, "127.0.0.1:80", weight(5));
    let told = news(&old);
    let same = GroupConfig { method: MethodHandle(Arc::new(Hash)), ..config(lines.clone()) };
    let same = registry.group(&same);
    assert_eq!(same.lines_hash(), old.lines_hash());
    assert_eq!(news(&same), told);
    let more = [lines.clone(), vec![server(82)]].concat();
    let other = registry.group(&config(more));
    assert_ne!(other.lines_hash(), old.lines_hash());
    assert!(other.shared().is_empty());
    assert!(old.shared().is_empty());
    // News of the earlier lines that were on their way when it changed are not the heir's.
    old.take_over(told.clone(), 0);
    same.take_over(told, 0);
    assert!(other.shared().is_empty());
    assert_eq!(content(&other)["127.0.0.1:80"].0.weight, 1);
}

#[test]
fn a_group_with_a_file_has_a_record_for_each_server() {
    let folder = std::env::temp_dir().join(format!("weir-shared-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let with = |name: &str, servers: Vec<Server>| {
        let state = Some(folder.join(name).join("u.state"));
        std::fs::create_dir_all(folder.join(name)).unwrap();
        Group::new(GroupConfig { state, ..config(servers) }, None)
    };
    let a = with("a", vec![server(80), weighted(81, 3)]);
    let b = with("b", vec![weighted(81, 2), server(82)]);
    assert_eq!(a.lines_hash(), b.lines_hash());
    meet(&a, &b);
    assert_eq!(content(&a), content(&b));
    assert_eq!(content(&a).len(), 3);
    let written = std::fs::read_to_string(folder.join("b/u.state")).unwrap();
    assert!(written.contains("server 127.0.0.1:80;\n"), "{written}");
    // A node that begins anew without a file has them all.
    let c = with("c", Vec::new());
    meet(&c, &a);
    assert_eq!(content(&a), content(&c));
    // One that comes back with an older file has what was edited since.
    remove(&a, "127.0.0.1:80");
    change(&a, "127.0.0.1:82", weight(8));
    meet(&a, &b);
    let back = with("d", vec![server(80), weighted(81, 3), server(82)]);
    meet(&back, &b);
    assert_eq!(content(&a), content(&back));
    assert_eq!(content(&back)["127.0.0.1:82"].0.weight, 8);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_thousand_edits_are_one_change_of_the_group() {
    let method = MethodHandle(Arc::new(Consistent { balance: None }));
    let many = || (80..1080).map(server).collect::<Vec<_>>();
    let a = group(many());
    let b = Group::new(GroupConfig { method, ..config(many()) }, None);
    let mut roster = a.roster();
    let mut lines = a.lines();
    for (version, port) in (1000..).zip(80..1080) {
        let place = format!("own 0 127.0.0.1:{port}");
        let id = ServerId(port - 80);
        lines.change(id, &weight(2 + port % 7));
        let mut edited = Edited::default();
        edited.params.set(Param::Weight, version);
        roster.edits.insert(place, edited);
    }
    a.line_up(lines);
    drop(roster);
    let before = b.peers_change.subscribe();
    b.take_over(news(&a), 0);
    assert_eq!(content(&a), content(&b));
    assert!(before.has_changed().unwrap());
}

#[test]
fn later_parameters_of_a_server_that_is_awaited_precede() {
    let read = |text: &str| Edited::read_record(text.as_bytes(), Side::Http);
    let b = group(vec![named("a.test")]);
    let place = "resolved own 0 a.test resolve 80 10.0.0.1:80";
    for text in [
        "here 0 run_time 5 0 10.0.0.1:80 weight=7,admission=9 10.0.0.1:80 weight=2 down;",
        "here 0 run_time 5 0 10.0.0.1:80 weight=8,admission=6 10.0.0.1:80 weight=3;",
    ] {
        b.take_over(vec![(place.to_owned(), read(text))], 0);
    }
    let known = b.roster().edits.of(place).cloned().unwrap();
    assert_eq!((known.params.of(Param::Weight), known.params.of(Param::Admission)), (8, 9));
    b.apply(ServerId(0), &[at(1)], 5);
    let (limits, ..) = &content(&b)["10.0.0.1:80"];
    assert_eq!((limits.weight, limits.admission), (3, Admission::Down));
}

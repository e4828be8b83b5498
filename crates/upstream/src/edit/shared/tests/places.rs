//! Marks and servers are found by their places.

use super::*;

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

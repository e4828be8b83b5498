//! Edits of servers on both nodes.

use super::*;

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

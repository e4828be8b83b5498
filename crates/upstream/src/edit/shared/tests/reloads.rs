//! Edits through a change of the lines, with a file, and in great number.

use super::*;

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

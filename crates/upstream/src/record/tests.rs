use weir_engine::Addr;

use super::*;
use crate::{
    check::config::CheckConfig,
    discovery::config::DiscoverConfig,
    edit::{Change, Edit},
    edited::State,
    health::{Health, Source},
    resolver::ResolverConfig,
    server::{Server, SlowStart},
    upstreams::Side,
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

fn server(port: u16) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    Server { text: format!("127.0.0.1:{port}"), addresses: vec![address], ..Server::default() }
}

fn named(service: Option<&str>) -> Server {
    let name = Name { host: "a.test".into(), port: 80, service: service.map(Into::into) };
    Server { text: "a.test".into(), resolve: Some(name), ..Server::default() }
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

/// A group after changes of every kind.
fn changed() -> Group {
    let local = Server { text: "localhost:82".into(), ..server(82) };
    let group = Group::new(config(vec![server(80), server(81), local, named(None)]), None);
    let weird = "a \"b\" \\;{} é";
    let change = Change {
        weight: Some(5),
        max_conns: Some(6),
        max_fails: Some(0),
        fail_timeout: Some(7),
        slow_start: Some(SlowStart::Within(1500)),
        drain: Some(true),
        route: Some(weird.into()),
        locality: Some("eu 1\"a".into()),
        ..Change::default()
    };
    group.edit(&Edit::Change(ServerId(1), change)).unwrap();
    group.edit(&Edit::Remove(ServerId(0))).unwrap();
    group.edit(&Edit::Add(Server { backup: true, ..server(90) })).unwrap();
    group.edit(&Edit::Add(named(Some("http")))).unwrap();
    let removed = group.edit(&Edit::Add(server(91))).unwrap();
    group.edit(&Edit::Remove(removed[0])).unwrap();
    let down = Change { down: Some(true), ..Change::default() };
    group.edit(&Edit::Change(ServerId(3), down)).unwrap();
    group
}

fn restored(group: &Group, config: &GroupConfig) -> Option<Group> {
    let text = journal_text(&group.config, &group.roster(), &group.lines());
    let fresh = Group::new(config.clone(), None);
    let (roster, lines) = read_record(text.as_bytes(), config, &fresh.roster(), &fresh.lines())?;
    fresh.roster().replace(roster);
    fresh.line_up(lines);
    Some(fresh)
}

#[test]
fn the_successor_has_the_same_servers() {
    let group = changed();
    let after = restored(&group, &group.config).unwrap();
    let (before, after_view) = (group.view(NOW), after.view(NOW));
    assert_eq!(after_view.servers, before.servers);
    let names = |view: crate::GroupView| {
        let shown = view.peers.into_iter();
        shown.map(|peer| (peer.id, peer.server, peer.name, peer.weight, peer.backup)).collect()
    };
    let (before, after_view): (Vec<_>, Vec<_>) = (names(before), names(after_view));
    assert_eq!(after_view, before);
    // What was edited when: of addresses as well, before they are known again.
    assert_eq!(after.roster().edits, group.roster().edits);
    assert_eq!(after.roster().edits.by_place.len(), 6);
    // Numbers are not used again.
    let ids = |group: &Group| group.edit(&Edit::Add(server(99))).unwrap();
    assert_eq!(ids(&after), ids(&group));
}

#[test]
fn the_successor_knows_edits_of_addresses_and_of_other_nodes() {
    let group = Group::new(config(vec![named(None)]), None);
    let at = |number: u8| crate::resolver::ServiceAddress {
        address: ([10, 0, 0, number], 80).into(),
        target: String::new(),
        priority: 0,
        weight: 1,
    };
    group.apply(ServerId(0), &[at(1)], 5);
    let drain = Change { drain: Some(true), ..Change::default() };
    group.edit(&Edit::Change(ServerId(1), drain)).unwrap();
    let text = "here 0 conf 9 0 10.0.0.2:80 weight=7 10.0.0.2:80 weight=5;";
    let news = Edited::read_record(text.as_bytes(), Side::Http);
    group.take_over(vec![("resolved own 0 a.test resolve 80 10.0.0.2:80".into(), news)], 0);
    let after = restored(&group, &group.config).unwrap();
    assert!(after.peers().is_empty());
    after.apply(ServerId(0), &[at(1), at(2)], 5);
    let limits: Vec<_> = after.peers().iter().map(|peer| peer.limits.clone()).collect();
    assert_eq!((limits[0].admission, limits[1].weight), (Admission::Draining, 5));
}

/// Addresses of a name are known again once it is resolved, and so is what was found about them.
#[test]
fn the_successor_knows_which_resolved_addresses_are_out() {
    let check = CheckConfig { mandatory: true, ..CheckConfig::every(5000) };
    let config = GroupConfig { checks: vec![check], ..config(vec![named(None)]) };
    let at = |number: u8| crate::resolver::ServiceAddress {
        address: ([10, 0, 0, number], 80).into(),
        target: String::new(),
        priority: 0,
        weight: 1,
    };
    let group = Group::new(config.clone(), None);
    group.apply(ServerId(0), &[at(1), at(2)], 5);
    let now = Now::current();
    let peers = group.peers();
    peers[0].set_health(Source::Check(0), Health::Unhealthy, now);
    peers[1].set_health(Source::Check(0), Health::Good, now);
    // A successor that is killed before it has an answer leaves the same.
    let mut record = group.health_record();
    for _ in 0..2 {
        let after = Group::new(config.clone(), None);
        after.apply_health(record.as_bytes(), now);
        assert!(after.peers().is_empty());
        record = after.health_record();
    }
    let after = Group::new(config.clone(), None);
    after.apply_health(record.as_bytes(), now);
    after.apply(ServerId(0), &[at(1), at(2), at(3)], 5);
    let healths =
        |group: &Group| -> Vec<_> { group.peers().iter().map(|peer| peer.health()).collect() };
    assert_eq!(healths(&after), [Health::Unhealthy, Health::Good, Health::Checking]);
    // An address that comes again says nothing about what was known of it.
    after.apply(ServerId(0), &[at(3)], 5);
    after.apply(ServerId(0), &[at(1)], 5);
    assert_eq!(healths(&after), [Health::Checking]);
    // What is old neither.
    let late = Group::new(config, None);
    let before = Now { millis: now.millis.saturating_sub(61_000), ..now };
    late.apply_health(record.as_bytes(), before);
    late.apply(ServerId(0), &[at(1)], 5);
    assert_eq!(healths(&late), [Health::Checking]);
    assert_eq!(late.health_record().lines().count(), 2);
}

#[test]
fn a_state_file_has_what_was_edited_when() {
    let group = changed();
    let text = |group: &Group| {
        let mut text = state_text(&group.roster(), &group.lines());
        edited::write_versions(&group.roster(), &group.lines(), &mut text);
        text
    };
    let written = text(&group);
    let nodes = parser::parse(written.as_bytes(), FileId(0)).nodes;
    let reading = Reading { side: Side::Http, supported: Supported::ALL, env: None };
    let servers: Vec<_> =
        nodes.iter().map(|node| read_server(&node.args, reading).unwrap()).collect();
    let after = Group::new(config(servers.clone()), None);
    let read = |after: &Group, text: &str| {
        let mut lines = after.lines();
        let mut roster = after.roster();
        let any = edited::read_versions_of(text.as_bytes(), Side::Http, &mut roster, &mut lines);
        after.line_up(lines);
        any
    };
    assert!(read(&after, &written));
    let numbers = |group: &Group| -> Vec<_> {
        group.view(NOW).servers.into_iter().map(|it| (it.id, it.server, it.service)).collect()
    };
    assert_eq!(numbers(&after), numbers(&group));
    assert_eq!(text(&after).lines().count(), written.lines().count());
    let gone = |group: &Group| {
        let roster = group.roster();
        let by_place = roster.edits.by_place.iter().filter(|(_, it)| it.state != State::Here);
        by_place.map(|(place, it)| (place.clone(), it.clone())).collect::<Vec<_>>()
    };
    assert_eq!(gone(&after), gone(&group));
    // A file that somebody has edited, or damaged: its lines are what counts.
    let other = Group::new(config(servers[..1].to_vec()), None);
    assert!(read(&other, &written));
    assert_eq!(other.view(NOW).servers.len(), 1);
    for broken in
        ["# edited", "# edited x", "# edited \"", "# edited own gone 1 conf", "# edited a {"]
    {
        let group = Group::new(config(vec![server(80)]), None);
        read(&group, broken);
        assert_eq!(group.view(NOW).servers.len(), 1, "{broken}");
    }
}

#[test]
fn another_configuration_drops_the_changes() {
    let group = changed();
    assert!(restored(&group, &config(vec![server(80)])).is_none());
    for broken in [&b""[..], b"as", b"as x 1;", b"}"] {
        let record = read_record(broken, &group.config, &group.roster(), &group.lines());
        assert!(record.is_none());
    }
}

#[test]
fn a_state_file_has_the_servers_as_directives() {
    let group = changed();
    let text = state_text(&group.roster(), &group.lines());
    assert_eq!(
        text,
        "server 127.0.0.1:81 weight=5 max_conns=6 max_fails=0 fail_timeout=7 slow_start=1500ms \
         \"route=a \\\"b\\\" \\\\;{} é\" \"locality=eu 1\\\"a\" drain;\n\
         server 127.0.0.1:82;\n\
         server a.test resolve down;\n\
         server 127.0.0.1:90 backup;\n\
         server a.test resolve service=http;\n"
    );
    let nodes = parser::parse(text.as_bytes(), FileId(0)).nodes;
    let reading = Reading { side: Side::Http, supported: Supported::ALL, env: None };
    let servers: Vec<_> =
        nodes.iter().map(|node| read_server(&node.args, reading).unwrap()).collect();
    let again = Group::new(config(servers), None);
    assert_eq!(state_text(&again.roster(), &again.lines()), text);
}

#[test]
fn a_change_is_saved_or_the_caller_told() {
    let folder = std::env::temp_dir().join(format!("weir-state-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("u.state");
    let config = GroupConfig { state: Some(path.clone()), ..config(Vec::new()) };
    let group = Group::new(config, None);
    let id = group.edit(&Edit::Add(server(80))).unwrap()[0];
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "server 127.0.0.1:80;\n");
    std::fs::remove_dir_all(&folder).unwrap();
    let told = group.edit(&Edit::Remove(id)).unwrap_err();
    assert!(matches!(&told, EditError::NotSaved(reason) if reason.contains("No such file")));
    assert!(group.peers().is_empty(), "the change is in force");
}

/// What a source has listed, and the edits of it, are left to the successor of a killed worker.
#[test]
fn a_list_is_left() {
    let discover = Some(DiscoverConfig::File(std::path::Path::new("/list").into()));
    let config = GroupConfig { discover, ..config(vec![server(80)]) };
    let group = Group::new(config.clone(), None);
    let mut weighted = server(82);
    weighted.limits.weight = 3;
    let listed = [server(80), server(81), weighted, named(None)];
    group.list(&listed);
    let drain = Change { drain: Some(true), ..Change::default() };
    group.edit(&Edit::Change(ServerId(1), drain)).unwrap();
    group.edit(&Edit::Remove(ServerId(2))).unwrap();
    let text = journal_text(&config, &group.roster(), &group.lines());
    let next = Group::new(config.clone(), None);
    let empty = next.lines();
    let (roster, lines) = read_record(text.as_bytes(), &config, &next.roster(), &empty).unwrap();
    assert_eq!(journal_text(&config, &roster, &lines), text);
    let known: Vec<Server> = roster.listed.iter().map(|it| it.server.clone()).collect();
    assert_eq!(known, listed);
    next.roster().replace(roster);
    next.line_up(lines);
    assert_eq!(next.list(&listed), crate::edit::listed::Effect::default());
    let names: Vec<_> = next.peers().iter().map(|peer| (peer.name.clone(), peer.origin)).collect();
    let expected =
        [("127.0.0.1:80".to_owned(), Origin::Conf), ("127.0.0.1:81".to_owned(), Origin::Listed)];
    assert_eq!(names, expected);
    assert_eq!(next.peers()[1].limits.admission, Admission::Draining);
    let own = "server 127.0.0.1:80;\n";
    assert_eq!(
        state_text(&group.roster(), &group.lines()),
        own,
        "a state file has no listed servers"
    );
}

/// The seeds of the fuzz target, among them what has crashed it.
#[test]
fn what_was_fuzzed_is_read_again_as_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/left_state");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(seeds.len() > 2);
    for seed in seeds {
        fuzz(&std::fs::read(seed.unwrap().path()).unwrap());
    }
}

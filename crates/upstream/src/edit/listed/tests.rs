use std::path::Path;

use weir_engine::Addr;

use super::*;
use crate::{
    balance::ip_hash::IpHash,
    config::{GroupConfig, MethodHandle},
    discovery::config::DiscoverConfig,
    edit::Edit,
    registry::Registry,
    server::{Name, SlowStart},
    upstreams::Side,
};

fn server(port: u16) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    Server { text: address.to_string(), addresses: vec![address], ..Server::default() }
}

fn weighted(port: u16, weight: u32) -> Server {
    Server { limits: Limits { weight, ..Limits::default() }, ..server(port) }
}

fn config(servers: Vec<Server>) -> GroupConfig {
    GroupConfig {
        zone: Some("u".into()),
        servers,
        discover: Some(DiscoverConfig::File(Path::new("/list").into())),
        ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
    }
}

fn group(servers: Vec<Server>) -> Arc<Group> {
    Arc::new(Group::new(config(servers), None))
}

/// The peers with their weights and whether they drain.
fn shown(group: &Group) -> Vec<(String, u32, bool)> {
    let peers = group.peers();
    let show = |peer: &Arc<crate::Peer>| {
        let drains = peer.limits.admission == Admission::Draining;
        (peer.name.clone(), peer.limits.weight, drains)
    };
    peers.iter().map(show).collect()
}

fn ports(group: &Group) -> Vec<String> {
    group.peers().iter().map(|peer| peer.name.replace("127.0.0.1:", "")).collect()
}

fn id(group: &Group, port: u16) -> ServerId {
    let name = format!("127.0.0.1:{port}");
    group.peers().iter().find(|peer| peer.name == name).map(|peer| peer.id).unwrap()
}

#[test]
fn a_group_follows_its_list() {
    let group = group(vec![server(1)]);
    let effect = group.list(&[server(2), server(3)]);
    assert_eq!(effect.added, ["127.0.0.1:2", "127.0.0.1:3"]);
    let kept = group.peers()[2].serial();
    let effect = group.list(&[server(3), server(4)]);
    assert_eq!(
        (effect.added, effect.removed),
        (vec!["127.0.0.1:4".into()], vec!["127.0.0.1:2".into()])
    );
    assert_eq!(ports(&group), ["1", "3", "4"]);
    assert_eq!(group.peers()[1].serial(), kept, "the state of a server that stays is its own");
    assert_eq!(group.list(&[server(3), server(4)]), Effect::default());
    assert_eq!(group.list(&[]).removed.len(), 2);
    assert_eq!(ports(&group), ["1"]);
}

#[test]
fn edits_hold_while_the_source_lists_the_server() {
    let group = group(Vec::new());
    group.list(&[weighted(1, 1), weighted(2, 1), weighted(3, 1)]);
    let drain = Change { drain: Some(true), ..Change::default() };
    group.edit(&Edit::Change(id(&group, 1), drain)).unwrap();
    let heavy = Change { weight: Some(9), ..Change::default() };
    group.edit(&Edit::Change(id(&group, 2), heavy)).unwrap();
    group.edit(&Edit::Remove(id(&group, 3))).unwrap();
    // The source changes one thing; everything else stays as edited.
    let effect = group.list(&[weighted(1, 5), weighted(2, 1), weighted(3, 1), weighted(4, 1)]);
    assert_eq!(effect.changed, 1);
    let row = |port: u16, weight, drains| (format!("127.0.0.1:{port}"), weight, drains);
    assert_eq!(shown(&group), [row(1, 5, true), row(2, 9, false), row(4, 1, false)]);
    // Listed no more, and then again: as new.
    group.list(&[weighted(4, 1)]);
    group.list(&[weighted(4, 1), weighted(1, 5), weighted(3, 1)]);
    assert_eq!(shown(&group), [row(4, 1, false), row(1, 5, false), row(3, 1, false)]);
}

#[test]
fn a_source_moves_servers_between_primary_and_backup() {
    let group = group(vec![server(9)]);
    group.list(&[server(1), server(2)]);
    let backup = Server { backup: true, ..server(1) };
    group.list(&[backup, server(2)]);
    assert_eq!(group.lines().get(true).len(), 1);
    assert_eq!(ports(&group), ["9", "2", "1"]);
}

#[test]
fn a_listed_server_that_is_there_already_stays_as_it_is() {
    let group = group(vec![weighted(1, 7)]);
    let added = group.edit(&Edit::Add(weighted(2, 8))).unwrap();
    assert_eq!(group.list(&[weighted(1, 1), weighted(2, 1)]), Effect::default());
    assert_eq!(shown(&group).iter().map(|it| it.1).collect::<Vec<_>>(), [7, 8]);
    group.list(&[]);
    assert_eq!(ports(&group), ["1", "2"]);
    group.edit(&Edit::Remove(added[0])).unwrap();
    assert_eq!(ports(&group), ["1"]);
}

#[test]
fn what_a_method_lacks_is_refused() {
    let method = MethodHandle(Arc::new(IpHash));
    let group = Arc::new(Group::new(GroupConfig { method, ..config(Vec::new()) }, None));
    let slow = Limits { slow_start: SlowStart::Within(1000), ..Limits::default() };
    let effect = group.list(&[Server { limits: slow, ..server(1) }, server(2)]);
    assert_eq!(effect.refused, ["server \"127.0.0.1:1\": invalid \"slow_start\""]);
    assert_eq!(ports(&group), ["2"]);
}

#[test]
fn a_reload_that_leaves_the_group_alone_forgets_nothing() {
    let registry = Registry::default();
    let old = registry.group(&config(vec![server(1)]));
    old.list(&[server(2), server(3)]);
    let down = Change { down: Some(true), ..Change::default() };
    old.edit(&Edit::Change(id(&old, 2), down)).unwrap();
    let before = old.peers();
    let method = MethodHandle(Arc::new(crate::balance::least_conn::LeastConn));
    let new = registry.group(&GroupConfig { method, ..config(vec![server(1)]) });
    assert!(new.peers().iter().zip(&before).all(|(new, old)| new.serial() == old.serial()));
    assert_eq!(new.peers()[1].limits.admission, Admission::Down);
    assert_eq!(new.list(&[server(3)]).removed, ["127.0.0.1:2"]);
}

/// The lines of the configuration count again; those that a source lists stay, without edits.
#[test]
fn a_reload_that_changes_server_lines_keeps_the_list() {
    let registry = Registry::default();
    let old = registry.group(&config(vec![server(1)]));
    old.list(&[server(2), server(3)]);
    let down = Change { down: Some(true), ..Change::default() };
    old.edit(&Edit::Change(id(&old, 2), down)).unwrap();
    let state = old.peers()[2].serial();
    let new = registry.group(&config(vec![server(4), weighted(2, 5)]));
    assert_eq!(ports(&new), ["4", "2", "3"]);
    assert_eq!((new.peers()[2].serial(), new.peers()[1].limits.weight), (state, 5));
    // The line goes, and the list has the server still.
    let last = registry.group(&config(vec![server(4)]));
    assert_eq!(ports(&last), ["4", "2", "3"]);
    assert_eq!(last.peers()[1].limits, Limits::default());
    let none = registry.group(&GroupConfig { discover: None, ..config(vec![server(4)]) });
    assert_eq!(ports(&none), ["4"]);
    assert!(none.listed().is_empty());
}

#[test]
fn names_are_listed_too() {
    let group = group(vec![server(1)]);
    let name = |host: &str, weight| Server {
        text: format!("{host}:80"),
        resolve: Some(Name { host: host.into(), port: 80, service: None }),
        limits: Limits { weight, ..Limits::default() },
        ..Server::default()
    };
    group.list(&[name("a.test", 1), name("b.test", 1)]);
    let hosts = |group: &Group| -> Vec<(String, u32)> {
        let roster = group.roster();
        let show =
            |host: &Arc<crate::roster::Host>| (host.name.host.clone(), host.server.limits.weight);
        roster.hosts.iter().map(show).collect()
    };
    group.list(&[name("b.test", 3)]);
    assert_eq!(hosts(&group), [("b.test".to_owned(), 3)]);
}

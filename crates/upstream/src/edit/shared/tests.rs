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

mod edits;
mod limits;
mod places;
mod reloads;

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

/// Versions are given within a millisecond here, and by groups that do not see each other.
fn later(group: &Group, other: &Group) {
    let newest = other.roster().edits.next_version();
    assert!(group.roster().edits.see(newest));
}

//! What an agent says, and what follows for its server.

use weir_engine::Addr;
use weir_wire::agent::parse;

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::{
    server::{Admission, Limits},
    view::PeerStatus,
};

const NOW: Now = Now { seconds: 1, millis: 1000 };

fn peer(limits: Limits) -> Peer {
    let mut peer = Peer::new(Addr::Inet(([127, 0, 0, 1], 80).into()), "s", limits, None);
    peer.heeded = Source::AGENTS.into_iter().collect();
    peer.settle();
    peer
}

fn say(peer: &Peer, line: &str) -> Vec<String> {
    let line = parse(line.as_bytes(), |_| panic!("unknown word"));
    peer.hear(&line, NOW).into_iter().map(|(level, text)| format!("[{level}] {text}")).collect()
}

/// Unbound and bound requests.
fn takes(peer: &Peer) -> (bool, bool) {
    (peer.is_available(NOW), peer.takes_bound(NOW))
}

#[test]
fn words_change_what_a_server_takes() {
    let peer = peer(Limits { weight: 10, ..Limits::default() });
    // The line, unbound and bound requests, the status, the weight in thousandths.
    let rows = [
        ("up ready 100%", (true, true), PeerStatus::Up, 10_000),
        ("75%", (true, true), PeerStatus::Up, 7500),
        ("drain", (false, true), PeerStatus::Draining, 7500),
        ("up", (false, true), PeerStatus::Draining, 7500),
        ("ready weight:3", (true, true), PeerStatus::Up, 3000),
        ("0%", (false, true), PeerStatus::Draining, 0),
        ("ready", (false, true), PeerStatus::Draining, 0),
        ("200%", (true, true), PeerStatus::Up, 20_000),
        ("maint", (false, false), PeerStatus::Down, 20_000),
        ("drain", (false, true), PeerStatus::Draining, 20_000),
        ("ready down", (false, false), PeerStatus::Unhealthy, 20_000),
        ("50%", (false, false), PeerStatus::Unhealthy, 5000),
        ("drain", (false, false), PeerStatus::Unhealthy, 5000),
        ("up", (false, true), PeerStatus::Draining, 5000),
        ("ready", (true, true), PeerStatus::Up, 5000),
        ("", (true, true), PeerStatus::Up, 5000),
    ];
    for (line, taken, status, weight) in rows {
        say(&peer, line);
        assert_eq!(takes(&peer), taken, "{line}");
        assert_eq!(peer.status(NOW), status, "{line}");
        assert_eq!(peer.loaded(10 * crate::slow_start::PARTS), weight, "{line}");
    }
}

#[test]
fn an_agent_does_not_overrule_the_administrator() {
    let draining = peer(Limits { admission: Admission::Draining, ..Limits::default() });
    say(&draining, "ready up");
    assert_eq!(takes(&draining), (false, true));
    say(&draining, "maint");
    assert_eq!((takes(&draining), draining.status(NOW)), ((false, false), PeerStatus::Down));
    say(&draining, "ready");
    assert_eq!(draining.status(NOW), PeerStatus::Draining);
}

#[test]
fn changes_are_told_once() {
    let peer = peer(Limits::default());
    assert!(say(&peer, "up ready 100%").is_empty());
    assert_eq!(say(&peer, "down"), ["[warn] peer is down"]);
    assert!(say(&peer, "down").is_empty());
    assert!(peer.lose_agent() && !peer.lose_agent());
    assert_eq!(peer.agent_view().reached, Some(false));
    let back = ["[notice] answers again", "[info] weight is 5%", "[notice] peer is up"];
    assert_eq!(say(&peer, "up 5%"), back);
    let all = ["[notice] peer is in maintenance", "[info] weight is 7", "[info] maxconn is 9"];
    assert_eq!(say(&peer, "weight:7 maint maxconn:9"), all);
    assert_eq!(say(&peer, "drain"), ["[notice] peer is draining"]);
    assert_eq!(say(&peer, "ready"), ["[notice] peer is ready"]);
    let view = peer.agent_view();
    assert_eq!((view.reached, view.up, view.max_conns), (Some(true), true, Some(9)));
    peer.state.forget_agent();
    assert_eq!(peer.agent_view().reached, None);
    assert_eq!(peer.loaded(1000), 1000);
}

#[test]
fn the_limit_of_requests_is_the_agents() {
    let peer = peer(Limits { max_conns: 1, ..Limits::default() });
    assert!(peer.reserve() && peer.is_full() && !peer.reserve());
    say(&peer, "maxconn:2");
    assert!(!peer.is_full() && peer.reserve() && !peer.reserve());
    say(&peer, "maxconn:0");
    assert!(!peer.is_full() && peer.reserve());
    say(&peer, "maxconn:2");
    peer.release();
    assert!(peer.is_full());
    let changes = peer.changes.load(Relaxed);
    peer.release();
    assert!(!peer.is_full() && peer.changes.load(Relaxed) > changes);
}

/// Words about a group without agents have no effect.
#[test]
fn only_groups_with_agents_heed_them() {
    let mut peer = peer(Limits::default());
    say(&peer, "down maint 0% maxconn:1");
    peer.heeded = crate::health::Sources::default();
    peer.settle();
    assert_eq!((takes(&peer), peer.status(NOW)), ((true, true), PeerStatus::Up));
    assert_eq!(peer.loaded(1000), 1000);
    assert!(peer.reserve() && peer.reserve());
}

#[test]
fn downtime_is_that_of_health_alone() {
    let peer = peer(Limits::default());
    say(&peer, "maint");
    assert_eq!(peer.downtime(NOW.plus_millis(500)), (0, None));
    say(&peer, "ready down");
    assert_eq!(peer.downtime(NOW.plus_millis(500)), (500, Some(1000)));
}

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::{Balance, Request},
    balance::{
        consistent::Consistent,
        ewma::Ewma,
        hash::Hash,
        ip_hash::IpHash,
        least_conn::LeastConn,
        least_time::{LeastTime, Metric},
        random::{Better, Random},
        round_robin::RoundRobin,
    },
    check::config::CheckConfig,
    clock::Now,
    config::{GroupConfig, MethodHandle},
    health::{Health, Source},
    outcome::{Outcome, Timings},
    registry::Registry,
    resolver::ResolverConfig,
    server::Name,
    upstreams::Side,
    view::PeerStatus,
};

const NOW: Now = Now { seconds: 1_000_000, millis: 5_000 };

fn server(number: u16) -> Server {
    let address =
        Addr::Inet(([127, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]], 80).into());
    Server { text: address.to_string(), addresses: vec![address], ..Server::default() }
}

fn weighted(number: u16, weight: u32) -> Server {
    let limits = Limits { weight, ..Limits::default() };
    Server { limits, ..server(number) }
}

fn name(host: &str) -> Server {
    let name = Name { host: host.into(), port: 80, service: None };
    Server { text: format!("{host}:80"), resolve: Some(name), ..Server::default() }
}

fn config(method: Arc<dyn Balance>, servers: Vec<Server>) -> GroupConfig {
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
        method: MethodHandle(method),
        checks: vec![CheckConfig::every(5000)],
        resolver: Some((resolver, 1000)),
        ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
    }
}

fn group(method: Arc<dyn Balance>, servers: Vec<Server>) -> Arc<Group> {
    Arc::new(Group::new(config(method, servers), None))
}

fn methods() -> Vec<Arc<dyn Balance>> {
    let time = |metric, inflight| Arc::new(LeastTime { metric, inflight });
    vec![
        Arc::new(RoundRobin),
        Arc::new(LeastConn),
        time(Metric::Header, false),
        time(Metric::LastByte, true),
        Arc::new(Random { two: None }),
        Arc::new(Random { two: Some(Better::LeastConn) }),
        Arc::new(Random { two: Some(Better::LeastTime(Metric::Header)) }),
        Arc::new(Ewma { metric: Metric::Header, tau: 10_000.0 }),
        Arc::new(IpHash),
        Arc::new(Hash),
        Arc::new(Consistent { balance: None }),
    ]
}

fn weight(weight: u32) -> Change {
    Change { weight: Some(weight), ..Change::default() }
}

fn admission(admission: Admission) -> Change {
    Change {
        down: Some(admission == Admission::Down),
        drain: Some(admission == Admission::Draining),
        ..Change::default()
    }
}

/// Serves `count` requests of different clients and keys, and returns their servers.
fn serve(group: &Arc<Group>, count: u32) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(1);
    let serve = |number: u32| {
        let key = number.to_be_bytes();
        let client = Some(std::net::IpAddr::from([key[2], key[3], 7, 1]));
        let mut pick = group.start(Request { client, key: &key, ..Request::default() });
        let peer = pick.next(&mut random, NOW).map(|peer| peer.name.clone());
        pick.free(Outcome::Success, Timings::default(), NOW);
        peer.unwrap_or_default()
    };
    (0..count).map(serve).collect()
}

fn names(group: &Group) -> Vec<String> {
    group.peers().iter().map(|peer| peer.name.clone()).collect()
}

/// An edited group has the sequences of a group configured that way, which are nginx's.
#[test]
fn an_edited_group_balances_like_a_configured_one() {
    for method in methods() {
        // A ring takes longer.
        for seed in 0..if method.needs_ring() { 3 } else { 20 } {
            let mut random = fastrand::Rng::with_seed(seed);
            let wanted: Vec<_> =
                (0..random.u16(2..20)).map(|number| weighted(number, random.u32(1..9))).collect();
            let configured = group(Arc::clone(&method), wanted.clone());
            // The group begins with other servers, which are removed, and with some wrong weights.
            let edited =
                group(Arc::clone(&method), vec![server(1000), weighted(0, 77), server(1001)]);
            edited.edit(&Edit::Remove(ServerId(0))).unwrap();
            for server in &wanted[1..] {
                edited
                    .edit(&Edit::Add(Server { limits: Limits::default(), ..server.clone() }))
                    .unwrap();
            }
            edited.edit(&Edit::Remove(ServerId(2))).unwrap();
            for (place, peer) in edited.peers().iter().enumerate() {
                let change = weight(wanted[place].limits.weight);
                edited.edit(&Edit::Change(peer.id, change)).unwrap();
            }
            assert_eq!(names(&edited), names(&configured));
            assert_eq!(serve(&edited, 200), serve(&configured, 200), "{method:?} {seed}");
        }
    }
}

#[test]
fn numbers_stay_and_are_given_out_once() {
    let group = group(Arc::new(RoundRobin), vec![server(0), server(1), server(2)]);
    assert_eq!(group.edit(&Edit::Add(server(3))), Ok(vec![ServerId(3)]));
    group.edit(&Edit::Remove(ServerId(3))).unwrap();
    group.edit(&Edit::Remove(ServerId(1))).unwrap();
    let two =
        Server { addresses: [4, 5].map(|it| server(it).addresses[0].clone()).into(), ..server(4) };
    assert_eq!(group.edit(&Edit::Add(two)), Ok(vec![ServerId(4), ServerId(5)]));
    let ids: Vec<_> = group.view(NOW).servers.iter().map(|server| server.id.0).collect();
    assert_eq!(ids, [0, 2, 4, 5]);
    assert_eq!(group.edit(&Edit::Remove(ServerId(1))), Err(EditError::NotFound(ServerId(1))));
}

#[test]
fn a_request_ends_on_the_server_that_is_removed() {
    for method in methods() {
        let group = group(method, vec![server(0), server(1)]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut pick = group.start(Request { key: b"k", ..Request::default() });
        let peer = pick.next(&mut random, NOW).unwrap();
        group.edit(&Edit::Remove(peer.id)).unwrap();
        assert_eq!(peer.state.conns.load(Relaxed), 1);
        pick.free(Outcome::Failed, Timings::default(), NOW);
        assert_eq!(peer.state.conns.load(Relaxed), 0);
        assert_ne!(pick.next(&mut random, NOW).unwrap().name, peer.name);
        // Without any server there is a result, too.
        group.edit(&Edit::Remove(group.peers()[0].id)).unwrap();
        drop(pick);
        assert_eq!(serve(&group, 3), [""; 3]);
    }
}

/// Lets threads pick, hold and free peers while `edits` change the group.
fn while_picking(group: &Arc<Group>, edits: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (group, stop) = (&*group, &stop);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while !stop.load(Relaxed) {
                    let key = random.u32(..).to_be_bytes();
                    let client = Some(std::net::IpAddr::from(key));
                    let mut pick = group.start(Request { client, key: &key, ..Request::default() });
                    for _ in 0..random.u8(1..4) {
                        if let Ok(peer) = pick.next(&mut random, NOW) {
                            assert!(peer.state.conns.load(Relaxed) > 0);
                        }
                        pick.free(Outcome::Success, Timings::default(), NOW);
                    }
                }
            });
        }
        let _stops = StopOnDrop(&stop);
        edits();
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn edits_while_threads_pick() {
    for method in methods() {
        let group = group(method, (0..8).map(server).collect());
        let mut seen = group.peers();
        while_picking(&group, || {
            for number in 8..28 {
                let id = group.edit(&Edit::Add(server(number))).unwrap()[0];
                seen.push(Arc::clone(group.lines().find(id).unwrap()));
                group.edit(&Edit::Change(id, weight(2))).unwrap();
                group.edit(&Edit::Change(ServerId(0), admission(Admission::Down))).unwrap();
                let gone = ServerId(u32::from(number) - 7);
                group.edit(&Edit::Remove(gone)).unwrap();
                // After the running picks have their peer, no new ones choose it.
                let state = &seen[gone.0 as usize].state;
                let before = state.requests.load(Relaxed);
                assert!(group.lines().find(gone).is_none());
                assert_eq!(state.requests.load(Relaxed), before);
                group.edit(&Edit::Change(ServerId(0), admission(Admission::Open))).unwrap();
            }
        });
        assert_eq!(group.peers().len(), 8);
        for peer in &seen {
            assert_eq!(peer.state.conns.load(Relaxed), 0, "{}", peer.name);
        }
    }
}

#[test]
fn a_thousand_servers_take_their_shares() {
    for method in methods() {
        let rings = method.needs_ring();
        let group = group(method, vec![server(0), server(1)]);
        // Most are added in one edit, as each edit rebuilds a ring of 160,000 points.
        let addresses = (2..990).map(|number| server(number).addresses[0].clone()).collect();
        group.edit(&Edit::Add(Server { addresses, ..server(2) })).unwrap();
        for number in 990..1000 {
            group.edit(&Edit::Add(server(number))).unwrap();
        }
        assert_eq!(group.peers().len(), 1000);
        let mut served = serve(&group, 3000);
        served.sort();
        served.dedup();
        // Chance and hashes skip some; the addresses of one server share its part of a ring.
        assert!(served.len() > if rings { 10 } else { 900 }, "{}", served.len());
    }
}

#[test]
fn a_server_moves_to_another_address_under_its_number() {
    let group = group(Arc::new(RoundRobin), vec![server(0), server(1), name("a.test")]);
    let state = Arc::clone(&group.lines().find(ServerId(0)).unwrap().state);
    let to = |number| {
        let Server { text, addresses, .. } = server(number);
        Change { address: Some((text, addresses[0].clone())), ..Change::default() }
    };
    group.edit(&Edit::Change(ServerId(0), Change { weight: Some(3), ..to(5) })).unwrap();
    let moved = Arc::clone(group.lines().find(ServerId(0)).unwrap());
    assert_eq!((moved.name.as_str(), moved.limits.weight), ("127.0.0.5:80", 3));
    assert!(!Arc::ptr_eq(&moved.state, &state));
    let again = Edit::Change(ServerId(0), to(5));
    group.edit(&again).unwrap();
    assert!(Arc::ptr_eq(&group.lines().find(ServerId(0)).unwrap().state, &moved.state));
    let route = Some(String::new());
    group.edit(&Edit::Change(ServerId(0), Change { route, ..to(6) })).unwrap();
    let moved = Arc::clone(group.lines().find(ServerId(0)).unwrap());
    assert_eq!(moved.sid, default_sid("127.0.0.6:80"));
    let taken = group.edit(&Edit::Change(ServerId(0), to(1)));
    assert_eq!(taken, Err(EditError::Exists));
    let named = group.edit(&Edit::Change(ServerId(2), to(7)));
    assert_eq!(named, Err(EditError::AddressImmutable(ServerId(2))));
}

#[test]
fn a_server_is_there_once() {
    let group = group(Arc::new(RoundRobin), vec![server(0), name("a.test")]);
    for known in [server(0), name("a.test"), Server { backup: true, ..server(0) }] {
        assert_eq!(group.edit(&Edit::Add(known)), Err(EditError::Exists));
    }
}

#[test]
fn removed_servers_with_requests_are_counted() {
    let group = group(Arc::new(RoundRobin), vec![server(0), server(1)]);
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = group.start(Request::default());
    pick.next(&mut random, NOW).unwrap();
    group.edit(&Edit::Remove(ServerId(0))).unwrap();
    group.edit(&Edit::Remove(ServerId(1))).unwrap();
    assert_eq!(group.view(NOW).zombies, 1);
    pick.free(Outcome::Success, Timings::default(), NOW);
    assert_eq!(group.view(NOW).zombies, 0);
}

#[test]
fn counts_start_over() {
    let group = group(Arc::new(RoundRobin), vec![server(0)]);
    serve(&group, 3);
    assert_eq!(group.view(NOW).peers[0].requests, 3);
    group.reset_counts(NOW);
    let peer = &group.view(NOW).peers[0];
    assert_eq!((peer.requests, peer.selected.is_some()), (0, true));
}

#[test]
fn limits_change_in_place() {
    let group = group(Arc::new(RoundRobin), vec![server(0), server(1)]);
    let first = || Arc::clone(group.lines().find(ServerId(0)).unwrap());
    let before = first();
    let change = Change {
        weight: Some(3),
        max_conns: Some(4),
        max_fails: Some(5),
        fail_timeout: Some(6),
        slow_start: Some(SlowStart::Within(7)),
        drain: Some(true),
        route: Some("a".into()),
        locality: Some("eu".into()),
        ..Change::default()
    };
    group.edit(&Edit::Change(ServerId(0), change)).unwrap();
    let limits = Limits {
        weight: 3,
        max_conns: 4,
        max_fails: 5,
        fail_timeout: 6,
        slow_start: SlowStart::Within(7),
        admission: Admission::Draining,
        locality: Some("eu".into()),
        ..Limits::default()
    };
    assert_eq!((&first().limits, first().sid.as_str()), (&limits, "a"));
    assert!(Arc::ptr_eq(&first().state, &before.state));
    let view = &group.view(NOW).servers[0];
    assert_eq!((&view.limits, view.route.as_str(), view.backup), (&limits, "a", false));
    // A draining server takes the requests bound to it.
    assert!(serve(&group, 4).iter().all(|name| name == "127.0.0.1:80"));
    let mut pick = group.start(Request { sticky: b"a", ..Request::default() });
    assert_eq!(pick.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap().id, ServerId(0));
    drop(pick);
    // An empty route restores the default.
    let open = Change { route: Some(String::new()), ..admission(Admission::Open) };
    group.edit(&Edit::Change(ServerId(0), open)).unwrap();
    assert_eq!(first().sid, before.sid);
    // A backup server waits until the others are gone.
    let backup = Change { backup: Some(true), ..Change::default() };
    group.edit(&Edit::Change(ServerId(0), backup)).unwrap();
    assert!(serve(&group, 4).iter().all(|name| name == "127.0.0.1:80"));
    group.edit(&Edit::Change(ServerId(1), admission(Admission::Down))).unwrap();
    assert!(serve(&group, 4).iter().all(|name| name == "127.0.0.0:80"));
}

#[test]
fn what_cannot_be_is_refused() {
    let hashed = group(Arc::new(Hash), vec![server(0)]);
    let round = group(Arc::new(RoundRobin), vec![server(0)]);
    let refused = |group: &Group, edit: Edit, error: EditError| {
        assert_eq!(group.edit(&edit), Err(error));
        assert_eq!(group.view(NOW).servers.len(), 1);
    };
    let backup = Change { backup: Some(true), ..Change::default() };
    refused(&hashed, Edit::Change(ServerId(0), backup), EditError::NoBackup);
    refused(&hashed, Edit::Add(Server { backup: true, ..server(1) }), EditError::NoBackup);
    refused(&round, Edit::Change(ServerId(0), weight(0)), EditError::BadWeight);
    refused(&round, Edit::Add(weighted(1, 0)), EditError::BadWeight);
    let slow = Change { slow_start: Some(SlowStart::Within(1)), ..Change::default() };
    refused(&hashed, Edit::Change(ServerId(0), slow), EditError::NoSlowStart);
    let route = Change { route: Some("r".repeat(MAX_ROUTE + 1)), ..Change::default() };
    refused(&round, Edit::Change(ServerId(0), route), EditError::RouteTooLong);
    let timeout = Change { fail_timeout: Some(-1), ..Change::default() };
    refused(&round, Edit::Change(ServerId(0), timeout), EditError::BadFailTimeout);
    refused(&round, Edit::Change(ServerId(9), weight(1)), EditError::NotFound(ServerId(9)));
    refused(&round, Edit::Add(Server::default()), EditError::NoAddress);
    let addresses = vec![server(0).addresses[0].clone(); MAX_SERVERS];
    refused(&round, Edit::Add(Server { addresses, ..server(0) }), EditError::Full);
    let fixed =
        GroupConfig { zone: None, resolver: None, ..config(Arc::new(RoundRobin), vec![server(0)]) };
    let unresolving = GroupConfig { zone: Some("u".into()), ..fixed.clone() };
    refused(&Group::new(fixed, None), Edit::Remove(ServerId(0)), EditError::Static);
    refused(&Group::new(unresolving, None), Edit::Add(name("a.test")), EditError::NoResolver);
}

/// A reload that leaves the server lines alone keeps the edits.
#[test]
fn edits_outlive_reloads_that_leave_the_lines() {
    let registry = Registry::default();
    let lines = vec![server(0), server(1), server(2)];
    let old = registry.group(&config(Arc::new(RoundRobin), lines.clone()));
    old.edit(&Edit::Add(server(7))).unwrap();
    old.edit(&Edit::Change(ServerId(0), weight(5))).unwrap();
    old.edit(&Edit::Remove(ServerId(1))).unwrap();
    let same = registry.group(&config(Arc::new(RoundRobin), lines.clone()));
    assert!(Arc::ptr_eq(&old, &same));

    let new = registry.group(&config(Arc::new(LeastConn), lines.clone()));
    assert_eq!(new.view(NOW).servers, old.view(NOW).servers);
    // The old group forwards its edits to the new one.
    assert_eq!(old.edit(&Edit::Add(server(8))), Ok(vec![ServerId(4)]));
    assert_eq!(names(&new).last().unwrap(), "127.0.0.8:80");
    assert!(Arc::ptr_eq(&registry.find(Side::Http, "u").unwrap(), &new));

    // A name of the configuration has another address now.
    let mut moved = lines;
    moved[2].addresses = server(3).addresses;
    let new = registry.group(&config(Arc::new(RoundRobin), moved.clone()));
    let expected = [0, 7, 8, 3].map(|number| format!("127.0.0.{number}:80"));
    assert_eq!(names(&new), expected);
    assert_eq!(new.peers()[0].limits.weight, 5);

    moved.push(server(9));
    let new = registry.group(&config(Arc::new(RoundRobin), moved));
    assert_eq!(names(&new), [0, 1, 3, 9].map(|number| format!("127.0.0.{number}:80")));
    assert_eq!(new.peers()[0].limits.weight, 1);
}

/// A configuration that never comes into force changes nothing.
#[test]
fn a_configuration_that_is_given_up_leaves_the_group_as_it_was() {
    let registry = Registry::default();
    let old = registry.group(&config(Arc::new(RoundRobin), vec![server(0)]));
    drop(registry.group(&config(Arc::new(RoundRobin), vec![server(1)])));
    old.edit(&Edit::Add(server(2))).unwrap();
    assert_eq!(names(&old), ["127.0.0.0:80", "127.0.0.2:80"]);
    assert!(Arc::ptr_eq(&registry.find(Side::Http, "u").unwrap(), &old));
}

#[test]
fn names_can_be_added_too() {
    let registry = Arc::new(Registry::default());
    let group = registry.group(&config(Arc::new(RoundRobin), vec![server(0)]));
    assert_eq!(group.names(&registry).len(), 0);
    let id = group.edit(&Edit::Add(name("a.test"))).unwrap()[0];
    assert_eq!(group.names(&registry).len(), 1);
    let found = [1, 2].map(|last| crate::resolver::ServiceAddress {
        address: ([127, 0, 0, last], 0).into(),
        target: String::new(),
        priority: 0,
        weight: 1,
    });
    group.apply(id, &found, 5);
    assert_eq!(names(&group), [0, 1, 2].map(|number| format!("127.0.0.{number}:80")));
    let view = group.view(NOW);
    assert_eq!(view.servers[1].origin, Origin::RunTime);
    assert_eq!(view.servers[2].origin, Origin::Resolved(id));
    assert_eq!(view.servers[2].host.as_deref(), Some("a.test:80"));
    let child = view.servers[2].id;
    assert_eq!(group.edit(&Edit::Remove(child)), Err(EditError::Immutable(child)));
    let backup = Edit::Change(child, Change { backup: Some(true), ..Change::default() });
    assert_eq!(group.edit(&backup), Err(EditError::BackupImmutable(child)));
    group.edit(&Edit::Change(child, admission(Admission::Down))).unwrap();
    // A change of the name applies to its addresses, including later ones.
    group.edit(&Edit::Change(id, weight(4))).unwrap();
    assert_eq!(group.peers()[1].limits.weight, 4);
    assert_eq!(group.peers()[1].limits.admission, Admission::Down);
    group.apply(id, &found[..1], 5);
    group.apply(id, &found, 5);
    assert_eq!(group.peers()[2].limits.weight, 4);
    assert_ne!(group.peers()[2].id, view.servers[3].id);
    group.edit(&Edit::Remove(id)).unwrap();
    assert_eq!(names(&group), ["127.0.0.0:80"]);
    assert_eq!(group.names(&registry).len(), 0);
    // The result of a query for a removed name is ignored.
    group.apply(id, &found, 5);
    assert_eq!(names(&group), ["127.0.0.0:80"]);
}

#[test]
fn health_lies_beside_the_limits() {
    for method in methods() {
        let group = group(method, vec![server(0), server(1), server(2)]);
        let status = |number: usize| group.view(NOW).peers[number].state.text();
        let first = Arc::clone(&group.peers()[0]);
        first.set_health(Source::Check(0), Health::Checking, NOW);
        assert!(!serve(&group, 50).contains(&"127.0.0.0:80".to_owned()));
        assert_eq!(status(0), "checking");
        first.set_health(Source::Check(0), Health::Unhealthy, NOW);
        group.edit(&Edit::Change(ServerId(0), weight(9))).unwrap();
        assert_eq!(status(0), "unhealthy");
        group.edit(&Edit::Change(ServerId(1), admission(Admission::Down))).unwrap();
        assert_eq!(status(1), "down");
        group.edit(&Edit::Change(ServerId(1), admission(Admission::Draining))).unwrap();
        assert_eq!(status(1), "draining");
        assert!(serve(&group, 50).iter().all(|name| name == "127.0.0.2:80"));
        let mut pick = group.start(Request { key: b"k", ..Request::default() });
        pick.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
        pick.free(Outcome::Failed, Timings::default(), NOW);
        assert_eq!(group.view(NOW).peers[2].state, PeerStatus::Unavail);
        first.set_health(Source::Check(0), Health::Good, NOW);
        assert_eq!(status(0), "up");
        assert!(serve(&group, 50).iter().all(|name| name == "127.0.0.0:80"));
    }
}

/// A server at another address is a new one, also for the checks.
#[test]
fn a_moved_server_waits_for_its_check() {
    let checks = vec![CheckConfig { mandatory: true, ..CheckConfig::every(5000) }];
    let config = GroupConfig { checks, ..config(Arc::new(RoundRobin), vec![server(0), server(1)]) };
    let group = Group::new(config, None);
    group.peers().iter().for_each(|peer| peer.set_health(Source::Check(0), Health::Good, NOW));
    let address = server(7).addresses[0].clone();
    let moved = Change { address: Some((address.to_string(), address)), ..Change::default() };
    group.edit(&Edit::Change(ServerId(1), moved)).unwrap();
    let healths: Vec<Health> = group.peers().iter().map(|peer| peer.health()).collect();
    assert_eq!(healths, [Health::Good, Health::Checking]);
}

/// The only server of a group is asked despite failures, but not against its probes.
#[test]
fn the_only_server_has_a_health_as_well() {
    let group = group(Arc::new(RoundRobin), vec![server(0)]);
    group.peers()[0].set_health(Source::Check(0), Health::Unhealthy, NOW);
    assert_eq!(serve(&group, 1), [""]);
}

#[test]
fn a_ring_is_made_beside_the_loop() {
    weir_engine::event_loop::block_on(async {
        let group = group(Arc::new(Consistent { balance: None }), vec![server(0), server(1)]);
        let added = group.edit_beside(Edit::Add(server(2))).await;
        assert_eq!(added, Ok(vec![ServerId(2)]));
        assert!(serve(&group, 100).contains(&"127.0.0.2:80".to_owned()));
    });
}

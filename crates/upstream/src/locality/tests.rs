//! Who gets a request that prefers localities.

use weir_engine::Addr;

use super::*;
use crate::{
    balance::{
        consistent::Consistent,
        ewma::Ewma,
        hash::Hash,
        ip_hash::IpHash,
        least_conn::LeastConn,
        least_time::{LeastTime, Metric},
        method::{Balance, Request},
        random::{Better, Random},
        round_robin::RoundRobin,
    },
    config::{GroupConfig, MethodHandle},
    edit::{Change, Edit},
    group::Group,
    outcome::{Outcome, Timings},
    pick::Pick,
    server::{Limits, Server, ServerId},
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

/// A server of text such as `a weight=2`; the locality `-` is none.
fn server(port: u16, text: &str) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    let mut server =
        Server { text: address.to_string(), addresses: vec![address], ..Server::default() };
    let mut words = text.split_whitespace();
    server.limits.locality = words.next().filter(|name| *name != "-").map(Into::into);
    for word in words {
        match word.split_once('=') {
            Some(("weight", value)) => server.limits.weight = value.parse().unwrap(),
            Some(("max_conns", value)) => server.limits.max_conns = value.parse().unwrap(),
            _ if word == "backup" => server.backup = true,
            _ if word == "down" => server.limits.admission = Admission::Down,
            _ => panic!("{word}"),
        }
    }
    server.limits.fail_timeout = 10;
    server
}

/// A group from text such as `a; a weight=2; b`, at ports from 1 on.
fn group(method: impl Balance + 'static, overflow: Option<u64>, servers: &str) -> Arc<Group> {
    let servers = (1..).zip(servers.split(';')).map(|(port, text)| server(port, text)).collect();
    Arc::new(Group::new(
        GroupConfig {
            zone: Some("u".into()),
            servers,
            method: MethodHandle(Arc::new(method)),
            locality: Some(LocalityConfig { overflow }),
            ..GroupConfig::implicit(String::new(), "u", Vec::new())
        },
        None,
    ))
}

fn names(text: &str) -> Vec<Vec<u8>> {
    text.split_whitespace().map(|name| name.as_bytes().to_vec()).collect()
}

/// The port that a request goes to.
fn ask<'a>(
    group: &'a Arc<Group>,
    request: Request<'_>,
    random: &mut fastrand::Rng,
) -> Option<(u16, Pick<'a>)> {
    let mut pick = group.start(request);
    let port = pick.next(random, NOW).ok()?.address.port()?;
    Some((port, pick))
}

/// The ports of `count` requests one after the other, with different keys and clients.
fn ports(group: &Arc<Group>, preferred: &str, count: u32) -> Vec<u16> {
    let (localities, mut random) = (names(preferred), fastrand::Rng::with_seed(7));
    let ask = |number: u32| {
        let [.., high, low] = number.to_be_bytes();
        let (key, client) = (format!("key {number}"), Some([10, high, low, 1].into()));
        let request = Request { client, key: key.as_bytes(), sticky: b"", localities: &localities };
        ask(group, request, &mut random).map_or(0, |(port, _)| port)
    };
    (0..count).map(ask).collect()
}

/// How many of the requests went to each of the first ports.
fn counts<const N: usize>(group: &Arc<Group>, preferred: &str, count: u32) -> [usize; N] {
    let ports = ports(group, preferred, count);
    std::array::from_fn(|at| ports.iter().filter(|port| usize::from(**port) == at + 1).count())
}

fn fail(group: &Group, port: u16) {
    let peers = group.peers();
    let peer = peers.iter().find(|peer| peer.address.port() == Some(port)).unwrap();
    peer.state.fails.store(1, Relaxed);
    peer.state.checked.store(NOW.seconds, Relaxed);
    peer.tell_change();
}

#[test]
fn a_healthy_locality_takes_everything_in_the_order_of_the_method() {
    let group = group(RoundRobin, Some(140), "a weight=3; b; a; b weight=9; -");
    assert_eq!(ports(&group, "a", 8), [1, 1, 3, 1, 1, 1, 3, 1]);
    assert_eq!(ports(&group, "b", 5), [4, 4, 4, 4, 2]);
    // A locality that is not here prefers nothing.
    assert_eq!(counts(&group, "c", 15), [3, 1, 1, 9, 1]);
    assert_eq!(counts(&group, "", 15), [3, 1, 1, 9, 1]);
    let request = Request { localities: &[Vec::new()], ..Request::default() };
    let mut random = fastrand::Rng::with_seed(1);
    let ports: Vec<_> = (0..3).map(|_| ask(&group, request, &mut random).unwrap().0).collect();
    assert_eq!(ports, [4, 1, 4]);
}

#[test]
fn what_a_locality_lacks_goes_to_the_others_by_weight() {
    let group = group(RoundRobin, Some(140), "a; a; a; a; b; c weight=3");
    fail(&group, 1);
    // Three of four are 75 %, times 1.4.
    assert_eq!(counts(&group, "a", 999), [0, 333, 333, 333, 0, 0]);
    fail(&group, 2);
    // 50 % times 1.4, and of the rest b has a quarter.
    assert_eq!(counts(&group, "a", 1000), [0, 0, 350, 350, 75, 225]);
    fail(&group, 3);
    fail(&group, 4);
    assert_eq!(counts(&group, "a", 1000), [0, 0, 0, 0, 250, 750]);
    fail(&group, 6);
    assert_eq!(counts(&group, "a", 1000), [0, 0, 0, 0, 1000, 0]);
}

#[test]
fn several_levels_spill_in_their_order_and_what_works_has_to_do() {
    let group = group(RoundRobin, Some(100), "a; a; b; b; c");
    fail(&group, 1);
    // Half by a, and all of the rest by b.
    assert_eq!(counts(&group, "a b", 1000), [0, 500, 250, 250, 0]);
    fail(&group, 3);
    assert_eq!(counts(&group, "a b", 1000), [0, 500, 0, 500, 0]);
    fail(&group, 4);
    assert_eq!(counts(&group, "a b", 1000), [0, 500, 0, 0, 500]);
    fail(&group, 5);
    // Nobody else is left.
    assert_eq!(counts(&group, "b a c", 1000), [0, 1000, 0, 0, 0]);
    fail(&group, 2);
    assert_eq!(counts(&group, "a", 10), [0; 5]);
}

#[test]
fn without_overflow_one_server_is_enough() {
    let group = group(RoundRobin, None, "a; a; a; b");
    fail(&group, 1);
    fail(&group, 2);
    assert_eq!(counts(&group, "a", 100), [0, 0, 100, 0]);
    fail(&group, 3);
    assert_eq!(counts(&group, "a", 100), [0, 0, 0, 100]);
}

#[test]
fn a_full_locality_spills_and_backups_come_last() {
    let group =
        group(RoundRobin, Some(140), "a max_conns=2; a max_conns=1; b max_conns=1; a backup");
    let (localities, mut random) = (names("a"), fastrand::Rng::with_seed(1));
    let request = || Request { localities: &localities, ..Request::default() };
    let mut held = Vec::new();
    let mut hold = || {
        let (port, pick) = ask(&group, request(), &mut random)?;
        held.push(pick);
        Some(port)
    };
    let mut first: Vec<_> = (0..3).map(|_| hold()).collect();
    first.sort_unstable();
    assert_eq!(first, [Some(1), Some(1), Some(2)]);
    assert_eq!([hold(), hold()], [Some(3), Some(4)]);
    held.clear();
    assert_eq!(counts(&group, "a", 6), [3, 3, 0, 0]);
}

#[test]
fn a_request_tries_the_others_when_its_locality_fails() {
    let group = group(RoundRobin, Some(140), "b; a; a; c");
    let localities = names("a b");
    let mut pick = group.start(Request { localities: &localities, ..Request::default() });
    let (mut random, mut tried) = (fastrand::Rng::with_seed(1), Vec::new());
    while let Ok(peer) = pick.next(&mut random, NOW) {
        tried.push(peer.address.port().unwrap());
        pick.free(Outcome::Failed, Timings::default(), NOW);
    }
    assert_eq!(tried, [2, 3, 1, 4]);
}

#[test]
fn a_bound_request_goes_where_it_belongs() {
    let group = group(RoundRobin, Some(140), "a; b; b");
    let sid = group.peers()[2].sid.clone();
    let localities = names("a");
    let sticky = sid.as_bytes();
    let bound = Request { localities: &localities, sticky, ..Request::default() };
    let mut random = fastrand::Rng::with_seed(1);
    assert_eq!(ask(&group, bound, &mut random).unwrap().0, 3);
    fail(&group, 3);
    assert_eq!(ask(&group, bound, &mut random).unwrap().0, 1);
}

/// Makes a group of a method.
type Maker = Box<dyn Fn(Option<u64>, &str) -> Arc<Group>>;

fn every_method() -> Vec<Maker> {
    fn of<M: Balance + 'static>(method: impl Fn() -> M + 'static) -> Maker {
        Box::new(move |overflow, servers| group(method(), overflow, servers))
    }
    vec![
        of(|| RoundRobin),
        of(|| LeastConn),
        of(|| LeastTime { metric: Metric::Header, inflight: false }),
        of(|| LeastTime { metric: Metric::LastByte, inflight: true }),
        of(|| Ewma { metric: Metric::Header, tau: 1000.0 }),
        of(|| Random { two: None }),
        of(|| Random { two: Some(Better::LeastConn) }),
        of(|| IpHash),
        of(|| Hash),
        of(|| Consistent { balance: None }),
        of(|| Consistent { balance: Some(125) }),
    ]
}

#[test]
fn every_method_keeps_to_the_parts() {
    for method in every_method() {
        let group = method(Some(140), "a; b; a; a; b; a; -");
        let name = format!("{:?}", group.config.method);
        let [one, _, two, three, _, four, _] = counts(&group, "a", 1000);
        assert_eq!(one + two + three + four, 1000, "{name}");
        fail(&group, 1);
        fail(&group, 3);
        let spilled: [usize; 7] = counts(&group, "a", 2000);
        let [one, b, two, _, more, _, none] = spilled;
        assert_eq!(one + two, 0, "{name}");
        // 30 % of 2,000, by chance of the keys for methods with keys.
        assert!((520..=680).contains(&(b + more + none)), "{name}: {spilled:?}");
        // A second attempt, and a third, of the same request find the others.
        for port in [4, 6] {
            fail(&group, port);
        }
        assert_eq!(counts::<7>(&group, "a", 1000)[5], 0, "{name}");
        let all: usize = counts::<7>(&group, "a", 1000).iter().sum();
        assert_eq!(all, 1000, "{name}");
    }
}

#[test]
fn a_key_stays_with_its_server_while_nothing_changes() {
    let methods = every_method();
    for method in &methods[7..10] {
        let group = method(Some(100), "a; a; a; b; b");
        fail(&group, 1);
        assert_eq!(ports(&group, "a", 300), ports(&group, "a", 300));
        let [_, local, more, spilled, further] = counts(&group, "a", 300);
        assert!(local > 50 && more > 50 && spilled + further > 50);
    }
}

#[test]
fn localities_change_while_requests_are_balanced() {
    let group = group(RoundRobin, Some(140), "a; b");
    assert_eq!(counts(&group, "b", 10), [0, 10]);
    let moved = Change { locality: Some("b".into()), ..Change::default() };
    group.edit(&Edit::Change(ServerId(0), moved)).unwrap();
    assert_eq!(counts(&group, "b", 10), [5, 5]);
    let nowhere = Change { locality: Some(String::new()), ..Change::default() };
    group.edit(&Edit::Change(ServerId(1), nowhere)).unwrap();
    assert_eq!(counts(&group, "b", 10), [10, 0]);
    let down = Change { down: Some(true), ..Change::default() };
    group.edit(&Edit::Change(ServerId(0), down)).unwrap();
    assert_eq!(counts(&group, "b", 10), [0, 10]);
    let long = Change { locality: Some("x".repeat(MAX_LOCALITY + 1)), ..Change::default() };
    let refused = group.edit(&Edit::Change(ServerId(1), long));
    assert_eq!(refused, Err(crate::EditError::LocalityTooLong));
    let limits = |port: usize| Limits::clone(&group.peers()[port].limits);
    assert_eq!((limits(0).locality.as_deref(), limits(1).locality), (Some("b"), None));
}

/// Each server has a locality of its own.
#[test]
fn a_thousand_localities_are_as_good_as_one() {
    let servers = (0..1000).map(|number| format!("zone-{number}")).collect::<Vec<_>>().join(";");
    let group = group(LeastConn, Some(140), &servers);
    assert_eq!(ports(&group, "zone-7 zone-8", 3), [8, 8, 8]);
    fail(&group, 8);
    assert_eq!(ports(&group, "zone-7 zone-8", 3), [9, 9, 9]);
    fail(&group, 9);
    let others: std::collections::HashSet<u16> =
        ports(&group, "zone-7 zone-8", 1000).into_iter().collect();
    assert!(others.len() > 600, "{}", others.len());
}

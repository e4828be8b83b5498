//! Sequences of nginx 1.31.5 for the same configurations and requests.
//!
//! A peer is written as the last digits of its port. Peers at ports 18098 and 18099 refuse
//! connections. A request that tried several peers lists them with commas.

use std::{net::IpAddr, sync::Arc};

use weir_engine::Addr;

use crate::{
    balance::method::{Balance, Request},
    balance::{
        consistent::Consistent,
        hash::Hash,
        ip_hash::IpHash,
        least_conn::LeastConn,
        least_time::{LeastTime, Metric},
        random::{Better, Random},
        round_robin::RoundRobin,
    },
    clock::Now,
    config::{GroupConfig, MethodHandle},
    group::Group,
    outcome::{Outcome, Timings},
    pick::Pick,
    server::{Admission, Server},
};

const NOW: Now = Now { seconds: 1_000_000, millis: 5_000 };

/// A group from text such as `81 weight=5; 82 down`.
fn group(method: impl Balance + 'static, servers: &str) -> Arc<Group> {
    let servers = servers.split(';').map(server).collect();
    Arc::new(Group::new(
        GroupConfig {
            servers,
            discover: None,
            method: MethodHandle(Arc::new(method)),
            ..GroupConfig::implicit(String::new(), "group", Vec::new())
        },
        None,
    ))
}

fn server(text: &str) -> Server {
    let mut words = text.split_whitespace();
    let address = format!("127.0.0.1:180{}", words.next().unwrap());
    let mut server = Server { text: address.clone(), ..Server::default() };
    server.addresses.push(Addr::Inet(address.parse().unwrap()));
    for word in words {
        match word.split_once('=') {
            Some(("weight", value)) => server.limits.weight = value.parse().unwrap(),
            Some(("max_fails", value)) => server.limits.max_fails = value.parse().unwrap(),
            Some(("max_conns", value)) => server.limits.max_conns = value.parse().unwrap(),
            Some(("route", value)) => server.route = Some(value.into()),
            _ if word == "down" => server.limits.admission = Admission::Down,
            _ if word == "drain" => server.limits.admission = Admission::Draining,
            _ if word == "backup" => server.backup = true,
            _ => panic!("{word}"),
        }
    }
    server
}

/// Serves one request to its end: dead peers fail, and the request is retried while allowed.
fn serve(group: &Arc<Group>, request: Request<'_>, now: Now) -> String {
    let mut tried = Vec::new();
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = group.start(request);
    loop {
        let Ok(peer) = pick.next(&mut random, now) else {
            tried.push(group.name().to_owned());
            return tried.join(",");
        };
        tried.push(peer.name["127.0.0.1:18".len()..].to_owned());
        let dead = peer.name.ends_with("98") || peer.name.ends_with("99");
        pick.free(if dead { Outcome::Failed } else { Outcome::Success }, Timings::default(), now);
        if !dead || pick.tries() == 0 {
            return tried.join(",");
        }
    }
}

fn check<'a>(group: &Arc<Group>, requests: impl IntoIterator<Item = Request<'a>>, expected: &str) {
    let served: Vec<_> = requests.into_iter().map(|request| serve(group, request, NOW)).collect();
    assert_eq!(served.join(" "), expected);
}

fn plain(count: usize) -> impl Iterator<Item = Request<'static>> {
    std::iter::repeat_n(Request::default(), count)
}

fn check_plain(method: impl Balance + 'static, servers: &str, expected: &str) {
    check(&group(method, servers), plain(expected.split(' ').count()), expected);
}

#[test]
fn round_robin_is_smooth() {
    check_plain(
        RoundRobin,
        "81 weight=5; 82; 83",
        "081 081 082 081 083 081 081 081 081 082 081 083 081 081",
    );
    check_plain(
        RoundRobin,
        "81 weight=1; 82 weight=2; 83 weight=3; 84 weight=4",
        "084 083 082 084 081 083 084 082 083 084 084 083 082 084 081 083 084 082 083 084",
    );
    check_plain(
        RoundRobin,
        "81 down; 82; 83 weight=2; 84 backup",
        "083 082 083 083 082 083 083 082 083",
    );
}

#[test]
fn round_robin_leaves_failed_peers_out() {
    check_plain(RoundRobin, "81; 99 weight=2; 83", "099,081 083 081 083 081 083 081 083");
    check_plain(
        RoundRobin,
        "81 weight=3; 99 weight=8 max_fails=3; 83 weight=3",
        "099,081 083 099,081 081 083 099,081 083 081 083 081 083 081 083 081 083 081 083 081 083 \
         081",
    );
    check_plain(RoundRobin, "98; 99; 84 backup", "098,099,084 084 084 084");
    check_plain(RoundRobin, "98; 99", "098,099 group group group");
}

#[test]
fn a_single_peer_is_tried_whatever_its_failures() {
    check_plain(RoundRobin, "99", "099 099 099");
    check_plain(RoundRobin, "99; 84 backup; 83 backup", "099,084 083 084 083");
}

#[test]
fn a_failed_peer_is_asked_again_after_its_timeout() {
    let group = group(RoundRobin, "81; 99");
    let at = |seconds| Now { seconds: NOW.seconds + seconds, ..NOW };
    let serve_at = |seconds| serve(&group, Request::default(), at(seconds));
    assert_eq!(serve_at(0), "081");
    assert_eq!(serve_at(0), "099,081");
    assert_eq!([serve_at(10), serve_at(10), serve_at(10)], ["081", "081", "081"]);
    // The failure also cost its effective weight, which recovers in steps of one.
    let later = [serve_at(11), serve_at(11), serve_at(11), serve_at(11)];
    assert!(later.contains(&"099,081".to_owned()), "{later:?}");
}

#[test]
fn ip_hash_hashes_three_bytes_of_ipv4_and_all_of_ipv6() {
    let v4 = (1..=20_u32).map(|i| {
        let byte = |n: u32| (n % 256) as u8;
        IpAddr::from([10, byte(i * 7), byte(i * 31), byte(i * 3)])
    });
    let v6 = (1..=8_u16).map(|i| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, i]));
    let clients: Vec<_> = v4.chain(v6).collect();
    let requests =
        || clients.iter().map(|&client| Request { client: Some(client), ..Request::default() });
    check(
        &group(IpHash, "81; 82 weight=2; 83; 84"),
        requests(),
        "082 084 082 083 084 082 083 081 082 083 081 082 083 081 082 084 081 082 084 082 081 082 \
         082 083 084 081 082 082",
    );
    check(
        &group(IpHash, "81; 82 down; 83"),
        requests(),
        "081 081 081 081 083 083 083 083 083 083 083 081 081 081 081 081 083 083 083 083 083 081 \
         083 083 081 081 083 081",
    );
}

/// Sends 24 requests with the keys that were sent to nginx.
fn check_keys(group: &Arc<Group>, expected: &str) {
    let keys: Vec<_> = (0..24).map(|i| format!("key{i}")).collect();
    let request = |key: &'static [u8]| Request { key, ..Request::default() };
    let leaked = keys.into_iter().map(|key| request(key.into_bytes().leak()));
    check(group, leaked, expected);
}

#[test]
fn hash_rehashes_as_memcached_clients_do() {
    let live = group(Hash, "81; 82 weight=2; 83");
    check_keys(
        &live,
        "083 081 082 082 082 082 081 083 081 083 081 083 082 082 082 082 083 081 083 081 082 082 \
         083 081",
    );
    // An empty key falls back to round robin.
    check(&live, plain(6), "082 081 083 082 082 081");
    check_keys(
        &group(Hash, "81; 99 weight=3 max_fails=0; 83"),
        "099,083 099,083 099,081 099,083 099,081 099,083 099,081 099,081 099,081 083 099,081 083 \
         083 081 081 099,081 099,083 083 099,083 099,083 083 083 099,081 083",
    );
    check_keys(
        &group(Hash, "81; 82 weight=30 down; 83"),
        "083 081 083 081 083 083 081 083 081 083 081 081 081 081 083 083 083 081 081 081 081 083 \
         083 081",
    );
}

#[test]
fn consistent_hash_walks_along_the_ring() {
    check_keys(
        &group(Consistent { balance: None }, "81; 82 weight=2; 83"),
        "083 081 083 083 082 081 081 081 083 082 082 083 082 082 082 083 083 082 081 082 082 082 \
         082 081",
    );
    check_keys(
        &group(Consistent { balance: None }, "81; 99 max_fails=0; 83; 84"),
        "083 081 083 083 099,084 081 099,081 081 083 099,081 099,084 083 099,084 099,083 084 083 \
         084 081 081 083 083 083 083 081",
    );
    check_keys(
        &group(Consistent { balance: None }, "81; 82 down; 83; 84"),
        "083 081 083 083 084 081 081 081 083 081 084 083 084 083 084 083 084 081 081 083 083 083 \
         083 081",
    );
}

#[test]
fn least_conn_is_round_robin_among_equals() {
    check_plain(
        LeastConn,
        "81; 82 weight=2; 83 weight=3",
        "083 082 081 083 082 083 083 082 081 083 082 083",
    );
}

/// Seven pairs of requests, one held and one finished; the latter are compared.
fn check_held(method: impl Balance + 'static, servers: &str, expected: &str) {
    let group = group(method, servers);
    let mut held: Vec<Pick> = Vec::new();
    let mut served = Vec::new();
    for _ in 0..7 {
        let mut pick = group.start(Request::default());
        let _ = pick.next(&mut fastrand::Rng::with_seed(1), NOW);
        held.push(pick);
        served.push(serve(&group, Request::default(), NOW));
    }
    assert_eq!(served.join(" "), expected);
    drop(held);
    let conns =
        |peer: &Arc<crate::Peer>| peer.state.conns.load(std::sync::atomic::Ordering::Relaxed);
    assert!(group.peers().iter().all(|peer| conns(peer) == 0));
}

#[test]
fn connections_that_stay_weigh() {
    check_held(LeastConn, "81; 82 weight=2; 83 weight=3", "082 082 083 082 083 082 081");
    check_held(RoundRobin, "81 max_conns=1; 82 max_conns=2; 83", "082 082 082 082 082 082 082");
}

#[test]
fn least_time_prefers_weight_while_nothing_is_measured() {
    let method = LeastTime { metric: Metric::Header, inflight: false };
    check_plain(method, "81; 82 weight=2; 83 weight=3", "083 083 083 083 083 083");
}

#[test]
fn sticky_requests_go_where_they_belong() {
    let group = group(RoundRobin, "81 route=a; 82 route=b; 83 route=c drain");
    let sids = ["", "a", "a", "a", "", "c", "", "b", "zz", "", "c", ""];
    let requests = sids.map(|sid| Request { sticky: sid.as_bytes(), ..Request::default() });
    check(&group, requests, "081 081 081 081 082 083 082 082 081 081 083 082");
}

#[test]
fn random_follows_the_weights_and_never_repeats_a_peer() {
    let time = Better::LeastTime(Metric::Header);
    for two in [None, Some(Better::LeastConn), Some(time)] {
        let group = group(Random { two }, "81 weight=3; 82; 83 down");
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = [0; 2];
        for _ in 0..400 {
            let mut pick = group.start(Request::default());
            let first = pick.next(&mut random, NOW).unwrap();
            counts[usize::from(first.name.ends_with("82"))] += 1;
            pick.free(Outcome::NotCounted, Timings::default(), NOW);
            let second = pick.next(&mut random, NOW).unwrap();
            assert_ne!(first.name, second.name);
            pick.free(Outcome::NotCounted, Timings::default(), NOW);
            assert!(pick.next(&mut random, NOW).is_err());
        }
        assert!(two.is_some() || (270..330).contains(&counts[0]), "{counts:?}");
    }
}

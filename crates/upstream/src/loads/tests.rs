//! Every method that weighs heeds what servers say.

use std::sync::Arc;

use weir_engine::Addr;
use weir_wire::agent::parse;

use crate::{
    Group, Now, Outcome, Registry, Request, Server, Side, Timings,
    agent::config::AgentConfig,
    balance::{
        consistent::Consistent,
        ewma::Ewma,
        hash::Hash,
        ip_hash::IpHash,
        least_conn::LeastConn,
        least_time::{LeastTime, Metric},
        method::Balance,
        random::{Better, Random},
        round_robin::RoundRobin,
    },
    config::{GroupConfig, MethodHandle},
    server::Limits,
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

fn group(method: impl Balance + 'static, weights: &[u32]) -> Arc<Group> {
    let server = |(place, &weight): (usize, &u32)| {
        let address = Addr::Inet(([127, 0, 0, 1], 81 + place as u16).into());
        let limits = Limits { weight, ..Limits::default() };
        Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
    };
    let agent = AgentConfig { port: Some(9), interval: 1, timeout: 1, send: Vec::new() };
    let config = GroupConfig {
        zone: Some("u".into()),
        servers: weights.iter().enumerate().map(server).collect(),
        agent: Some(agent),
        method: MethodHandle(Arc::new(method)),
        ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
    };
    Registry::default().group(&config)
}

fn say(group: &Group, place: usize, line: &str) {
    group.peers()[place].hear(&parse(line.as_bytes(), |_| panic!("unknown word")), NOW);
}

/// The number of requests of each server, of 10,000 that stay open if `held`.
fn shares(group: &Arc<Group>, held: bool) -> Vec<u64> {
    const REQUESTS: u64 = 10_000;
    let mut random = fastrand::Rng::with_seed(7);
    let before: Vec<u64> = requests(group);
    let mut picks = Vec::new();
    for number in 0..REQUESTS {
        let key = number.to_string();
        let client = std::net::Ipv4Addr::from(number as u32 * 256 * 77);
        let request =
            Request { key: key.as_bytes(), client: Some(client.into()), ..Request::default() };
        let mut pick = group.start(request);
        pick.next(&mut random, NOW).unwrap();
        if held {
            picks.push(pick);
        } else {
            pick.free(Outcome::Success, Timings::default(), NOW);
        }
    }
    requests(group).iter().zip(before).map(|(after, before)| after - before).collect()
}

fn requests(group: &Group) -> Vec<u64> {
    let count =
        |peer: &Arc<crate::Peer>| peer.state.requests.load(std::sync::atomic::Ordering::Relaxed);
    group.peers().iter().map(count).collect()
}

fn is_about(shares: &[u64], expected: &[u64]) {
    let near = |(share, expected): (&u64, &u64)| share.abs_diff(*expected) <= 300;
    assert!(shares.iter().zip(expected).all(near), "{shares:?}, expected {expected:?}");
}

/// A method, and whether its requests stay open: it counts them.
fn weighing() -> Vec<(Arc<Group>, bool)> {
    let weights = &[2, 1, 1];
    let least_time = LeastTime { metric: Metric::Header, inflight: false };
    vec![
        (group(RoundRobin, weights), false),
        (group(LeastConn, weights), true),
        (group(least_time, weights), true),
        (group(Random { two: None }, weights), false),
        (group(Random { two: Some(Better::LeastConn) }, weights), true),
        (group(Ewma { metric: Metric::Header, tau: 10_000.0 }, weights), true),
        (group(Consistent { balance: Some(101) }, weights), true),
    ]
}

#[test]
fn every_method_that_weighs_heeds_agents() {
    for (group, held) in weighing() {
        is_about(&shares(&group, held), &[5000, 2500, 2500]);
        // 0.5, 1, 3.5
        say(&group, 0, "25%");
        say(&group, 2, "weight:3");
        is_about(&shares(&group, held), &[1111, 2222, 6667]);
        say(&group, 2, "drain");
        is_about(&shares(&group, held), &[3333, 6667, 0]);
        say(&group, 0, "0%");
        is_about(&shares(&group, held), &[0, 10_000, 0]);
        say(&group, 0, "100% down");
        say(&group, 2, "ready 100%");
        is_about(&shares(&group, held), &[0, 5000, 5000]);
    }
}

/// Keys stay where they are: only a server that takes no requests loses its keys.
#[test]
fn hashes_heed_only_a_weight_of_zero() {
    let methods = [
        group(Hash, &[1, 1]),
        group(IpHash, &[1, 1]),
        group(Consistent { balance: None }, &[1, 1]),
    ];
    for group in methods {
        let before = shares(&group, false);
        say(&group, 0, "5%");
        assert_eq!(shares(&group, false), before);
        say(&group, 0, "0%");
        assert_eq!(shares(&group, false), [0, 10_000]);
    }
}

#[test]
fn bound_requests_stay_with_a_server_that_drains() {
    let group = group(RoundRobin, &[1, 1]);
    let sid = group.peers()[0].sid.clone();
    let mut random = fastrand::Rng::with_seed(7);
    let mut goes_to = |sticky: &str| {
        let mut pick = group.start(Request { sticky: sticky.as_bytes(), ..Request::default() });
        pick.next(&mut random, NOW).unwrap().name.clone()
    };
    for line in ["drain", "ready 0%"] {
        say(&group, 0, line);
        assert_eq!(
            [goes_to(&sid), goes_to(""), goes_to("")],
            ["127.0.0.1:81", "127.0.0.1:82", "127.0.0.1:82"]
        );
    }
    say(&group, 0, "maint");
    assert_eq!(goes_to(&sid), "127.0.0.1:82");
}

#[test]
fn the_only_server_of_a_group_heeds_its_agent() {
    let group = group(RoundRobin, &[1]);
    let mut random = fastrand::Rng::with_seed(7);
    for (line, takes) in [("5%", true), ("0%", false), ("100% drain", false), ("ready", true)] {
        say(&group, 0, line);
        let found = group.start(Request::default()).next(&mut random, NOW).is_ok();
        assert_eq!(found, takes, "{line}");
    }
}

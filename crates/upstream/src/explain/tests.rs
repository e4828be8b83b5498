use std::sync::Arc;

use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::{Balance, Request},
    balance::{
        ewma::Ewma, hash::Hash, least_conn::LeastConn, least_time::LeastTime, least_time::Metric,
        random::Better, random::Random, round_robin::RoundRobin,
    },
    config::{GroupConfig, MethodHandle},
    group::Group,
    outcome::{Outcome, Timings},
    server::Server,
};

const NOW: Now = Now { seconds: 1_000_000, millis: 5_000 };

/// A group of servers with these weights; the first one has the port 8000.
fn group(method: impl Balance + 'static, weights: &[u32], max_conns: u64) -> Arc<Group> {
    let server = |(place, weight): (usize, &u32)| {
        let address = format!("127.0.0.1:{}", 8000 + place);
        let mut server = Server { text: address.clone(), ..Server::default() };
        server.addresses.push(Addr::Inet(address.parse().unwrap()));
        (server.limits.weight, server.limits.max_conns) = (*weight, max_conns);
        server
    };
    Arc::new(Group::new(
        GroupConfig {
            servers: weights.iter().enumerate().map(server).collect(),
            discover: None,
            method: MethodHandle(Arc::new(method)),
            ..GroupConfig::implicit(String::new(), "group", Vec::new())
        },
        None,
    ))
}

/// The explanation of a choice, and the rivals as text: port, active requests, score, exclusion.
fn explained(pick: &Pick<'_>) -> (Explained, Vec<String>) {
    let mut told = Vec::new();
    let explained = pick.explain(NOW, |rival| {
        let port = rival.peer.address.port().unwrap();
        let score = rival.score.map_or("-".to_owned(), |score| score.to_string());
        let mark = if rival.chosen { "*" } else { "" };
        told.push(format!("{mark}{port} {} {score} {}", rival.active, rival.excluded));
    });
    (explained, told.iter().map(|text| text.trim_end().to_owned()).collect())
}

fn choose<'a>(group: &'a Arc<Group>) -> Pick<'a> {
    let mut pick = group.start(Request { key: b"key", ..Request::default() });
    pick.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
    pick
}

#[test]
fn the_weights_of_round_robin_are_those_after_the_choice() {
    let group = group(RoundRobin, &[5, 1, 1], 0);
    let (explained, rivals) = explained(&choose(&group));
    assert_eq!((explained.method, explained.servers, explained.looked_at), ("round_robin", 3, 3));
    assert_eq!(rivals, ["*8000 0 -2", "8001 0 1", "8002 0 1"]);
}

#[test]
fn the_request_itself_is_not_among_the_active_ones() {
    let group = group(LeastConn, &[1, 2], 0);
    let (first, second) = (choose(&group), choose(&group));
    assert_eq!(explained(&first).1, ["*8001 0 0", "8000 1 1"]);
    assert_eq!(explained(&second).1, ["*8000 0 0", "8001 1 0.5"]);
}

#[test]
fn exclusions_have_reasons() {
    let group = group(RoundRobin, &[1, 1, 1], 1);
    let full = choose(&group);
    let mut retried = group.start(Request::default());
    retried.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
    retried.free(Outcome::Failed, Timings::default(), NOW);
    retried.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
    let (_, rivals) = explained(&retried);
    let reasons: Vec<_> = rivals.iter().map(|rival| rival.split(' ').nth(3)).collect();
    assert_eq!(reasons, [None, Some("tried"), Some("max_conns")]);
    drop(full);
    let mut third = group.start(Request::default());
    third.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
    assert!(explained(&third).1.iter().any(|rival| rival.ends_with(" unavail")));
}

#[test]
fn nobody_is_explained_too() {
    let group = group(RoundRobin, &[1, 1], 1);
    let held = (choose(&group), choose(&group));
    let mut pick = group.start(Request::default());
    assert!(pick.next(&mut fastrand::Rng::with_seed(1), NOW).is_err());
    let (explained, rivals) = explained(&pick);
    assert_eq!((explained.servers, rivals.len()), (2, 2));
    assert!(rivals.iter().all(|rival| rival.ends_with(" max_conns")), "{rivals:?}");
    drop(held);
}

#[test]
fn each_method_has_a_name_and_a_score_or_none() {
    let weights = [1, 1, 1];
    let check = |group: Arc<Group>, name: &str, has_score: bool| {
        let pick = choose(&group);
        let (explained, rivals) = explained(&pick);
        assert_eq!((explained.method, explained.score.is_some()), (name, has_score));
        for rival in rivals {
            let score = rival.split(' ').nth(2).unwrap().parse::<f64>();
            assert_eq!(score.is_ok_and(f64::is_finite), has_score, "{rival}");
        }
    };
    let time = || LeastTime { metric: Metric::Header, inflight: false };
    check(group(time(), &weights, 0), "least_time", true);
    check(group(Ewma { metric: Metric::Header, tau: 1000.0 }, &weights, 0), "ewma", true);
    check(group(Hash, &weights, 0), "hash", false);
    check(group(Random { two: None }, &weights, 0), "random", false);
    let two = Random { two: Some(Better::LeastConn) };
    check(group(two, &weights, 0), "random two least_conn", true);
    check(group(RoundRobin, &[1], 0), "only server", true);
}

#[test]
fn of_thousands_few_are_looked_at() {
    let group = group(LeastConn, &[1; 3000], 0);
    let picks: Vec<_> = (0..2999).map(|_| choose(&group)).collect();
    let (explained, rivals) = explained(picks.last().unwrap());
    assert_eq!((explained.servers, explained.looked_at), (3000, MOST_LOOKED_AT));
    assert_eq!(rivals.len(), MOST_RIVALS);
    assert!(rivals[0].starts_with('*'), "{rivals:?}");
    // The one that has no request yet is next to it, and the best.
    assert_eq!(rivals[1].split(' ').nth(1), Some("0"), "{rivals:?}");
}

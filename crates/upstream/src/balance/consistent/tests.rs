use std::{collections::HashMap, sync::Arc};

use weir_engine::Addr;

use super::*;
use crate::{
    clock::Now,
    config::{GroupConfig, MethodHandle},
    group::Group,
    outcome::{Outcome, Timings},
    pick::Pick,
    server::{Limits, Server},
};

const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

fn config(weights: &[u32], balance: Option<u64>) -> GroupConfig {
    let server = |(weight, port): (&u32, u16)| {
        let address = Addr::Inet(([127, 0, 0, 1], port).into());
        let limits = Limits { weight: *weight, ..Limits::default() };
        Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
    };
    GroupConfig {
        servers: weights.iter().zip(1..).map(server).collect(),
        method: MethodHandle(Arc::new(Consistent { balance })),
        ..GroupConfig::implicit("http u".into(), "u", Vec::new())
    }
}

fn group(weights: &[u32], balance: u64) -> Arc<Group> {
    Arc::new(Group::new(config(weights, Some(balance)), None))
}

/// A request with a key at a server.
fn ask<'a>(group: &'a Arc<Group>, key: &str) -> (Pick<'a>, String) {
    let mut pick = group.start(Request { key: key.as_bytes(), ..Request::default() });
    let peer = pick.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
    (pick, peer.name["127.0.0.1:".len()..].to_owned())
}

fn active(group: &Group) -> Vec<u64> {
    let conns =
        |peer: &Arc<crate::Peer>| peer.state.conns.load(std::sync::atomic::Ordering::Relaxed);
    group.peers().iter().map(conns).collect()
}

#[test]
fn a_hot_key_overflows_along_the_ring() {
    let group = group(&[1; 4], 125);
    let mut held = Vec::new();
    let mut served: HashMap<String, usize> = HashMap::new();
    for _ in 0..100 {
        let (pick, name) = ask(&group, "hot");
        *served.entry(name).or_default() += 1;
        held.push(pick);
        // Never more than 125 % of the mean, in HAProxy's rounding.
        let places = (held.len() * 125).div_ceil(100);
        let most = (places as u64).div_ceil(4).max(1);
        assert!(active(&group).iter().all(|conns| *conns <= most), "{:?}", active(&group));
    }
    // The first three servers on the ring are full: 125 places are 31 for each, and one remains.
    let mut counts: Vec<_> = served.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [6, 31, 31, 32]);
    drop(held);
    // And back again.
    let first = ask(&group, "hot").1;
    assert!((0..10).all(|_| ask(&group, "hot").1 == first));
}

#[test]
fn an_even_load_stays_where_plain_hashing_puts_it() {
    let plain = Arc::new(Group::new(config(&[1; 10], None), None));
    let bounded = group(&[1; 10], 150);
    for number in 0..1000 {
        let key = number.to_string();
        assert_eq!(ask(&bounded, &key).1, ask(&plain, &key).1);
    }
}

#[test]
fn bounds_are_in_proportion_to_weights() {
    let group = group(&[1, 2, 5], 110);
    let held: Vec<_> = (0..800).map(|_| ask(&group, "hot").0).collect();
    let conns = active(&group);
    let within = |(conns, weight): (&u64, u64)| *conns <= weight * 110;
    assert!(conns.iter().zip([1, 2, 5]).all(within), "{conns:?}");
    assert_eq!(conns.iter().sum::<u64>(), 800);
    drop(held);
    assert_eq!(active(&group), [0; 3]);
    let counter = group.sets().primary.active.clone().unwrap();
    assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn servers_that_fail_leave_their_share_to_others() {
    let group = group(&[1; 4], 125);
    let failing = ask(&group, "hot").1;
    let mut pick = ask(&group, "hot").0;
    pick.free(Outcome::Failed, Timings::default(), NOW);
    drop(pick);
    let held: Vec<_> = (0..90).map(|_| ask(&group, "hot")).collect();
    assert!(held.iter().all(|(_, name)| *name != failing));
    let most = active(&group).into_iter().max();
    assert!(most.is_some_and(|most| (36..=38).contains(&most)), "{:?}", active(&group));
}

/// As the documentation of HAProxy puts it: a server without room is passed over, unless nobody has
/// any.
#[test]
fn a_request_goes_on_when_nobody_left_has_room() {
    let group = group(&[1; 2], 101);
    let (mut pick, first) = ask(&group, "hot");
    let others: Vec<_> = (0..20).map(|number| ask(&group, &number.to_string()).0).collect();
    let second = pick.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
    assert!(!second.name.ends_with(&first));
    drop(others);
}

#[test]
fn a_reload_counts_the_same_requests() {
    let registry = crate::Registry::default();
    let old = registry.group(&config(&[1; 4], Some(125)));
    let held: Vec<_> = (0..10).map(|_| ask(&old, "hot").0).collect();
    let new = registry.group(&config(&[1; 4], Some(200)));
    let counter = new.sets().primary.active.clone().unwrap();
    assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 10);
    drop(held);
    assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 0);
    let plain = registry.group(&config(&[1; 4], None));
    assert!(plain.sets().primary.active.is_none());
}

use std::sync::Arc;

use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::{Balance, Request},
    balance::{
        least_conn::LeastConn,
        least_time::{LeastTime, Metric},
        round_robin::RoundRobin,
    },
    check::config::CheckConfig,
    config::{GroupConfig, MethodHandle},
    edit::{Change, Edit},
    group::Group,
    health::{Health, Source},
    outcome::{Outcome, Timings},
    pick::Pick,
    server::{Admission, Limits, Server, ServerId, SlowStart},
};

/// Longer than any test takes, in milliseconds.
const LONG: u64 = 1_000_000;

/// Two servers of weight 10, of which the second has a slow start.
fn group(method: Arc<dyn Balance>) -> Arc<Group> {
    let server = |port: u16| {
        let address = Addr::Inet(([127, 0, 0, 1], port).into());
        let slow_start = if port == 2 { SlowStart::Within(LONG) } else { SlowStart::Off };
        let limits = Limits { weight: 10, slow_start, ..Limits::default() };
        Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
    };
    let config = GroupConfig {
        zone: Some("u".into()),
        servers: vec![server(1), server(2)],
        method: MethodHandle(method),
        checks: vec![CheckConfig::every(5000)],
        ..GroupConfig::implicit(String::new(), "u", Vec::new())
    };
    Arc::new(Group::new(config, None))
}

/// How many of a hundred requests, ten of which are active at a time, the second server gets.
fn share(group: &Arc<Group>, now: Now) -> usize {
    let mut random = fastrand::Rng::with_seed(1);
    let mut picks: Vec<Pick<'_>> = (0..10).map(|_| group.start(Request::default())).collect();
    let mut count = 0;
    for number in 0..100 {
        picks[number % 10] = group.start(Request::default());
        let peer = picks[number % 10].next(&mut random, now).unwrap();
        count += usize::from(peer.name.ends_with(":2"));
    }
    count
}

fn after(start: Now, parts: u64) -> Now {
    Now { millis: start.millis + LONG * parts / 10, seconds: start.seconds }
}

#[test]
fn a_share_grows_with_the_time() {
    let time = LeastTime { metric: Metric::Header, inflight: false };
    let methods: [Arc<dyn Balance>; 3] =
        [Arc::new(RoundRobin), Arc::new(LeastConn), Arc::new(time)];
    for method in methods {
        let group = group(method);
        let now = Now::current();
        // It has not failed yet.
        assert_eq!(share(&group, now), 50);
        group.peers()[1].set_health(Source::Check(0), Health::Unhealthy, now);
        assert_eq!(share(&group, now), 0);
        group.peers()[1].set_health(Source::Check(0), Health::Good, now);
        let shares = [1, 3, 5, 10].map(|parts| share(&group, after(now, parts)));
        assert!(shares.is_sorted() && shares[0] <= 20 && shares[3] >= 45, "{shares:?}");
        assert!(shares[0] > 0, "{shares:?}");
    }
}

#[test]
fn a_server_that_nobody_else_can_replace_is_taken_at_once() {
    let group = group(Arc::new(RoundRobin));
    let now = Now::current();
    let down = Change { down: Some(true), ..Change::default() };
    group.edit(&Edit::Change(ServerId(0), down)).unwrap();
    group.peers()[1].set_health(Source::Check(0), Health::Checking, now);
    group.peers()[1].set_health(Source::Check(0), Health::Good, now);
    assert_eq!(share(&group, now), 100);
}

#[test]
fn whatever_took_it_away_it_comes_back_slowly() {
    let small = |group: &Arc<Group>| share(group, Now::current()) <= 10;
    // By an administrator.
    let edited = group(Arc::new(RoundRobin));
    for admission in [Admission::Down, Admission::Open] {
        let change = Change {
            down: Some(admission == Admission::Down),
            drain: Some(admission == Admission::Draining),
            ..Change::default()
        };
        edited.edit(&Edit::Change(ServerId(1), change)).unwrap();
    }
    assert!(small(&edited));
    // By removal and addition.
    let server = edited.config.servers[1].clone();
    edited.edit(&Edit::Remove(ServerId(1))).unwrap();
    edited.edit(&Edit::Add(server)).unwrap();
    assert!(small(&edited));
    // By failures.
    let failed = group(Arc::new(RoundRobin));
    let mut now = Now::current();
    let ask = |now: Now, outcome| {
        let mut random = fastrand::Rng::with_seed(1);
        let mut pick = failed.start(Request::default());
        while !pick.next(&mut random, now).unwrap().name.ends_with(":2") {
            pick.free(Outcome::Success, Timings::default(), now);
            pick = failed.start(Request::default());
        }
        pick.free(outcome, Timings::default(), now);
    };
    ask(now, Outcome::Failed);
    now.seconds += 20;
    ask(now, Outcome::Success);
    assert!(share(&failed, now) <= 10);
}

/// An edit changes the scale of a group, and resets earlier debts.
#[test]
fn a_slow_start_can_be_set_and_taken_away() {
    let group = group(Arc::new(RoundRobin));
    let now = Now::current();
    group.peers()[1].set_health(Source::Check(0), Health::Checking, now);
    group.peers()[1].set_health(Source::Check(0), Health::Good, now);
    assert!(share(&group, after(now, 1)) < 20);
    let none = Change { slow_start: Some(SlowStart::Off), ..Change::default() };
    group.edit(&Edit::Change(ServerId(1), none)).unwrap();
    assert_eq!(share(&group, after(now, 1)), 50);
    let again = Change { slow_start: Some(SlowStart::Within(LONG)), ..Change::default() };
    group.edit(&Edit::Change(ServerId(1), again)).unwrap();
    assert_eq!(share(&group, after(now, 10)), 50);
}

/// On a machine that started a moment ago, too.
#[test]
fn a_server_that_never_failed_has_its_whole_weight() {
    let limits = Limits { slow_start: SlowStart::Within(3_600_000), ..Limits::default() };
    let address = Addr::Inet(([127, 0, 0, 1], 80).into());
    let peer = Peer::new(address, "s", limits, None);
    let young = Now { seconds: 1, millis: 1000 };
    assert_eq!(Scale::Parts(young).of(1, &peer), PARTS);
    peer.recovers(young);
    assert_eq!(Scale::Parts(young).of(1, &peer), 0);
}

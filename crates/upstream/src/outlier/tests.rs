//! Ejections in virtual time.

use std::sync::Arc;

use weir_engine::Addr;

use super::*;
use crate::{
    CheckConfig, GroupConfig, PeerStatus, Registry, Request, Server, Timings, server::Limits,
};

const START: Now = Now { seconds: 1000, millis: 1_000_000 };

fn server(port: u16) -> Server {
    Server {
        text: format!("127.0.0.1:{port}"),
        addresses: vec![Addr::Inet(([127, 0, 0, 1], port).into())],
        limits: Limits { max_fails: 0, ..Limits::default() },
        ..Server::default()
    }
}

fn plan(count: u16, outliers: OutlierConfig) -> GroupConfig {
    GroupConfig {
        servers: (1..=count).map(server).collect(),
        outliers: Some(outliers),
        ..GroupConfig::implicit("http u".into(), "u", Vec::new())
    }
}

fn group(count: u16, outliers: OutlierConfig) -> Arc<Group> {
    Arc::new(Group::new(plan(count, outliers), None))
}

/// A request: `answer` tells for the place of a server what it does. Returns that place.
fn ask(
    group: &Arc<Group>,
    now: Now,
    answer: impl Fn(usize) -> (Outcome, Option<u64>),
) -> Option<usize> {
    let mut pick = group.start(Request::default());
    let peer = pick.next(&mut fastrand::Rng::with_seed(1), now).ok()?;
    let place = group.peers().iter().position(|other| other.name == peer.name);
    let (outcome, header) = answer(place?);
    pick.free(outcome, Timings { header, ..Timings::default() }, now);
    place
}

const GOOD: (Outcome, Option<u64>) = (Outcome::Success, Some(20));
const BAD: (Outcome, Option<u64>) = (Outcome::Error, Some(20));

/// All requests are good but for those to one server.
fn bad_at(bad: usize) -> impl Fn(usize) -> (Outcome, Option<u64>) {
    move |place| if place == bad { BAD } else { GOOD }
}

/// Twenty requests, those to the first server fail.
fn fail_first(group: &Arc<Group>, now: Now) {
    for _ in 0..20 {
        ask(group, now, bad_at(0));
    }
}

fn ejected(group: &Group) -> Vec<usize> {
    let peers = group.peers();
    (0..peers.len()).filter(|&place| peers[place].is_ejected()).collect()
}

/// The places that `count` requests go to, without repetitions.
fn used(group: &Arc<Group>, now: Now, count: usize) -> Vec<usize> {
    let mut places: Vec<_> = (0..count).filter_map(|_| ask(group, now, |_| GOOD)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn failures_in_a_row_eject_for_longer_each_time() {
    let group = group(3, OutlierConfig::default());
    let mut now = START;
    for length in [30_000, 60_000, 90_000] {
        let asked = (0..100).take_while(|_| {
            ask(&group, now, bad_at(1));
            ejected(&group).is_empty()
        });
        // The fifth failure comes with the fifteenth request at the latest.
        assert!((12..15).contains(&asked.count()));
        assert_eq!(ejected(&group), [1]);
        assert_eq!(group.peers()[1].status(now), PeerStatus::Unavail);
        now = now.plus_millis(length - 1);
        assert_eq!(used(&group, now, 20), [0, 2]);
        now = now.plus_millis(1);
        assert_eq!(used(&group, now, 20), [0, 1, 2]);
        assert_eq!(group.peers()[1].status(now), PeerStatus::Up);
    }
    assert_eq!(group.peers()[1].downtime(now), (180_000, None));
}

#[test]
fn a_good_answer_ends_the_row() {
    let group = group(3, OutlierConfig { success_rate: None, ..OutlierConfig::default() });
    for number in 0..300 {
        ask(&group, START, |place| if place == 1 && number % 5 != 0 { BAD } else { GOOD });
    }
    assert_eq!(ejected(&group), [0; 0]);
}

#[test]
fn answers_that_blame_nobody_do_not_count() {
    let group = group(3, OutlierConfig::default());
    for _ in 0..100 {
        ask(&group, START, |place| match place {
            1 => (Outcome::NotCounted, None),
            _ => GOOD,
        });
    }
    assert_eq!(ejected(&group), [0; 0]);
}

#[test]
fn a_low_success_rate_ejects_at_the_end_of_the_interval() {
    let config = OutlierConfig { consecutive: 0, ..OutlierConfig::default() };
    let group = group(4, config);
    for number in 0..800 {
        ask(&group, START, |place| if place == 2 && number % 3 == 0 { BAD } else { GOOD });
    }
    assert_eq!(used(&group, START.plus_millis(9_999), 40), [0, 1, 2, 3]);
    let end = START.plus_millis(10_000);
    assert_eq!(used(&group, end, 40), [0, 1, 3]);
    // The interval begins anew.
    assert_eq!(used(&group, end.plus_millis(30_000), 40), [0, 1, 2, 3]);
    assert_eq!(used(&group, end.plus_millis(40_000), 40), [0, 1, 2, 3]);
}

/// Its failures from before are in the same interval as its return.
#[test]
fn failures_that_led_to_an_ejection_lead_to_no_other() {
    let config = OutlierConfig { time: 5000, requests: 5, ..OutlierConfig::default() };
    let group = group(3, config);
    fail_first(&group, START);
    assert_eq!(ejected(&group), [0]);
    let back = START.plus_millis(5000);
    assert_eq!(used(&group, back, 60), [0, 1, 2]);
    assert_eq!(used(&group, START.plus_millis(10_000), 60), [0, 1, 2]);
}

#[test]
fn a_slow_server_is_ejected_if_latency_counts() {
    for (latency, out) in [(None, vec![]), (Some(3.0), vec![0])] {
        let group = group(4, OutlierConfig { latency, ..OutlierConfig::default() });
        for _ in 0..800 {
            ask(&group, START, |place| (Outcome::Success, Some([200, 20, 30, 40][place])));
        }
        used(&group, START.plus_millis(10_000), 1);
        assert_eq!(ejected(&group), out);
    }
}

#[test]
fn few_servers_lose_one_and_never_the_last() {
    for (count, max, most) in [(1, 100, 0), (2, 10, 1), (3, 10, 1), (3, 100, 1), (10, 40, 4)] {
        let group = group(count, OutlierConfig { max, ..OutlierConfig::default() });
        for _ in 0..500 {
            ask(&group, START, |_| BAD);
            assert!(ejected(&group).len() <= most);
        }
        assert_eq!(ejected(&group).len(), most, "{count} servers, {max}%");
    }
}

/// Lets servers look as if they had reached their `max_conns`.
fn fill(group: &Group, places: &[usize]) {
    let mut lines = group.lines();
    for &place in places {
        let mut peer = Peer::clone(&lines.of(false)[place]);
        peer.limits.max_conns = 1;
        peer.settle();
        peer.state.conns.store(1, std::sync::atomic::Ordering::Relaxed);
        lines.of(false)[place] = Arc::new(peer);
    }
    group.line_up(lines);
}

#[test]
fn half_of_the_servers_are_left() {
    let group = group(4, OutlierConfig::default());
    fill(&group, &[2]);
    fail_first(&group, START);
    assert_eq!(ejected(&group), [0]);
    // With even fewer, the ejected one comes back at the end of the interval.
    fill(&group, &[3]);
    assert_eq!(used(&group, START.plus_millis(9_999), 20), [1]);
    assert_eq!(used(&group, START.plus_millis(10_000), 20), [0, 1]);
    fail_first(&group, START.plus_millis(10_000));
    assert_eq!(ejected(&group), [0; 0]);
}

#[test]
fn a_request_without_any_other_server_goes_to_an_ejected_one() {
    let group = group(3, OutlierConfig::default());
    fail_first(&group, START);
    assert_eq!(ejected(&group), [0]);
    fill(&group, &[1, 2]);
    assert_eq!(ask(&group, START, |_| GOOD), Some(0));
    assert_eq!(ejected(&group), [0; 0]);
}

#[test]
fn backups_come_before_ejected_servers() {
    let mut plan = plan(3, OutlierConfig::default());
    plan.servers[2].backup = true;
    plan.servers[1].limits = Limits { max_fails: 1, ..Limits::default() };
    let group = Arc::new(Group::new(plan, None));
    fail_first(&group, START);
    assert_eq!(ejected(&group), [0]);
    assert_eq!(ask(&group, START, |_| (Outcome::Failed, None)), Some(1));
    assert_eq!(used(&group, START, 10), [2]);
    assert_eq!(ejected(&group), [0]);
}

#[test]
fn the_recovery_of_a_check_ends_an_ejection() {
    let check = CheckConfig {
        name: String::new(),
        what: String::new(),
        interval: 5000,
        jitter: 0,
        fails: 1,
        passes: 1,
        port: None,
        mandatory: false,
    };
    let mut plan = plan(3, OutlierConfig::default());
    plan.checks = vec![check.clone()];
    let group = Arc::new(Group::new(plan, None));
    let peer = Arc::clone(&group.peers()[0]);
    fail_first(&group, START);
    // A check that has seen nothing wrong says nothing.
    peer.judge(0, &check, true, START);
    assert_eq!(used(&group, START, 10), [1, 2]);
    assert_eq!(peer.status(START), PeerStatus::Unavail);
    peer.judge(0, &check, false, START);
    assert_eq!(peer.status(START), PeerStatus::Unhealthy);
    peer.judge(0, &check, true, START);
    assert_eq!(used(&group, START, 10), [0, 1, 2]);
}

#[test]
fn reloads_keep_ejections_and_what_led_to_them() {
    let registry = Registry::default();
    let first = registry.group(&plan(3, OutlierConfig::default()));
    fail_first(&first, START);
    let longer = OutlierConfig { time: 40_000, ..OutlierConfig::default() };
    let second = registry.group(&plan(4, longer));
    assert_eq!(ejected(&second), [0]);
    assert_eq!(used(&second, START.plus_millis(29_999), 20), [1, 2, 3]);
    assert_eq!(used(&second, START.plus_millis(30_000), 20), [0, 1, 2, 3]);
    for _ in 0..30 {
        ask(&second, START.plus_millis(30_000), bad_at(0));
    }
    assert_eq!(used(&second, START.plus_millis(30_000 + 79_999), 20), [1, 2, 3]);
    // Without the directive, it takes requests at once.
    let third =
        registry.group(&GroupConfig { outliers: None, ..plan(4, OutlierConfig::default()) });
    assert_eq!(used(&third, START.plus_millis(30_000), 20), [0, 1, 2, 3]);
}

#[test]
fn threads_never_eject_more_than_the_limit() {
    let group = group(10, OutlierConfig { max: 20, consecutive: 1, ..OutlierConfig::default() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for step in 0..2000 {
                    ask(&group, START.plus_millis(step * 100), |_| BAD);
                    let (sets, _turn) = (group.sets(), group.turns());
                    let out = |peer: &&Arc<Peer>| peer.is_ejected();
                    assert!(sets.peers().filter(out).count() <= 2);
                }
            });
        }
    });
}

#[test]
fn with_a_queue_requests_wait_for_full_servers() {
    let queue = Some(crate::QueueConfig { size: 1, timeout: 1000 });
    let group =
        Arc::new(Group::new(GroupConfig { queue, ..plan(3, OutlierConfig::default()) }, None));
    fail_first(&group, START);
    fill(&group, &[1, 2]);
    assert_eq!(ask(&group, START, |_| GOOD), None);
    assert_eq!(ejected(&group), [0]);
    // The end of the ejection is noticed by the request that waits or comes next.
    assert_eq!(ask(&group, START.plus_millis(30_000), |_| GOOD), Some(0));
}

#[test]
fn a_request_that_fails_everywhere_lets_nobody_in() {
    let group = group(3, OutlierConfig::default());
    fail_first(&group, START);
    let mut pick = group.start(Request::default());
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..2 {
        assert!(pick.next(&mut random, START).is_ok());
        pick.free(Outcome::Failed, Timings::default(), START);
    }
    assert!(pick.next(&mut random, START).is_err());
    assert_eq!(ejected(&group), [0]);
}

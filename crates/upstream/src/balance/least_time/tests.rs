//! Sequences of nginx 1.31.5 with servers that take their time: :81 sends its header after 30 ms
//! and its last byte after 90, :82 after 70 and 80, :83 after 10 and 210.

use std::{collections::BTreeMap, sync::Arc};

use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::{Balance, Request},
    balance::random::{Better, Random},
    config::{GroupConfig, MethodHandle},
    group::Group,
    outcome::{Outcome, Timings},
    pick::Pick,
    server::{Limits, Server},
};

const NOW: Now = Now { seconds: 1_000_000, millis: 5_000 };

/// :82 has twice the weight of the others.
fn group(method: impl Balance + 'static) -> Arc<Group> {
    let server = |port: u16| {
        let address = Addr::Inet(([127, 0, 0, 1], port).into());
        let limits = Limits { weight: if port == 82 { 2 } else { 1 }, ..Limits::default() };
        Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
    };
    let config = GroupConfig {
        servers: [81, 82, 83].map(server).into(),
        method: MethodHandle(Arc::new(method)),
        ..GroupConfig::implicit(String::new(), "u", Vec::new())
    };
    Arc::new(Group::new(config, None))
}

enum Step {
    Arrives,
    Heads(usize),
    Ends(usize),
}

/// Sends requests at an interval, or each at the end of the one before, and lists their servers.
fn serve(group: &Arc<Group>, count: usize, interval: Option<u64>) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut requests: Vec<(Pick<'_>, u64)> = Vec::new();
    let mut steps = BTreeMap::from([((0, 0), Step::Arrives)]);
    let mut served = Vec::new();
    // A millisecond later than the servers say, as nginx saw them.
    let times = |port: &str| match port {
        "81" => (31, 91),
        "82" => (71, 81),
        _ => (11, 211),
    };
    let mut number = 0;
    while let Some(((time, _), step)) = steps.pop_first() {
        let now = NOW.plus_millis(time);
        let mut then = |at: u64, step| {
            number += 1;
            steps.insert((at, number), step);
        };
        match step {
            Step::Arrives => {
                let at = requests.len();
                let mut pick = group.start(Request::default());
                let peer = pick.next(&mut random, now).unwrap();
                let port = &peer.name["127.0.0.1:".len()..];
                let (header, response) = times(port);
                then(time + header, Step::Heads(at));
                then(time + response, Step::Ends(at));
                if let Some(interval) = interval.filter(|_| at + 1 < count) {
                    then(time + interval, Step::Arrives);
                }
                served.push(port.to_owned());
                requests.push((pick, time));
            }
            Step::Heads(at) => {
                let (pick, start) = &mut requests[at];
                pick.reached(Moment::Header, time - *start, Outcome::Success, now);
            }
            Step::Ends(at) => {
                let (pick, start) = &mut requests[at];
                let (header, response) = times(&served[at]);
                assert_eq!(time - *start, response);
                let timings =
                    Timings { connect: Some(1), header: Some(header), response: Some(response) };
                pick.free(Outcome::Success, timings, now);
                if interval.is_none() && served.len() < count {
                    then(time, Step::Arrives);
                }
            }
        }
    }
    served.join(" ")
}

const METRICS: [(Metric, bool); 4] = [
    (Metric::Header, false),
    (Metric::LastByte, false),
    (Metric::Header, true),
    (Metric::LastByte, true),
];

fn check(interval: Option<u64>, expected: [&str; 4]) {
    for ((metric, inflight), expected) in METRICS.into_iter().zip(expected) {
        let group = group(LeastTime { metric, inflight });
        let count = expected.split(' ').count();
        assert_eq!(serve(&group, count, interval), expected, "{metric:?} {inflight}");
    }
}

#[test]
fn one_request_at_a_time_goes_to_the_fastest_for_its_weight() {
    let (header, last_byte) =
        ("82 81 83 83 83 83 83 83 83 83 83 83", "82 81 83 82 82 82 82 82 82 82 82 82");
    check(None, [header, last_byte, header, last_byte]);
}

#[test]
fn requests_every_25_ms_are_spread_by_time_and_number() {
    check(
        Some(25),
        [
            "82 82 81 83 83 81 82 83 82 81 82 81 83 83 82 81 83 83 82 81 82 81 83 81 82 83 83 81 \
             82 82 83 81 82 81 83 83 82 81 82 83 82 81 82 83 83 81 82 81",
            "82 82 81 83 83 81 82 83 83 81 82 82 82 81 82 82 82 81 82 82 82 81 82 82 82 81 82 82 \
             82 81 82 82 82 81 82 82 82 81 82 82 82 81 82 82 82 81 82 82",
            "82 81 83 83 82 81 83 82 83 81 82 81 83 82 82 81 83 83 82 81 81 83 82 82 81 83 83 82 \
             81 82 83 82 81 81 83 82 83 81 82 83 82 81 83 82 81 83 82 82",
            "82 81 83 82 83 82 81 82 83 82 81 82 82 82 81 82 82 82 81 82 82 82 81 82 82 82 81 82 \
             82 82 81 82 82 82 81 82 82 82 81 82 82 82 81 82 82 82 81 82",
        ],
    );
}

#[test]
fn an_intercepted_response_is_not_averaged_at_its_end() {
    let times = Timings { connect: Some(1), header: Some(30), response: Some(90) };
    for (inflight, header) in [(false, 30), (true, 0)] {
        let group = group(LeastTime { metric: Metric::Header, inflight });
        let mut pick = group.start(Request::default());
        let peer = pick.next(&mut fastrand::Rng::with_seed(1), NOW).unwrap();
        pick.free(Outcome::Success, times, NOW.plus_millis(90));
        assert_eq!(peer.state.header_time.load(Relaxed), header);
        assert_eq!(peer.state.response_time.load(Relaxed), 90);
    }
}

#[test]
fn of_two_random_servers_the_faster_one_is_taken() {
    let group = group(Random { two: Some(Better::LeastTime(Metric::Header)) });
    let served = serve(&group, 600, None);
    let share = |port: &str| served.split(' ').filter(|at| *at == port).count();
    // The fastest is drawn in seven of twelve cases.
    assert!((320..400).contains(&share("83")), "{}", share("83"));
}

//! Reports, their time, and the shares that follow.

use std::sync::Arc;

use weir_engine::Addr;

use super::*;
use crate::{
    Group, GroupConfig, MethodHandle, Now, Outcome, Registry, Request, Server, Side, Timings,
    balance::{method::Balance, random::Random, round_robin::RoundRobin},
    locality::LocalityConfig,
    server::Limits,
};

fn at(millis: u64) -> Now {
    Now { seconds: (millis / 1000).cast_signed(), millis }
}

fn group(method: impl Balance + 'static, weights: &[u32], report: ReportConfig) -> Arc<Group> {
    let server = |(place, &weight): (usize, &u32)| {
        let address = Addr::Inet(([127, 0, 0, 1], 81 + place as u16).into());
        let limits = Limits { weight, ..Limits::default() };
        Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
    };
    let config = GroupConfig {
        zone: Some("u".into()),
        servers: weights.iter().enumerate().map(server).collect(),
        report: Some(report),
        method: MethodHandle(Arc::new(method)),
        ..GroupConfig::implicit(Side::Http.key("u"), "u", Vec::new())
    };
    Registry::default().group(&config)
}

/// The servers of so many requests.
fn choose(group: &Arc<Group>, count: usize, now: Now) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut found = vec![0; group.peers().len()];
    for _ in 0..count {
        let mut pick = group.start(Request::default());
        let peer = pick.next(&mut random, now).unwrap();
        found[usize::from(peer.address.port().unwrap()) - 81] += 1;
        pick.free(Outcome::Success, Timings::default(), now);
    }
    found
}

fn report(group: &Group, place: usize, text: &str, now: Now) {
    group.peers()[place].heed_report(text.as_bytes(), now);
}

#[test]
fn a_report_counts_after_the_blackout_and_until_it_expires() {
    let config = ReportConfig::default();
    let reported = Reported::default();
    assert_eq!(reported.weight(&config, 5), None);
    reported.take(2.0, 1000);
    reported.take(3.0, 5000);
    assert_eq!(reported.weight(&config, 10_999), None);
    assert_eq!(reported.weight(&config, 11_000), Some(3.0));
    assert_eq!(reported.weight(&config, 184_999), Some(3.0));
    assert_eq!(reported.weight(&config, 185_000), None);
    // And then there is another blackout.
    reported.take(4.0, 190_000);
    assert_eq!(reported.weight(&config, 199_999), None);
    assert_eq!(reported.weight(&config, 200_000), Some(4.0));
    reported.comes_back();
    assert_eq!(reported.weight(&config, 200_000), None);
    // The clock of another thread may be behind.
    reported.take(5.0, 300_000);
    reported.take(6.0, 299_990);
    assert_eq!(reported.weight(&ReportConfig { blackout: 0, ..config }, 299_000), Some(6.0));
}

#[test]
fn shares_follow_the_weights_of_all() {
    let config = ReportConfig { blackout: 0, ..ReportConfig::default() };
    let group = group(RoundRobin, &[1, 1, 2], config);
    assert_eq!(choose(&group, 400, at(1000)), [100, 100, 200]);
    // One weight alone says nothing.
    report(&group, 0, "TEXT cpu_utilization:0.5,rps_fractional:100", at(2000));
    assert_eq!(choose(&group, 400, at(3000)), [100, 100, 200]);
    // 200 and 600: a mean of 400 for the nominal weight of 1.
    report(&group, 1, "JSON {\"cpu_utilization\":0.5,\"rps_fractional\":300}", at(3000));
    assert_eq!(choose(&group, 1600, at(5000)), [200, 600, 800]);
    // 200, 600 and 400 for a nominal weight of 2.
    report(&group, 2, "TEXT application_utilization:0.25,rps_fractional:100", at(5000));
    assert_eq!(choose(&group, 1200, at(7000)), [200, 600, 400]);
    // A bad report changes nothing.
    report(&group, 2, "TEXT application_utilization:0.25,rps_fractional:900,eps:x", at(7000));
    assert_eq!(choose(&group, 1200, at(9000)), [200, 600, 400]);
    let counts = group.peers()[2].state.reported.counts();
    assert_eq!(counts, ReportCounts { good: 1, bad: 1 });
    // All have expired.
    assert_eq!(choose(&group, 400, at(500_000)), [100, 100, 200]);
}

#[test]
fn shares_in_a_locality_are_those_among_all() {
    let report_config = ReportConfig { blackout: 0, ..ReportConfig::default() };
    let mut config = group(RoundRobin, &[1; 3], report_config).config.clone();
    config.locality = Some(LocalityConfig { overflow: Some(140) });
    for (server, locality) in config.servers.iter_mut().zip(["a", "a", "b"]) {
        server.limits.locality = Some(locality.into());
    }
    let group = Registry::default().group(&config);
    for (place, rate) in [(0, 100), (1, 300), (2, 800)] {
        let text = format!("TEXT cpu_utilization:0.5,rps_fractional:{rate}");
        report(&group, place, &text, at(1000));
    }
    let localities = [b"a".to_vec()];
    let mut random = fastrand::Rng::with_seed(1);
    for step in 0..100 {
        let now = at(3000 + step * 100);
        let mut pick = group.start(Request { localities: &localities, ..Request::default() });
        pick.next(&mut random, now).unwrap();
        pick.free(Outcome::Success, Timings::default(), now);
        let share = |peer: &Arc<crate::Peer>| peer.state.reported.share.load(Relaxed);
        assert_eq!(group.peers().iter().map(share).collect::<Vec<_>>(), [250, 750, 2000], "{step}");
    }
}

/// Servers whose use is their rate by their capacity get requests by capacity, from the second
/// round of reports on, and one that fails gets fewer.
#[test]
fn shares_converge_to_the_capacities() {
    const CAPACITIES: [f64; 4] = [1000.0, 500.0, 250.0, 250.0];
    const RATE: usize = 800;
    let config = ReportConfig::default();
    let groups =
        [group(RoundRobin, &[1; 4], config.clone()), group(Random { two: None }, &[1; 4], config)];
    for group in groups {
        for second in 1..40 {
            let chosen = choose(&group, RATE, at(second * 1000));
            let eps = |place: usize| if second > 20 && place == 3 { chosen[3] as f64 } else { 0.0 };
            for (place, (&rate, capacity)) in chosen.iter().zip(CAPACITIES).enumerate() {
                let (used, eps) = (rate as f64 / capacity, eps(place));
                let text = format!("TEXT cpu_utilization:{used},rps_fractional:{rate},eps:{eps}");
                report(&group, place, &text, at(second * 1000 + 500));
            }
            let near = |expected: [f64; 4]| {
                let slack = RATE as f64 * 0.05;
                chosen.iter().zip(expected).all(|(&rate, it)| (rate as f64 - it).abs() < slack)
            };
            match second {
                0..=11 => assert!(near([200.0; 4]), "{second}: {chosen:?}"),
                13..=20 => assert!(near([400.0, 200.0, 100.0, 100.0]), "{second}: {chosen:?}"),
                // All of its answers are errors now.
                35.. => assert!(near([457.0, 229.0, 114.0, 0.0]), "{second}: {chosen:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_reload_forgets_no_report() {
    let config = ReportConfig { blackout: 0, ..ReportConfig::default() };
    let registry = Registry::default();
    let first = group(RoundRobin, &[1, 1], config.clone());
    let first = registry.group(&first.config);
    report(&first, 0, "TEXT cpu_utilization:0.5,rps_fractional:100", at(1000));
    report(&first, 1, "TEXT cpu_utilization:0.5,rps_fractional:300", at(1000));
    let mut next = first.config.clone();
    next.report = Some(ReportConfig { penalty: 2.0, ..config });
    let heir = registry.group(&next);
    // Not whole rounds: what servers have gained by then is in other units.
    assert_eq!(choose(&heir, 401, at(3000)), [100, 301]);
    next.report = None;
    let without = registry.group(&next);
    assert_eq!(choose(&without, 400, at(5000)), [200, 200]);
    assert_eq!(choose(&without, 1, at(5000)), [1, 0]);
    // The earlier configuration goes on in its own unit until the threads have the new one.
    choose(&heir, 1, at(5000));
    let shares = choose(&without, 400, at(5000));
    assert!(shares.iter().all(|share| share.abs_diff(200) <= 4), "{shares:?}");
    next.report = Some(ReportConfig::default());
    let again = registry.group(&next);
    assert_eq!(choose(&again, 400, at(20_000)), [200, 200], "they begin anew");
}

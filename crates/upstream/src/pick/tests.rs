use std::sync::atomic::AtomicU64;

use weir_engine::Addr;

use super::*;
use crate::{balance::method::Request, config::GroupConfig};

fn group(ports: std::ops::Range<u16>) -> Arc<Group> {
    let addresses = ports.map(|port| Addr::Inet(([127, 0, 0, 1], port).into())).collect();
    Arc::new(Group::new(GroupConfig::implicit(String::new(), "g", addresses), None))
}

fn total(group: &Group, counter: impl Fn(&crate::PeerState) -> &AtomicU64) -> u64 {
    group.peers().iter().map(|peer| counter(&peer.state).load(Relaxed)).sum()
}

#[test]
fn a_dropped_request_gives_its_peer_back() {
    let group = group(1..4);
    let mut pick = group.start(Request::default());
    pick.next(&mut fastrand::Rng::with_seed(1), Now::default()).unwrap();
    assert_eq!(total(&group, |state| &state.conns), 1);
    drop(pick);
    assert_eq!(total(&group, |state| &state.conns), 0);
}

#[test]
fn tries_are_counted_limited_and_given_back() {
    let group = group(1..5);
    let mut random = fastrand::Rng::with_seed(1);
    let mut pick = group.start(Request::default());
    assert_eq!(pick.tries(), 4);
    pick.limit_tries(2);
    pick.next(&mut random, Now::default()).unwrap();
    pick.free(Outcome::Failed, Timings::default(), Now::default());
    assert_eq!(pick.tries(), 1);
    pick.give_back_try();
    assert_eq!(pick.tries(), 2);
}

#[test]
fn threads_share_a_group_evenly() {
    let group = group(1..5);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let group = &group;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..1000 {
                    let mut pick = group.start(Request::default());
                    pick.next(&mut random, Now::default()).unwrap();
                    pick.free(Outcome::Success, Timings::default(), Now::default());
                }
            });
        }
    });
    for peer in group.peers() {
        assert_eq!(peer.state.requests.load(Relaxed), 1000);
        assert_eq!(peer.state.conns.load(Relaxed), 0);
    }
}

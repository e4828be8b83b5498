use weir_engine::Addr;

use super::*;
use crate::{
    balance::method::Request,
    config::GroupConfig,
    edit::Edit,
    group::Group,
    health::{Health, Source},
    outcome::{Outcome, Timings},
    server::{Limits, Server},
    slow_start::ramp::MOST_HOLDS,
};

const fn answers(time: u64, failures: u64) -> Answers {
    Answers { time, failures }
}

#[test]
fn a_step_follows_from_the_siblings_median() {
    let median = Some(answers(100, 10));
    for (own, step) in [
        (answers(100, 10), Step::Up),
        (answers(210, 70), Step::Up),
        (answers(211, 0), Step::Hold),
        (answers(1, 71), Step::Down),
        (answers(9999, 1000), Step::Down),
    ] {
        assert_eq!(judge(own, median, 0), step, "{own:?}");
    }
    // One that is slow by nature has its turn in the end, one that fails has not.
    assert_eq!(judge(answers(900, 0), median, MOST_HOLDS), Step::Up);
    assert_eq!(judge(answers(900, 900), median, MOST_HOLDS), Step::Down);
    // Nobody to compare with, and nobody whose time is known.
    assert_eq!(judge(answers(900, 900), None, 0), Step::Up);
    assert_eq!(judge(answers(900, 0), Some(answers(0, 0)), 0), Step::Up);
    assert_eq!(judge(answers(10, 50), Some(answers(0, 0)), 0), Step::Up);
    assert_eq!(judge(answers(10, 51), Some(answers(0, 0)), 0), Step::Down);
}

#[test]
fn a_median_is_the_lower_one() {
    assert_eq!(median(&mut []), None);
    assert_eq!(median(&mut [7]), Some(7));
    assert_eq!(median(&mut [9, 1]), Some(1));
    assert_eq!(median(&mut [5, 1, 9, 7]), Some(5));
}

/// Servers with automatic slow starts, and a virtual clock.
struct World {
    group: Arc<Group>,
    now: Now,
    random: fastrand::Rng,
}

fn server(port: u16) -> Server {
    let address = Addr::Inet(([127, 0, 0, 1], port).into());
    let limits = Limits { slow_start: SlowStart::Auto, max_fails: 0, ..Limits::default() };
    Server { text: address.to_string(), addresses: vec![address], limits, ..Server::default() }
}

impl World {
    fn new(servers: u16) -> Self {
        let config = GroupConfig {
            zone: Some("u".into()),
            servers: (0..servers).map(server).collect(),
            checks: vec![crate::check::config::CheckConfig::every(5000)],
            ..GroupConfig::implicit(String::new(), "u", Vec::new())
        };
        let group = Arc::new(Group::new(config, None));
        Self { group, now: Now::current(), random: fastrand::Rng::with_seed(1) }
    }

    /// Five hundred requests a second for some steps, answered as `answer` says for each server.
    /// Returns the share of the last server at the end of each step, in percent.
    fn steps(&mut self, count: u64, answer: impl Fn(u16) -> (u64, Outcome)) -> Vec<u64> {
        let step = |_| {
            for _ in 0..STEP / 2 {
                self.now = self.now.plus_millis(2);
                let mut pick = self.group.start(Request::default());
                let port = pick.next(&mut self.random, self.now).unwrap().address.port();
                let (time, outcome) = answer(port.unwrap());
                let header = (outcome != Outcome::Failed).then_some(time);
                let timings = Timings { header, response: header, ..Timings::default() };
                pick.free(outcome, timings, self.now);
            }
            self.group.peers().last().map_or(0, |peer| peer.state.ramp.share() / 10)
        };
        (0..count).map(step).collect()
    }

    /// The last server fails its checks, and passes again.
    fn recover(&self) {
        let last = self.group.peers().pop().unwrap();
        for health in [Health::Unhealthy, Health::Good] {
            last.set_health(Source::Check(0), health, self.now);
        }
    }
}

fn good(_: u16) -> (u64, Outcome) {
    (50, Outcome::Success)
}

#[test]
fn a_good_server_doubles_its_share_to_the_whole() {
    let mut world = World::new(4);
    assert_eq!(world.steps(2, good), [100, 100]);
    world.recover();
    assert_eq!(world.steps(7, good), [5, 10, 20, 40, 80, 100, 100]);
}

#[test]
fn a_reset_of_the_counts_does_not_hold_it_up() {
    let mut world = World::new(4);
    world.steps(30, good);
    world.recover();
    assert_eq!(world.steps(3, good), [5, 10, 20]);
    // Only the step under way starts over.
    world.group.reset_counts(world.now);
    assert_eq!(world.steps(4, good), [20, 40, 80, 100]);
}

#[test]
fn the_share_is_that_of_requests() {
    let mut world = World::new(2);
    world.steps(2, good);
    world.recover();
    let last = world.group.peers().pop().unwrap();
    let before = last.state.requests.load(Relaxed);
    world.steps(1, good);
    let more = last.state.requests.load(Relaxed) - before;
    // 5 of 105, of 1000 requests.
    assert!((40..=60).contains(&more), "{more}");
}

#[test]
fn a_slow_server_waits_and_a_failing_one_goes_back() {
    let mut world = World::new(4);
    world.steps(2, good);
    world.recover();
    assert_eq!(world.steps(3, good), [5, 10, 20]);
    let slow = |port| if port == 3 { (900, Outcome::Success) } else { good(port) };
    // The first step is for its good answers so far.
    assert_eq!(world.steps(3, slow), [40, 40, 40]);
    for bad in [Outcome::Failed, Outcome::Error] {
        let failing = move |port| if port == 3 { (1, bad) } else { good(port) };
        let shares = world.steps(4, failing);
        assert_eq!(shares.last(), Some(&5), "{shares:?}");
    }
    // The average of its times has to fall first.
    let shares = world.steps(80, good);
    assert_eq!(shares.last(), Some(&100), "{shares:?}");
}

#[test]
fn a_server_without_siblings_needs_no_comparison() {
    let mut world = World::new(2);
    let failing = |_| (1, Outcome::Error);
    world.recover();
    world.group.peers()[0].set_health(Source::Check(0), Health::Unhealthy, world.now);
    assert_eq!(world.steps(6, failing), [5, 10, 20, 40, 80, 100]);
}

#[test]
fn a_server_that_is_added_begins_small_whatever_edits_follow() {
    let mut world = World::new(3);
    world.steps(1, good);
    world.group.edit(&Edit::Add(server(9))).unwrap();
    let mut shares = Vec::new();
    for port in 10..16 {
        shares.extend(world.steps(1, good));
        let other = world.group.edit(&Edit::Add(server(port))).unwrap();
        world.group.edit(&Edit::Remove(other[0])).unwrap();
    }
    assert_eq!(shares, [5, 10, 20, 40, 80, 100]);
}

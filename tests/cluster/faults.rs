//! Servers that are lost: killed, unplugged, frozen, broken, slow.

use std::time::{Duration, Instant};

use super::{QUIET, hosts, recommended, steady, tell, wait_for};
use crate::harness::{Apache, Directory, Network, Signal, until};

/// What may happen to a server.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Unplugged,
    /// Accepts connections and never answers.
    Frozen,
    Answers500,
    Slow,
}

impl Fault {
    /// The time within which a server with it is out, with a generous factor for slow machines.
    fn bound(self) -> Duration {
        Duration::from_secs(match self {
            // At once, by the first five failures.
            Self::Killed | Self::Answers500 => 2,
            // Failures show after `proxy_connect_timeout` or `proxy_next_upstream_try_timeout`.
            Self::Unplugged | Self::Frozen => 6,
            // After two intervals, the first of which is not all slow.
            Self::Slow => 8,
        })
    }

    fn begin(self, network: &Network, apache: &mut Option<Apache<'_>>) {
        let running = apache.as_ref().unwrap();
        match self {
            Self::Killed => apache.take().unwrap().kill(),
            Self::Unplugged => network.plug(running.node, false),
            Self::Frozen => running.signal(Signal::STOP),
            Self::Answers500 => running.fail(),
            Self::Slow => running.slow_down(200),
        }
    }

    fn end<'a>(
        self,
        (network, directory): (&'a Network, &'a Directory),
        node: usize,
        apache: &mut Option<Apache<'a>>,
    ) {
        let Some(running) = apache else {
            *apache = Some(Apache::start(network, directory, node));
            return;
        };
        match self {
            Self::Killed => {}
            Self::Unplugged => network.plug(node, true),
            Self::Frozen => running.signal(Signal::CONT),
            Self::Answers500 | Self::Slow => running.recover(),
        }
    }
}

/// In each case no client sees an error, neither before the fault is noticed nor later, and the
/// server is out within the bound.
#[test]
fn a_server_is_lost_and_no_client_notices() {
    let Some((network, directory)) = hosts(3) else { return };
    let shorter = [
        ("slow_start=10s", "slow_start=1s"),
        // On a slow machine, the load is a small part of 2,000 requests a second.
        ("interval=2s time=10s", "interval=1s time=1s min_requests=10"),
        ("interval=2s fails=2", "interval=300ms fails=2"),
        // Hundreds of requests are under way on a machine that stood still, half of them in vain.
        ("budget      50% min=100", "budget      50% min=2000"),
    ];
    network.in_front(|| {
        let mut apaches: Vec<_> =
            (1..=3).map(|node| Some(Apache::start(&network, &directory, node))).collect();
        let server = recommended(&shorter).start();
        let load = steady(&server);
        let faults =
            [Fault::Killed, Fault::Unplugged, Fault::Frozen, Fault::Answers500, Fault::Slow];
        for (number, fault) in faults.into_iter().enumerate() {
            let node = number % 3 + 1;
            let sign = char::from_digit(node as u32, 10).unwrap();
            let before = load.run_for(QUIET);
            before.assert_good(&format!("before {fault:?}"));
            assert!(before.share(sign) > 0.0, "{before:?}");

            let start = Instant::now();
            fault.begin(&network, &mut apaches[node - 1]);
            let took = wait_for(&server, node, |state| state != "up");
            println!("{fault:?}: out after {took:?}");
            assert!(took < fault.bound(), "{fault:?}: out after {took:?}");
            let after = load.run_for(QUIET);
            tell(&format!("{fault:?}, out"), &after);
            after.assert_good(&format!("after {fault:?} was noticed"));
            assert_eq!(after.share(sign), 0.0, "{fault:?}: {after:?}");
            // Requests under way when it happened have been answered, too.
            load.between(start, Instant::now())
                .assert_good(&format!("before {fault:?} was noticed"));

            fault.end((&network, &directory), node, &mut apaches[node - 1]);
            wait_for(&server, node, |state| state == "up");
            until("its share", || load.run_for(QUIET / 5).share(sign) > 0.2);
        }
        // One of three can be ejected; retries do without the other until its check has failed.
        load.run_for(QUIET).assert_good("before two are killed");
        apaches[..2].iter_mut().for_each(|apache| apache.take().unwrap().kill());
        for node in 1..=2 {
            wait_for(&server, node, |state| state != "up");
        }
        let after = load.run_for(QUIET);
        tell("two of three are killed", &after);
        assert_eq!(after.share('3'), 1.0);
        let all = load.finish();
        tell("in all", &all);
        all.assert_good("in all");
    });
}

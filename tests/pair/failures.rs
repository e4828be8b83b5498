//! The node that holds the address is lost, in every way that `docs/howto/pair.md` tells: the other
//! one answers in time.

use super::*;
use crate::harness::{Signal, run};

/// What may happen to the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// SIGKILL of master and worker.
    Killed,
    /// Every process of the node ends, and its cable is out: the power is off.
    NodeDown,
    /// The cable is out.
    Unplugged,
    /// SIGKILL of both processes of keepalived.
    KeepalivedKilled,
    /// SIGSTOP of master and worker.
    Stopped,
    /// SIGSTOP of keepalived.
    KeepalivedStopped,
    /// SIGKILL of the guard.
    GuardKilled,
    /// SIGSTOP of the guard, and then SIGKILL of the worker and the master.
    GuardStopped,
    /// SIGSTOP of every process, as on a host that hangs.
    HostFrozen,
}

impl Failure {
    const ALL: [Self; 9] = [
        Self::Killed,
        Self::NodeDown,
        Self::Unplugged,
        Self::KeepalivedKilled,
        Self::Stopped,
        Self::KeepalivedStopped,
        Self::GuardKilled,
        Self::GuardStopped,
        Self::HostFrozen,
    ];
}

/// All processes of a node.
const EVERYTHING: [&str; 4] = ["weir: master", "weir: worker", "weir: guard", "keepalived --"];

/// Lets it happen to a node.
fn fail(failure: Failure, network: &Network, node: &mut Node<'_>) {
    match failure {
        Failure::Killed => node.kill(),
        Failure::NodeDown => {
            network.plug(node.number, false);
            node.signal("weir: ", Signal::KILL);
            node.signal("keepalived --", Signal::KILL);
            node.reap();
        }
        Failure::Unplugged => network.plug(node.number, false),
        Failure::KeepalivedKilled => node.signal("keepalived --", Signal::KILL),
        Failure::Stopped => {
            node.signal("weir: master", Signal::STOP);
            node.signal("weir: worker", Signal::STOP);
        }
        Failure::KeepalivedStopped => node.signal("keepalived --", Signal::STOP),
        Failure::GuardKilled => node.signal("weir: guard", Signal::KILL),
        Failure::GuardStopped => node.signal("weir: guard", Signal::STOP),
        Failure::HostFrozen => {
            EVERYTHING.iter().for_each(|title| node.signal(title, Signal::STOP));
        }
    }
}

/// Puts things back: the node is one of the pair again.
fn mend(failure: Failure, network: &Network, node: &mut Node<'_>) {
    match failure {
        Failure::Killed => node.wait_gone(),
        Failure::NodeDown => {
            node.wait_gone();
            network.plug(node.number, true);
            // A host that was off has none of the virtual addresses.
            let device = format!("{ADDRESS}/24");
            run("ip", &["-n", node.namespace(), "addr", "del", &device, "dev", "eth0"]);
        }
        Failure::Unplugged => network.plug(node.number, true),
        Failure::Stopped => {
            node.signal("weir: worker", Signal::CONT);
            node.signal("weir: master", Signal::CONT);
        }
        Failure::GuardStopped | Failure::GuardKilled => {}
        Failure::KeepalivedKilled | Failure::KeepalivedStopped => {}
        Failure::HostFrozen => {
            EVERYTHING.iter().rev().for_each(|title| node.signal(title, Signal::CONT));
            // Of two holders, the one with the higher priority goes on.
            until("a host that has woken", || {
                node.log().matches("hear each other").count() > 0
                    || node.status().is_some_and(|status| status["groups"][0]["here"] == "waits")
            });
            return;
        }
    }
    if !node.runs() {
        node.launch();
    }
    node.wait_knows("here", "waits");
    assert!(!node.holds(ADDRESS), "{failure:?}");
}

/// Runs a failure, which strikes both nodes in turn, and judges the times until the other node
/// answers. Clients get no answer for a shorter time if the node that fails serves on meanwhile.
fn run_through(
    failure: Failure,
    limit: Duration,
    network: &Network,
    nodes: &mut [Node<'_>; 2],
    asking: &Asking,
) {
    let (mut times, mut silences) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let holder = usize::from(nodes[1].holds(ADDRESS));
        let other = 1 - holder;
        asking.wait_for(nodes[holder].name());
        nodes[other].wait_knows("here", "waits");
        let start = Instant::now();
        fail(failure, network, &mut nodes[holder]);
        times.push(asking.time_to(nodes[other].name(), start));
        asking.wait_for(nodes[other].name());
        silences.push(asking.longest_silence(start));
        mend(failure, network, &mut nodes[holder]);
        until("one holder", || nodes.iter().filter(|node| node.holds(ADDRESS)).count() == 1);
    }
    let (middle, worst) = median(&mut times);
    let (silence, longest) = median(&mut silences);
    println!(
        "{failure:?}: the other node after {middle:.0?}, worst {worst:.0?}; without an answer \
         {silence:.0?}, worst {longest:.0?}"
    );
    assert!(middle < limit + ALLOWANCE, "{failure:?}: {times:?}");
}

/// The number of runs: a few, or those of the table in `docs/howto/pair.md`.
fn runs() -> usize {
    std::env::var("WEIR_PAIR_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(3)
}

#[test]
fn the_holder_of_an_address_is_lost_and_the_other_node_answers() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let mut nodes = pair(&network, &directory);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        for failure in Failure::ALL {
            // The master needs a second to be sure that a guard hangs.
            let limit = if failure == Failure::GuardStopped { 2 * LIMIT } else { LIMIT };
            run_through(failure, limit, &network, &mut nodes, &asking);
        }
    });
}

/// A full disk hinders neither service nor takeover: nothing can be logged.
#[test]
fn a_full_disk_hinders_no_takeover() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let conf = Node::conf("", node::HA, "")
            .replace("%dir%/error.log info", "/dev/full info")
            .replace("access_log off", "access_log /dev/full");
        let first = Node::with(&network, &directory, 1, &conf);
        first.wait_holds(ADDRESS);
        let second = Node::with(&network, &directory, 2, &conf);
        second.wait_knows("holder", "a");
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        run_through(Failure::Killed, LIMIT, &network, &mut [first, second], &asking);
    });
}

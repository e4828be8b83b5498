//! A pair: two servers, or three, on hosts of their own that share an address, keepalived under
//! their guards, a real Apache behind, and a client that asks every 10 ms. Hosts are network
//! namespaces.

use std::time::{Duration, Instant};

use crate::harness::{Apache, Directory, Network, is_nginx, skipped, until};

mod asking;
mod failures;
mod life;
mod linked;
mod node;
mod planned;
mod refused;
mod schedules;
mod status;
mod three;
mod upgrade;
mod upgraded;
mod websocket;

use asking::Asking;
use node::Node;

/// The virtual address of the tests.
const ADDRESS: &str = "192.168.56.100";

/// The limit for a takeover in CI: half a second is promised on a machine that is not busy.
const LIMIT: Duration = Duration::from_millis(500);

/// What a busy machine may add in the median and at worst. The tests run beside others on few
/// processors, with a binary that is not optimised.
const ALLOWANCE: Duration = Duration::from_millis(1500);

/// The network and the directory of a test: so many balancers, and the Apache as the last node;
/// `None`, and told, where there can be none.
fn hosts(balancers: usize) -> Option<(Network, Directory)> {
    if is_nginx() {
        return None;
    }
    if !Apache::is_there() {
        skipped("it needs Apache");
        return None;
    }
    if !std::path::Path::new("/usr/sbin/keepalived").exists() {
        skipped("it needs keepalived");
        return None;
    }
    match Network::new(balancers + 1) {
        Ok(network) => Some((network, Directory::new())),
        Err(reason) => {
            skipped(&reason);
            None
        }
    }
}

/// The nodes of a pair, the first of which holds the address.
fn pair<'a>(network: &'a Network, directory: &'a Directory) -> [Node<'a>; 2] {
    let start = |number| Node::start(network, directory, number, "");
    let first = start(1);
    first.wait_holds(ADDRESS);
    let second = start(2);
    second.wait_log("ha: this node is fit");
    second.wait_knows("holder", "a");
    second.wait_knows("here", "waits");
    [first, second]
}

/// Runs a test on the host in front of a pair, the first of which holds the address, with an Apache
/// behind it.
fn on_a_pair(body: impl for<'a> FnOnce(&'a Network, [Node<'a>; 2]) + Send) {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        body(&network, pair(&network, &directory));
    });
}

/// The median and the worst of some times.
fn median(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

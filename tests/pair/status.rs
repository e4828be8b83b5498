//! A pair whose nodes are linked as well: what each says of the other, and how one leaves.

use std::net::TcpStream;

use super::*;
use crate::harness::{Signal, run, send_signal};

/// A pair with links, the first node of which holds the address. The links are over IPv6, the
/// adverts over IPv4.
fn linked<'a>(network: &'a Network, directory: &'a Directory) -> [Node<'a>; 2] {
    // The nodes have one file system, and files of their own.
    let conf = Node::conf("", &format!("{} mirror off; stall 5s;", node::HA), "");
    let conf = conf.replace(" 192.168.56.11;", " fd00::11 192.168.56.11;");
    let conf = conf.replace(" 192.168.56.12;", " fd00::12 192.168.56.12;");
    for (number, address) in [(1, "fd00::11/64"), (2, "fd00::12/64")] {
        let add = ["addr", "add", address, "dev", "eth0", "nodad"];
        run("ip", &[&["-n", network.node(number)], &add[..]].concat());
    }
    let [mut a, mut b] = [1, 2].map(|number| Node::unstarted(network, directory, number, &conf));
    let said = a.ha(&["init", "a"]);
    let token = said.split_whitespace().find(|word| word.starts_with("weir-join-")).unwrap();
    a.launch();
    b.ha(&["join", token, "b"]);
    b.launch();
    a.wait_holds(ADDRESS);
    a.wait_says("link to b: up");
    b.wait_says("link to a: up");
    b.wait_knows("here", "waits");
    [a, b]
}

/// The master's process title, and those of its children.
const OURS: &str = "weir: ";

#[test]
fn each_node_says_of_the_other_what_it_holds_and_whether_it_is_fit() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let [a, b] = linked(&network, &directory);
        b.wait_says("  a is fit to hold addresses\n");
        // Why the holder has it is the holder's own knowledge.
        let why = a.status().unwrap()["groups"][0]["why"].as_str().unwrap().to_owned();
        b.wait_knows("holder_says", &why);
        b.wait_says(&format!(": {why}\n"));
        for node in [&a, &b] {
            node.wait_says("configuration: each node has its own here (\"mirror off\")\n");
            node.wait_says(&format!("This is node \"{}\", Weir ", node.name()));
        }
        // A node that hangs is unfit, and its partner says why.
        let own = format!("{}/24", crate::harness::address(2));
        run("ip", &["-n", b.namespace(), "addr", "add", "192.168.56.92/24", "dev", "eth0"]);
        a.wait_says("  b is fit to hold addresses\n");
        run("ip", &["-n", b.namespace(), "addr", "del", &own, "dev", "eth0"]);
        b.wait_says("not fit to hold addresses: no interface has 192.168.56.12");
        run("ip", &["-n", b.namespace(), "addr", "add", &own, "dev", "eth0"]);
        b.wait_says("fit to hold addresses.\n");
    });
}

/// A firewall that lets the links through and no adverts: both nodes hold the address, and both say
/// so.
#[test]
fn two_holders_that_only_their_links_know_of_are_said() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let [a, b] = linked(&network, &directory);
        // Frames to a station that is not there.
        let silence = |verb: &str| {
            for (node, other) in [(&a, "192.168.56.12"), (&b, "192.168.56.11")] {
                let to = ["neigh", verb, other, "dev", "eth0", "lladdr", "02:00:00:00:00:99"];
                let to = [&["-n", node.namespace()], &to[..], &["nud", "permanent"]].concat();
                assert!(run("ip", &to).status.success(), "{to:?}");
            }
        };
        silence("replace");
        until("two holders", || a.holds(ADDRESS) && b.holds(ADDRESS));
        for node in [&a, &b] {
            node.wait_says("HELD TWICE, by nodes \"a\" and \"b\": clients reach one or the other");
            assert_eq!(node.status().unwrap()["groups"][0]["split"], true);
        }
        silence("del");
        until("one holder", || a.holds(ADDRESS) != b.holds(ADDRESS));
        for node in [&a, &b] {
            until("no split", || {
                node.status().is_some_and(|status| status["groups"][0]["split"] == false)
            });
        }
    });
}

#[test]
fn a_node_that_leaves_has_nothing_left_and_stays_out() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let [mut a, b] = linked(&network, &directory);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let silent = TcpStream::connect((ADDRESS, 80)).unwrap();
        let said = a.ha(&["leave"]);
        for wanted in [
            "This node holds no address, and its keepalived has ended.\n",
            "Node \"b\" has forgotten this node.\n",
            "It has left the pair, and stays out",
            "take the \"ha\" block out of ",
            ", and \"listen 192.168.56.100:80\", ",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
        assert!(!a.holds(ADDRESS) && a.processes("keepalived --").is_empty());
        asking.wait_for("b");
        b.wait_holds(ADDRESS);
        b.wait_log("node \"a\" has left the pair");
        a.wait_says("not fit to hold addresses: it has left the pair (\"weir ha leave\")");
        assert_eq!(a.log().matches("[alert]").count(), 0, "{}", a.log());
        // A second time is no fault.
        assert!(a.ha(&["leave"]).contains("It has left the pair"));

        // Neither a reload nor a start brings it back.
        let reloads = a.log().matches("exited with code 0").count();
        send_signal(a.pid(), Signal::HUP);
        until("the reload", || a.log().matches("exited with code 0").count() > reloads);
        // It does not wait for the silent client, which the address has left behind.
        a.quit();
        until("an end", || a.processes(OURS).is_empty());
        drop(silent);
        a.launch();
        a.wait_says("not fit to hold addresses: it has left the pair");
        // The other one is away for a moment, and still the address does not come here.
        b.signal("keepalived --", Signal::STOP);
        b.wait_holds(ADDRESS);
        assert!(!a.holds(ADDRESS) && a.processes("keepalived --").is_empty());

        // It comes back by joining again.
        let said = b.ha(&["init"]);
        let token = said.split_whitespace().find(|word| word.starts_with("weir-join-")).unwrap();
        a.ha(&["join", token, "a"]);
        send_signal(a.pid(), Signal::HUP);
        a.wait_knows("here", "waits");
        a.wait_says("link to b: up");
    });
}

/// A pair without links is left by the same command, and the block's end ends it for good.
#[test]
fn a_node_without_links_leaves_too_until_its_block_has_gone() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 3);
        let [mut a, b] = pair(&network, &directory);
        a.ha(&["leave"]);
        b.wait_holds(ADDRESS);
        assert!(!a.holds(ADDRESS) && a.processes("keepalived --").is_empty());
        let with = Node::conf("", node::HA, "");
        let start = with.find("ha {").unwrap();
        let end = with.find("http {").unwrap();
        let without = format!("{}{}", &with[..start], &with[end..]);
        a.reload(&without.replace("listen 192.168.56.100:80;", "listen 8080;"));
        until("no guard", || a.processes("weir: guard").is_empty());
        until("no folder", || !a.has_guards_folder());
        // Another block is another beginning.
        a.reload(&with);
        a.wait_knows("here", "waits");
        a.wait_knows("holder", "b");
    });
}

//! The guard over the life of a server: changed blocks, required upstreams, full disks, other
//! keepaliveds, and hosts that are none of the nodes.

use std::process::Stdio;

use super::*;
use crate::harness::{Signal, address, run, send_signal};

/// A reload changes the block, and then removes it; the address that stays never moves.
#[test]
fn a_reload_changes_addresses_and_removes_the_block() {
    on_a_pair(|_, [mut a, mut b]| {
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let start = Instant::now();
        let two = Node::conf("", "address 192.168.56.100/24; address 192.168.56.105/24;", "");
        for node in [&mut a, &mut b] {
            node.write(&two);
            send_signal(node.pid(), Signal::HUP);
            node.wait_log("ha: the block has changed");
        }
        a.wait_holds("192.168.56.105");
        let attempts = asking.between(start, Instant::now());
        assert!(attempts.iter().all(|one| one.answer == Ok('a')), "{attempts:?}");
        assert!(!b.holds("192.168.56.105"));

        // A block that cannot be carried out changes nothing.
        a.write(&two.replace("node a 192.168.56.11", "node a 192.168.56.19"));
        send_signal(a.pid(), Signal::HUP);
        a.wait_log(
            "this host is none of the nodes of \"ha\": a (192.168.56.19), b (192.168.56.12)",
        );
        asking.wait_for("a");

        let without = two.replacen("ha {", "ha_was {", 1);
        let without = format!(
            "{}{}",
            without.split("ha_was {").next().unwrap(),
            &two[two.find("http {").unwrap()..]
        );
        let without = without.replace("listen 192.168.56.100:80;", "listen 8080;");
        a.write(&without);
        send_signal(a.pid(), Signal::HUP);
        asking.wait_for("b");
        until("no guard", || a.processes("weir: guard").is_empty());
        until("no keepalived", || a.processes("keepalived --").is_empty());
        assert!(!a.holds(ADDRESS) && !a.holds("192.168.56.105"));
        assert!(!a.has_guards_folder());
    });
}

/// A node without a healthy server gives the address up, and nobody holds it if no node has one.
#[test]
fn a_required_upstream_without_servers_moves_the_address() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let apache = Apache::start(&network, &directory, 3);
        let conf = Node::conf("", "address 192.168.56.100/24; require backend;", "").replace(
            "proxy_pass http://backend;",
            "proxy_pass http://backend; health_check interval=100ms;",
        );
        let dead = conf.replace(":8080;", ":8081;");
        let a = Node::with(&network, &directory, 1, &dead);
        let b = Node::with(&network, &directory, 2, &conf);
        b.wait_holds(ADDRESS);
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("b");
        until("the reason", || {
            a.status().is_some_and(|status| {
                status["unfit"] == "upstream \"backend\" has no healthy server"
            })
        });
        assert!(!a.holds(ADDRESS));
        apache.kill();
        until("no holder", || !b.holds(ADDRESS) && !a.holds(ADDRESS));
        let _apache = Apache::start(&network, &directory, 3);
        b.wait_holds(ADDRESS);
        asking.wait_for("b");

        let unknown = a.run(&["-t", "-g", "daemon on;"]);
        assert!(unknown.status.success());
    });
}

/// An upstream that is not there is a fault.
#[test]
fn a_required_upstream_must_exist() {
    let Some((network, directory)) = hosts(2) else { return };
    let conf = Node::conf("", "address 192.168.56.100/24; require backends;", "");
    let node = Node::unstarted(&network, &directory, 1, &conf);
    let output = node.run(&["-t"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("\"require backends\" names no upstream of \"http\""), "{said}");
    assert!(!output.status.success());
}

/// Guard and keepalived are killed at once: nothing is left that could remove the address but the
/// next guard.
#[test]
fn a_killed_guard_and_keepalived_leave_no_address_behind() {
    on_a_pair(|_, [a, b]| {
        a.signal("weir: guard", Signal::STOP);
        a.signal("keepalived --", Signal::KILL);
        a.signal("weir: guard", Signal::KILL);
        b.wait_holds(ADDRESS);
        until("one holder", || !a.holds(ADDRESS));
        a.wait_knows("here", "waits");
    });
}

/// Both nodes hold the address while they do not hear each other, and say so when they do again.
#[test]
fn a_split_ends_with_one_holder() {
    on_a_pair(|network, [a, b]| {
        // The split is between the switches of two nodes whose own links are up.
        network.part([1, 2], true);
        until("both hold it", || a.holds(ADDRESS) && b.holds(ADDRESS));
        let status = a.status().unwrap();
        assert_eq!(status["groups"][0]["holder"], "a", "each knows of itself alone");
        network.part([1, 2], false);
        until("one holder", || a.holds(ADDRESS) != b.holds(ADDRESS));
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        let (holder, name) = if a.holds(ADDRESS) { (&a, "a") } else { (&b, "b") };
        asking.wait_for(name);
        holder.wait_log("as well for a time in which the nodes did not hear each other");
    });
}

/// A keepalived of the user's with the same identifier is named.
#[test]
fn another_keepalived_is_named() {
    let Some((network, directory)) = hosts(2) else { return };
    network.in_front(|| {
        let text = "vrrp_instance own {\n interface eth0\n virtual_router_id 94\n priority 1\n \
            virtual_ipaddress {\n 192.168.56.200/24\n }\n}\n";
        let conf = directory.write("own.conf", text);
        let mut command = network.command(network.node(1), "keepalived");
        command.args(["--dont-fork", "--vrrp", "--log-console", "--use-file"]).arg(&conf);
        for (flag, name) in [("--pid", "own.pid"), ("--vrrp_pid", "own-vrrp.pid")] {
            command.arg(flag).arg(directory.join(name));
        }
        let mut own = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the other keepalived", || directory.join("own-vrrp.pid").exists());
        let node = Node::start(&network, &directory, 1, "");
        node.wait_log("also has virtual_router_id 94: give \"ha\" another one");
        assert!(node.log().contains(&conf.display().to_string()));
        send_signal(own.id(), Signal::TERM);
        let _ = own.wait();
    });
}

/// A node that has lost its own address would hear no adverts: it is unfit until it has it again.
#[test]
fn a_node_without_its_own_address_is_unfit() {
    on_a_pair(|_, [a, b]| {
        let own = |node: &Node<'_>, verb: &str| {
            let address = format!("{}/24", address(node.number));
            run("ip", &["-n", node.namespace(), "addr", verb, &address, "dev", "eth0"]);
        };
        own(&b, "del");
        until("the reason", || {
            b.status().is_some_and(|status| status["unfit"] == "no interface has 192.168.56.12")
        });
        assert!(a.holds(ADDRESS) && !b.holds(ADDRESS));
        own(&b, "add");
        b.wait_knows("here", "waits");
        own(&a, "del");
        b.wait_holds(ADDRESS);
        until("no address on a", || !a.holds(ADDRESS));
        own(&a, "add");
        a.wait_knows("here", "waits");
        assert!(a.holds("192.168.56.11"));
    });
}

/// A master that is killed leaves a worker that serves, and the address stays; with the worker, it
/// moves, and the next start finds its place.
#[test]
fn a_killed_master_moves_nothing_until_its_worker_ends() {
    on_a_pair(|_, [mut a, b]| {
        let asking = Asking::start(&format!("{ADDRESS}:80"));
        asking.wait_for("a");
        let start = Instant::now();
        send_signal(a.pid(), Signal::KILL);
        a.reap();
        let attempts = asking.between(start, start + 2 * LIMIT);
        assert!(attempts.iter().all(|one| one.answer == Ok('a')), "{attempts:?}");
        a.signal("weir: worker", Signal::KILL);
        asking.wait_for("b");
        b.wait_holds(ADDRESS);
        a.launch();
        a.wait_knows("here", "waits");
        asking.wait_for("b");
    });
}

//! Three nodes with an address each: all serve at once, and the addresses of lost ones spread.

use super::*;

const NODES: &str = "node c 192.168.56.13;";
const ADDRESSES: &str = "address 192.168.56.100/24 prefer=a; address 192.168.56.101/24 prefer=b;
    address 192.168.56.102/24 prefer=c; preempt on;";
const LISTEN: &str = "listen 192.168.56.101:80; listen 192.168.56.102:80;";

#[test]
fn three_nodes_serve_at_once_and_take_over_from_each_other() {
    let Some((network, directory)) = hosts(3) else { return };
    network.in_front(|| {
        let _apache = Apache::start(&network, &directory, 4);
        let conf = Node::conf(NODES, ADDRESSES, LISTEN);
        let [mut a, mut b, mut c] =
            [1, 2, 3].map(|number| Node::with(&network, &directory, number, &conf));
        let addresses = ["192.168.56.100", "192.168.56.101", "192.168.56.102"];
        let own = |nodes: [&Node<'_>; 3]| {
            for (node, address) in nodes.into_iter().zip(addresses) {
                node.wait_holds(address);
                until("one holder", || {
                    nodes.iter().filter(|other| other.holds(address)).count() == 1
                });
            }
        };
        own([&a, &b, &c]);
        let asking = addresses.map(|address| Asking::start(&format!("{address}:80")));
        asking.iter().zip(["a", "b", "c"]).for_each(|(asking, node)| asking.wait_for(node));

        let start = Instant::now();
        b.kill();
        let took = asking[1].time_to("c", start);
        println!("b killed: c answers after {took:?}");
        assert!(took < LIMIT + ALLOWANCE, "{took:?}");
        asking[1].wait_for("c");
        asking[0].wait_for("a");
        b.wait_gone();

        let start = Instant::now();
        c.kill();
        for asking in &asking[1..] {
            let took = asking.time_to("a", start);
            assert!(took < LIMIT + ALLOWANCE, "{took:?}");
            asking.wait_for("a");
        }
        c.wait_gone();
        // With `preempt on`, each takes its own back.
        b.launch();
        c.launch();
        own([&a, &b, &c]);
        asking.iter().zip(["a", "b", "c"]).for_each(|(asking, node)| asking.wait_for(node));
        a.quit();
        a.wait_gone();
        b.wait_holds(addresses[0]);
    });
}

use super::*;

/// The first fault of a block, or an empty text.
fn fault(block: &str) -> String {
    let text = format!("ha {{ {block} }}");
    let assembly = weir_conf::assemble_text(&[&BLOCK_TABLE, &TABLE], &text);
    let mut diagnostics = assembly.diagnostics.iter();
    let fault = diagnostics.find(|found| found.severity.is_fatal());
    fault.map_or_else(String::new, |fault| fault.message.clone())
}

const PAIR: &str = "node a 10.0.0.1; node b 10.0.0.2;";

#[test]
fn a_pair_is_read() {
    let block = "node a 10.0.0.1 interface=eth0; node b fd00::2 10.0.0.2; \
        address 192.0.2.10/24; address 2001:db8::10/64 prefer=b interface=eth1.5;
        address 192.0.2.11 prefer=b; advert 50ms; preempt on; stall 1s; require backend; \
        require other; virtual_router_id 12; link_port 7000;";
    assert_eq!(fault(block), "");
}

#[test]
fn faults_say_what_to_do() {
    let two_ids = "virtual_router_id 255; address 192.0.2.1; address 192.0.2.2 prefer=a;";
    for (lines, message) in [
        ("", "\"ha\" needs a \"node\" line for each of at least two nodes"),
        ("node a 10.0.0.1;", "\"ha\" needs a \"node\" line for each of at least two nodes"),
        ("node a interface=eth0;", "node \"a\" has no address"),
        ("node a 10.0.0.1 10.0.0.2;", "a node has at most one IPv4 and one IPv6 address"),
        ("node a 10.0.0.x;", "\"10.0.0.x\" is not an IP address"),
        (
            "node a 127.0.0.1; node b 10.0.0.2; address 192.0.2.1;",
            "127.0.0.1 is a loopback address: nodes that share addresses need addresses that \
            other hosts reach",
        ),
        ("node a 0.0.0.0;", "0.0.0.0 stands for every address: it cannot be used here"),
        ("node a 224.0.0.1;", "224.0.0.1 is a multicast address: it cannot be used here"),
        (
            "node a/b 10.0.0.1;",
            "\"a/b\" is no name for a node: use letters, digits, \"-\", \"_\" \
            and \".\", at most 63",
        ),
        ("node a 10.0.0.1 interface=a/b;", "\"interface=a/b\" names no interface"),
        ("node a 10.0.0.1; node a 10.0.0.2;", "two nodes have the name \"a\""),
        ("node a 10.0.0.1; node b 10.0.0.1;", "nodes \"a\" and \"b\" have the address 10.0.0.1"),
        (
            "%address 10.0.0.1;",
            "10.0.0.1 is the address of node \"a\" and cannot move to another \
            node: choose a virtual address that no host has",
        ),
        ("%address 192.0.2.1; address 192.0.2.1/24;", "address 192.0.2.1 is written twice"),
        ("%address 192.0.2.1/33;", "the prefix length of 192.0.2.1 is 1 to 32"),
        ("%address 192.0.2.1 prefer=c;", "\"prefer=c\" names no node of this block"),
        ("%address 192.0.2.1 prefer=a prefer=b;", "duplicate parameter \"prefer=b\""),
        ("%address 192.0.2.1 metric=1;", "invalid parameter \"metric=1\""),
        (
            "%address 2001:db8::1;",
            "address 2001:db8::1 needs adverts over IPv6: add an IPv6 \
            address to the line of node \"a\"",
        ),
        (
            "%address fe80::1;",
            "fe80::1 is a link-local address, which every interface has a \
            network of: it cannot be used here",
        ),
        ("%advert 15ms;", "\"advert\" must be a multiple of 10ms between 20ms and 40950ms"),
        ("%advert 1h;", "\"advert\" must be a multiple of 10ms between 20ms and 40950ms"),
        ("%stall 10ms;", "\"stall\" must be between 100ms and 60s"),
        ("%virtual_router_id 0;", "\"virtual_router_id\" must be between 1 and 255"),
        (
            &format!("%{two_ids}"),
            "\"virtual_router_id 255\" leaves no room for 2 groups of \
            addresses below 256",
        ),
        ("%link_port 0;", "invalid port \"0\""),
        ("%quorum 2;", "unknown directive \"quorum\""),
    ] {
        assert_eq!(fault(&lines.replace('%', PAIR)), message, "{lines}");
    }
}

#[test]
fn the_limits_have_names() {
    let nodes = |number: usize| {
        (1..=number).map(|at| format!("node n{at} 10.0.0.{at}; ")).collect::<String>()
    };
    assert_eq!(fault(&nodes(MOST_NODES)), "");
    assert_eq!(fault(&nodes(MOST_NODES + 1)), "\"ha\" has more than 16 nodes");
    let addresses = |number: usize| {
        (0..number)
            .map(|at| format!("address 192.0.{}.{};", at / 200, at % 200 + 1))
            .collect::<String>()
    };
    assert_eq!(fault(&format!("{PAIR}{}", addresses(MOST_ADDRESSES))), "");
    let message = "\"ha\" has more than 256 addresses";
    assert_eq!(fault(&format!("{PAIR}{}", addresses(MOST_ADDRESSES + 1))), message);
}

#[test]
fn the_text_of_a_block_is_the_same_block() {
    let read = |block: &str| {
        let assembly = weir_conf::assemble_text(&[&BLOCK_TABLE, &TABLE], block);
        let found = assembly.root.children(weir_conf::Contexts::HA).next().unwrap();
        found.settings.arc(&HA).to_text()
    };
    let written = "ha { node a 10.0.0.1 interface=eth0; node b fd00::2 10.0.0.2; # the other
        address 2001:db8::10 prefer=b interface=eth1.5; address 192.0.2.11/24; preempt on;
        require backend; advert 50ms; virtual_router_id 12; link_port 7000; stall 1s; }";
    let text = read(written);
    assert!(text.contains("    node b fd00::2 10.0.0.2;\n    address 2001:db8::10/128 interface=eth1.5 prefer=b;\n"), "{text}");
    assert_eq!(read(&text), text);
    assert_ne!(read(&text.replace("50ms", "60ms")), text);
}

#[test]
fn a_pair_of_links_alone_may_be_on_one_host() {
    assert_eq!(fault("node a 127.0.0.1; node b 127.0.0.2;"), "");
}

#[test]
fn a_second_block_is_refused() {
    let text = format!("ha {{ {PAIR} }} ha {{ {PAIR} }}");
    let assembly = weir_conf::assemble_text(&[&BLOCK_TABLE, &TABLE], &text);
    let message = assembly.diagnostics.first().map(|found| found.message.as_str());
    assert_eq!(message, Some("\"ha\" directive is duplicate"));
}

use std::process::Command;
use std::sync::Arc;

use weir_conf::{Contexts, Settled, assemble_text};

use super::*;
use crate::settings::{BLOCK_TABLE, HA, TABLE};

fn block(lines: &str) -> Arc<Settled<Ha>> {
    let assembly = assemble_text(&[&BLOCK_TABLE, &TABLE], &format!("ha {{ {lines} }}"));
    assert!(assembly.ok(), "{:?}", assembly.diagnostics);
    let mut blocks = assembly.root.children(Contexts::HA);
    blocks.next().unwrap().settings.arc(&HA)
}

fn here(node: usize) -> Here {
    Here { node, interface: "eth0".to_owned() }
}

fn generated(lines: &str, node: usize, mode: Mode) -> String {
    configuration(&block(lines), &here(node), Path::new("/run/x"), mode).unwrap()
}

const PAIR: &str = "node a 10.0.0.1; node b 10.0.0.2;
    address 192.0.2.10/24; address 2001:db8::10/64;";

const TRIO: &str = "node a 10.0.0.1 fd00::1; node b fd00::2 10.0.0.2; node c 10.0.0.3 fd00::3;
    address 192.0.2.1/24 prefer=a; address 192.0.2.2 prefer=b interface=eth1;
    address 2001:db8::3/64 prefer=c; address 192.0.2.22/24 prefer=b; preempt on; advert 1s;
    virtual_router_id 7;";

/// The configurations with their texts: what keepalived gets is what a reader can check here.
fn cases() -> [(&'static str, String, &'static str); 4] {
    [
        ("pair-a", generated(PAIR, 0, Mode::Usual), include_str!("golden/pair-a.conf")),
        ("pair-b", generated(PAIR, 1, Mode::Usual), include_str!("golden/pair-b.conf")),
        (
            "pair-b-urgent",
            generated(PAIR, 1, Mode::Urgent(0)),
            include_str!("golden/pair-b-urgent.conf"),
        ),
        ("trio-b", generated(TRIO, 1, Mode::Usual), include_str!("golden/trio-b.conf")),
    ]
}

#[test]
fn the_text_is_as_recorded() {
    for (name, text, golden) in cases() {
        if std::env::var_os("WEIR_RECORD").is_some() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/keepalived/golden");
            std::fs::write(format!("{folder}/{name}.conf"), &text).unwrap();
            continue;
        }
        assert_eq!(text, golden, "{name}: WEIR_RECORD=1 records it");
    }
}

#[test]
fn priorities_follow_the_order_of_the_block() {
    let ha = block(TRIO);
    let all = |prefer| [0, 1, 2].map(|node| priority(&ha, node, prefer));
    assert_eq!(all(None), [250, 230, 210]);
    assert_eq!(all(Some("b")), [210, 250, 230]);
    let nodes: String = (1..=16).map(|at| format!("node n{at} 10.0.0.{at}; ")).collect();
    let ha = block(&nodes);
    let least = priority(&ha, 15, None);
    assert!(least > 1 && priority(&ha, 14, None) > least, "distinct, and never 0");
}

#[test]
fn the_node_of_this_host_is_found() {
    let ha = block(PAIR);
    let own = |address: &str| vec![("eth7".to_owned(), address.parse().unwrap())];
    let found = find_here(&ha, None, &own("10.0.0.2"));
    assert_eq!(found, Ok(Here { node: 1, interface: "eth7".to_owned() }));
    assert!(
        find_here(&ha, Some("a"), &own("10.0.0.2")).unwrap_err().to_string().contains("10.0.0.1")
    );
    assert!(
        find_here(&ha, Some("c"), &own("10.0.0.2")).unwrap_err().to_string().contains("add it")
    );
    let stranger = find_here(&ha, None, &own("10.0.0.3")).unwrap_err().to_string();
    assert!(stranger.contains("a (10.0.0.1), b (10.0.0.2)"), "{stranger}");
    let both = [own("10.0.0.1"), own("10.0.0.2")].concat();
    assert!(find_here(&ha, None, &both).unwrap_err().to_string().contains("both"));
}

/// keepalived's own verdict. It looks for the interfaces, so this needs a network namespace, and so
/// root.
#[test]
fn keepalived_accepts_each() {
    let sh = |line: &str| Command::new("sh").args(["-c", line]).output().unwrap();
    if !sh("command -v keepalived && command -v ip && unshare -n true").status.success() {
        eprintln!("skipped: keepalived_accepts_each: it needs root, keepalived and iproute2");
        return;
    }
    for (name, text, _) in cases() {
        let file = std::env::temp_dir().join(format!("weir-{name}-{}.conf", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let output = sh(&format!(
            "exec unshare -n sh -c 'ip link add eth0 type veth peer name eth1; \
             ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00::2/64 dev eth0 nodad; \
             ip link set eth0 up; ip link set eth1 up; exec keepalived -t -f {}' 2>&1",
            file.display()
        ));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        std::fs::remove_file(&file).unwrap();
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
    }
}

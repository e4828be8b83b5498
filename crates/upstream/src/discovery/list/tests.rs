use super::*;
use crate::{
    balance::ip_hash::IpHash,
    config::{GroupConfig, MethodHandle},
    resolver::ResolverConfig,
    server::{Admission, SlowStart},
};
use std::sync::Arc;

fn config() -> GroupConfig {
    let resolver = ResolverConfig {
        servers: vec![([127, 0, 0, 1], 53).into()],
        valid: None,
        ipv4: true,
        ipv6: true,
        counters: None,
    };
    GroupConfig {
        resolver: Some((resolver, 1000)),
        ..GroupConfig::implicit("http u".into(), "u", Vec::new())
    }
}

fn listing(text: &str) -> Listing {
    read(text.as_bytes(), Reader::of(&config())).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    listing(text).faults
}

#[test]
fn lines_and_objects_say_the_same() {
    let lines = listing(
        "# the servers\n\n127.0.0.1:81 weight=5 max_conns=6 max_fails=0 fail_timeout=7s \
         slow_start=1500ms route=r locality=eu backup drain # old\r\n\
         server [::1]:82 down;\n  unix:/run/a#b.sock\nexample.test\n\
         srv.test resolve service=http\n",
    );
    let json = listing(
        r#"[{"server": "127.0.0.1:81", "weight": 5, "max_conns": 6, "max_fails": 0,
             "fail_timeout": "7s", "slow_start": "1500ms", "route": "r", "backup": true,
             "locality": "eu", "drain": true, "down": false, "id": 3},
            {"server": "[::1]:82", "down": true, "route": "", "locality": ""}, {"server": "unix:/run/a#b.sock"},
            {"server": "example.test"}, {"server": "srv.test", "service": "http"}]"#,
    );
    assert_eq!((&lines.faults, &json.faults), (&vec![], &vec![]));
    assert_eq!(lines.servers, json.servers);
    let [first, second, socket, name, service] = &lines.servers[..] else { panic!() };
    let limits = &first.limits;
    assert_eq!((limits.weight, limits.max_conns, limits.max_fails), (5, 6, 0));
    assert_eq!((limits.fail_timeout, limits.slow_start), (7, SlowStart::Within(1500)));
    assert_eq!(limits.locality.as_deref(), Some("eu"));
    assert_eq!((limits.admission, first.backup), (Admission::Draining, true));
    assert_eq!((first.route.as_deref(), second.limits.admission), (Some("r"), Admission::Down));
    assert!(socket.addresses.len() == 1 && socket.resolve.is_none());
    assert_eq!(
        name.resolve.as_ref().map(|name| (name.host.as_str(), name.port)),
        Some(("example.test", 80))
    );
    assert_eq!(service.resolve.as_ref().and_then(|name| name.service.as_deref()), Some("http"));
}

#[test]
fn a_fault_has_its_place_and_spoils_nothing() {
    let text = "127.0.0.1:1\n127.0.0.1:2 weight=0\n127.0.0.1:x\na b; c\n127.0.0.1:1 weight=2\n\
                \"\n127.0.0.1:3\n}\n";
    let listing = listing(text);
    assert_eq!(listing.servers.len(), 2);
    assert_eq!(
        listing.faults,
        [
            "line 2: invalid parameter \"weight=0\"",
            "line 3: invalid port in upstream \"127.0.0.1:x\"",
            "line 4: invalid syntax",
            "line 5: server \"127.0.0.1:1\" is listed already",
            "line 6: invalid syntax",
            "line 8: invalid syntax",
        ]
    );
    assert_eq!(
        faults(
            r#"[{"server": "127.0.0.1:1", "wait": 1}, {}, 5, {"server": "127.0.0.1:2"},
                {"server": "a\nb"}, {"server": "127.0.0.1:3", "weight": "2 down"},
                {"server": "127.0.0.1:4", "down": 1}, {"server": "127.0.0.1:5", "weight": -1}]"#
        ),
        [
            "item 1: unknown parameter \"wait\"",
            "item 2: missing \"server\"",
            "item 3: an object expected",
            "item 5: invalid \"server\"",
            "item 6: invalid parameter \"weight=2 down\"",
            "item 7: invalid \"down\"",
            "item 8: invalid parameter \"weight=-1\"",
        ]
    );
}

#[test]
fn a_group_says_what_it_can_take() {
    let method = MethodHandle(Arc::new(IpHash));
    let config = GroupConfig { resolver: None, method, ..config() };
    let listing = read(b"a.test\n127.0.0.1 backup\n127.0.0.1", Reader::of(&config)).unwrap();
    assert_eq!(listing.servers.len(), 1);
    assert_eq!(
        listing.faults,
        [
            "line 1: no resolver defined to resolve \"a.test\"",
            "line 2: balancing method does not support parameter \"backup\"",
        ]
    );
}

#[test]
fn emptiness_is_a_word() {
    for text in ["none", "# all are away\nnone\n", "[\"none\"]", " none ;"] {
        let listing = listing(text);
        assert!(listing.may_be_empty && listing.servers.is_empty(), "{text}");
        assert_eq!(listing.faults, [""; 0]);
    }
    assert!(!listing("").may_be_empty);
    assert!(!listing("[]").may_be_empty);
    assert_eq!(listing("127.0.0.1\nnone").servers.len(), 1);
}

#[test]
fn odd_texts_are_read() {
    assert_eq!(listing("\u{feff}127.0.0.1:1\r\n").servers.len(), 1);
    assert_eq!(listing("\u{feff}[{\"server\": \"127.0.0.1:1\"}]").servers.len(), 1);
    let long = faults(&format!("127.0.0.1:{}\n", "é".repeat(1000)));
    assert_eq!(long[0].chars().count(), MAX_FAULT + 3);
}

#[test]
fn what_is_no_list_is_refused_as_a_whole() {
    let reader = Reader::of(&config());
    for (text, reason) in [
        ("[{\"server\": \"127.0.0.1\"}", "is no list: EOF"),
        ("{\"server\": \"127.0.0.1\"}", "is no list, but one object"),
        ("[] []", "is no list: trailing characters"),
    ] {
        let told = read(text.as_bytes(), reader).unwrap_err();
        assert!(told.to_string().starts_with(reason), "{told}");
    }
    let lines = |count: usize| -> String {
        (0..count).map(|at| format!("127.{}.{}.{}\n", at >> 16, at >> 8 & 255, at & 255)).collect()
    };
    assert_eq!(read(lines(MAX_LISTED).as_bytes(), reader).unwrap().servers.len(), MAX_LISTED);
    assert!(read(lines(MAX_LISTED + 1).as_bytes(), reader).is_err());
    assert!(read("a b\n".repeat(MAX_LISTED + 2).as_bytes(), reader).is_err());
}

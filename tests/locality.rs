//! `prefer_locality`: the servers nearby first.

use std::collections::BTreeMap;

use crate::harness::{Backend, Server};

/// Three backends that answer with their names.
fn backends() -> [Backend; 3] {
    ["one", "two", "three"].map(Backend::text)
}

fn server(conf: &str, backends: &[Backend; 3]) -> Server {
    let conf = format!(
        "{conf} server {{ listen 127.0.0.1:%port%;
             location / {{ proxy_pass http://u; }} }}"
    );
    let [one, two, three] = backends;
    Server::http(&conf)
        .main("worker_processes 2;")
        .set("one", one.address())
        .set("two", two.address())
        .set("three", three.address())
        .start()
}

/// How often each backend answers.
fn answers(server: &Server, target: &str, count: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(server.text(target)).or_default() += 1;
    }
    answers
}

fn only(name: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(name.to_owned(), count)])
}

#[test]
fn a_variable_names_the_locality_and_unknown_ones_prefer_nothing() {
    let backends = backends();
    let server = server(
        "map $arg_from $zone { near eu-1a; far us; default $arg_from; }
         upstream u { zone u 64k; prefer_locality $zone;
             server %one% locality=eu-1a; server %two% locality=us; server %three%; }",
        &backends,
    );
    assert_eq!(answers(&server, "/?from=near", 6), only("one", 6));
    assert_eq!(answers(&server, "/?from=far", 6), only("two", 6));
    for target in ["/", "/?from=mars"] {
        assert_eq!(answers(&server, target, 6).len(), 3, "{target}");
    }
}

#[test]
fn a_locality_in_trouble_spills_what_it_cannot_take() {
    let backends = backends();
    let dead = Backend::text("dead");
    let address = dead.address();
    drop(dead);
    let server = server(
        &format!(
            "upstream u {{ zone u 64k; prefer_locality a; server %one% locality=a;
                 server {address} locality=a fail_timeout=60s; server %two% locality=b;
                 server %three% down; }}"
        ),
        &backends,
    );
    // One of two works: 70 % stay, and the first request to the other one moves on.
    let counts = answers(&server, "/", 100);
    let [near, far] = ["one", "two"].map(|name| counts.get(name).copied().unwrap_or(0));
    assert!(near + far == 100 && (25..=35).contains(&far), "{counts:?}");
}

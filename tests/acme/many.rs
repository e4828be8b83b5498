//! Many certificates in one configuration.

use std::time::Instant;

use super::{kept, server, shown};
use crate::harness::{Pebble, Server, children, is_nginx, own_memory, until, until_some};

/// The number of certificates.
fn count() -> usize {
    std::env::var("WEIR_TEST_CERTIFICATES").map_or(50, |count| count.parse().unwrap())
}

fn conf(count: usize) -> String {
    let one = |number| {
        format!(
            "server {{ listen 127.0.0.1:%tls% ssl; server_name n{number}.test;
                acme_certificate ca; ssl_certificate $acme_certificate;
                ssl_certificate_key $acme_certificate_key; }}"
        )
    };
    let servers: String = (0..count).map(one).collect();
    format!("acme_issuer ca {{ %ca% }} server {{ listen 127.0.0.1:%http%; }} {servers}")
}

/// Each is ordered once, and a start brings all of them from their files. With
/// `WEIR_TEST_CERTIFICATES=1000` it tells times and memory.
#[test]
fn many_certificates_are_ordered_once_each() {
    if is_nginx() {
        return;
    }
    let Some(mut pebble) = Pebble::start(&[]) else { return };
    let (count, tls) = (count(), pebble.tls.number());
    let worker = |server: &Server| {
        own_memory(until_some("a worker", || children(server.pid()).first().copied()))
    };
    let begun = Instant::now();
    let mut server = server(&pebble, &conf(count)).start();
    println!("{count} certificates: started in {:?}", begun.elapsed());
    let empty = worker(&server);
    let ready = || server.error_log().matches(": a new certificate; next try at ").count();
    for number in 1..=count {
        until(&format!("certificate {number}"), || ready() >= number);
    }
    println!("ordered in {:?}", begun.elapsed());
    println!("memory: {} KiB, {empty} KiB before", worker(&server));
    until("all files", || kept(&server, "ca").len() == count);
    assert_eq!(pebble.issued(), count);
    // The account was made once.
    assert_eq!(server.error_log().matches("the account is ").count(), 1);
    pebble.stop();
    server.pause();
    let begun = Instant::now();
    server.resume();
    println!("started with all in {:?}", begun.elapsed());
    for number in [0, count / 2, count - 1] {
        let name = format!("n{number}.test");
        assert!(shown(&server, tls, &name).is_some_and(|text| text.contains(&name)), "{name}");
    }
    println!("memory after a start: {} KiB", worker(&server));
}

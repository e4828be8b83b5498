//! Odd scrapers and odd names: what they cost, and that an answer is whole and valid all the same.

use super::openmetrics::Metrics;
use super::{OPEN, assert_good, promtool, scrape};
use crate::harness::{Backend, Server, Signal, is_nginx, until};

/// Names of zones, as in the configuration and as they are.
const NAMES: [(&str, &str); 6] = [
    (r#"'with "quotes"'"#, r#"with "quotes""#),
    (r#""back\\slash""#, r"back\slash"),
    ("\"two\nlines\"", "two\nlines"),
    ("größe-日本", "größe-日本"),
    // No variable: documented so by nginx, and the number of zones stays that of the names.
    ("$host", "$host"),
    ("'{a=\"b\"} 1 # {'", "{a=\"b\"} 1 # {"),
];

#[test]
fn any_name_is_a_label() {
    if is_nginx() {
        return;
    }
    let servers: String = NAMES
        .iter()
        .enumerate()
        .map(|(number, (written, _))| {
            format!(
                "server {{ listen 127.0.0.1:%port%; server_name s{number}; status_zone {written};
                   location / {{ status_zone {written}; return 200 a; }} }}"
            )
        })
        .collect();
    let conf = format!(
        "server {{ listen 127.0.0.1:%port% default_server;
           location = /metrics {{ prometheus; }} }} {servers}"
    );
    let server = Server::http(&conf).start();
    for number in 0..NAMES.len() {
        let answer = server.ask(format!("GET / HTTP/1.0\r\nHost: s{number}\r\n\r\n"));
        assert_eq!(answer.status, 200);
    }
    assert_good(promtool(&["check", "metrics"], &server.text("/metrics")));
    let metrics = scrape(&server);
    for (written, name) in NAMES {
        for kind in ["server", "location"] {
            let family = format!("weir_http_{kind}_zone_requests_total");
            assert_eq!(metrics.sum(&family, &[("zone", name)]), Some(1.0), "{kind} {written}");
        }
    }
    let zones =
        metrics.samples.keys().filter(|(name, _)| name.ends_with("server_zone_requests_total"));
    assert_eq!(zones.count(), NAMES.len(), "a name is a series, whatever hosts clients ask for");
}

/// The ids of exemplars are Weir's own, whatever a client calls its request.
#[test]
fn a_client_cannot_choose_the_id_of_an_exemplar() {
    let (server, _backend) = super::start();
    scrape(&server);
    for _ in 0..3 {
        server.get_with("/", "X-Request-ID: \"} 1\r\nRequest-Id: mine\r\n");
    }
    let exemplars = scrape(&server).exemplars;
    assert!(!exemplars.is_empty());
    for labels in &exemplars {
        let id = &labels["request_id"];
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{labels:?}");
    }
}

/// A thousand servers: some megabytes, more than the buffers of sockets.
fn large() -> (Server, Backend) {
    let servers: String = (0..1000)
        .map(|number| format!("server 10.0.{}.{}:80;", number / 250, number % 250 + 1))
        .collect();
    let conf = super::CONF.replace("server 127.0.0.1:1 max_conns=9 slow_start=5s;", &servers);
    let backend = Backend::text("a");
    (Server::http(&conf).set("a", backend.address()).start(), backend)
}

/// Scrapes that are under way while the configuration changes are answers of one moment, and
/// counters never fall: neither within a scrape nor from one to the next.
#[test]
fn reloads_tear_no_scrape_apart() {
    if is_nginx() {
        return;
    }
    let (server, _backend) = large();
    let mut slow = server.client();
    slow.send(format!("GET /metrics HTTP/1.0\r\nHost: a\r\n{OPEN}\r\n"));
    let first = slow.take(1000);
    let requests = |metrics: &Metrics| metrics.sum("weir_http_requests_total", &[]).unwrap();
    let loads = |metrics: &Metrics| metrics.sum("weir_config_generation", &[]).unwrap();
    let (mut before, begun) = (0.0, loads(&scrape(&server)));
    for round in 0..3_u32 {
        let port = format!("127.0.0.1:{} ", round + 2);
        server.rewrite_http(&super::CONF.replace("127.0.0.1:1 ", &port));
        server.signal(Signal::HUP);
        until("the next configuration", || {
            let metrics = scrape(&server);
            let now = requests(&metrics);
            assert!(now > before, "{now} after {before}");
            before = now;
            loads(&metrics) > begun + f64::from(round)
        });
    }
    // The slow one still has the answer that it has begun with, and its end.
    let whole = [first, slow.rest()].concat();
    let (head, body) = std::str::from_utf8(&whole).unwrap().split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    let metrics = Metrics::parse(body);
    assert_eq!(metrics.sum("weir_http_upstream_server_weight", &[]), Some(1002.0));
}

/// Readers that take nothing hold no one up.
#[test]
fn slow_readers_do_not_keep_others_waiting() {
    let (server, _backend) = large();
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.client();
            client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    assert_eq!(server.text("/"), "a");
    assert!(scrape(&server).samples.len() > 70_000);
    let mut head = server.client();
    head.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = head.head_response();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(answer.header("Content-Length").is_some_and(|length| length.len() >= 7), "{answer:?}");
    drop(slow);
}

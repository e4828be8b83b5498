use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use weir_engine::event_loop::{block_on, yield_now};
use weir_engine::{Addr, Conn};
use weir_upstream::{Now, PeerCounts, Registry, Side};

use super::*;
use crate::fixture::{assembly, snapshot};
use crate::serve::Service;

fn server_zone(name: &str) -> Option<ZoneCounts> {
    server_zones().into_iter().find(|(known, _)| known == name).map(|(_, counts)| counts)
}

fn location_zone(name: &str) -> Option<ZoneCounts> {
    location_zones().into_iter().find(|(known, _)| known == name).map(|(_, counts)| counts)
}

#[test]
fn a_request_is_counted_from_its_beginning_to_its_end() {
    let zone = ZoneCounters::of_server("begun");
    ZoneCounters::of_server("begun").begin();
    let counts = server_zone("begun").unwrap();
    assert_eq!((counts.requests, counts.processing), (1, 1));
    zone.end(true, Served { received: 7, sent: 9, status: Some(206), took: Micros(1_000) });
    zone.end(false, Served { received: 1, took: Micros(1_001), ..Served::default() });
    let counts = server_zone("begun").unwrap();
    assert_eq!((counts.requests, counts.processing, counts.discarded), (2, 0, 1));
    assert_eq!((counts.received, counts.sent), (8, 9));
    assert_eq!(counts.responses.codes, [(206, 1)]);
    assert_eq!(
        (counts.request_time.sum, &counts.request_time.buckets[..3]),
        (2_001, &[0, 1, 1][..])
    );
    zone.begin();
    assert_eq!(server_zone("begun").unwrap().processing, 1);
    zone.abandon();
    assert_eq!(server_zone("begun").unwrap().processing, 0);
    assert_eq!(location_zone("begun"), None);
}

#[test]
fn a_block_has_one_zone() {
    let faults = |conf: &str| {
        let assembly = assembly(conf);
        assembly.diagnostics.into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    let both =
        "server { status_zone a; location / { status_zone b; if ($args) { status_zone c; } } }";
    assert_eq!(faults(both), [""; 0]);
    assert_eq!(
        faults("server { status_zone a; status_zone a; }"),
        ["\"status_zone\" directive is duplicate"]
    );
    assert_eq!(faults("server { status_zone ''; }"), ["invalid zone name \"\""]);
    assert_eq!(faults("status_zone a;"), ["\"status_zone\" directive is not allowed here"]);
}

/// An upstream: `/missing` is a 404, `/broken` gets no response, and everything else three bytes.
fn backend() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for conn in listener.incoming() {
            let (mut conn, mut head) = (conn.unwrap(), Vec::new());
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && conn.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let status = match head.get(4..12) {
                Some(b"/missing") => "404 Not Found",
                Some(b"/broken ") => continue,
                _ => "200 OK",
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\n");
            let _ = conn.write_all(&[head.as_bytes(), b"yes"].concat());
        }
    });
    port
}

/// The service's answer to one request on a connection of its own.
async fn ask(service: &Rc<Service>, head: &str) -> String {
    let (ours, mut client) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    client.write_all(head.as_bytes()).unwrap();
    service.accept(Conn::from_fd(ours.into(), Addr::Unix(None)), &Rc::from("tcp 0.0.0.0:80"));
    let mut answer = Vec::new();
    while client.read_to_end(&mut answer).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        yield_now().await;
    }
    String::from_utf8(answer).unwrap()
}

async fn get(service: &Rc<Service>, uri: &str) -> String {
    ask(service, &format!("GET {uri} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await
}

fn peer(registry: &Registry) -> PeerCounts {
    let group = registry.find(Side::Http, "u").unwrap();
    group.view(Now::current()).peers[0].counts.clone()
}

const LOCATIONS: &str = "
    location / { status_zone pages; return 200 ok; location /none { status_zone off; return 204; } }
    location /again { rewrite ^ /; }
    location /closed { return 444; }
    location /u/ { proxy_pass http://u/; status_zone passed; }";

#[test]
fn servers_locations_and_peers_are_counted() {
    let port = backend();
    let registry = Registry::default();
    let conf = |zone: &str, more: &str| {
        format!(
            "upstream u {{ zone u 64k; server 127.0.0.1:{port}; keepalive 0; {more} }}
             server {{ listen 80; {zone} {LOCATIONS} }}"
        )
    };
    block_on(async {
        let service = Service::new(snapshot(&conf("status_zone site;", ""), &registry));
        assert!(get(&service, "/").await.ends_with("\r\n\r\nok"));
        assert!(get(&service, "/again").await.ends_with("\r\n\r\nok"));
        assert!(get(&service, "/none").await.starts_with("HTTP/1.1 204"));
        assert_eq!(get(&service, "/closed").await, "");
        assert!(ask(&service, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        let site = server_zone("site").unwrap();
        assert_eq!((site.requests, site.processing, site.discarded), (5, 0, 1));
        assert_eq!(site.responses.codes, [(200, 2), (204, 1), (400, 1)]);
        assert!(site.received > 0 && site.sent > 0);
        let pages = location_zone("pages").unwrap();
        assert_eq!((pages.requests, pages.responses.classes), (2, [0, 2, 0, 0, 0]));
        assert_eq!(location_zone("off"), None);

        assert!(get(&service, "/u/").await.ends_with("\r\n\r\nyes"));
        assert!(get(&service, "/u/missing").await.starts_with("HTTP/1.1 404"));
        assert!(get(&service, "/u/broken").await.starts_with("HTTP/1.1 502"));
        let passed = location_zone("passed").unwrap();
        assert_eq!(passed.responses.codes, [(200, 1), (404, 1), (502, 1)]);
        let counts = peer(&registry);
        assert_eq!(counts.responses.codes, [(200, 1), (404, 1)], "a 502 is ours");
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes".len() as u64;
        assert_eq!(counts.received, 2 * head + "Not Found".len() as u64 - "OK".len() as u64);
        assert!(counts.sent > 0);
        assert_eq!(counts.response_time.buckets.iter().sum::<u64>(), 2);

        // A reload keeps the counters of zones by name, and those of peers by address.
        service.swap(snapshot(&conf("status_zone other;", "least_conn;"), &registry));
        assert_eq!(server_zone("site"), None);
        assert_eq!(location_zone("passed").unwrap(), passed);
        assert_eq!(peer(&registry), counts);
        assert!(get(&service, "/u/").await.ends_with("\r\n\r\nyes"));
        assert_eq!(server_zone("other").unwrap().responses.codes, [(200, 1)]);
        assert_eq!(peer(&registry).responses.codes, [(200, 2), (404, 1)]);
    });
}

//! limit_req, limit_conn, limit_rate.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Reply, Server, Signal, until};

#[test]
fn limit_req_rejects_what_exceeds_the_burst() {
    let server = Server::http(
        r#"
        limit_req_zone $arg_k zone=one:1m rate=1r/m;
        server {
            listen 127.0.0.1:%port%;
            location / { limit_req zone=one; proxy_pass http://%backend%; }
            location /burst { limit_req zone=one burst=2 nodelay; proxy_pass http://%backend%; }
            location /status { limit_req zone=one; limit_req_status 429;
                limit_req_log_level warn; proxy_pass http://%backend%; }
            location /dry { limit_req zone=one; limit_req_dry_run on;
                add_header X-Limit $limit_req_status always; proxy_pass http://%backend%; }
        }
        "#,
    );
    let backend = Backend::text("ok");
    let server = server.set("backend", backend.address()).start();
    let status = |target: &str| server.get(target).status;
    assert_eq!([status("/?k=1"), status("/?k=1"), status("/?k=2")], [200, 503, 200]);
    server.wait_log("limiting requests, excess: ");
    server.wait_log(" by zone \"one\", client: 127.0.0.1");
    let burst = [0; 4].map(|_| status("/burst?k=b"));
    assert_eq!(burst, [200, 200, 200, 503]);
    assert_eq!([status("/status?k=s"), status("/status?k=s")], [200, 429]);
    server.get("/dry?k=d");
    let dry = server.get("/dry?k=d");
    assert_eq!((dry.status, dry.header("X-Limit")), (200, Some("REJECTED_DRY_RUN")));
    assert_eq!([status("/"), status("/")], [200, 200], "an empty key is not counted");
}

#[test]
fn limit_req_delays_within_the_burst() {
    let server = Server::http(
        "limit_req_zone $uri zone=one:1m rate=4r/s;
         server { listen 127.0.0.1:%port%; location / { limit_req zone=one burst=5;
             proxy_pass http://%backend%; } }",
    );
    let backend = Backend::text("ok");
    let server = server.set("backend", backend.address()).start();
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(server.get("/").status, 200);
    }
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
    server.wait_log("delaying request, excess: ");
}

#[test]
fn limit_conn() {
    let backend = Backend::new(|seen| match seen.target() {
        "/hold" => Reply::hold(),
        _ => Reply::ok("ok"),
    });
    let server = Server::http(
        "limit_conn_zone $binary_remote_addr zone=c:1m;
         server { listen 127.0.0.1:%port%; location / { limit_conn c 1;
             proxy_pass http://%backend%; }
            location /free { proxy_pass http://%backend%; } }",
    )
    .set("backend", backend.address())
    .start();
    let mut holder = server.client();
    holder.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    assert_eq!(server.get("/x").status, 503);
    server.wait_log("limiting connections by zone \"c\"");
    assert_eq!(server.get("/free").status, 200);
    drop(holder);
    until("the slot to be free again", || server.get("/x").status == 200);
}

#[test]
fn limit_rate() {
    let server = Server::server(
        "root %dir%/html; limit_rate 40k; limit_rate_after 20k;
         location /var/ { set $limit_rate 1000k; alias %dir%/html/; }",
    )
    .file("html/f", vec![b'x'; 140_000])
    .start();
    let started = Instant::now();
    assert_eq!(server.get("/f").body.len(), 140_000);
    let took = started.elapsed();
    // nginx counts whole seconds, so the first of the three may be partial.
    assert!(took >= Duration::from_millis(900), "{took:?}");
    let started = Instant::now();
    assert_eq!(server.get("/var/f").body.len(), 140_000);
    assert!(started.elapsed() < took);
}

#[test]
fn limits_outlive_a_reload_with_equal_parameters() {
    let conf = |key: &str, size: &str, status: u16| {
        format!(
            "limit_req_zone {key} zone=z:{size} rate=1r/m; limit_req_status {status};
             server {{ listen 127.0.0.1:%port%; location / {{ limit_req zone=z; root %dir%; }} }}"
        )
    };
    let server = Server::http(&conf("$remote_addr", "1m", 503)).file("x", "ok").start();
    let status = || server.get("/x").status;
    let reload = |conf: &str| {
        server.rewrite_http(conf);
        server.signal(Signal::HUP);
    };
    assert_eq!([status(), status()], [200, 503]);
    reload(&conf("$remote_addr", "1m", 429));
    until("the new status", || status() == 429);
    reload(&conf("$http_host", "1m", 503));
    server.wait_log(
        "limit_req \"z\" uses the \"$http_host\" key while previously it used the \
         \"$remote_addr\" key",
    );
    assert_eq!(status(), 429, "the old configuration is in force");
    reload(&conf("$http_host", "2m", 503));
    until("a new zone", || status() == 200);
    assert_ne!(status(), 200);
}

#[test]
fn stub_status() {
    let server = Server::server("location /status { stub_status; }").start();
    let mut held = server.client();
    assert_eq!(held.get("/none").status, 404);
    let mut client = server.client();
    let page = client.get("/status").text();
    let numbers: Vec<u64> = page.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [active, accepted, handled, requests, reading, writing, waiting] = numbers[..] else {
        panic!("{page}");
    };
    assert_eq!((active, reading, writing, waiting), (2, 0, 1, 1));
    assert_eq!(accepted, handled);
    assert_eq!(requests, 2);
    assert_eq!(server.ask("POST /status HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
}

#[test]
fn mirror() {
    let backend = Backend::text("ok");
    let server = Server::server(
        "location / { mirror /copy; proxy_pass http://%backend%; }
         location /copy { internal; proxy_pass http://%backend%/copy; }",
    )
    .set("backend", backend.address())
    .start();
    let request = "POST /x?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(server.ask(request).text(), "ok");
    backend.wait(1);
    let mut targets: Vec<String> =
        backend.seen().iter().map(|seen| seen.target().to_owned()).collect();
    targets.sort();
    assert_eq!(targets, ["/copy?a=b", "/x?a=b"]);
    assert!(backend.seen().iter().all(|seen| seen.body == b"body"));
}

//! limit_req, limit_conn, limit_rate.

use std::time::{Duration, Instant};

use crate::harness::{Backend, Reply, Server};

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
    crate::harness::until("the slot to be free again", || server.get("/x").status == 200);
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
    // nginx counts whole seconds, so the first of the three may be cut short.
    assert!(took >= Duration::from_millis(900), "{took:?}");
    let started = Instant::now();
    assert_eq!(server.get("/var/f").body.len(), 140_000);
    assert!(started.elapsed() < took);
}

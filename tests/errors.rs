//! Errors by cause: `/errors` of the API and `weir_errors_total`. Each cause occurs once here.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Backend, Client, Reply, Server, until};

const CONF: &str = "
    limit_req_zone $uri zone=rare:64k rate=1r/m;
    limit_conn_zone $uri zone=none:64k;
    upstream down { server 127.0.0.1:1 down; }
    upstream full { zone full 64k; server %b% max_conns=1; queue 1 timeout=60s; }
    upstream late { zone late 64k; server %b% max_conns=1; queue 1 timeout=10ms; }
    upstream retried { server 127.0.0.1:1 max_fails=0; server %b% backup; }
    server { listen 127.0.0.1:%port%; location /api { api write=on; } }
    server { listen 127.0.0.1:%port2%; status_zone site; root %dir%;
        proxy_http_version 1.1;
        location /api { api; }
        location /up/ { proxy_pass http://%b%; proxy_read_timeout 200ms; proxy_buffer_size 1k;
            proxy_buffers 4 1k; proxy_busy_buffers_size 2k; }
        location = /refused { proxy_pass http://127.0.0.1:1; }
        location = /tls { proxy_pass https://127.0.0.1:%port%; }
        location = /down { proxy_pass http://down; }
        location = /retried { proxy_pass http://retried; }
        location = /masked { proxy_pass http://127.0.0.1:1; error_page 502 =200 /fine; }
        location = /fine { return 200 fine; }
        location = /intercepted { proxy_pass http://%b%/error; proxy_intercept_errors on;
            error_page 500 /fine; }
        location = /name { set $name a.test; proxy_pass http://$name; }
        location = /limited { limit_req zone=rare; proxy_pass http://%b%; }
        location = /crowded { limit_conn none 1; proxy_pass http://%b%/up/hang;
            proxy_read_timeout 60s; }
        location = /return { return 503; }
        location = /text { return 503 text; }
        location = /close { return 444; }
        location = /deny { deny all; }
        location = /auth { auth_basic a; auth_basic_user_file /dev/null; }
        location = /asks { auth_request /return; }
        location = /small { client_max_body_size 1; proxy_pass http://%b%; }
        location = /full { proxy_pass http://full/up/hang; proxy_read_timeout 60s; }
        location = /late { proxy_pass http://late/up/hang; proxy_read_timeout 60s; }
    }";

/// A backend with a fault for each target.
fn faulty() -> Backend {
    Backend::new(|seen| match seen.target() {
        "/up/close" => Reply::Custom(Box::new(|_| {})),
        "/up/nonsense" => custom("HTTP/1.1 nonsense\r\n\r\n"),
        "/up/cut" => custom("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut"),
        "/up/chunks" => {
            custom("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nwrong\r\n")
        }
        "/up/large" => {
            Reply::with("200 OK", &format!("X-Large: {}\r\n", "a".repeat(4096)), "large")
        }
        "/up/hang" => Reply::Custom(Box::new(|stream| {
            // Until the peer goes.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            let _ = std::io::Read::read(stream, &mut [0]);
        })),
        "/error" => Reply::with("500 Internal Server Error", "", "mine"),
        _ => Reply::ok("yes"),
    })
}

fn custom(text: &'static str) -> Reply {
    Reply::Custom(Box::new(move |stream| _ = stream.write_all(text.as_bytes())))
}

fn start() -> (Server, Backend) {
    let backend = faulty();
    let setup = Server::http(CONF).set("b", backend.address());
    setup.directory().write("page", "page");
    (setup.start(), backend)
}

fn send(server: &Server, request: &str) -> Client {
    let mut client = Client::connect(server.address("port2"));
    client.send(request);
    client
}

/// Waits until the causes of the zone are these.
#[track_caller]
fn await_causes(server: &Server, wanted: &Value) {
    let mut seen = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the causes", || {
            seen = server.api_get("errors");
            seen["server_zones"]["site"] == *wanted
        });
    }));
    assert!(found.is_ok(), "{wanted} in {seen}");
}

#[test]
fn each_error_has_one_cause() {
    let (server, _backend) = start();
    let mut wanted = json!({});
    await_causes(&server, &wanted);
    for (request, cause) in [
        ("GET /refused HTTP/1.0\r\n\r\n", "upstream_refused"),
        ("GET /masked HTTP/1.0\r\n\r\n", "upstream_refused"),
        ("GET /tls HTTP/1.0\r\n\r\n", "upstream_tls"),
        ("GET /down HTTP/1.0\r\n\r\n", "no_live_upstream"),
        ("GET /name HTTP/1.0\r\n\r\n", "resolver"),
        ("GET /up/close HTTP/1.0\r\n\r\n", "upstream_closed"),
        ("GET /up/cut HTTP/1.0\r\n\r\n", "upstream_closed"),
        ("GET /up/nonsense HTTP/1.0\r\n\r\n", "upstream_bad_response"),
        ("GET /up/chunks HTTP/1.0\r\n\r\n", "upstream_bad_response"),
        ("GET /up/large HTTP/1.0\r\n\r\n", "upstream_head_too_large"),
        ("GET /up/hang HTTP/1.0\r\n\r\n", "upstream_read_timeout"),
        ("GET /limited HTTP/1.0\r\n\r\n", ""),
        ("GET /limited HTTP/1.0\r\n\r\n", "limit_req"),
        ("GET /return HTTP/1.0\r\n\r\n", "configured"),
        ("GET /text HTTP/1.0\r\n\r\n", "configured"),
        ("GET /close HTTP/1.0\r\n\r\n", "closed"),
        ("GET /deny HTTP/1.0\r\n\r\n", "forbidden"),
        ("GET /auth HTTP/1.0\r\n\r\n", "unauthorized"),
        ("GET /asks HTTP/1.0\r\n\r\n", "auth_request"),
        ("GET /missing HTTP/1.0\r\n\r\n", "not_found"),
        ("POST /page HTTP/1.0\r\n\r\n", "method_not_allowed"),
        ("POST /small HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "body_too_large"),
        (
            "POST /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "bad_body",
        ),
        ("nonsense\r\n\r\n", "bad_request"),
        ("GET /retried HTTP/1.0\r\n\r\n", ""),
        ("GET /intercepted HTTP/1.0\r\n\r\n", ""),
        ("GET /fine HTTP/1.0\r\n\r\n", ""),
        ("GET /up/ HTTP/1.0\r\n\r\n", ""),
    ] {
        send(&server, request).rest();
        if !cause.is_empty() {
            let count = wanted[cause].as_u64().unwrap_or_default();
            wanted[cause] = json!(count + 1);
        }
        await_causes(&server, &wanted);
    }
    let errors = server.api_get("errors");
    let total: u64 = wanted.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    // The handshake of `/tls` was a bad request of the server without a zone.
    assert_eq!(errors["total"], total + 1, "{errors}");
    assert_eq!(errors["causes"]["upstream_refused"]["side"], "upstream", "{errors}");
    assert!(errors["causes"]["limit_req"]["last"].as_str().unwrap().ends_with('Z'), "{errors}");
    // Of a server without a zone.
    assert_eq!(server.get("/none").status, 404);
    assert_eq!(server.api_get("errors")["causes"]["not_found"]["total"], 2);
    assert_eq!(server.api("DELETE", "errors", "").status, 204);
    await_causes(&server, &json!({}));
    assert_eq!(server.api_get("errors")["causes"], json!({}));
}

#[test]
fn waiting_and_leaving_are_causes() {
    let (server, backend) = start();
    let ask = |target: &str| send(&server, &format!("GET {target} HTTP/1.0\r\n\r\n"));
    let crowded = ask("/crowded");
    backend.wait(0);
    assert!(ask("/crowded").rest().starts_with(b"HTTP/1.1 503"));
    let late = ask("/late");
    backend.wait(1);
    assert!(ask("/late").rest().starts_with(b"HTTP/1.1 502"));
    let full = ask("/full");
    backend.wait(2);
    let waiting = ask("/full");
    until("a request in the queue", || server.api_get("http/upstreams/full")["queue"]["size"] == 1);
    assert!(ask("/full").rest().starts_with(b"HTTP/1.1 502"));
    let mut wanted = json!({ "limit_conn": 1, "queue_timeout": 1, "queue_full": 1 });
    await_causes(&server, &wanted);
    drop((crowded, late, full, waiting));
    wanted["client_closed"] = json!(4);
    await_causes(&server, &wanted);
}

/// The counts of a zone that stays go on; those of the others are still there.
#[test]
fn a_reload_keeps_the_counts() {
    let (server, _backend) = start();
    send(&server, "GET /refused HTTP/1.0\r\n\r\n").rest();
    assert_eq!(server.get("/none").status, 404);
    server.reload_http(&CONF.replace("location = /close", "location = /shut"));
    until("the new configuration", || server.api_get("nginx")["generation"] == 2);
    send(&server, "GET /refused HTTP/1.0\r\n\r\n").rest();
    await_causes(&server, &json!({ "upstream_refused": 2 }));
    assert_eq!(server.api_get("errors")["causes"]["not_found"]["total"], 1);
}

//! Invalid responses of upstreams, and local failures.

use std::io::{Read, Write};

use crate::harness::{
    Backend, Reply, Server, Setup, children, is_nginx, is_root, until, until_some,
};
use crate::proxy::proxied;

/// Two servers, the second of which is tried if the first fails.
fn with_backup(bad: &Backend, good: &Backend, conf: &str) -> Setup {
    Server::http(&format!(
        "upstream servers {{ server %bad% max_fails=1 fail_timeout=1h; server %good% backup; }}
         server {{ listen 127.0.0.1:%port%; {conf} }}"
    ))
    .set("bad", bad.address())
    .set("good", good.address())
}

#[test]
fn a_response_needs_a_status_line() {
    if is_nginx() {
        // nginx takes it for HTTP/0.9 and passes it on.
        return;
    }
    for head in [
        "hello\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        let bad = Backend::new(move |_| Reply::Last(format!("{head}secret").into_bytes()));
        let good = Backend::text("good");
        let server = with_backup(
            &bad,
            &good,
            "location / { proxy_pass http://servers; }
             location /alone { proxy_pass http://%bad%; }
             location /next { proxy_next_upstream invalid_header; proxy_pass http://servers; }",
        )
        .start();
        let response = server.get("/alone");
        assert_eq!(response.status, 502, "{head:?}");
        assert!(!response.text().contains("secret"));
        assert_eq!(server.text("/next"), "good", "{head:?}");
        server.wait_log("upstream sent no valid HTTP/1.0 header while reading response header");
        server.wait_log("upstream server temporarily disabled");
    }
}

#[test]
fn an_invalid_first_chunk_is_a_502() {
    if is_nginx() {
        // nginx has sent the head by then.
        return;
    }
    for body in [
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n",
        "5;a=\0\r\nhello\r\n",
        "5;a=\"b\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "fffffffffffffffff\r\nhello\r\n",
        "5\nhello\r\n",
        "\r\n",
    ] {
        let head = "HTTP/1.1 206 Part\r\nX-Of: it\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bad = Backend::new(move |_| Reply::Bytes(format!("{head}{body}").into_bytes()));
        let good = Backend::text("good");
        let server = with_backup(
            &bad,
            &good,
            "location / { proxy_pass http://%bad%; }
             location /page { error_page 502 = /own; proxy_pass http://%bad%; }
             location /own { return 200 own; }
             location /next { proxy_next_upstream invalid_header; proxy_pass http://servers; }",
        )
        .start();
        for (target, status) in [("/", 502), ("/page", 200)] {
            let response = server.get(target);
            assert_eq!((response.status, response.header("X-Of")), (status, None), "{body:?}");
        }
        server.wait_log("upstream sent invalid chunked response while reading response header");
        assert_eq!(server.text("/next"), "good");
        // No part of it is left on a reused connection.
        assert_eq!(bad.connections(), 3);
    }
}

#[test]
fn an_invalid_later_chunk_breaks_the_response() {
    if is_nginx() {
        // nginx accepts some of them.
        return;
    }
    for tail in ["5\nhello\r\n", "x\r\n", "0\r\nA: b\n\r\n", "5\r\nhelloX\n"] {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(Some(wait));
        let bad = Backend::new(move |_| {
            let wait = wait.lock().unwrap().take().unwrap();
            Reply::Custom(Box::new(move |stream| {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
                let _ = stream.write_all(head.as_bytes());
                // The rest is sent after the client has received the beginning.
                let _ = wait.recv();
                let _ = stream.write_all(tail.as_bytes());
                let _ = stream.read(&mut [0]);
            }))
        });
        let server = proxied(&bad, "location / { proxy_pass http://%backend%; }");
        let mut client = server.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status, 200);
        assert_eq!(client.take(10), b"5\r\nhello\r\n");
        go.send(()).unwrap();
        assert!(!client.rest().ends_with(b"0\r\n\r\n"), "{tail:?}");
        server.wait_log("upstream sent invalid chunked response");
    }
}

/// Limits a process to the descriptors it has, or lifts the limit again.
fn limit_descriptors(process: u32, limited: bool) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let maximum = line.split_whitespace().nth(4).and_then(|hard| hard.parse().ok());
    let entries = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let used: std::collections::BTreeSet<u64> = numbers.collect();
    let free = (0..).find(|number| !used.contains(number));
    let limit = Rlimit { current: if limited { free } else { maximum }, maximum };
    prlimit(Pid::from_raw(process as i32), Resource::Nofile, limit).unwrap();
}

#[test]
fn a_lack_of_descriptors_is_not_the_servers_failure() {
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    let server = Server::http(
        "upstream servers { server %one% max_fails=1 fail_timeout=1h;
             server %two% max_fails=1 fail_timeout=1h; }
         server {
             listen 127.0.0.1:%port%;
             location = /here { return 200 here; }
             location / { proxy_pass http://servers; }
         }",
    )
    .set("one", one.address())
    .set("two", two.address())
    // Without root, only the limits of own processes can be changed.
    .main(if is_root() { "user root;" } else { "" })
    .alerts_expected()
    .start();
    let worker = until_some("a worker", || children(server.pid()).first().copied());
    for _ in 0..4 {
        let mut client = server.client();
        assert_eq!(client.get("/here").text(), "here");
        limit_descriptors(worker, true);
        let response = client.get("/");
        assert_eq!((response.status, response.header("Connection")), (500, Some("close")));
        assert!(client.is_closed());
        limit_descriptors(worker, false);
    }
    assert_eq!((one.connections(), two.connections()), (0, 0));
    let found: Vec<_> = (0..2).map(|_| server.text("/")).collect();
    assert!(found.contains(&"one".to_owned()) && found.contains(&"two".to_owned()), "{found:?}");
    let log = server.error_log();
    assert!(log.contains("socket() failed (24: Too many open files) while connecting to upstream"));
    assert!(!log.contains("temporarily disabled"));
}

#[test]
fn an_unusable_source_address_is_not_the_servers_failure() {
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    // A documentation address (RFC 5737), which no host has.
    let server = Server::http(
        "log_format asked '$status $upstream_addr';
         upstream servers { server %one% max_fails=1 fail_timeout=1h;
             server %two% max_fails=1 fail_timeout=1h; }
         server {
             listen 127.0.0.1:%port%;
             location /bound { access_log %dir%/asked.log asked; proxy_bind 192.0.2.1;
                 proxy_pass http://servers; }
             location / { proxy_pass http://servers; }
         }",
    )
    .set("one", one.address())
    .set("two", two.address())
    .start();
    for _ in 0..4 {
        assert_eq!(server.get("/bound").status, 500);
    }
    let lines = server.wait_lines("asked.log", 4);
    assert!(lines.iter().all(|line| !line.contains(',')), "one attempt each: {lines:?}");
    let found: Vec<_> = (0..2).map(|_| server.text("/")).collect();
    assert!(found.contains(&"one".to_owned()) && found.contains(&"two".to_owned()), "{found:?}");
    server.wait_log("bind(192.0.2.1) failed (99: Cannot assign requested address)");
    assert!(!server.error_log().contains("temporarily disabled"));
}

#[test]
fn a_truncated_response_counts_if_configured() {
    let broken = || {
        Backend::new(|_| Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()))
    };
    let good = Backend::text("good");
    for counted in [false, true] {
        if counted && is_nginx() {
            continue;
        }
        let bad = broken();
        let directive = if counted { "proxy_count_broken on;" } else { "" };
        let conf = format!("{directive} location / {{ proxy_pass http://servers; }}");
        let server = with_backup(&bad, &good, &conf).start();
        let mut client = server.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status, 200);
        assert_eq!(client.rest(), b"half");
        if counted {
            server.wait_log("upstream server temporarily disabled while reading upstream");
            assert_eq!(server.text("/"), "good");
        } else {
            let mut client = server.client();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.head().status, 200);
            assert_eq!(client.rest(), b"half");
        }
        assert_eq!(bad.connections(), if counted { 1 } else { 2 });
    }
}

#[test]
fn files_that_cannot_be_written_are_named() {
    let big: Vec<u8> = (0..4_u32 << 20).map(|number| (number % 251) as u8).collect();
    let body = big.clone();
    let backend = Backend::new(move |_| Reply::ok(&body));
    let server = Server::http(
        "client_body_buffer_size 1k;
         server { listen 127.0.0.1:%port%;
             client_body_temp_path %dir%/request 1 2; proxy_temp_path %dir%/response 1 2;
             proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k;
             location / { proxy_pass http://%backend%; }
             location /filtered { proxy_pass http://%backend%; addition_types *;
                 add_after_body /end; }
             location /end { return 200 end; } }",
    )
    .set("backend", backend.address())
    .start();
    // A missing folder fails like a full disk.
    for folder in ["request", "response"] {
        std::fs::remove_dir_all(server.directory().join(folder)).unwrap();
    }
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send_if_wanted(vec![b'x'; 100_000]);
    assert_eq!(client.response().status, 500);
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let named = |folder: &str| {
        let open = format!("{}/", server.directory().join(folder).display());
        let log = server.error_log();
        let mut lines = log.lines().filter(|line| line.contains("[crit]"));
        lines.any(|line| line.contains(&open) && line.contains("() \"") && line.contains("(2: No"))
    };
    until("both names in the error log", || named("request") && named("response"));
    let log = server.error_log();
    let line =
        log.lines().find(|line| line.contains("/response/") && line.contains("(2: ")).unwrap();
    assert!(line.contains("while reading upstream, client: 127.0.0.1"), "{line}");
    // nginx breaks off; Weir goes on at the client's pace.
    if !is_nginx() {
        assert!(client.response().body == big);
        let filtered = server.get("/filtered").body;
        assert!(filtered.strip_suffix(b"end").is_some_and(|body| body == big));
    }
}

//! Conditional and range requests for responses of upstreams.

use crate::harness::{Backend, Reply, Server};

#[test]
fn conditions_are_left_to_an_upstream() {
    let fields = "ETag: \"v2\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
    let backend = Backend::new(move |seen| match seen.target() {
        "/bare" => Reply::ok("done"),
        _ => Reply::with("200 OK", fields, "done"),
    });
    let server = Server::server(
        "location / { proxy_pass http://%backend%; }
         location = /page { error_page 404 = /tagged; }
         location = /stored { proxy_pass http://%backend%/tagged; proxy_store on; root %dir%/html; }",
    )
    .set("backend", backend.address())
    .start();
    for condition in [
        "If-Match: \"v1\"",
        "If-Match: \"v2\"",
        "If-None-Match: \"v2\"",
        "If-None-Match: *",
        "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
        "If-Unmodified-Since: Mon, 01 Jan 2020 00:00:00 GMT",
        "Range: bytes=0-1",
    ] {
        for target in ["/tagged", "/bare", "/page", "/stored"] {
            for (method, body) in [("GET", ""), ("PUT", "body")] {
                if method == "PUT" && target == "/page" {
                    continue;
                }
                let answer = server.ask(format!(
                    "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{condition}\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                ));
                let got = (answer.status, answer.text());
                let status = if target == "/page" { 404 } else { 200 };
                assert_eq!(got.1, "done", "{method} {target} {condition}: {}", answer.head);
                assert!(got.0 == 200 || got.0 == status, "{method} {target} {condition}");
            }
        }
    }
    assert_eq!(backend.last().body, b"body");
}

#[test]
fn conditions_are_applied_to_files() {
    let server = Server::server("location / { }").file("html/file", "text").start();
    let tag = server.get("/file").header("ETag").unwrap().to_owned();
    let status = |line: &str| server.get_with("/file", &format!("{line}\r\n")).status;
    assert_eq!(status("If-Match: \"other\""), 412);
    assert_eq!(status(&format!("If-Match: {tag}")), 200);
    assert_eq!(status(&format!("If-None-Match: {tag}")), 304);
    assert_eq!(status("If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT"), 412);
    assert_eq!(status("Range: bytes=1-2"), 206);
}

#[test]
fn ranges_of_an_upstream_are_cut_only_if_forced() {
    let backend = Backend::new(|_| Reply::with("200 OK", "Accept-Ranges: bytes\r\n", "0123456789"));
    let server = Server::server(
        "location / { proxy_pass http://%backend%; }
         location /forced { proxy_pass http://%backend%; proxy_force_ranges on; }
         location /changed { proxy_pass http://%backend%; sub_filter 5 five; sub_filter_types *; }
         location /zipped { proxy_pass http://%backend%; gzip on; gzip_types *; gzip_min_length 1;
            gzip_proxied any; gzip_http_version 1.0; }",
    )
    .set("backend", backend.address())
    .start();
    let ask = |target: &str, line: &str| {
        let answer = server.get_with(target, line);
        (answer.status, answer.text(), answer.header("Accept-Ranges").map(str::to_owned))
    };
    let bytes = Some("bytes".to_owned());
    let whole = "0123456789".to_owned();
    assert_eq!(ask("/", "Range: bytes=2-3\r\n"), (200, whole, bytes.clone()));
    assert_eq!(ask("/forced", "Range: bytes=2-3\r\n"), (206, "23".into(), None));
    let changed = "01234five6789".to_owned();
    assert_eq!(ask("/changed", "Range: bytes=2-3\r\n"), (200, changed, bytes));
    let zipped = ask("/zipped", "Accept-Encoding: gzip\r\nRange: bytes=2-3\r\n");
    assert_eq!((zipped.0, zipped.2), (200, None));
}

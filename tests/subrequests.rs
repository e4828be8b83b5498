//! Subrequests: their methods, ends and limits.

use std::fmt::Write;
use std::sync::{Arc, Barrier};

use crate::harness::{Backend, Client, Reply, Server, children, is_nginx, memory};

/// The methods of all requests for `target`.
fn methods(backend: &Backend, target: &str) -> Vec<String> {
    let seen = backend.seen();
    let same = seen.iter().filter(|seen| seen.target() == target);
    same.map(|seen| seen.line.split(' ').next().unwrap().to_owned()).collect()
}

fn ask(server: &Server, method: &str, target: &str) -> Client {
    let mut client = server.client();
    let body = if method == "POST" { "Content-Length: 3\r\n\r\nabc" } else { "\r\n" };
    client.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{body}"
    ));
    client
}

#[test]
fn subrequests_use_get_and_mirrors_the_clients_method() {
    let backend = Backend::new(|seen| Reply::ok(seen.line.split(' ').next().unwrap()));
    let server = Server::server(
        r#"
        location /guarded { auth_request /auth; proxy_pass http://%backend%; }
        location /mirrored { mirror /mirror; proxy_pass http://%backend%; }
        location /added { add_after_body /added-to; addition_types *; proxy_pass http://%backend%; }
        location /paged { error_page 404 = /included; return 404; }
        location /auth { proxy_pass http://%backend%; proxy_pass_request_body off;
            proxy_set_header Content-Length ""; }
        location /included { add_after_body /method; addition_types *; return 200 "page "; }
        location = /method { return 200 $request_method; }
        location / { proxy_pass http://%backend%; }
        "#,
    )
    .set("backend", backend.address())
    .start();
    for method in ["GET", "HEAD", "POST"] {
        let answer = ask(&server, method, "/guarded").try_response(method == "HEAD").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(methods(&backend, "/auth"), ["GET"], "{method}");
        assert_eq!(methods(&backend, "/guarded"), [method]);
        backend.forget();
        ask(&server, method, "/mirrored").try_response(method == "HEAD").unwrap();
        backend.wait(1);
        assert_eq!(methods(&backend, "/mirror"), [method]);
        backend.forget();
    }
    assert_eq!(ask(&server, "POST", "/added").response().text(), "POSTGET");
    // A subrequest has the current variables of its main request.
    assert_eq!(ask(&server, "POST", "/paged").response().text(), "page GET");
}

#[test]
fn a_client_abort_ends_the_subrequest() {
    let backend = Backend::new(|seen| match seen.target() {
        "/free" => Reply::ok("done"),
        _ => Reply::hold(),
    });
    let server = Server::http(
        r#"
        log_format f "$status $request_uri";
        server {
            listen 127.0.0.1:%port%;
            access_log %dir%/access.log f;
            location /guarded { auth_request /auth; proxy_pass http://%backend%; }
            location /auth { proxy_pass http://%backend%; }
        }
        "#,
    )
    .set("backend", backend.address())
    .start();
    let client = ask(&server, "GET", "/guarded");
    backend.wait(0);
    drop(client);
    assert_eq!(server.wait_lines("access.log", 1), ["499 /guarded"]);
    server.wait_log("client prematurely closed connection, so upstream connection is closed too");
    assert_eq!(methods(&backend, "/guarded"), [""; 0]);
}

#[test]
fn recursive_includes_are_limited() {
    let mut flat = String::new();
    for n in 0..500 {
        let _ = write!(flat, "<!--# include virtual=\"/small?{n}\" -->");
    }
    let twice = "<!--# include virtual=\"/twice\" --><!--# include virtual=\"/twice\" -->";
    let server = Server::server("location / { ssi on; ssi_types *; }")
        .file("html/flat", flat)
        .file("html/small", "s")
        .file("html/once", "(<!--# include virtual=\"/once\" -->)")
        .file("html/twice", twice)
        .start();
    assert_eq!(server.text("/flat"), "s".repeat(500));
    let once = server.text("/once");
    assert!(once.starts_with("((((") && once.contains("an error occurred"), "{once}");
    server.wait_log("subrequests cycle while processing \"/once\"");
    if is_nginx() {
        return;
    }
    let worker = children(server.pid())[0];
    let before = memory(worker);
    assert!(server.text("/twice").contains("an error occurred"));
    server.wait_log("too many subrequests while processing \"/twice\"");
    let grown = memory(worker).saturating_sub(before);
    assert!(grown < 128 * 1024, "{grown} KiB more");
}

#[test]
fn a_truncated_include_does_not_abort_the_page() {
    let backend = Backend::new(|seen| match seen.target() {
        "/length" => Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart".to_vec()),
        "/chunked" => Reply::Last(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n".to_vec(),
        ),
        "/empty" => Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec()),
        "/whole" => Reply::ok("whole"),
        "/nested" => Reply::ok("[<!--#include virtual=\"/chunked\" -->]"),
        "/set" => {
            Reply::ok("<!--#include virtual=\"/chunked\" set=\"x\" -->=<!--#echo var=\"x\" -->")
        }
        target => Reply::ok(format!(
            "a<!--#include virtual=\"/{}\" -->b<!--#include virtual=\"/whole\" -->c",
            target.rsplit('/').next().unwrap()
        )),
    });
    let server = Server::server(
        r#"
        ssi on; ssi_types *;
        location /added { add_after_body /length; addition_types *; return 200 "page "; }
        location / { proxy_pass http://%backend%; }
        "#,
    )
    .set("backend", backend.address())
    .start();
    for (target, page) in [
        ("/page/length", "apartbwholec"),
        ("/page/chunked", "apartbwholec"),
        ("/page/empty", "abwholec"),
        ("/page/nested", "a[part]bwholec"),
        ("/page/set", "a=partbwholec"),
        ("/added", "page part"),
    ] {
        let answer = ask(&server, "GET", target).response();
        assert_eq!((answer.status, answer.text().as_str()), (200, page), "{target}");
    }
}

/// The answer to the last include waits until the client has what stands before it. Parts shorter
/// than `postpone_output` wait for more, as in nginx.
#[test]
fn the_parts_of_a_page_do_not_wait_for_the_next_include() {
    const PAGE: &str =
        "first<!--#include virtual=\"/fast\" -->second<!--#include virtual=\"/slow\" -->end";
    let long = "0123456789".repeat(300);
    for (more, first) in [("postpone_output 0;", "first"), ("sub_filter first first;", &*long)] {
        let page = PAGE.replace("first", first);
        let seen = Arc::new(Barrier::new(2));
        let (waits, sent) = (Arc::clone(&seen), page.clone());
        let backend = Backend::new(move |request| match request.target() {
            "/fast" => Reply::ok("fast"),
            "/slow" => {
                waits.wait();
                Reply::ok("slow")
            }
            _ => Reply::with("200 OK", "Content-Type: text/html\r\n", &sent),
        });
        let server = Server::server(&format!(
            "ssi on; {more} location / {{ proxy_pass http://%a%; }}
             location = /file.html {{ root %dir%; types {{ text/html html; }} }}"
        ))
        .set("a", backend.address())
        .file("file.html", &page)
        .start();
        let before = format!("{first}fastsecond");
        for target in ["/page", "/file.html"] {
            let mut client = server.client();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(client.head().status, 200);
            let mut body = Vec::new();
            // With a long first part, the short one behind it may wait.
            while body.len() < first.len() {
                body.extend(client.take_chunk());
            }
            assert!(before.as_bytes().starts_with(&body));
            seen.wait();
            let whole = format!("{before}slowend");
            while body.len() < whole.len() {
                body.extend(client.take_chunk());
            }
            assert_eq!(String::from_utf8(body).unwrap(), whole);
        }
    }
}

/// A subrequest that closes the connection without a response does so for the whole request, with
/// its status.
#[test]
fn a_subrequest_without_a_response_closes_the_connection() {
    let server = Server::http(
        r#"
        log_format statuses "$request_uri $status $bytes_sent";
        server { listen 127.0.0.1:%port%; access_log %dir%/statuses statuses;
        location = /none { return 444; }
        location = /page { add_before_body /none; addition_types *; return 200 "page "; }
        location = /asks { auth_request /none; alias %dir%/html/a; }
        location = /nested { ssi on; ssi_types *; alias %dir%/html/outer; }
        location = /inner { ssi on; ssi_types *; alias %dir%/html/inner; }
        }"#,
    )
    .file("html/a", "a")
    .file("html/outer", "<!--# include virtual=\"/inner\" -->")
    .file("html/inner", "<!--# include virtual=\"/none\" -->")
    .start();
    for (at, target) in ["/page", "/asks", "/nested"].into_iter().enumerate() {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(client.is_closed(), "{target}");
        assert_eq!(server.wait_lines("statuses", at + 1)[at], format!("{target} 444 0"));
    }
    assert!(!server.error_log().contains("client prematurely closed"));
}

//! Malformed heads: the responding server, its error page, variables and logs.

use crate::harness::{Backend, Server, until};

const REST: &str = "Host: second\r\nConnection: close\r\n\r\n";

#[test]
fn an_error_page_sees_a_get_and_no_uri() {
    let server = Server::server(
        r#"
        large_client_header_buffers 2 1k;
        error_page 400 405 414 494 501 505 /page;
        if ($request_method !~ ^(GET|HEAD|POST)$) { return 405; }
        location = /page { return 200 "$status $request_method [$request_uri] [$uri]"; }
        "#,
    )
    .start();
    let long = "a".repeat(2000);
    for (head, answer) in [
        (format!("get / HTTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        (format!("G(T / HTTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        ("GET\r\n\r\n".to_owned(), "400 GET [] [/page]"),
        (format!("GET / HTTP/1.1x\r\n{REST}"), "400 GET [] [/page]"),
        (format!("PUT / HTTP/9.1\r\n{REST}"), "505 GET [] [/page]"),
        (format!("GET / FTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        (format!("GET x HTTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        (format!("GET /../ HTTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        (format!("PUT /%zz HTTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        (format!("GET /%00 HTTP/1.1\r\n{REST}"), "400 GET [] [/page]"),
        (format!("GET /{long} HTTP/1.1\r\n{REST}"), "414 GET [] [/page]"),
        (format!("POST /x HTTP/1.1\r\nX: {long}\r\n{REST}"), "400 GET [/x] [/page]"),
        ("GET /x HTTP/1.1\r\n\r\n".to_owned(), "400 GET [/x] [/page]"),
        ("GET /x HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), "400 GET [/x] [/page]"),
        (format!("PUT /x HTTP/1.1\r\n{REST}"), "405 GET [/x] [/page]"),
    ] {
        let got = server.ask(&head);
        let shown = head.lines().next().unwrap();
        assert_eq!(got.text(), answer, "{}", &shown[..shown.len().min(40)]);
        assert_eq!(got.status.to_string(), answer[..3], "{}", got.head);
    }
}

#[test]
fn of_two_faults_the_one_in_the_line_counts() {
    let server = Server::server("location / { return 200; }").start();
    for fault in ["Transfer-Encoding: identity\r\n", "Host: b\r\n", "A b: c\r\n"] {
        let head = format!("GET /%00 HTTP/1.1\r\nHost: a\r\n{fault}\r\n");
        assert_eq!(server.ask(head).status, 400, "{fault}");
    }
    assert_eq!(server.ask("TRACE /../ HTTP/1.1\r\nHost: a\r\n\r\n").status, 400);
    until("four lines", || {
        let line = "client sent invalid request while reading client request line";
        server.error_log().matches(line).count() == 4
    });
}

#[test]
fn http_0_9_has_bodies_only() {
    let server = Server::server("location / { return 200 body; }").start();
    for (line, body) in [("GET /", "body"), ("HEAD /", "400 Bad Request")] {
        let mut client = server.client();
        client.send(format!("{line}\r\n"));
        let text = String::from_utf8(client.rest()).unwrap();
        assert!(text.contains(body) && !text.contains("HTTP/1.1"), "{line}: {text}");
    }
}

#[test]
fn an_invalid_target_goes_to_the_default_server() {
    let format = "$server_name $status $request_method [$request] $request_uri $uri $args \
                  $server_protocol $http_host $host $request_length";
    let server = Server::http(&format!(
        r#"
        log_format f "{format}";
        server {{ listen 127.0.0.1:%port% default_server; server_name first;
            access_log %dir%/access.log f;
            error_page 400 /page; location = /page {{ return 200 first; }} }}
        server {{ listen 127.0.0.1:%port%; server_name second;
            access_log %dir%/access.log f;
            error_page 400 /page; location = /page {{ return 200 second; }} }}
        "#
    ))
    .start();
    for target in ["/../", "/%zz", "/a/../../b"] {
        let answer = server.ask(format!("GET {target} HTTP/1.1\r\n{REST}"));
        assert_eq!((answer.status, answer.text()), (400, "first".to_owned()), "{target}");
    }
    assert_eq!(server.ask(format!("GET /page HTTP/1.1\r\n{REST}")).text(), "second");
    let lines = server.wait_lines("access.log", 4);
    assert_eq!(lines[0], "first 400 GET [GET /../ HTTP/1.1] - /page - HTTP/1.1 - first 19");
    assert_eq!(
        lines[3],
        "second 200 GET [GET /page HTTP/1.1] /page /page - HTTP/1.1 second second 55"
    );
    assert!(!server.error_log().contains("server: second"));
}

#[test]
fn missing_values_are_logged_as_a_dash() {
    let format = "$request_method|$request_uri|$uri|$args|$query_string|$arg_x|$is_args|\
                  $server_protocol|$request_port|$is_request_port|$http_host|$content_length";
    let server = Server::http(&format!(
        "log_format f '{format}'; server {{ listen 127.0.0.1:%port%; access_log %dir%/access.log f;
         location / {{ return 200 text; }} }}"
    ))
    .start();
    let cases = [
        ("GET /a HTTP/1.0\r\n\r\n", "GET|/a|/a|-|-|-||HTTP/1.0|||-|-"),
        ("GET /a? HTTP/1.0\r\nHost: h:8\r\n\r\n", "GET|/a?|/a|-|-|-||HTTP/1.0|8|:|h:8|-"),
        ("GET /a?x= HTTP/1.0\r\n\r\n", "GET|/a?x=|/a|x=|x=||?|HTTP/1.0|||-|-"),
        ("GET /a\r\n", "GET|/a|/a|-|-|-||-|||-|-"),
        ("get /a HTTP/1.0\r\n\r\n", "-|-|-|-|-|-||-|||-|-"),
        ("GET /a HTTP/9.9\r\n\r\n", "-|-|-|-|-|-|||||-|-"),
    ];
    for (at, (head, line)) in cases.iter().enumerate() {
        let mut client = server.client();
        client.send(head);
        client.rest();
        assert_eq!(&server.wait_lines("access.log", at + 1)[at], line, "{head}");
    }
}

/// TRACE is refused, but its head is sound: what answers in place of it gets its body, as in nginx.
#[test]
fn the_body_of_trace_goes_to_the_error_page() {
    let backend = Backend::text("page");
    let server = Server::server(
        "error_page 405 =200 /page;
        location / { return 200; }
        location = /page { proxy_pass http://%backend%; }",
    );
    let server = server.set("backend", backend.address()).start();
    let chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
    for framing in ["Content-Length: 5\r\n\r\nabcde", chunked] {
        let got = server.ask(format!("TRACE /x HTTP/1.1\r\nHost: a\r\n{framing}"));
        assert_eq!((got.status, got.text()), (200, "page".into()), "{}", got.head);
        assert_eq!(got.header("Connection"), Some("close"));
    }
    for seen in backend.seen() {
        assert_eq!((&*seen.line, &*seen.body), ("GET /page HTTP/1.1", &b"abcde"[..]));
    }
    assert_eq!(backend.seen().len(), 2);
    until("two lines", || {
        let line = "client sent TRACE method while reading client request headers";
        server.error_log().matches(line).count() == 2
    });
}

//! Requests to upstreams, byte by byte: the end of a body, and the bytes of a URI.

use std::io::Read;
use std::net::TcpListener;

use crate::harness::{Backend, Reply, Seen, Server, is_nginx};
use crate::proxy::proxied;

/// Framings of the body `hello`, and of no body.
const CLIENTS: [(&str, &str); 3] = [
    ("POST %t HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "hello"),
    (
        "POST %t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
    ),
    ("GET %t HTTP/1.1\r\nHost: a\r\n\r\n", ""),
];

/// Sends a request whose body follows after its head has been read, and returns the request seen by
/// the upstream.
fn upload(server: &Server, backend: &Backend, target: &str, (head, body): (&str, &str)) -> Seen {
    backend.forget();
    let mut client = server.client();
    client.send(head.replace("%t", target));
    // The head has arrived by now: a later connection has been served.
    assert_eq!(server.get("/here").text(), "here");
    client.send(body);
    let response = client.response();
    assert_eq!(response.status, 200, "{target} {head:?}");
    // The next request on the same upstream connection is intact.
    assert_eq!(client.get("/mark").status, 200);
    let seen = backend.seen();
    assert_eq!(seen.len(), 2, "{target} {head:?}: {seen:?}");
    assert_eq!((seen[1].line.as_str(), seen[1].body.len()), ("GET /mark HTTP/1.1", 0));
    seen[0].clone()
}

#[test]
fn a_chunked_upload_to_http_1_0_gets_a_length() {
    let backend = Backend::new(|_| Reply::ok("ok"));
    let server = proxied(
        &backend,
        "location = /here { return 200 here; }
         location /mark { proxy_http_version 1.1; proxy_pass http://%backend%; }
         location / { proxy_request_buffering off; proxy_http_version 1.0;
             proxy_pass http://%backend%; }",
    );
    let seen = upload(&server, &backend, "/", CLIENTS[1]);
    assert_eq!(seen.line, "POST / HTTP/1.0");
    assert_eq!((seen.header("Content-Length"), &*seen.body), (Some("5"), &b"hello"[..]));
    assert_eq!(seen.header("Transfer-Encoding"), None);
}

#[test]
fn framing_fields_are_correct_whatever_is_set() {
    if is_nginx() {
        // nginx sends the configured fields.
        return;
    }
    let sets = [
        ("", "hello"),
        ("proxy_pass_request_body off;", ""),
        ("proxy_set_body given;", "given"),
        ("proxy_set_body '';", ""),
        ("proxy_set_header Content-Length '';", "hello"),
        ("proxy_set_header Content-Length 3;", "hello"),
        ("proxy_set_header content-length $http_content_length;", "hello"),
        ("proxy_set_header Content-Length $content_length; proxy_pass_request_body off;", ""),
        ("proxy_set_header Content-Length 3; proxy_set_header Content-Length 4;", "hello"),
        ("proxy_set_header Transfer-Encoding chunked;", "hello"),
        ("proxy_set_header Transfer-Encoding '';", "hello"),
        ("proxy_set_header Transfer-Encoding $http_transfer_encoding;", "hello"),
        ("proxy_set_header Transfer-Encoding chunked; proxy_pass_request_body off;", ""),
        ("proxy_set_header Connection keep-alive;", "hello"),
        ("proxy_method GET;", "hello"),
        ("proxy_pass_request_headers off;", "hello"),
    ];
    let mut conf = "location = /here { return 200 here; }
                    location /mark { proxy_pass http://backend; }\n"
        .to_owned();
    let mut cases = Vec::new();
    for version in ["1.0", "1.1"] {
        for buffering in ["on", "off"] {
            for (set, body) in sets {
                let target = format!("/{}", cases.len());
                conf += &format!(
                    "location = {target} {{ proxy_http_version {version};
                     proxy_request_buffering {buffering}; {set} proxy_pass http://backend; }}\n"
                );
                cases.push((target, body));
            }
        }
    }
    let backend = Backend::new(|_| Reply::ok("ok"));
    let server = Server::http(&format!(
        "upstream backend {{ server %backend%; keepalive 4; }}
         server {{ listen 127.0.0.1:%port%;\n{conf} }}"
    ))
    .set("backend", backend.address())
    .start();
    for (target, body) in cases {
        for (client, sent) in CLIENTS.into_iter().zip(["hello", "hello", ""]) {
            let seen = upload(&server, &backend, &target, client);
            let expected = if body == "hello" { sent } else { body };
            assert_eq!(seen.body, expected.as_bytes(), "{target} {seen:?}");
            let lengths = seen.headers.iter().filter(|(name, _)| {
                ["content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase())
            });
            assert!(lengths.count() <= 1, "{target} {seen:?}");
        }
    }
}

/// A server that reads the first data of each connection and closes, repeatedly.
fn breaking() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut seen = Vec::new();
            while !seen.ends_with(b"abc\r\n") {
                let mut byte = [0];
                if !matches!(stream.read(&mut byte), Ok(1)) {
                    break;
                }
                seen.push(byte[0]);
            }
        }
    });
    address
}

#[test]
fn a_consumed_body_is_not_announced_again() {
    if is_nginx() {
        // nginx announces a body that it no longer has, and waits.
        return;
    }
    let backend = Backend::text("second");
    let server = Server::server(
        "proxy_request_buffering off;
         location = /first { error_page 502 = /second; proxy_pass http://%breaking%; }
         location = /named { error_page 502 = @second; proxy_pass http://%breaking%; }
         location / { proxy_pass http://%backend%; }
         location @second { proxy_pass http://%backend%; }",
    )
    .set("breaking", breaking())
    .set("backend", backend.address())
    .start();
    for (target, line, length) in
        [("/first", "GET /second HTTP/1.1", None), ("/named", "POST /named HTTP/1.1", Some("0"))]
    {
        let mut client = server.client();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        ));
        assert_eq!(client.response().status, 200, "{target}");
        let seen = backend.last();
        assert_eq!((seen.line.as_str(), seen.header("Transfer-Encoding")), (line, None));
        assert!(seen.header("Content-Length") == length || target == "/first", "{seen:?}");
    }
}

#[test]
fn an_unsent_body_goes_to_the_next_server() {
    if is_nginx() {
        // nginx announces the whole body and sends the rest.
        return;
    }
    let backend = Backend::text("second");
    let server = Server::server(
        "proxy_request_buffering off;
         location / { error_page 502 = @second; proxy_pass http://127.0.0.1:%portnobody%; }
         location @second { proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .start();
    for (framing, first, second) in [
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"),
        ("Content-Length: 6", "abc", "def"),
    ] {
        let mut client = server.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{first}"));
        server.wait_log("Connection refused");
        client.send(second);
        assert_eq!(client.response().text(), "second");
        assert_eq!(backend.last().body, b"abcdef");
    }
}

#[test]
fn a_method_from_variables_is_one_word() {
    let backend = Backend::echo();
    let server = proxied(
        &backend,
        "location / { proxy_method $http_x_method; proxy_pass http://%backend%; }",
    );
    server.get_with("/", "X-Method: PURGE\r\n");
    assert_eq!(backend.last().line, "PURGE / HTTP/1.1");
    if !is_nginx() {
        assert_eq!(server.get_with("/", "X-Method: GET /admin HTTP/1.1\r\n").status, 400);
        server.get("/");
        assert_eq!(backend.last().line, "GET / HTTP/1.1");
    }
}

/// The upstream targets that a server makes of `target`.
fn passed(server: &Server, backend: &Backend, target: &[u8]) -> Vec<u8> {
    let head = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
    assert_eq!(server.ask(head).status, 200, "{}", target.escape_ascii());
    let head = backend.last().head;
    let line = head.split(|&byte| byte == b'\r').next().unwrap();
    line[4..line.len() - b" HTTP/1.1".len()].to_vec()
}

#[test]
fn a_uri_is_bytes() {
    let backend = Backend::echo();
    let server = Server::http(
        "log_format uri escape=none '$request_uri';
         map $uri $copy { default $uri; }
         server {
             listen 127.0.0.1:%port%;
             location /raw { proxy_pass http://%backend%$request_uri; }
             location /v/ { set $there http://%backend%; proxy_pass $there$uri$is_args$args; }
             location /args { proxy_pass http://%backend%/x?$args; }
             location /map/ { proxy_pass http://%backend%$copy; }
             location /re/ { rewrite ^/re/(.*)$ /to/$1 break; proxy_pass http://%backend%; }
             location /set { proxy_set_header X-Uri $uri; proxy_pass http://%backend%/; }
         }",
    )
    .set("backend", backend.address())
    .start();
    for (target, expected) in [
        (&b"/raw/\xff\xfe?\x80"[..], &b"/raw/\xff\xfe?\x80"[..]),
        (b"/v/%FF%FE", b"/v/\xff\xfe"),
        (b"/v/\xc3\xa9?\xe9", b"/v/\xc3\xa9?\xe9"),
        (b"/args?\xff=%FF", b"/x?\xff=%FF"),
        (b"/map/%E9", b"/map/\xe9"),
        (b"/re/%E9\xff", b"/to/%E9%FF"),
    ] {
        let found = passed(&server, &backend, target);
        assert_eq!(found, expected, "{} -> {}", target.escape_ascii(), found.escape_ascii());
    }
    passed(&server, &backend, b"/set/%E9");
    let head = backend.last().head;
    assert!(
        head.windows(14).any(|bytes| bytes == b"X-Uri: /set/\xe9\r"),
        "{}",
        head.escape_ascii()
    );
}

#[test]
fn the_error_log_escapes_bytes() {
    let server = Server::server("location / { proxy_pass http://127.0.0.1:%portnobody%; }").start();
    for target in [&b"/\xff"[..], b"/\xfe"] {
        let head = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat();
        assert_eq!(server.ask(head).status, 502);
    }
    if !is_nginx() {
        // nginx writes them unescaped.
        server.wait_log("request: \"GET /\\xFF HTTP/1.1\"");
        server.wait_log("/\\xFE\", host: \"a\"");
    }
}

#[test]
fn a_uri_is_escaped_only_as_by_the_client() {
    let backend = Backend::echo();
    let server = proxied(
        &backend,
        "location /a/ { proxy_pass http://%backend%/b/; }
         location /r/ { rewrite ^/r/(.*)$ /a/$1 last; }",
    );
    for (target, expected) in [
        (&b"/a/{x}|y^z"[..], &b"/b/{x}|y^z"[..]),
        (b"/a/\xc3\xa9\xff\"<>`\\", b"/b/\xc3\xa9\xff\"<>`\\"),
        (b"/a/%7Bx%7D|\xff", b"/b/%7Bx%7D%7C%FF"),
        (b"/a/{x}?%7B|\xff", b"/b/{x}?%7B|\xff"),
        (b"/a/./{x}", b"/b/{x}"),
        (b"/r/{x}", b"/b/%7Bx%7D"),
    ] {
        let found = passed(&server, &backend, target);
        assert_eq!(found, expected, "{} -> {}", target.escape_ascii(), found.escape_ascii());
    }
}

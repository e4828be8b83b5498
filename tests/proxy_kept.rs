//! Reuse of upstream connections: no end of a response may leak into the next request.

use std::io::{Read, Write};

use crate::harness::{Backend, Reply, Seen, Server, is_nginx};

/// The response that an attacker would inject.
const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Forged: 1\r\n\r\nforged";

/// Responses with odd ends; the text after a `|` follows the end.
const ENDS: &[(&str, &str)] = &[
    ("length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok|"),
    ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n|"),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n|",
    ),
    ("none", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n|"),
    ("204", "HTTP/1.1 204 No Content\r\n\r\n|"),
    ("204-length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n|hello"),
    ("304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n|"),
    ("304-body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n|hello"),
    (
        "interim",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok|",
    ),
    ("old", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok|"),
    ("old-kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok|"),
    ("close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok|"),
    ("bare", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok|"),
    ("both", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n|"),
    ("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n|"),
    ("size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n|"),
    ("control", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n|"),
];

fn answer(seen: &Seen, sends_more: bool) -> Reply {
    let name = &seen.target()[1..];
    let Some((_, text)) = ENDS.iter().find(|(known, _)| *known == name) else {
        return Reply::ok(seen.target());
    };
    let (response, behind) = text.split_once('|').unwrap();
    let forged = if sends_more { FORGED } else { "" };
    // Some servers send a body in response to HEAD.
    Reply::Bytes(format!("{response}{behind}{forged}").into_bytes())
}

#[test]
fn odd_ends_do_not_affect_the_next_request() {
    for sends_more in [false, true] {
        let backend = Backend::new(move |seen| answer(seen, sends_more));
        let server = Server::http(
            "upstream servers { server %backend% max_fails=0; keepalive 1; }
             proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Upgrade '';
             server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; }
                 location /off/ { proxy_buffering off; proxy_request_buffering off;
                     proxy_pass http://servers/; }
                 location /gzip/ { gzip on; gzip_min_length 0; gzip_types *; proxy_pass_trailers on;
                     proxy_pass http://servers/; } }",
        )
        .set("backend", backend.address())
        .start();
        for prefix in ["/", "/off/", "/gzip/"] {
            for (name, _) in ENDS {
                for method in ["GET", "HEAD", "POST"] {
                    // nginx waits after several interim responses at once.
                    let own = ["101", "interim"].contains(name) || sends_more && *name == "size";
                    if is_nginx() && own {
                        continue;
                    }
                    let mut client = server.client();
                    client.send(format!(
                        "{method} {prefix}{name} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\
                         Accept-Encoding: gzip\r\nConnection: close\r\n\r\nhi"
                    ));
                    let case = format!("{method} {prefix}{name} {sends_more}");
                    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
                    assert!(!rest.contains("orged"), "{case}: {rest}");
                    let next = server.get("/next");
                    assert_eq!((next.status, next.text().as_str()), (200, "/next"), "{case}");
                    assert_eq!(next.header("X-Forged"), None, "{case}");
                }
            }
        }
    }
}

#[test]
fn an_early_response_leaves_nothing_of_the_upload() {
    // Responds after part of an upload and takes the rest for a request.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..count]);
                    while let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                        let line = String::from_utf8_lossy(&seen).lines().next().map(str::to_owned);
                        let _ = told.send(line.unwrap_or_default());
                        seen.drain(..end + 4);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                }
            });
        }
    });
    let server = Server::http(
        "upstream servers { server %backend%; keepalive 4; }
         proxy_http_version 1.1; proxy_set_header Connection '';
         server { listen 127.0.0.1:%port%; location / { proxy_request_buffering off;
             proxy_pass http://servers; } }",
    )
    .set("backend", address)
    .start();
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut client = server.client();
        client.send(format!("POST /early HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        assert_eq!(client.response().text(), "ok");
        client.send_if_wanted(
            "3a\r\nGET /forged HTTP/1.1\r\nHost: a\r\n\r\nGET /forged HTTP/1.1\r\n\r\n",
        );
        assert_eq!(server.text("/next"), "ok");
        assert_eq!(lines.recv().unwrap(), "POST /early HTTP/1.1");
        assert_eq!(lines.recv().unwrap(), "GET /next HTTP/1.1", "{framing}");
    }
}

/// A response to HEAD has no body: what a server sends in its place must not answer the next request.
#[test]
fn a_body_that_follows_a_head_response_answers_no_other_request() {
    for late in [false, true] {
        let (sent, wait) = std::sync::mpsc::channel();
        let (go, begins) = std::sync::mpsc::channel::<()>();
        let begins = std::sync::Mutex::new(Some(begins));
        let backend = Backend::new(move |seen| {
            if !seen.line.starts_with("HEAD ") {
                return Reply::ok("right");
            }
            let (sent, begins) = (sent.clone(), begins.lock().unwrap().take().unwrap());
            Reply::Custom(Box::new(move |stream| {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 72\r\n\r\n";
                if late {
                    stream.write_all(head.as_bytes()).unwrap();
                    begins.recv().unwrap();
                    stream.write_all(FORGED.as_bytes()).unwrap();
                } else {
                    stream.write_all(format!("{head}{FORGED}").as_bytes()).unwrap();
                }
                sent.send(()).unwrap();
                // Ends with the connection.
                let _ = stream.read(&mut [0; 1]);
            }))
        });
        let server = Server::http(
            "upstream servers { server %backend%; keepalive 4; }
             proxy_http_version 1.1; proxy_set_header Connection '';
             server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; } }",
        )
        .set("backend", backend.address())
        .start();
        let mut client = server.client();
        client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.head_response().header("Content-Length"), Some("72"));
        go.send(()).ok();
        wait.recv().unwrap();
        for _ in 0..3 {
            let next = client.get("/next");
            assert_eq!((next.text().as_str(), next.header("X-Forged")), ("right", None), "{late}");
        }
    }
}

/// The responses equal nginx's. The connection is not used again; nginx keeps it if the body has
/// come with the head.
#[test]
fn a_head_whose_upstream_sends_a_body() {
    const BODY: &str = "0123456789";
    let chunked = format!("a\r\n{BODY}\r\n0\r\n\r\n");
    for (lines, body, fields) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10", BODY, (Some("10"), None)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5", BODY, (Some("5"), None)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", &*chunked, (None, None)),
        ("HTTP/1.1 200 OK\r\nX-A: b", BODY, (None, Some("b"))),
        ("HTTP/1.0 200 OK\r\nContent-Length: 10", BODY, (Some("10"), None)),
        ("HTTP/1.0 200 OK\r\nX-A: b", BODY, (None, Some("b"))),
    ] {
        for (setting, late) in [("", false), ("", true), ("proxy_buffering off;", false)] {
            let (head, body) = (format!("{lines}\r\n\r\n"), body.to_owned());
            let backend = Backend::new(move |_| {
                let (head, body) = (head.clone(), body.clone());
                Reply::Custom(Box::new(move |stream| {
                    let whole = format!("{head}{body}");
                    let first = if late { head.len() } else { whole.len() };
                    stream.write_all(&whole.as_bytes()[..first]).unwrap();
                    // The proxy may be gone when the rest comes.
                    let _ = stream.write_all(&whole.as_bytes()[first..]);
                }))
            });
            let server = Server::http(&format!(
                "upstream u {{ server %a%; keepalive 8; }}
                 server {{ listen 127.0.0.1:%port%; {setting}
                     location / {{ proxy_pass http://u; proxy_set_header Connection \"\"; }} }}"
            ))
            .set("a", backend.address())
            .start();
            let mut client = server.client();
            // What comes late is taken for the next response of a kept connection, as by nginx.
            for _ in 0..if late { 1 } else { 3 } {
                client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
                let answer = client.head_response();
                let found = (answer.header("Content-Length"), answer.header("X-A"));
                assert_eq!((answer.status, found), (200, fields), "{lines}");
                assert_eq!(answer.header("Transfer-Encoding"), None);
                assert_eq!(answer.header("Connection"), Some("keep-alive"));
            }
        }
    }
}

/// A response that only names another (`X-Accel-Redirect`) leaves its connection to the next one.
#[test]
fn the_connection_of_a_redirect_within_is_kept() {
    let backend = Backend::new(|seen| match seen.target() {
        "/named" => Reply::with("200 OK", "X-Accel-Redirect: /passed\r\n", ""),
        "/closed" => {
            Reply::with("200 OK", "X-Accel-Redirect: /passed\r\nConnection: close\r\n", "")
        }
        "/long" => {
            Reply::with("200 OK", "X-Accel-Redirect: /passed\r\n", "a body that nobody gets")
        }
        target => Reply::ok(target),
    });
    let server = Server::http(
        "upstream servers { server %backend%; keepalive 1; }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; } }",
    );
    let server = server.set("backend", backend.address()).start();
    for (target, is_kept) in [("/named", true), ("/closed", false), ("/long", false)] {
        let before = backend.seen().len();
        assert_eq!(server.text(target), "/passed", "{target}");
        let seen = backend.seen().split_off(before);
        assert_eq!(seen[0].connection == seen[1].connection, is_kept, "{target}");
    }
}

/// The kept connections of a group that a reload removes are closed, not after
/// `keepalive_timeout`; those of another stay.
#[test]
fn connections_of_a_removed_group_are_closed() {
    if is_nginx() {
        return;
    }
    let (told, ends) = std::sync::mpsc::channel();
    let address = |name: &'static str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, told) = (listener.local_addr().unwrap().to_string(), told.clone());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            let _ = told.send(name);
        });
        address
    };
    let (stays, goes) = (address("stays"), address("goes"));
    let conf = |groups: &str, locations: &str| {
        format!(
            "upstream stays {{ server {stays}; keepalive 4; keepalive_timeout 1h; }} {groups}
             server {{ listen 127.0.0.1:%port%; {locations}
                 location /stays {{ proxy_pass http://stays; }} }}"
        )
    };
    let both = conf(
        &format!("upstream goes {{ server {goes}; keepalive 4; keepalive_timeout 1h; }}"),
        "location /goes { proxy_pass http://goes; }",
    );
    let server = Server::http(&both).start();
    assert_eq!((server.text("/goes"), server.text("/stays")), ("ok".into(), "ok".into()));
    server.reload_http(&conf("", ""));
    let closed = ends.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(closed, Ok("goes"));
    // The backend accepts one connection only.
    assert_eq!(server.text("/stays"), "ok");
}

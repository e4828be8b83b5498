//! The `memcached` module.

use crate::harness::{Backend, Server, Setup, Signal, until};

mod real;
mod scripted;

use scripted::{Say, Scripted};

/// A server whose locations may pass to `%m%`, with the URI as the key.
fn server(memcached: &Scripted, conf: &str) -> Setup {
    Server::http(&format!(
        "upstream kept {{ server %m%; keepalive 4; }}
         server {{ listen 127.0.0.1:%port%; set $memcached_key $uri; {conf} }}"
    ))
    .set("m", memcached.address())
}

#[test]
fn a_value_is_a_response() {
    let memcached = Scripted::new(|line| match line {
        "get /a.html" => Say::value("/a.html", 0, "page"),
        "get /b%20%25%0D%0Ac" => Say::value("/b%20%25%0D%0Ac", 7, "0123456789"),
        _ => Say::text("ERROR\r\n"),
    });
    let server = server(&memcached, "location / { memcached_pass %m%; }").start();
    let answer = server.get("/a.html");
    assert_eq!((answer.status, answer.text()), (200, "page".to_owned()));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("content-length"), Some("4"));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("last-modified"), None);
    let answer = server.get_with("/b%20%25%0d%0ac", "Range: bytes=2-4\r\n");
    assert_eq!((answer.status, answer.text()), (206, "234".to_owned()));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("content-range"), Some("bytes 2-4/10"));
    let mut client = server.client();
    client.send("HEAD /a.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = client.head_response();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("4")));
    assert!(client.is_closed());
}

#[test]
fn a_missing_key_is_handled_by_error_page() {
    let memcached = Scripted::new(|_| Say::text("END\r\n"));
    let backend = Backend::text("made");
    let server = server(
        &memcached,
        "location / { memcached_pass %m%; error_page 404 502 504 = @fallback; }
         location /plain/ { memcached_pass %m%; }
         location @fallback { proxy_pass http://%b%; }",
    )
    .set("b", backend.address())
    .start();
    assert_eq!(server.text("/a"), "made");
    assert_eq!(server.get("/plain/a").status, 404);
    server.wait_log(
        "key: \"/plain/a\" was not found by memcached while reading response header from upstream",
    );
    drop(memcached);
    assert_eq!(server.text("/b"), "made");
    assert_eq!(server.get("/plain/b").status, 502);
}

/// The last directive of a block counts, and one in an `if` before those around it.
#[test]
fn the_innermost_pass_counts() {
    let memcached = Scripted::new(|line| Say::value(&line[4..], 0, "memcached"));
    let backend = Backend::text("proxy");
    let server = server(
        &memcached,
        "location / { proxy_pass http://%b%; if ($arg_m) { memcached_pass %m%; } }
         location /m/ { memcached_pass %m%; if ($arg_p) { proxy_pass http://%b%; } }
         location /last/ { proxy_pass http://%b%; memcached_pass %m%; }",
    )
    .set("b", backend.address())
    .start();
    for (target, answer) in [
        ("/", "proxy"),
        ("/?m=1", "memcached"),
        ("/m/", "memcached"),
        ("/m/?p=1", "proxy"),
        ("/last/", "memcached"),
    ] {
        assert_eq!(server.text(target), answer, "{target}");
    }
}

#[test]
fn an_invalid_response_is_a_502() {
    const CASES: &[(&str, &str, &str)] = &[
        ("/a", "ERROR\r\n", "memcached sent invalid response: \"ERROR\""),
        ("/b", "VALUE /b 0 1\n1\r\nEND\r\n", "memcached sent invalid response: \"VALUE /b 0 1\""),
        (
            "/c",
            "VALUE /d 0 1\r\n1\r\nEND\r\n",
            "memcached sent invalid key in response \"VALUE /d 0 1\" for key \"/c\"",
        ),
        (
            "/e",
            "VALUE /e 0 1x\r\n1\r\nEND\r\n",
            "memcached sent invalid length in response \"VALUE /e 0 1x\" for key \"/e\"",
        ),
        (
            "/f",
            "VALUE /f x 1\r\n1\r\nEND\r\n",
            "memcached sent invalid flags in response \"VALUE /f x 1\" for key \"/f\"",
        ),
        ("/g", "VALUE /g  1\r\n1\r\nEND\r\n", "memcached sent invalid flags in response"),
        ("/h", "VALUE /hh 0 1\r\n1\r\nEND\r\n", "invalid response: \"VALUE /hh 0 1\""),
    ];
    let memcached = Scripted::new(|line| {
        let case = CASES.iter().find(|case| line == format!("get {}", case.0));
        Say::text(case.map_or("SERVER_ERROR\r\n", |case| case.1))
    });
    let conf = "location / { memcached_pass %m%; memcached_gzip_flag 1; }";
    let server = server(&memcached, conf).start();
    for (target, _, message) in CASES {
        assert_eq!(server.get(target).status, 502, "{target}");
        server.wait_log(message);
    }
}

#[test]
fn a_head_must_fit_into_its_buffer_and_come_in_time() {
    let memcached = Scripted::new(|line| match line {
        "get /long" => Say::text(&"x".repeat(300)),
        "get /closed" => Say::Last(b"VALUE /cl".to_vec()),
        _ => Say::Hold,
    });
    let conf = "location / { memcached_pass %m%; memcached_buffer_size 256;
                             memcached_read_timeout 100ms; }";
    let server = server(&memcached, conf).start();
    assert_eq!(server.get("/long").status, 502);
    server.wait_log("upstream sent too big header while reading response header from upstream");
    assert_eq!(server.get("/closed").status, 502);
    server.wait_log("upstream prematurely closed connection while reading response header");
    assert_eq!(server.get("/held").status, 504);
    server.wait_log("upstream timed out (110: Connection timed out) while reading response header");
}

#[test]
fn a_value_is_streamed() {
    let memcached = Scripted::new(|line| match line {
        "get /a" => Say::Later(b"VALUE /a 0 8\r\nSEE-".to_vec(), b"THIS\r\nEND\r\n".to_vec()),
        _ => Say::Later(b"VALUE /b 0 4\r\nmore\r\nE".to_vec(), b"ND\r\n".to_vec()),
    });
    let server = server(&memcached, "location / { memcached_pass kept; }").start();
    let mut client = server.client();
    for (target, first, rest) in [("/a", "SEE-", "THIS"), ("/b", "more", "")] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(client.head().status, 200);
        assert_eq!(client.take(first.len()), first.as_bytes());
        memcached.go_on();
        assert_eq!(client.take(rest.len()), rest.as_bytes());
    }
    assert_eq!(memcached.connections(), 1);
}

#[test]
fn a_reload_does_not_end_a_value() {
    let memcached = Scripted::new(|line| match line {
        "get /a" => Say::Later(b"VALUE /a 0 8\r\nSEE-".to_vec(), b"THIS\r\nEND\r\n".to_vec()),
        _ => Say::text("END\r\n"),
    });
    let conf = |more: &str| {
        format!(
            "server {{ listen 127.0.0.1:%port%; set $memcached_key $uri; {more}
                 location / {{ memcached_pass %m%; }} }}"
        )
    };
    let server = Server::http(&conf("")).set("m", memcached.address()).start();
    let mut client = server.client();
    client.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.take(4), b"SEE-");
    server.rewrite_http(&conf("location = /new { return 204; }"));
    server.signal(Signal::HUP);
    until("the new configuration", || server.get("/new").status == 204);
    memcached.go_on();
    assert_eq!(client.take(4), b"THIS");
}

#[test]
fn a_client_abort_closes_the_upstream_connection() {
    let memcached = Scripted::new(|line| match line {
        "get /held" => Say::Hold,
        _ => Say::value("/a", 0, "value"),
    });
    let server = server(&memcached, "location / { memcached_pass kept; }").start();
    let mut client = server.client();
    client.send("GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("the request", || memcached.seen().len() == 1);
    drop(client);
    server.wait_log("client prematurely closed connection, so upstream connection is closed too");
    assert_eq!(server.text("/a"), "value");
    assert_eq!(memcached.connections(), 2);
}

#[test]
fn a_faulty_response_closes_the_connection() {
    let memcached = Scripted::new(|line| match line {
        "get /more" => Say::text("VALUE /more 0 4\r\nbody\r\nEND\r\nmore\r\n"),
        "get /other" => Say::text("VALUE /other 0 4\r\nbody\r\nEMD\r\n"),
        "get /late" => Say::Later(b"VALUE /late 0 4\r\nbod".to_vec(), b"y\r\nEMD\r\n".to_vec()),
        "get /short" => Say::Last(b"VALUE /short 0 4\r\nbody\r\nEN".to_vec()),
        "get /cut" => Say::Last(b"VALUE /cut 0 4\r\nbo".to_vec()),
        _ => Say::value("/fine", 0, "body"),
    });
    let server = server(&memcached, "location / { memcached_pass kept; }").start();
    for (target, body, message) in [
        ("/more", "body", "invalid trailer while reading response header from upstream"),
        ("/other", "body", "invalid trailer while reading response header from upstream"),
        ("/late", "body", "invalid trailer while reading upstream"),
        ("/short", "body", "upstream prematurely closed connection while"),
        ("/cut", "bo", "upstream prematurely closed connection while"),
    ] {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(client.head().header("content-length"), Some("4"));
        if target == "/late" {
            memcached.go_on();
        }
        assert_eq!(String::from_utf8_lossy(&client.rest()), body, "{target}");
        server.wait_log(message);
        let before = memcached.connections();
        assert_eq!(server.text("/fine"), "body");
        assert_eq!(memcached.connections(), before + 1, "{target}");
    }
}

#[test]
fn connections_are_kept_after_values_and_missing_keys() {
    let memcached = Scripted::new(|line| match line {
        "get /a" => Say::value("/a", 0, "value"),
        _ => Say::text("END\r\n"),
    });
    let conf = "location / { memcached_pass kept; }
                location /next { memcached_pass kept; memcached_next_upstream not_found; }";
    let server = server(&memcached, conf).start();
    for _ in 0..2 {
        assert_eq!(server.text("/a"), "value");
        assert_eq!(server.get("/none").status, 404);
        assert_eq!(server.get("/next").status, 404);
    }
    assert_eq!(memcached.connections(), 1);
}

#[test]
fn the_next_server_is_tried_if_allowed() {
    let first = Scripted::new(|line| match line {
        "get /missing" => Say::text("END\r\n"),
        "get /bad" => Say::text("ERROR\r\n"),
        _ => Say::Last(Vec::new()),
    });
    let second = Scripted::new(|line| {
        let key = line.strip_prefix("get ").unwrap();
        Say::value(key, 0, "second")
    });
    let server = Server::http(
        "upstream two { server %m% max_fails=0; server %n% backup; }
         server { listen 127.0.0.1:%port%; set $memcached_key $uri;
             location / { memcached_pass two; }
             location = /missing { memcached_pass two; memcached_next_upstream not_found; }
             location = /bad { memcached_pass two; memcached_next_upstream invalid_response; }
             location = /once { memcached_pass two; memcached_next_upstream_tries 1; }
             location = /off { memcached_pass two; memcached_next_upstream error off; }
         }",
    )
    .set("m", first.address())
    .set("n", second.address())
    .start();
    for target in ["/missing", "/bad", "/closed"] {
        assert_eq!(server.text(target), "second", "{target}");
    }
    assert_eq!(second.seen(), ["get /missing", "get /bad", "get /closed"]);
    for target in ["/once", "/off"] {
        assert_eq!(server.get(target).status, 502, "{target}");
    }
}

#[test]
fn values_with_the_flag_are_compressed() {
    let memcached = Scripted::new(|line| match line {
        "get /a" => Say::value("/a", 3, "gzip"),
        _ => Say::value("/b", 4, "plain"),
    });
    let conf = "location / { memcached_pass %m%; memcached_gzip_flag 2;
                    add_header X-Seen \"<$upstream_http_content_encoding>\"; }";
    let server = server(&memcached, conf).start();
    let answer = server.get("/a");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("x-seen"), Some("<>"));
    assert_eq!(server.get("/b").header("content-encoding"), None);
}

#[test]
fn only_get_and_head_are_allowed() {
    let memcached = Scripted::new(|_| Say::value("/a", 0, "value"));
    let conf = "location / { memcached_pass %m%; }
                location /unset { set $memcached_key \"\"; memcached_pass %m%; }";
    let server = server(&memcached, conf).start();
    let mut client = server.client();
    client.send("GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().text(), "value");
    assert_eq!(client.get("/a").text(), "value");
    client.send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().status, 405);
    assert_eq!(memcached.seen(), ["get /a", "get /a"]);
    assert_eq!(server.get("/unset").status, 500);
    server.wait_log("the \"$memcached_key\" variable is not set");
}

#[test]
fn it_works_inside_if() {
    let memcached = Scripted::new(|_| Say::value("/a/", 0, "value"));
    let conf = "location / { if ($arg_m) { memcached_pass %m%; } if ($arg_x) { set $y 1; }
                             return 204; }
                location /a/ { if ($arg_x) { set $y 1; } memcached_pass %m%; }";
    let server = server(&memcached, conf).start();
    assert_eq!(server.get("/").status, 204);
    assert_eq!(server.text("/a/?x=1"), "value");
    assert_eq!(server.get("/a").header("location").map(|to| to.ends_with("/a/")), Some(true));
}

#[test]
fn a_page_can_include_a_value() {
    let memcached = Scripted::new(|_| Say::value("/v", 0, "value"));
    let conf = "root %dir%/html; location / { ssi on; } location /v { memcached_pass %m%; }";
    let server = server(&memcached, conf)
        .file("html/a.html", "<!--#include virtual=\"/v\" -->.")
        .file("html/b.html", "<!--#include virtual=\"/v\" set=\"x\" -->[<!--#echo var=\"x\" -->]")
        .start();
    assert_eq!(server.text("/a.html"), "value.");
    assert_eq!(server.text("/b.html"), "[value]");
}

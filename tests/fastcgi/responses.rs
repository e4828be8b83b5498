//! Responses of applications, and what of them reaches the client and the log.

use std::os::unix::fs::PermissionsExt;

use super::records::{
    END_REQUEST, STDERR, STDOUT, application, end, output, padded, record, response,
};
use super::{PLAIN, passed, server};
use crate::harness::{Answer, until};

#[test]
fn fields_give_the_status() {
    let application = output(|called| match called.param("URI") {
        "/none" => "X: y\r\n\r\nbody".into(),
        "/location" => "Location: /other\r\n\r\nbody".into(),
        "/both" => "Status: 301 Gone Away\nLocation: http://x/\n\nbody".into(),
        "/number" => "Status: 404\r\n\r\nbody".into(),
        "/twice" => "Status: 404 a\r\nStatus: 500 b\r\n\r\nbody".into(),
        status => format!("Status: {}\r\n\r\nbody", &status[1..]),
    });
    let server = passed(&application).start();
    for (target, line) in [
        ("/none", "200 OK"),
        ("/location", "302 Moved Temporarily"),
        ("/both", "301 Gone Away"),
        ("/number", "404 Not Found"),
        ("/twice", "404 a"),
        ("/201", "201 Created"),
    ] {
        let answer = server.get(target);
        let head = answer.head.lines().next().unwrap();
        assert_eq!((head, answer.text().as_str()), (&*format!("HTTP/1.1 {line}"), "body"));
        assert_eq!(answer.header("status"), None);
    }
    server.wait_log(
        "upstream sent duplicate header line: \"Status: 500 b\", previous value: \
                     \"Status: 404 a\", ignored while reading response header from upstream",
    );
    // nginx redirects nothing by itself: a path in Location is passed on.
    assert_eq!(server.get("/location").header("location"), Some("/other"));
    for bad in ["40", "4x4", "x"] {
        assert_eq!(server.get(&format!("/{bad}")).status, 502, "{bad}");
        server.wait_log(&format!("upstream sent invalid status \"{bad}\" while reading"));
    }
}

#[test]
fn fields_are_passed_on_hidden_and_heeded() {
    let application = output(|called| match called.param("URI") {
        "/fields" | "/hide" | "/pass" => "Server: mine\r\nDate: old\r\nX-Pad: p\r\nX-A: 1\r\n\
             X-A: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nStatus: 200 Fine\r\n\
             X-Accel-Expires: 7\r\n\r\nbody"
            .into(),
        "/accel" | "/ignore" => {
            "X-Accel-Redirect: /inner?a=b\r\nContent-Type: a/b\r\n\r\nbody".into()
        }
        "/named" => "X-Accel-Redirect: @named\r\n\r\nbody".into(),
        "/odd" => "X-Accel-Charset: utf-8\r\nX-Accel-Limit-Rate: 0\r\n\
                   Content-Type: text/plain; charset=koi8-r\r\n\r\nbody"
            .into(),
        "/error" | "/plain-error" => {
            "Status: 404 Nope\r\nContent-Type: text/x\r\n\r\ntheirs".into()
        }
        other => panic!("{other}"),
    });
    let server = server(
        &application,
        "location / { fastcgi_pass %a%; }
         location /hide { fastcgi_pass %a%; fastcgi_hide_header X-A; fastcgi_hide_header Server; }
         location /pass { fastcgi_pass %a%; fastcgi_pass_header X-Accel-Expires;
                          fastcgi_pass_header Status; }
         location /ignore { fastcgi_pass %a%; fastcgi_ignore_headers X-Accel-Redirect; }
         location /error { fastcgi_pass %a%; fastcgi_intercept_errors on; error_page 404 /page; }
         location /inner { internal; return 200 \"inner $uri $args\"; }
         location @named { return 200 named; }
         location /page { return 200 \"ours $upstream_status\"; }",
    )
    .start();
    let answer = server.get("/fields");
    assert_eq!(answer.head.lines().next(), Some("HTTP/1.1 200 Fine"));
    let one = |name| answer.all(name);
    assert_eq!((one("server"), one("date"), one("x-pad")), (vec!["mine"], vec!["old"], vec!["p"]));
    assert_eq!((one("x-a"), one("set-cookie")), (vec!["1", "2"], vec!["a", "b"]));
    assert_eq!((one("status"), one("x-accel-expires")), (vec![], vec![]));
    let answer = server.get("/hide");
    assert_eq!((answer.header("x-a"), answer.all("server").len()), (None, 1));
    assert_ne!(answer.header("server"), Some("mine"));
    let answer = server.get("/pass");
    assert_eq!(answer.header("x-accel-expires"), Some("7"));
    assert_eq!(answer.header("status"), Some("200 Fine"));
    let answer = server.get("/accel");
    assert_eq!(
        (answer.text(), answer.header("content-type")),
        ("inner /inner a=b".into(), Some("a/b"))
    );
    assert_eq!(server.text("/named"), "named");
    assert_eq!(server.text("/ignore"), "body");
    assert_eq!(server.get("/odd").text(), "body");
    let answer = server.get("/error");
    assert_eq!((answer.status, answer.text()), (404, "ours 404".into()));
    assert_eq!(server.text("/plain-error"), "theirs");
}

#[test]
fn a_response_may_be_split_anywhere() {
    let whole = [
        padded(STDOUT, "Status: 200 O", 3),
        record(STDERR, "oops"),
        padded(STDOUT, "K\r\nContent-Type: text/plain\r\n\r\nbo", 5),
        record(STDERR, ""),
        record(STDOUT, "dy"),
        padded(STDOUT, "", 1),
        padded(END_REQUEST, [0; 8], 2),
    ]
    .concat();
    let length = whole.len();
    let application = application(move |called| {
        let at: usize = called.param("URI").rsplit('/').next().unwrap().parse().unwrap();
        Answer::Parts(vec![whole[..at].to_vec(), whole[at..].to_vec()])
    });
    let server = server(
        &application,
        "location / { fastcgi_pass %a%; }
         location /u/ { fastcgi_pass %a%; fastcgi_buffering off; }
         location /k/ { fastcgi_pass %a%; fastcgi_keep_conn on; }",
    )
    .start();
    // The server may get both parts in one read; the tests of the codec cut exactly.
    for at in 0..length {
        for place in ["", "/u", "/k"] {
            application.go_on();
            let answer = server.get(&format!("{place}/{at}"));
            assert_eq!((answer.status, answer.text().as_str()), (200, "body"), "{place} {at}");
        }
    }
}

#[test]
fn a_response_needs_no_end_of_its_own() {
    let application = application(|called| {
        let body = record(STDOUT, format!("{PLAIN}body"));
        Answer::Last(match called.param("URI") {
            "/closed" => body,
            "/stdout" => [body, record(STDOUT, "")].concat(),
            "/request" => [body, record(END_REQUEST, [0; 8])].concat(),
            "/more" => [body, end(), b"more".to_vec()].concat(),
            other => panic!("{other}"),
        })
    });
    let server = passed(&application).start();
    for target in ["/closed", "/stdout", "/request", "/more"] {
        assert_eq!(server.text(target), "body", "{target}");
    }
}

#[test]
fn a_body_ends_with_its_length() {
    let application = application(|called| {
        let extra = "Content-Length: 4\r\n\r\nbodymore";
        Answer::Last(match called.param("URI").rsplit('/').next().unwrap() {
            "one" => response(extra),
            "two" => [record(STDOUT, &extra[..25]), record(STDOUT, &extra[25..]), end()].concat(),
            "empty" => response("Content-Length: 0\r\n\r\nx"),
            "exact" => response(&extra[..25]),
            other => panic!("{other}"),
        })
    });
    let conf = "location / { fastcgi_pass %a%; }
                location /u/ { fastcgi_pass %a%; fastcgi_buffering off; }";
    let server = server(&application, conf).start();
    for place in ["", "/u"] {
        for (what, body) in [("one", "body"), ("two", "body"), ("empty", ""), ("exact", "body")] {
            let answer = server.get(&format!("{place}/{what}"));
            assert_eq!((answer.status, answer.text().as_str()), (200, body), "{place}/{what}");
        }
    }
    server.wait_log("upstream sent more data than specified in \"Content-Length\" header while");
    let mut client = server.client();
    client.send("HEAD /exact HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.head_response().header("content-length"), Some("4"));
    assert!(client.is_closed());
}

#[test]
fn messages_on_standard_error_are_logged() {
    let application = application(|called| {
        Answer::Last(match called.param("URI") {
            "/" => [
                record(STDERR, "PHP message: first. \r\n"),
                record(STDERR, ""),
                record(STDERR, "..."),
                record(STDOUT, PLAIN),
                record(STDERR, "second"),
                record(STDOUT, "body"),
                record(STDERR, "a Fatal error"),
                end(),
            ]
            .concat(),
            _ => [record(STDERR, "e".repeat(60_000)), response(format!("{PLAIN}body"))].concat(),
        })
    });
    let conf = "fastcgi_catch_stderr \"Fatal error\"; location / { fastcgi_pass %a%; }";
    let server = server(&application, conf).start();
    assert_eq!(server.text("/"), "body");
    let header = "while reading response header from upstream";
    for line in [
        format!("[error] %FastCGI sent in stderr: \"PHP message: first\" {header}"),
        format!("[error] %FastCGI sent in stderr: \".\" {header}"),
        "[error] %FastCGI sent in stderr: \"second\" while reading upstream".into(),
        "[error] %FastCGI sent in stderr: \"a Fatal error\" while reading upstream".into(),
    ] {
        let (level, text) = line.split_once('%').unwrap();
        server.wait_log(text);
        let log = server.error_log();
        assert!(
            log.lines().any(|line| line.contains(text) && line.contains(level.trim())),
            "{log}"
        );
    }
    // However much it is, it takes no memory.
    assert_eq!(server.text("/much"), "body");
    server.wait_log(&format!("FastCGI sent in stderr: \"{}", "e".repeat(1000)));
}

#[test]
fn what_follows_x_accel_fields_is_logged_with_the_application() {
    let application = output(|called| match called.param("URI") {
        "/unsafe" => "X-Accel-Redirect: /../a\r\n\r\n".into(),
        "/missing" => "X-Accel-Redirect: /none\r\n\r\n".into(),
        _ => format!("X-Accel-Charset: latin9\r\n{PLAIN}body"),
    });
    let server = server(
        &application,
        "location / { fastcgi_pass %a%; } location = /none { alias %dir%/none; }
         location /known { charset latin9; }",
    )
    .start();
    assert_eq!((server.get("/unsafe").status, server.get("/missing").status), (404, 404));
    // The charset is known because another location names it.
    assert_eq!(server.get("/charset").header("content-type"), Some("text/plain; charset=latin9"));
    let address = application.address();
    for message in ["unsafe URI \"/../a\" was detected while reading", "none\" failed (2:"] {
        server.wait_log(message);
        let log = server.error_log();
        let line = log.lines().find(|line| line.contains(message)).unwrap();
        assert!(line.contains(&format!("upstream: \"fastcgi://{address}\"")), "{line}");
    }
}

#[test]
fn a_charset_that_nobody_knows_is_reported() {
    let application = output(|_| format!("X-Accel-Charset: latin9\r\n{PLAIN}body"));
    let server = passed(&application).start();
    assert_eq!(server.get("/").header("content-type"), Some("text/plain"));
    server.wait_log("unknown charset \"latin9\" to override while reading response header");
}

#[test]
fn large_responses_arrive_whole() {
    let body: String = (0..1_500_000_u32).map(|n| char::from(b'a' + (n >> 9) as u8 % 26)).collect();
    let expected = body.clone();
    let application = application(move |_| {
        let text = format!("{PLAIN}{body}");
        let parts = text.as_bytes().chunks(40_001).enumerate();
        let records = parts.map(|(at, part)| padded(STDOUT, part, (at * 37 % 256) as u8));
        Answer::Last(records.chain([end()]).collect::<Vec<_>>().concat())
    });
    let setup = server(
        &application,
        "location / { fastcgi_pass %a%; }
         location /u/ { fastcgi_pass %a%; fastcgi_buffering off; }
         location /small/ { fastcgi_pass %a%; fastcgi_buffers 2 4k; fastcgi_busy_buffers_size 4k; }
         location /nofile/ { fastcgi_pass %a%; fastcgi_max_temp_file_size 0; }
         location /rate/ { fastcgi_pass %a%; fastcgi_limit_rate 100m; }
         location /filter/ { fastcgi_pass %a%; sub_filter_types *; sub_filter 00 y; }
         location /store/ { fastcgi_pass %a%; fastcgi_store %dir%/html$uri; }",
    );
    let folder = setup.directory().join("html");
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    let server = setup.start();
    for target in ["/", "/u/", "/small/", "/nofile/", "/rate/", "/filter/", "/store/a"] {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        // The client is slow to begin.
        until("the application", || application.connections() > 0);
        let answer = client.response();
        assert!(answer.body == expected.as_bytes(), "{target}: {} bytes", answer.body.len());
    }
    until("the stored file", || server.directory().read("html/store/a") == expected);
}

//! The `fastcgi` module.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Answer, Application, Directory, Server, Setup, Signal, is_nginx, until};

mod php;
pub(crate) mod records;
mod requests;

use records::{END_REQUEST, STDERR, STDOUT, application, end, output, padded, record, response};

/// A server whose locations may pass to `%a%`.
fn server(application: &Application, conf: &str) -> Setup {
    Server::server(&format!("fastcgi_param URI $uri; {conf}")).set("a", application.address())
}

/// A server that passes everything to `%a%`.
fn passed(application: &Application) -> Setup {
    server(application, "location / { fastcgi_pass %a%; }")
}

const PLAIN: &str = "Content-Type: text/plain\r\n\r\n";

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

/// Faults before the head is complete: the answer, and the message in the log.
fn faults() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let head = || record(STDOUT, PLAIN);
    let with = |at: usize, byte: u8| {
        let mut bytes = head();
        bytes[at] = byte;
        bytes
    };
    vec![
        (
            "/nothing",
            vec![],
            "upstream prematurely closed connection while reading response header",
        ),
        (
            "/half",
            record(STDOUT, "A: b\r\n"),
            "upstream prematurely closed connection while reading",
        ),
        (
            "/stdout",
            response("A: b\r\n"),
            "upstream prematurely closed FastCGI stdout while reading",
        ),
        ("/end", record(END_REQUEST, [0; 8]), "upstream sent unexpected FastCGI record: 3 while"),
        ("/version", with(0, 2), "upstream sent unsupported FastCGI protocol version: 2 while"),
        ("/type", with(1, 11), "upstream sent invalid FastCGI record type: 11 while"),
        ("/high", with(2, 5), "upstream sent unexpected FastCGI request id high byte: 5 while"),
        ("/low", with(3, 0), "upstream sent unexpected FastCGI request id low byte: 0 while"),
        (
            "/field",
            response("A\x01: b\r\n\r\n"),
            "upstream sent invalid header: \"A\\x01...\" while",
        ),
        (
            "/big",
            response(format!("A: {}\r\n\r\n", "b".repeat(5000))),
            "upstream sent too big header",
        ),
        (
            "/lengths",
            response("Content-Length: 1\r\nContent-Length: 1\r\n\r\nb"),
            "upstream sent duplicate header line: \"Content-Length: 1\", previous value: \
             \"Content-Length: 1\" while reading",
        ),
        (
            "/caught",
            [record(STDERR, "a Fatal error."), response(PLAIN)].concat(),
            "FastCGI sent in stderr: \"a Fatal error\" while reading response header from upstream",
        ),
    ]
}

#[test]
fn an_invalid_response_is_a_502() {
    let application = application(|called| {
        let bytes = faults().into_iter().find(|(target, ..)| *target == called.param("URI"));
        Answer::Last(bytes.unwrap().1)
    });
    let conf = "fastcgi_catch_stderr \"Fatal error\"; location / { fastcgi_pass %a%; }";
    let server = server(&application, conf).start();
    for (target, _, message) in faults() {
        assert_eq!(server.get(target).status, 502, "{target}");
        server.wait_log(message);
    }
    server.wait_log(&format!("upstream: \"fastcgi://{}\"", application.address()));
}

#[test]
fn a_silent_application_is_a_504() {
    let application = application(|called| match called.param("URI") {
        "/head" => Answer::Hold,
        _ => Answer::Parts(vec![record(STDOUT, format!("{PLAIN}body")), Vec::new()]),
    });
    let conf = "fastcgi_read_timeout 100ms; location / { fastcgi_pass %a%; }";
    let server = server(&application, conf).start();
    assert_eq!(server.get("/head").status, 504);
    server.wait_log("upstream timed out (110: Connection timed out) while reading response header");
    let mut client = server.client();
    client.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response(false).is_err(), "the response breaks off");
    server.wait_log("upstream timed out (110: Connection timed out) while reading upstream");
}

#[test]
fn a_response_that_breaks_off_has_no_end() {
    if is_nginx() {
        return;
    }
    const LONG: &str = "Content-Length: 9\r\n\r\nbody";
    let application = application(|called| {
        Answer::Last(match called.param("URI").rsplit('/').next().unwrap() {
            "stdout" => response(LONG),
            "request" => [record(STDOUT, LONG), record(END_REQUEST, [0; 8])].concat(),
            "closed" => record(STDOUT, LONG),
            "record" => record(STDOUT, format!("{PLAIN}body"))[..38].to_vec(),
            "version" => [record(STDOUT, format!("{PLAIN}body")), vec![9]].concat(),
            other => panic!("{other}"),
        })
    });
    let conf = "location / { fastcgi_pass %a%; }
                location /u/ { fastcgi_pass %a%; fastcgi_buffering off; }
                location /k/ { fastcgi_pass %a%; fastcgi_keep_conn on; }";
    let server = server(&application, conf).start();
    for place in ["", "/u", "/k"] {
        for what in ["stdout", "request", "closed", "record", "version"] {
            let mut client = server.client();
            client.send(format!("GET {place}/{what} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let error = client.try_response(false).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{place}/{what}: {error}");
        }
    }
    for message in [
        "upstream prematurely closed FastCGI stdout while reading",
        "upstream prematurely closed FastCGI request while reading",
        "upstream prematurely closed connection while reading upstream",
        "upstream sent unsupported FastCGI protocol version: 9 while reading",
    ] {
        server.wait_log(message);
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
fn connections_are_kept_only_on_request() {
    let application = application(|called| {
        Answer::Bytes(match called.param("URI") {
            "/more" => [response(format!("{PLAIN}body")), b"more".to_vec()].concat(),
            "/off" => return Answer::Last(response(format!("{PLAIN}body"))),
            _ => response(format!("{PLAIN}body")),
        })
    });
    let server = Server::http(
        "upstream u { server %a%; keepalive 4; }
         server { listen 127.0.0.1:%port%; fastcgi_param URI $uri;
             location / { fastcgi_pass u; fastcgi_keep_conn on; }
             location /off { fastcgi_pass u; } }",
    )
    .set("a", application.address())
    .start();
    for _ in 0..3 {
        assert_eq!(server.text("/"), "body");
    }
    assert_eq!(application.connections(), 1);
    assert_eq!(application.last().bytes[10], 1, "FCGI_KEEP_CONN");
    assert_eq!(server.text("/more"), "body");
    assert_eq!(server.text("/"), "body");
    assert_eq!(application.connections(), 2, "bytes after the end make a connection useless");
    assert_eq!(server.text("/off"), "body");
    assert_eq!(application.last().bytes[10], 0);
    let before = application.connections();
    assert_eq!(server.text("/off"), "body");
    assert_eq!(application.connections(), before + 1);
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let application = application(|_| Answer::Last(response(format!("{PLAIN}body"))));
    let conf = "location / { fastcgi_pass %a%; fastcgi_keep_conn on; }";
    let server = server(&application, conf).start();
    for _ in 0..5 {
        assert_eq!(server.text("/"), "body");
    }
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
fn a_page_around_a_dropped_body_has_none() {
    let application =
        output(|called| format!("{PLAIN}[{}] {}", called.param("LENGTH"), called.body.len()));
    let server = server(
        &application,
        "fastcgi_param LENGTH $content_length; location /part { fastcgi_pass %a%; }
         location / { add_after_body /part; addition_types *; return 200 page; }",
    )
    .start();
    let mut client = server.client();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close";
    client.send(format!("{head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    assert_eq!(client.response().text(), "page[0] 0");
}

#[test]
fn other_applications_are_tried() {
    let bad = application(|called| {
        Answer::Last(match called.param("URI") {
            "/invalid" => record(STDOUT, "BAD"),
            _ => response("Status: 503 x\r\n\r\nbad"),
        })
    });
    let good = output(|_| format!("{PLAIN}good"));
    let server = Server::http(
        "upstream u { server %a% max_fails=0; server %b% backup; }
         server { listen 127.0.0.1:%port%; fastcgi_param URI $uri; location / { fastcgi_pass u;
             fastcgi_next_upstream error invalid_header http_503; }
             location /once { fastcgi_pass u; } }",
    )
    .set("a", bad.address())
    .set("b", good.address())
    .start();
    assert_eq!(server.text("/invalid"), "good");
    assert_eq!(server.text("/status"), "good");
    assert_eq!(server.get("/once").status, 503);
    let before = good.seen().len();
    let mut client = server.client();
    client.send(
        "POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
    );
    assert_eq!(client.response().status, 503, "a POST is not repeated");
    assert_eq!(good.seen().len(), before);
    drop(bad);
    assert_eq!(server.text("/gone"), "good");
}

#[test]
fn a_destination_may_have_variables() {
    let directory = Directory::new();
    let path = directory.join("socket");
    let socket = Application::at_socket(&path, records::parse, |_| {
        Answer::Last(response(format!("{PLAIN}socket")))
    });
    let port = output(|_| format!("{PLAIN}port"));
    let server = Server::http(
        "upstream u { server %s%; }
         server { listen 127.0.0.1:%port%; location / { fastcgi_pass $arg_to; }
             location /socket { fastcgi_pass %s%; } }",
    )
    .set("s", socket.address())
    .start();
    assert_eq!(server.text("/socket"), "socket");
    assert_eq!(server.text("/?to=u"), "socket");
    assert_eq!(server.text(&format!("/?to={}", port.address())), "port");
    assert_eq!(server.text(&format!("/?to={}", socket.address())), "socket");
    assert_eq!(server.get("/?to=").status, 500);
    assert_eq!(server.get("/?to=127.0.0.1").status, 500);
    server.wait_log("no port in upstream \"127.0.0.1\"");
    drop(socket);
    assert_eq!(server.get("/socket").status, 502);
}

#[test]
fn the_innermost_pass_counts() {
    let application = output(|called| format!("{PLAIN}fastcgi {}", called.param("URI")));
    let backend = crate::harness::Backend::text("proxy");
    let server = server(
        &application,
        "location / { proxy_pass http://%b%; if ($arg_f) { fastcgi_pass %a%; } }
         location /f/ { fastcgi_pass %a%; if ($arg_p) { proxy_pass http://%b%; }
             if ($arg_n) { set $x 1; } limit_except GET { allow all; } }
         location /last/ { fastcgi_pass %a%; proxy_pass http://%b%; }
         location /first/ { proxy_pass http://%b%; fastcgi_pass %a%; }",
    )
    .set("b", backend.address())
    .start();
    assert_eq!(server.text("/"), "proxy");
    assert_eq!(server.text("/?f=1"), "fastcgi /");
    assert_eq!(server.text("/f/"), "fastcgi /f/");
    assert_eq!(server.text("/f/?p=1"), "proxy");
    assert_eq!(server.text("/last/"), "proxy");
    assert_eq!(server.text("/first/"), "fastcgi /first/");
    assert_eq!(server.text("/f/?n=1"), "fastcgi /f/");
    let mut client = server.client();
    client.send("DELETE /f/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "fastcgi /f/x");
    assert_eq!(server.get("/f").header("location").map(|to| to.ends_with("/f/")), Some(true));
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

#[test]
fn requests_go_on_across_a_reload_and_a_killed_worker() {
    if is_nginx() {
        return;
    }
    let application = application(|called| match called.param("URI") {
        "/late" => {
            let parts =
                [record(STDOUT, format!("{PLAIN}be")), [record(STDOUT, "hind"), end()].concat()];
            Answer::Parts(parts.into())
        }
        _ => Answer::Bytes(response(format!("{PLAIN}body"))),
    });
    let conf = "server { listen 127.0.0.1:%port%; fastcgi_param URI $uri;
                    location / { fastcgi_pass %a%; fastcgi_keep_conn on; } }";
    let server = Server::http(conf).set("a", application.address()).alerts_expected().start();
    let mut client = server.client();
    client.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    server.rewrite_http(&conf.replace("location", "add_header X-New 1; location"));
    server.signal(Signal::HUP);
    until("the reload", || server.get("/").header("x-new").is_some());
    application.go_on();
    assert_eq!(client.take_chunk(), b"be");
    assert_eq!(client.take_chunk(), b"hind");
    let workers = crate::harness::children(server.pid());
    workers.iter().for_each(|worker| crate::harness::send_signal(*worker, Signal::KILL));
    until("another worker", || {
        crate::harness::Client::try_connect(&server.address("port")).is_ok_and(|mut client| {
            client.send_if_wanted("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.try_response(false).is_ok_and(|answer| answer.text() == "body")
        })
    });
}

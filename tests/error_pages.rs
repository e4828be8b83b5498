//! The parts of a request that survive an internal redirect: method, body and length.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use crate::harness::{Application, Backend, Called, Client, Reply, Seen, Server, is_nginx};
use crate::{fastcgi, scgi, uwsgi};

/// Responds as its path tells: `/status/404`, `/accel/PATH`.
fn backend() -> Backend {
    Backend::new(|seen| {
        let path = seen.target().split('?').next().unwrap();
        if let Some(status) = path.strip_prefix("/status/") {
            return Reply::with(&format!("{status} Said"), "", "theirs");
        }
        match path.strip_prefix("/accel") {
            Some(to) => Reply::with("200 OK", &format!("X-Accel-Redirect: {to}\r\n"), ""),
            None => Reply::ok("page"),
        }
    })
}

/// Method, length and body as received by the backend.
fn shape(seen: &Seen) -> (String, Option<String>, String) {
    let method = seen.line.split(' ').next().unwrap().to_owned();
    let length = seen.header("Content-Length").map(str::to_owned);
    (method, length, String::from_utf8_lossy(&seen.body).into_owned())
}

fn post(server: &Server, target: &str) -> String {
    let mut client = server.client();
    client.send(format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: 6\r\n\r\nabcdef"
    ));
    let answer = client.response();
    format!("{} {}", answer.status, answer.text())
}

#[test]
fn a_body_that_is_too_large_has_its_page() {
    let backend = backend();
    let server = Server::server(
        r#"
        client_max_body_size 3;
        location = /plain { error_page 413 /text; }
        location = /file { error_page 413 /large.html; }
        location = /proxied { error_page 413 /to/page; }
        location = /named { error_page 413 @to; }
        location = /ok { error_page 413 =200 /text; }
        location = /away { error_page 413 http://there/; }
        location = /chunked { proxy_pass http://%backend%; error_page 413 /to/page; }
        location = /text { return 200 "$status $request_method $uri\n"; }
        location /to/ { proxy_pass http://%backend%; }
        location @to { proxy_pass http://%backend%; }
        "#,
    )
    .set("backend", backend.address())
    .file("html/large.html", "too large")
    .start();
    assert_eq!(post(&server, "/plain"), "413 413 GET /text\n");
    assert_eq!(post(&server, "/file"), "413 too large");
    assert_eq!(post(&server, "/ok"), "200 200 GET /text\n");
    assert!(post(&server, "/away").starts_with("302 "));
    let none = |method: &str| (method.to_owned(), Some("0".to_owned()), String::new());
    assert_eq!(post(&server, "/proxied"), "413 page");
    assert_eq!(shape(&backend.last()), none("GET"));
    assert_eq!(post(&server, "/named"), "413 page");
    assert_eq!(shape(&backend.last()), none("POST"));
    let chunked = "POST /chunked HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n";
    let answer = server.ask(chunked);
    assert_eq!((answer.status, answer.text()), (413, "page".to_owned()));
    assert_eq!(shape(&backend.last()).2, "");
    assert_eq!(backend.count(), 3);
    server.wait_log("client intended to send too large body: 6 bytes");
}

#[test]
fn a_refused_body_is_not_waited_for() {
    // nginx announces the length to the page's upstream, which then waits for the body.
    if is_nginx() {
        return;
    }
    let backend = backend();
    let server = Server::server(
        "client_max_body_size 3; error_page 413 /to/page;
         location = /large { }
         location /to/ { proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .start();
    let ask = |lines: &str| {
        let mut client = server.client();
        client.send(format!(
            "POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n{lines}\r\n"
        ));
        client
    };
    let check = |mut client: Client| {
        let answer = client.response();
        assert_eq!((answer.status, answer.text()), (413, "page".to_owned()));
        assert_eq!(answer.header("Connection"), Some("close"));
    };
    check(ask(""));
    check(ask("Expect: 100-continue\r\n"));
    assert_eq!(shape(&backend.last()), ("GET".into(), Some("0".into()), String::new()));
}

#[test]
fn redirected_requests_keep_method_and_body() {
    let backend = backend();
    let server = Server::server(
        r#"
        location = /uri { error_page 404 /to/page; return 404; }
        location = /code { error_page 404 =202 /to/page; return 404; }
        location = /named { error_page 404 @to; return 404; }
        location = /kept { error_page 404 = @to; return 404; }
        location = /theirs { error_page 404 /to/page; proxy_intercept_errors on;
            proxy_pass http://%backend%/status/404; }
        location = /accel { proxy_pass http://%backend%/accel/to/page; }
        location = /tries { try_files /nothing /to/page; }
        location = /tries-named { try_files /nothing @to; }
        location = /last { rewrite ^ /to/page last; }
        location = /index/ { index /to/page; }
        location /to/ { proxy_pass http://%backend%; }
        location @to { proxy_pass http://%backend%; }
        "#,
    )
    .set("backend", backend.address())
    .start();
    for (target, status, method) in [
        ("/uri", 404, "GET"),
        ("/code", 202, "GET"),
        ("/named", 404, "POST"),
        ("/kept", 200, "POST"),
        ("/theirs", 404, "GET"),
        ("/accel", 200, "GET"),
        ("/tries", 200, "POST"),
        ("/tries-named", 200, "POST"),
        ("/last", 200, "POST"),
        ("/index/", 200, "POST"),
    ] {
        assert_eq!(post(&server, target), format!("{status} page"), "{target}");
        let expected = (method.to_owned(), Some("6".to_owned()), "abcdef".to_owned());
        assert_eq!(shape(&backend.last()), expected, "{target}");
    }
    let mut client = server.client();
    client.send("HEAD /uri HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(client.head_response().status, 404);
    assert_eq!(shape(&backend.last()), ("HEAD".to_owned(), None, String::new()));
}

#[test]
fn a_body_is_sent_once() {
    if is_nginx() {
        return;
    }
    let backend = backend();
    let server = Server::server(
        "location = /streamed { proxy_pass http://%backend%/accel/to/page;
             proxy_request_buffering off; }
         location /to/ { proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .start();
    let mut client = server.client();
    client.send(
        "POST /streamed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: 6\r\n\r\nabc",
    );
    client.send("def");
    assert_eq!(client.response().text(), "page");
    let bodies: Vec<_> = backend.seen().iter().map(shape).collect();
    assert_eq!(bodies[0].2, "abcdef");
    assert!(bodies[1].2.is_empty() || bodies[1].2 == "abcdef", "{bodies:?}");
}

/// The address of a server that closes its first connection when it has got this.
fn closing_behind(text: &'static str) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let closes = std::thread::spawn(move || {
        let (mut stream, mut got) = (listener.accept().unwrap().0, Vec::new());
        while !got.ends_with(text.as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            got.extend(byte);
        }
    });
    (address, closes)
}

/// An application with an error page, which shows what it is told about the request's body.
fn telling(called: &Called) -> String {
    let told = ["CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"];
    let told = told.map(|name| called.param(name)).join(",");
    let told = format!("{} {told}", called.body.len());
    format!("X-Told: {told}\r\nContent-Type: text/plain\r\n\r\n{told}")
}

#[test]
fn an_application_with_an_error_page_is_told_of_no_dropped_body() {
    if is_nginx() {
        return;
    }
    let applications: [(&str, Application); 3] = [
        ("fastcgi_", fastcgi::records::output(telling)),
        ("scgi_", scgi::application(telling)),
        ("uwsgi_", uwsgi::application(telling)),
    ];
    for (prefix, application) in applications {
        let conf = "@read_timeout 5s; @param CONTENT_LENGTH $content_length; @param URI $uri;
            client_max_body_size 8; error_page 400 413 416 502 /page; location /page { @pass %a%; }
            location / { return 200 read; }
            location = /file { }
            location = /guarded { auth_request /page; auth_request_set $said $upstream_http_x_told;
                add_header X-Told $said; alias %dir%/html/file; }
            location /broken { proxy_pass http://%broken%; proxy_request_buffering off; }";
        // SCGI has a length of its own, and no second one.
        let conf = match prefix {
            "scgi_" => conf.replace("@param CONTENT_LENGTH $content_length;", ""),
            _ => conf.to_owned(),
        };
        let (broken, closes) = closing_behind("abc");
        let server = Server::server(&conf.replace('@', prefix))
            .set("a", application.address())
            .set("broken", broken)
            .file("html/file", "text")
            .start();
        let ask = |target: &str, fields: &str, body: &str| {
            let mut client = server.client();
            let head = format!("{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
            client.send(format!("{head}\r\n{fields}\r\n{body}"));
            client.response().header("X-Told").unwrap_or_default().to_owned()
        };
        let both = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(ask("POST /", both, "0\r\n\r\n"), "0 0,,", "{prefix}");
        assert_eq!(ask("POST /", "Content-Length: 9\r\n", "123456789"), "0 0,,", "{prefix}");
        assert_eq!(
            ask("GET /file", "Content-Length: 3\r\nRange: bytes=9-\r\n", "abc"),
            "0 0,,",
            "{prefix}"
        );
        assert_eq!(ask("GET /guarded", "Content-Length: 3\r\n", "abc"), "0 0,,", "{prefix}");
        assert_eq!(ask("POST /broken", "Content-Length: 6\r\n", "abc"), "0 0,,", "{prefix}");
        closes.join().unwrap();
        let without = if prefix == "scgi_" { "0 0,," } else { "0 ,," };
        assert_eq!(ask("POST /", "A\0: no\r\n", ""), without, "{prefix}");
    }
}

#[test]
fn early_responses_check_bodies_as_in_nginx() {
    let server = Server::server(
        "location = /refused { return 403; }
         location = /moved { return 302 /there; }
         location = /text { return 200 text; }",
    )
    .file("html/file", "text")
    .start();
    let ask = |target: &str, lines: &str, body: &str| {
        let mut client = server.client();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n{body}"
        ));
        let first = client.head();
        if first.status == 100 { (true, client.response()) } else { (false, first) }
    };
    // A body with invalid framing is a 400 only if it is read for the response.
    for (target, status) in
        [("/refused", 403), ("/none", 404), ("/file", 405), ("/moved", 400), ("/text", 400)]
    {
        let (_, answer) = ask(target, "Transfer-Encoding: chunked\r\n", "zz\r\n");
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.header("Location"), None, "{target}");
    }
    // The same responses send 100 (Continue).
    let lines = "Content-Length: 3\r\nExpect: 100-continue\r\n";
    for (target, goes_on) in
        [("/refused", false), ("/none", false), ("/file", false), ("/moved", true), ("/text", true)]
    {
        assert_eq!(ask(target, lines, "").0, goes_on, "{target}");
    }
}

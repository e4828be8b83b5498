//! Heads of responses: no client data can add a line, and the order of fields.

use crate::harness::{Backend, Reply, Server, is_nginx};

/// A header field injected by the client.
const INJECTED: &str = "%0d%0aInjected:%20yes%0aInjected:%20again";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
fn no_client_data_adds_a_line() {
    // Deliberately stricter than nginx.
    if is_nginx() {
        return;
    }
    let fields =
        "Location: http://old/x\r\nRefresh: 1; url=http://old/x\r\nSet-Cookie: a=b; path=/old\r\n";
    let backend = Backend::new(move |_| Reply::with("200 OK", fields, "text"));
    let server = Server::server(
        r#"
        location /return { return 301 http://there$uri; }
        location /relative { return 302 $uri; }
        location /text { return 200 "x"; add_header X-Uri $uri; add_header Last-Modified $uri; }
        location /etag { add_header ETag $uri; return 200 x; }
        location /trailer { add_trailer X-Uri $uri; return 200 x; }
        location /rewrite { rewrite ^(.*)$ http://there$1 redirect; }
        location /set { set $x $uri; rewrite ^ $scheme://there$x? permanent; }
        location /capture { if ($uri ~ "^/capture(?<rest>(?:.|\n|\r)*)$") { return 307 /new$rest; } }
        location /page { error_page 404 http://there$uri; return 404; }
        location /page/ { error_page 404 =301 /other$uri; return 404; }
        location /folder { root %dir%; }
        location /realm { auth_basic "to $uri"; auth_basic_user_file %dir%/users; }
        location /charset { charset $uri; return 200 x; }
        location /proxied {
            proxy_pass http://%backend%/;
            proxy_redirect http://old/ http://new$uri;
            proxy_cookie_path /old /new$uri;
            add_header X-Uri $uri;
        }
        location /expires { expires $uri; return 200 x; }
        location /absolute { absolute_redirect off; return 301 $uri; }
        location /msie { msie_refresh on; return 301 $uri; }
        "#,
    )
    .set("backend", backend.address())
    .file("users", "")
    .file("folder/a\r\nInjected: yes/file", "")
    .start();
    let targets = [
        "/return",
        "/relative",
        "/text",
        "/etag",
        "/trailer",
        "/rewrite",
        "/set",
        "/capture",
        "/page",
        "/page/",
        "/folder",
        "/realm",
        "/charset",
        "/proxied",
        "/expires",
        "/absolute",
        "/msie",
    ];
    for target in targets {
        for end in [INJECTED, "%0aInjected:%20yes", "%0dInjected:%20yes"] {
            let mut client = server.client();
            client.send(format!(
                "GET {target}/{end} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: MSIE 6\r\n\
                 Connection: close\r\n\r\n"
            ));
            let answer = String::from_utf8_lossy(&client.rest()).into_owned();
            let head = answer.split("\r\n\r\n").next().unwrap();
            let lines = |mark: char| head.split(mark).any(|line| line.starts_with("Injected"));
            assert!(!lines('\n') && !lines('\r'), "{target}/{end}\n{answer}");
            let trailer = answer.split("\r\n0\r\n").nth(1).unwrap_or_default();
            assert!(!trailer.contains("\nInjected"), "{target}/{end}\n{answer}");
        }
    }
    let answer = server.get("/folder/a%0d%0aInjected:%20yes");
    assert_eq!((answer.status, answer.header("Injected")), (301, None), "{}", answer.head);
    let answer = server.get(&format!("/return/{INJECTED}"));
    let location = "http://there/return/%0D%0AInjected: yes%0AInjected: again";
    assert_eq!(answer.header("Location"), Some(location));
    let answer = server.get(&format!("/text/{INJECTED}"));
    assert_eq!(answer.header("X-Uri"), Some("/text/  Injected: yes Injected: again"));
}

/// What an upstream writes around a charset stays, unless the charset changes.
#[test]
fn a_content_type_is_passed_on_as_it_is_written() {
    let backend = Backend::new(|seen| {
        let value = seen.header("X-Type").unwrap().to_owned();
        let fields = format!("Content-Type: {value}\r\n");
        Reply::with("200 OK", &fields, "text")
    });
    let server = Server::server(
        "location / { proxy_pass http://%backend%; add_header X-Sent $sent_http_content_type; }
         location /named { proxy_pass http://%backend%; charset UTF-8; override_charset on; }
         location /known { proxy_pass http://%backend%; charset koi8-r; override_charset on; }",
    )
    .set("backend", backend.address());
    let server = server.start();
    let of = |target: &str, value: &str| {
        let response = server.get_with(target, &format!("X-Type: {value}\r\n"));
        let sent = response.header("X-Sent").map(str::to_owned);
        (response.header("Content-Type").unwrap_or_default().to_owned(), sent)
    };
    for value in [
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain;charset=utf-8",
        "text/plain;  charset=utf-8",
        "text/plain; Charset=\"utf-8\"",
        "text/plain;a=b;charset=utf-8",
        "text/plain; charset=utf-8; a=b",
    ] {
        assert_eq!(of("/", value), (value.to_owned(), Some(value.to_owned())));
    }
    // The same charset, and one of which no map is known.
    assert_eq!(of("/named", "text/plain;charset=utf-8").0, "text/plain; charset=UTF-8");
    assert_eq!(of("/known", "text/plain;charset=utf-8").0, "text/plain;charset=utf-8");
}

/// The field names in order.
fn names(head: &str) -> Vec<&str> {
    head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect()
}

#[test]
fn fields_are_in_order() {
    let backend = Backend::new(|seen| match seen.target() {
        "/none" => Reply::Bytes(
            b"HTTP/1.1 204 No Content\r\nContent-Type: text/html\r\nX-One: 1\r\n\r\n".to_vec(),
        ),
        _ => Reply::with("302 Found", "X-One: 1\r\nLocation: http://old/x\r\nX-Two: 2\r\n", ""),
    });
    let server = Server::server(
        r#"
        add_header X-Own own always;
        location = /absolute { return 301 http://there/; }
        location = /path { return 301 /there; }
        location /relative { absolute_redirect off; return 301 /there; }
        location /moved { error_page 404 http://there/; return 404; }
        location /proxied { proxy_pass http://%backend%/; }
        location /back { proxy_pass http://%backend%/; proxy_redirect http://old/ /new/; }
        location /here { proxy_pass http://%backend%/; proxy_redirect http://old/ /new/;
            absolute_redirect off; }
        location /none { proxy_pass http://%backend%; }
        location = /nothing { return 204; }
        "#,
    )
    .set("backend", backend.address())
    .file("html/folder/file", "")
    .start();
    let first = ["Server", "Date"];
    let body = ["Content-Type", "Content-Length"];
    let moved = [&first[..], &body, &["Location", "Connection", "X-Own"]].concat();
    let apart = [&first[..], &body, &["Connection", "Location", "X-Own"]].concat();
    let passed = ["Server", "Date", "Content-Length", "Connection", "X-One", "Location", "X-Two"];
    let passed = [&passed[..], &["X-Own"]].concat();
    let back = ["Server", "Date", "Content-Length", "Location", "Connection", "X-One", "X-Two"];
    let back = [&back[..], &["X-Own"]].concat();
    for (target, expected) in [
        ("/absolute", &apart),
        ("/moved", &apart),
        ("/relative", &apart),
        ("/path", &moved),
        ("/folder", &moved),
        ("/proxied", &passed),
        ("/back", &back),
        ("/here", &passed),
        ("/none", &vec!["Server", "Date", "Content-Type", "Connection", "X-One", "X-Own"]),
        ("/nothing", &vec!["Server", "Date", "Connection", "X-Own"]),
    ] {
        assert_eq!(&names(&server.get(target).head), expected, "{target}");
    }
}

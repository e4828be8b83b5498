//! The `proxy` module: requests to upstreams and their responses. Bodies are in `proxy_bodies.rs`.

use std::io::Write;

use crate::harness::{Backend, Reply, Server};

pub(crate) fn proxied(backend: &Backend, conf: &str) -> Server {
    Server::server(conf).set("backend", backend.address()).start()
}

#[test]
fn request_headers_by_default() {
    let backend = Backend::echo();
    let server = proxied(&backend, "location / { proxy_pass http://%backend%; }");
    server.get_with(
        "/",
        "X-One: 1\r\nKeep-Alive: 300\r\nTE: trailers\r\nUpgrade: x\r\nX_Bad: no\r\n\
         X-Empty:\r\nX-One: 2\r\n",
    );
    let seen = backend.last();
    assert_eq!(seen.header("Host"), Some(backend.address().as_str()));
    for dropped in ["Keep-Alive", "TE", "Upgrade", "X_Bad"] {
        assert_eq!(seen.header(dropped), None, "{dropped}");
    }
    let ones: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "X-One").collect();
    assert_eq!(ones.len(), 2, "duplicates are kept");
}

#[test]
fn set_header_body_method_and_version() {
    let backend = Backend::echo();
    let server = proxied(
        &backend,
        r#"
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header Accept-Encoding "";
        location / { proxy_pass http://%backend%; }
        location /own { proxy_set_header X-Only 1; proxy_pass http://%backend%; }
        location /method { proxy_method PUT; proxy_pass http://%backend%; }
        location /body { proxy_set_body "new $arg_a"; proxy_pass http://%backend%; }
        location /none { proxy_pass_request_headers off; proxy_pass_request_body off;
            proxy_set_header Content-Length ""; proxy_pass http://%backend%; }
        location /10 { proxy_http_version 1.0; proxy_pass http://%backend%; }
        location /11 { proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass http://%backend%; }
        "#,
    );
    let lines = "X-Forwarded-For: 192.0.2.1\r\nAccept-Encoding: gzip\r\n";
    server.get_with("/", lines);
    let seen = backend.last();
    assert_eq!(seen.header("Host"), Some("localhost"));
    assert_eq!(seen.header("X-Real-IP"), Some("127.0.0.1"));
    assert_eq!(seen.header("X-Forwarded-For"), Some("192.0.2.1, 127.0.0.1"));
    assert_eq!(seen.header("Accept-Encoding"), None);
    server.get_with("/own", lines);
    let seen = backend.last();
    assert_eq!(seen.header("X-Only"), Some("1"));
    assert_eq!(seen.header("Host"), Some(backend.address().as_str()));
    assert_eq!(seen.header("X-Real-IP"), None, "the location's own list replaces the server's");
    server.get("/method");
    assert!(backend.last().line.starts_with("PUT /method "));
    server.get("/body?a=x");
    let seen = backend.last();
    assert_eq!((&*seen.body, seen.header("Content-Length")), (&b"new x"[..], Some("5")));
    server.ask("POST /none HTTP/1.1\r\nHost: a\r\nX-A: b\r\nContent-Length: 2\r\n\r\nxx");
    let seen = backend.last();
    assert_eq!((seen.header("X-A"), seen.body.len()), (None, 0));
    server.get("/10");
    assert_eq!(backend.last().line, "GET /10 HTTP/1.0");
    server.get("/11");
    assert_eq!(backend.last().line, "GET /11 HTTP/1.1");
    assert_eq!(backend.last().header("Connection"), None);
}

#[test]
fn response_headers() {
    let backend = Backend::new(|_| {
        Reply::with(
            "200 Fine",
            "Date: Mon, 01 Jan 2001 00:00:00 GMT\r\nServer: own\r\nX-Pad: p\r\nX-A: 1\r\nX-A: 2\r\n\
             X-Hide: h\r\nX-Accel-Custom: c\r\nX-Accel-Limit-Rate: 0\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             Keep-Alive: x\r\nContent-Type: text/x-y\r\n",
            "body",
        )
    });
    let server = proxied(
        &backend,
        "location / { proxy_pass http://%backend%; }
         location /hide { proxy_hide_header X-Hide; proxy_hide_header Set-Cookie;
             proxy_pass http://%backend%; }
         location /pass { proxy_pass_header Server; proxy_pass_header Date;
             proxy_pass http://%backend%; }",
    );
    let response = server.get("/");
    assert_eq!(response.head.lines().next(), Some("HTTP/1.1 200 Fine"));
    assert_ne!(response.header("Server"), Some("own"));
    assert_ne!(response.header("Date"), Some("Mon, 01 Jan 2001 00:00:00 GMT"));
    assert_eq!(response.header("X-Pad"), None);
    assert_eq!(response.header("X-Accel-Limit-Rate"), None);
    assert_eq!(response.header("X-Hide"), Some("h"));
    assert_eq!(response.all("X-A"), ["1", "2"]);
    assert_eq!(response.all("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("Content-Type"), Some("text/x-y"));
    let response = server.get("/hide");
    assert_eq!((response.header("X-Hide"), response.header("Set-Cookie")), (None, None));
    let response = server.get("/pass");
    assert_eq!(response.header("Server"), Some("own"));
    assert_eq!(response.header("Date"), Some("Mon, 01 Jan 2001 00:00:00 GMT"));
}

#[test]
fn redirects_and_cookies() {
    let backend = Backend::new(|seen| {
        let location = seen.header("X-Location").unwrap_or("/").to_owned();
        let cookie = "c=1; Domain=internal.test; Path=/app/; HttpOnly";
        let lines = format!(
            "Location: {location}\r\nRefresh: 5; url={location}\r\nSet-Cookie: {cookie}\r\n"
        );
        Reply::with("302 Found", &lines, "")
    });
    let server = proxied(
        &backend,
        r#"
        location /app/ { proxy_pass http://%backend%/inner/; }
        location /own/ { proxy_redirect http://a.test/ /b/;
            proxy_redirect ~^http://(\w+)\.re/(.*) https://$host/$1/$2;
            proxy_pass http://%backend%/; }
        location /off/ { proxy_redirect off; proxy_pass http://%backend%/inner/; }
        location /cookie/ { proxy_cookie_domain internal.test $host;
            proxy_cookie_path /app/ /pub/; proxy_cookie_flags c secure samesite=lax nohttponly;
            proxy_pass http://%backend%/; }
        "#,
    );
    let inner = format!("http://{}/inner/x", backend.address());
    let ask = |target: &str, location: &str| {
        server.get_with(target, &format!("X-Location: {location}\r\n"))
    };
    let port = server.port("port");
    let response = ask("/app/x", &inner);
    assert_eq!(response.header("Location"), Some(&*format!("http://localhost:{port}/app/x")));
    assert_eq!(response.header("Refresh"), Some("5; url=/app/x"));
    let location =
        |target: &str, from: &str| ask(target, from).header("Location").unwrap().to_owned();
    assert_eq!(location("/app/x", "http://elsewhere/"), "http://elsewhere/");
    assert_eq!(location("/own/x", "http://a.test/z"), format!("http://localhost:{port}/b/z"));
    assert_eq!(location("/own/x", "http://w.re/z"), "https://localhost/w/z");
    assert_eq!(location("/off/x", &inner), inner);
    let cookie = ask("/cookie/", "/").header("Set-Cookie").unwrap().to_owned();
    assert_eq!(cookie, "c=1; Domain=localhost; Path=/pub/; Secure; SameSite=Lax");
}

#[test]
fn next_upstream_and_its_limits() {
    let bad = Backend::new(|_| Reply::with("503 Busy", "", "busy"));
    let closing = Backend::new(|_| Reply::Last(Vec::new()));
    let good = Backend::text("good");
    let server = Server::http(
        r#"
        upstream a { server %bad% max_fails=0; server %good% max_fails=0; }
        upstream c { server %closing% max_fails=0; server %good% max_fails=0; }
        upstream only { server %bad%; }
        server {
            listen 127.0.0.1:%port%;
            location /default { proxy_pass http://a; }
            location /503 { proxy_next_upstream error timeout http_503; proxy_pass http://a;
                add_header X-S $upstream_status; add_header X-A $upstream_addr; }
            location /closing { proxy_pass http://c; }
            location /off { proxy_next_upstream off; proxy_pass http://c; }
            location /tries { proxy_next_upstream_tries 1; proxy_pass http://c; }
            location /nonidem { proxy_next_upstream error non_idempotent; proxy_pass http://c; }
            location /none { proxy_pass http://127.0.0.1:%port_dead%; }
        }
        "#,
    )
    .set("bad", bad.address())
    .set("closing", closing.address())
    .set("good", good.address())
    .start();
    let statuses = |target: &str| {
        let mut all = [server.get(target).status, server.get(target).status];
        all.sort_unstable();
        all
    };
    assert_eq!(statuses("/default"), [200, 503]);
    assert_eq!(statuses("/503"), [200, 200]);
    assert_eq!(statuses("/closing"), [200, 200]);
    assert_eq!(statuses("/off"), [200, 502]);
    assert_eq!(statuses("/tries"), [200, 502]);
    let post = |target: &str| {
        let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        let mut all = [server.ask(&request).status, server.ask(&request).status];
        all.sort_unstable();
        all
    };
    assert_eq!(post("/closing"), [200, 502], "a POST that was sent is not sent again");
    assert_eq!(post("/nonidem"), [200, 200]);
    let two = [server.get("/503"), server.get("/503")];
    let states: Vec<_> = two.iter().filter_map(|response| response.header("X-S")).collect();
    assert!(states.contains(&"503, 200") && states.contains(&"200"), "{states:?}");
    assert_eq!(server.get("/none").status, 502);
    server.wait_log("connect() failed (111: Connection refused) while connecting to upstream");
    server.wait_log(
        "upstream prematurely closed connection while reading response header from upstream",
    );
}

#[test]
fn timeouts_and_bad_answers() {
    let backend = Backend::new(|seen| match seen.target() {
        "/silent" => Reply::hold(),
        "/nonsense" => Reply::Last(b"nonsense without a head\r\n\r\n".to_vec()),
        "/badheader" => Reply::Last(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_vec()),
        "/big" => {
            let field = "x".repeat(5000);
            Reply::Last(format!("HTTP/1.1 200 OK\r\nX: {field}\r\n\r\n").into_bytes())
        }
        "/short" => Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
        "/103" => Reply::Last(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        ),
        _ => Reply::ok("x"),
    });
    let server = proxied(
        &backend,
        "proxy_read_timeout 1s; proxy_buffer_size 4k; proxy_buffers 4 4k; location / {
            proxy_pass http://%backend%; }",
    );
    assert_eq!(server.get("/silent").status, 504);
    server.wait_log("upstream timed out (110: Connection timed out) while reading response header");
    assert_eq!(server.get("/big").status, 502);
    server.wait_log("upstream sent too big header while reading response header from upstream");
    assert_eq!(server.get("/badheader").status, 502);
    server.wait_log("upstream sent invalid header");
    assert_eq!(server.get("/103").text(), "ok", "early hints are not passed on");
    let mut client = server.client();
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().header("Content-Length"), Some("10"));
    assert_eq!(client.rest(), b"half", "a body cut short is cut short for the client too");
    server.wait_log("upstream prematurely closed connection while reading upstream");
}

#[test]
fn intercepted_errors() {
    let backend = Backend::new(|seen| match seen.target() {
        "/404" => Reply::with("404 Not Found", "", "theirs"),
        _ => Reply::with("500 Oops", "", "theirs"),
    });
    let server = proxied(
        &backend,
        "error_page 404 /mine; location = /mine { return 200 mine; }
         location / { proxy_intercept_errors on; proxy_pass http://%backend%; }
         location /plain/ { proxy_pass http://%backend%/; }",
    );
    let response = server.get("/404");
    assert_eq!((response.status, response.text().as_str()), (404, "mine"));
    let response = server.get("/500");
    assert_eq!((response.status, response.text().as_str()), (500, "theirs"));
    assert_eq!(server.get("/plain/404").text(), "theirs");
}

#[test]
fn x_accel_fields() {
    let backend = Backend::new(|seen| match seen.target() {
        "/redirect" => Reply::with(
            "200 OK",
            "X-Accel-Redirect: /inner/file?a=b\r\nX-Own: kept\r\nSet-Cookie: c=1\r\n",
            "",
        ),
        "/named" => Reply::with("200 OK", "X-Accel-Redirect: @named\r\n", ""),
        "/expires" => {
            Reply::with("200 OK", "X-Accel-Expires: 10\r\nX-Accel-Charset: koi8-r\r\n", "x")
        }
        _ => Reply::with("200 OK", "X-Accel-Buffering: no\r\n", "x"),
    });
    let server = proxied(
        &backend,
        r#"
        location / { proxy_pass http://%backend%; }
        location /inner/ { internal; return 200 "inner $uri $args"; }
        location @named { return 200 named; }
        location /ignored/ { proxy_ignore_headers X-Accel-Redirect; proxy_pass http://%backend%/; }
        "#,
    );
    let response = server.get("/redirect");
    assert_eq!(response.text(), "inner /inner/file a=b");
    assert_eq!(response.header("Set-Cookie"), Some("c=1"));
    assert_eq!(server.text("/named"), "named");
    let response = server.get("/expires");
    assert_eq!(response.header("X-Accel-Expires"), None);
    assert_eq!(server.text("/ignored/redirect"), "");
    assert_eq!(server.get("/inner/x").status, 404);
    assert_eq!(server.get("/buffering").header("X-Accel-Buffering"), None);
}

#[test]
fn an_upgraded_connection_is_a_tunnel() {
    let backend = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            let _ = stream.write_all(head);
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = std::io::Read::read(stream, &mut chunk) {
                if stream.write_all(&chunk[..count]).is_err() {
                    return;
                }
            }
        }))
    });
    let server = proxied(
        &backend,
        "location / { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
           proxy_set_header Connection \"upgrade\"; proxy_pass http://%backend%; }",
    );
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
    let response = client.head();
    assert_eq!((response.status, response.header("Upgrade")), (101, Some("echo")));
    assert_eq!(client.take(5), b"early");
    for n in 0..20 {
        let text = format!("message {n}");
        client.send(&text);
        assert_eq!(client.take(text.len()), text.as_bytes());
    }
    client.finish();
    assert!(client.is_closed());
}

#[test]
fn upstream_variables() {
    let backend = Backend::new(|_| {
        Reply::with("201 Made", "X-Up: u\r\nSet-Cookie: id=7; Path=/\r\n", "12345")
    });
    let server = Server::http(
        r#"
        log_format up "$upstream_addr|$upstream_status|$upstream_response_length|"
                      "$upstream_http_x_up|$upstream_cookie_id|"
                      "$upstream_connect_time|$upstream_header_time|$upstream_response_time|"
                      "$upstream_bytes_received|$proxy_host|$proxy_port";
        upstream u { server %backend%; }
        server { listen 127.0.0.1:%port%; access_log %dir%/up.log up; location / {
            proxy_pass http://u; } }
        "#,
    )
    .set("backend", backend.address())
    .start();
    assert_eq!(server.get("/").status, 201);
    let line = server.wait_lines("up.log", 1).remove(0);
    let fields: Vec<&str> = line.split('|').collect();
    assert_eq!(fields[..5], [&backend.address(), "201", "5", "u", "7"]);
    for time in &fields[5..8] {
        assert!(time.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(fields[9..], ["u", "80"]);
}

#[test]
fn proxy_pass_with_variables_and_unix_sockets() {
    let backend = Backend::echo();
    let server = Server::http(
        r#"
        upstream named { server %backend%; }
        server {
            listen 127.0.0.1:%port%;
            location /var { proxy_pass http://$arg_to; }
            location /unix { proxy_pass http://unix:%dir%/inner.sock:/over; }
        }
        server { listen unix:%dir%/inner.sock; return 200 "unix $uri $host"; }
        "#,
    )
    .set("backend", backend.address())
    .start();
    assert_eq!(server.get("/var?to=named").status, 200);
    assert_eq!(backend.last().target(), "/var?to=named");
    assert_eq!(server.get(&format!("/var?to={}", backend.address())).status, 200);
    assert_eq!(server.get("/var?to=name.invalid").status, 502);
    server.wait_log("no resolver defined to resolve name.invalid");
    assert_eq!(server.text("/unix/x"), "unix /over/x localhost");
}

#[test]
fn mirror() {
    let main = Backend::text("main");
    let copy = Backend::new(|_| Reply::with("500 Ignored", "", ""));
    let server = Server::server(
        "location / { mirror /copy; proxy_pass http://%main_backend%; }
         location = /copy { internal; proxy_pass http://%copy_backend%$request_uri; }
         location /bare { mirror /copy; mirror_request_body off;
             proxy_pass http://%main_backend%; }",
    )
    .set("main_backend", main.address())
    .set("copy_backend", copy.address())
    .start();
    let response = server.ask("POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((response.status, response.text().as_str()), (200, "main"));
    let seen = copy.wait(0);
    assert_eq!((seen.line.as_str(), &*seen.body), ("POST /x?y HTTP/1.1", &b"body"[..]));
    assert_eq!(main.last().body, b"body");
}

#[test]
fn stub_status() {
    let server =
        Server::server("location / { return 204; } location = /s { stub_status; }").start();
    let mut idle = server.client();
    idle.get("/");
    let text = server.text("/s");
    assert_eq!(
        text,
        "Active connections: 2 \nserver accepts handled requests\n 2 2 2 \n\
         Reading: 0 Writing: 1 Waiting: 1 \n"
    );
}

#[test]
fn only_early_hints_are_passed_on() {
    let backend = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let _ = stream.write_all(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\
                  X-Accel-Expires: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            );
        }))
    });
    let server = proxied(
        &backend,
        "location / { proxy_pass http://%backend%; }
         location /hints { early_hints $arg_hints; proxy_pass http://%backend%; }",
    );
    assert_eq!(server.text("/"), "ok");
    assert_eq!(server.text("/hints?hints=0"), "ok");
    let mut client = server.client();
    client.send("GET /hints?hints=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.head();
    assert_eq!((hints.status, hints.header("Link")), (103, Some("</a>")));
    assert_eq!(hints.header("X-Accel-Expires"), None);
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn connect_opens_a_tunnel_if_allowed() {
    let backend = Backend::text("through");
    let server = proxied(
        &backend,
        "location / { if ($request_method = CONNECT) { tunnel_pass %backend%; break; } return 204; }",
    );
    assert_eq!(server.get("/").status, 204);
    let mut client = server.client();
    client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.get("/x").text(), "through");
    assert_eq!(backend.last().target(), "/x");
    let closed = Server::server("location / { return 204; }").start();
    assert_eq!(closed.ask("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").status, 405);
}

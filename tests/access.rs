//! Access control: allow and deny, auth_basic, auth_request, satisfy, realip, proxy_protocol.

use crate::harness::{Backend, Reply, Server};

#[test]
fn allow_deny_and_satisfy() {
    let server = Server::server(
        r#"
        root %dir%/html;
        location /deny { deny all; }
        location /allow { allow 127.0.0.0/8; deny all; }
        location /order { deny 127.0.0.1; allow all; }
        location /unix { allow unix:; deny all; }
        location /any { satisfy any; deny all; auth_basic "closed";
            auth_basic_user_file %dir%/users; }
        location /all { satisfy all; deny all; auth_basic "closed";
            auth_basic_user_file %dir%/users; }
        "#,
    )
    .file("users", "user:{PLAIN}pass\n")
    .file("html/deny", "")
    .file("html/allow", "ok")
    .file("html/any", "any")
    .start();
    assert_eq!(server.get("/deny").status, 403);
    server.wait_log("access forbidden by rule, client: 127.0.0.1");
    assert_eq!(server.text("/allow"), "ok");
    assert_eq!(server.get("/order").status, 403);
    assert_eq!(server.get("/unix").status, 403);
    assert_eq!(server.get("/any").status, 401);
    let user = "Authorization: Basic dXNlcjpwYXNz\r\n";
    assert_eq!(server.get_with("/any", user).text(), "any");
    assert_eq!(server.get_with("/all", user).status, 403);
}

#[test]
fn auth_basic() {
    let server = Server::server(
        r#"
        root %dir%/html;
        location / { auth_basic "The $host"; auth_basic_user_file users; }
        location /off { auth_basic off; }
        "#,
    )
    .file(
        "users",
        "# a comment\nplain:{PLAIN}pass\nsha:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n\
         apr:$apr1$saltsalt$xx013OFx2cRtDjpNeiZXf.:comment\n",
    )
    .file("html/x", "ok")
    .file("html/off", "open")
    .start();
    let response = server.get("/x");
    assert_eq!(response.status, 401);
    assert_eq!(response.header("WWW-Authenticate"), Some("Basic realm=\"The localhost\""));
    let status = |credentials: &str| {
        server.get_with("/x", &format!("Authorization: Basic {credentials}\r\n")).status
    };
    assert_eq!(status("cGxhaW46cGFzcw=="), 200, "plain:pass");
    assert_eq!(status("cGxhaW46d3Jvbmc="), 401, "plain:wrong");
    assert_eq!(status("c2hhOnBhc3M="), 200, "sha:pass");
    assert_eq!(status("YXByOnBhc3M="), 200, "apr:pass");
    assert_eq!(status("bm9ib2R5OnBhc3M="), 401, "nobody:pass");
    assert_eq!(status("!!!"), 401);
    assert_eq!(server.text("/off"), "open");
    server.wait_log("user \"plain\": password mismatch");
    server.wait_log("user \"nobody\" was not found in");
}

#[test]
fn auth_request() {
    let backend = Backend::new(|seen| match seen.header("X-Key") {
        Some("good") => Reply::with("204 No Content", "X-User: anna\r\n", ""),
        Some("forbidden") => Reply::with("403 Forbidden", "", ""),
        Some("broken") => Reply::with("500 Oops", "", ""),
        _ => Reply::with("401 Unauthorized", "WWW-Authenticate: Key\r\n", ""),
    });
    let server = Server::server(
        r#"
        location / { auth_request /auth; auth_request_set $who $upstream_http_x_user;
            proxy_pass http://%echo%; proxy_set_header X-Who $who; }
        location = /auth { internal; proxy_pass http://%backend%/check; proxy_pass_request_body off;
            proxy_set_header Content-Length ""; proxy_set_header X-Original $request_uri; }
        "#,
    );
    let echo = Backend::echo();
    let server = server.set("backend", backend.address()).set("echo", echo.address()).start();
    let response = server.get("/x");
    assert_eq!((response.status, response.header("WWW-Authenticate")), (401, Some("Key")));
    assert_eq!(server.get_with("/x", "X-Key: forbidden\r\n").status, 403);
    assert_eq!(server.get_with("/x", "X-Key: broken\r\n").status, 500);
    assert_eq!(echo.count(), 0);
    let mut client = server.client();
    client.send("POST /x?y HTTP/1.1\r\nHost: a\r\nX-Key: good\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().status, 200);
    assert_eq!((echo.last().header("X-Who"), &*echo.last().body), (Some("anna"), &b"body"[..]));
    assert_eq!(
        (backend.last().target(), backend.last().header("X-Original")),
        ("/check", Some("/x?y"))
    );
    assert_eq!(backend.last().body, b"");
}

#[test]
fn realip() {
    let server = Server::http(
        r#"
        set_real_ip_from 127.0.0.1;
        set_real_ip_from 10.0.0.0/8;
        server { listen 127.0.0.1:%port%; real_ip_header X-Real-IP;
            return 200 "$remote_addr|$realip_remote_addr"; }
        server { listen 127.0.0.1:%port%; server_name xff; real_ip_header X-Forwarded-For;
            return 200 "$remote_addr"; }
        server { listen 127.0.0.1:%port%; server_name rec; real_ip_header X-Forwarded-For;
            real_ip_recursive on; return 200 "$remote_addr"; }
        "#,
    )
    .start();
    assert_eq!(server.text("/"), "127.0.0.1|127.0.0.1");
    assert_eq!(server.get_with("/", "X-Real-IP: 192.0.2.1\r\n").text(), "192.0.2.1|127.0.0.1");
    assert_eq!(server.get_with("/", "X-Real-IP: nonsense\r\n").text(), "127.0.0.1|127.0.0.1");
    let chain = "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 10.1.1.1\r\n";
    assert_eq!(server.get_with("/", &format!("Host: xff\r\n{chain}")).text(), "10.1.1.1");
    assert_eq!(server.get_with("/", &format!("Host: rec\r\n{chain}")).text(), "192.0.2.2");
}

#[test]
fn proxy_protocol() {
    let server = Server::http(
        r#"
        server {
            listen 127.0.0.1:%port% proxy_protocol;
            set_real_ip_from 127.0.0.1;
            real_ip_header proxy_protocol;
            set $client "$proxy_protocol_addr|$proxy_protocol_port";
            set $here "$proxy_protocol_server_addr|$proxy_protocol_server_port";
            return 200 "$remote_addr|$client|$here";
        }
        "#,
    )
    .start();
    let get = "GET / HTTP/1.0\r\n\r\n";
    let ask = |header: &[u8]| server.ask([header, get.as_bytes()].concat()).text();
    assert_eq!(
        ask(b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\n"),
        "192.0.2.1|192.0.2.1|123|192.0.2.2|5678"
    );
    assert_eq!(
        ask(b"PROXY TCP6 2001:db8::1 2001:db8::2 123 5678\r\n"),
        "2001:db8::1|2001:db8::1|123|2001:db8::2|5678"
    );
    assert_eq!(ask(b"PROXY UNKNOWN TCP4 1 2 3 4\r\n"), "127.0.0.1||||");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\0\x7b\x16\x2e";
    assert_eq!(ask(v2), "192.0.2.1|192.0.2.1|123|192.0.2.2|5678");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    assert_eq!(ask(local), "127.0.0.1||||");
    let mut client = server.client();
    client.send(get);
    assert!(client.is_closed(), "a connection without the header is closed");
    server.wait_log("broken header: \"GET / HTTP/1.0");
}

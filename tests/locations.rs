//! Matching of locations, and the path passed on.

use crate::harness::{Backend, Server};

#[test]
fn locations_are_matched_in_nginx_order() {
    let server = Server::server(
        r#"
        location = / { return 200 root; }
        location / { return 200 slash; }
        location /images/ { return 200 images; }
        location ^~ /images/raw { return 200 raw; }
        location /images/big/ { location ~ \.gif$ { return 200 nested; } return 200 big; }
        location ~ \.(gif|jpg)$ { return 200 "sensitive $1"; }
        location ~* \.(gif|jpg|png)$ { return 200 "insensitive $1"; }
        location = /exact { return 200 exact; }
        location ~ ^/cap/(?<name>[a-z]+)/(\d+) { return 200 "$name-$2"; }
        "#,
    )
    .start();
    let expected = [
        ("/", "root"),
        ("/other", "slash"),
        ("/images/x", "images"),
        ("/images/x.gif", "sensitive gif"),
        ("/images/x.GIF", "insensitive GIF"),
        ("/images/raw/x.gif", "raw"),
        ("/images/big/x.gif", "nested"),
        ("/images/big/x.jpg", "sensitive jpg"),
        ("/images/big/x", "big"),
        ("/exact", "exact"),
        ("/exactly", "slash"),
        ("/cap/abc/12/rest", "abc-12"),
        ("/a/../images/./x", "images"),
        ("//images///x", "images"),
        ("/%69mages/x", "images"),
        ("/images/x.gif?a=/exact", "sensitive gif"),
    ];
    for (target, answer) in expected {
        assert_eq!(server.text(target), answer, "{target}");
    }
}

#[test]
fn a_missing_slash_is_redirected_for_a_proxy() {
    let backend = Backend::echo();
    let server = Server::server(
        "location /app/ { proxy_pass http://%backend%; }
         location /name/ { proxy_pass http://%backend%/; }
         location = /name/x { return 200 exact; }",
    )
    .set("backend", backend.address())
    .start();
    let response = server.get("/app?q=1");
    assert_eq!(response.status, 301);
    let port = server.port("port");
    assert_eq!(response.header("Location"), Some(&*format!("http://localhost:{port}/app/?q=1")));
    assert_eq!(server.get("/app/").status, 200);
    assert_eq!(backend.last().target(), "/app/");
}

#[test]
fn the_path_that_reaches_the_backend() {
    let backend = Backend::echo();
    let server = Server::server(
        "location / { proxy_pass http://%backend%; }
         location /strip/ { proxy_pass http://%backend%/; }
         location /swap { proxy_pass http://%backend%/other; }
         location /var/ { proxy_pass http://%backend%/v$uri?from=$arg_a; }
         location ~ ^/re/(.*) { proxy_pass http://%backend%/r/$1; }
         location /rewritten/ { rewrite ^/rewritten/(.*) /new/$1 break;
             proxy_pass http://%backend%/ignored; }
         location @named { proxy_pass http://%backend%; }
         location /named { error_page 404 = @named; return 404; }
         merge_slashes on;",
    )
    .set("backend", backend.address())
    .start();
    let expected = [
        ("/as/%69s?x=%20y", "/as/%69s?x=%20y"),
        ("/a//b/../c", "/a//b/../c"),
        ("/strip/x%20y?q", "/x%20y?q"),
        ("/strip/a/../b", "/b"),
        ("/swap/x", "/other/x"),
        ("/swapped", "/otherped"),
        ("/var/x?a=1", "/v/var/x?from=1"),
        ("/re/x?lost", "/r/x"),
        ("/rewritten/x?q=1", "/new/x?q=1"),
        ("/named/x", "/named/x"),
    ];
    for (target, reached) in expected {
        assert_eq!(server.get(target).status, 200, "{target}");
        assert_eq!(backend.last().target(), reached, "{target}");
    }
}

#[test]
fn internal_and_limit_except() {
    let server = Server::server(
        r#"
        location /inner { internal; return 200 inner; }
        location /go { error_page 418 = /inner; return 418; }
        location /get { limit_except GET { deny all; } return 200 "$request_method"; }
        location /files { limit_except GET { deny all; } root %dir%/html; }
        "#,
    )
    .file("html/files", "content")
    .start();
    assert_eq!(server.get("/inner").status, 404);
    assert_eq!(server.text("/go"), "inner");
    assert_eq!(server.text("/files"), "content");
    assert_eq!(server.ask("PUT /files HTTP/1.0\r\n\r\n").status, 403);
    let mut client = server.client();
    client.send("HEAD /files HTTP/1.0\r\n\r\n");
    assert_eq!(client.head_response().status, 200);
}

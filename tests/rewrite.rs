//! rewrite, return, if, set, break.

use crate::harness::Server;

#[test]
fn rewrites_and_their_flags() {
    let server = Server::server(
        r#"
        rewrite ^/server/(.*)$ /last/$1;
        location / { return 200 "$uri?$args"; }
        location /last { rewrite ^/last/(\w+) /done/$1 last; return 500; }
        location /break { rewrite ^/break/(.*) /html/$1 break; root %dir%; }
        location /redirect { rewrite ^/redirect/(.*) /to/$1 redirect; }
        location /permanent { rewrite ^/permanent/(.*) http://other.test/$1 permanent; }
        location /drop { rewrite ^ /without? last; }
        location /add { rewrite ^ /with?x=1 last; }
        location /chain { rewrite ^/chain/(.*) /c1/$1; rewrite ^/c1/(.*) /c2/$1;
            rewrite ^/c2/(.*) /end/$1 last; }
        location /case { rewrite (?i)^/case/ABC$ /yes last; return 200 no; }
        location /loop { rewrite ^/loop(.*) /loop$1x last; }
        "#,
    )
    .file("html/file", "from disk")
    .start();
    let expected = [
        ("/server/a", "/done/a?"),
        ("/last/abc?q=1", "/done/abc?q=1"),
        ("/break/file", "from disk"),
        ("/drop?a=1", "/without?"),
        ("/add?a=1", "/with?x=1&a=1"),
        ("/chain/z", "/end/z?"),
        ("/case/abc", "/yes?"),
    ];
    for (target, answer) in expected {
        assert_eq!(server.text(target), answer, "{target}");
    }
    let response = server.get("/redirect/x?q=1");
    let location = format!("http://localhost:{}/to/x?q=1", server.port("port"));
    assert_eq!((response.status, response.header("Location")), (302, Some(&*location)));
    let response = server.get("/permanent/x");
    assert_eq!((response.status, response.header("Location")), (301, Some("http://other.test/x")));
    assert_eq!(server.get("/loop").status, 500);
    server.wait_log("rewrite or internal redirection cycle while processing \"/loopxxxxxxxxxxx\"");
}

#[test]
fn conditions() {
    let server = Server::server(
        r#"
        set $r "";
        if ($request_method = POST) { set $r "${r}post "; }
        if ($request_method != POST) { set $r "${r}other "; }
        if ($arg_a) { set $r "${r}a "; }
        if ($http_x ~ ^v(\d+)) { set $r "${r}v$1 "; }
        if ($http_x ~* ^V) { set $r "${r}any "; }
        if ($http_x !~ ^v) { set $r "${r}none "; }
        if (-f %dir%/html/file) { set $r "${r}file "; }
        if (-d %dir%/html) { set $r "${r}dir "; }
        if (!-e %dir%/nothing) { set $r "${r}missing "; }
        if ($arg_stop) { return 403; }
        location / { return 200 "$r"; }
        location /if { if ($arg_a = x) { return 200 inside; } return 200 outside; }
        location /hdr { if ($arg_a) { add_header X-In yes; } add_header X-Out yes; return 204; }
        "#,
    )
    .file("html/file", "")
    .start();
    assert_eq!(server.text("/"), "other none file dir missing ");
    assert_eq!(server.get_with("/?a=1", "X: v12\r\n").text(), "other a v12 any file dir missing ");
    assert_eq!(server.text("/?a=0"), "other none file dir missing ");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert!(server.ask(post).text().starts_with("post "));
    assert_eq!(server.get("/?stop=1").status, 403);
    assert_eq!(server.text("/if?a=x"), "inside");
    assert_eq!(server.text("/if?a=y"), "outside");
    let response = server.get("/hdr?a=1");
    assert_eq!((response.header("X-In"), response.header("X-Out")), (Some("yes"), None));
    assert_eq!(server.get("/hdr").header("X-Out"), Some("yes"));
}

#[test]
fn returns() {
    let server = Server::server(
        r#"
        location = /code { return 410; }
        location = /text { default_type text/x-test; return 200 "t $arg_x"; }
        location = /url { return http://other.test/$arg_x; }
        location = /308 { return 308 /moved; }
        location = /body404 { return 404 "not here"; }
        location = /204 { return 204; }
        "#,
    )
    .start();
    assert_eq!(server.get("/code").status, 410);
    let response = server.get("/text?x=y");
    assert_eq!(response.text(), "t y");
    assert_eq!(response.header("Content-Type"), Some("text/x-test"));
    let response = server.get("/url?x=z");
    assert_eq!((response.status, response.header("Location")), (302, Some("http://other.test/z")));
    assert_eq!(server.get("/308").status, 308);
    let response = server.get("/body404");
    assert_eq!((response.status, response.text().as_str()), (404, "not here"));
    let response = server.get("/204");
    assert_eq!((response.status, response.header("Content-Length")), (204, None));
}

#[test]
fn error_pages_redirect_inside_and_outside() {
    let server = Server::server(
        r#"
        error_page 404 /missing.html;
        error_page 403 =200 /allowed;
        error_page 410 = /dynamic;
        error_page 500 502 @named;
        error_page 402 http://pay.test/;
        error_page 409 =307 http://other.test/;
        location / { root %dir%/html; }
        location /403 { return 403; }
        location /410 { return 410; }
        location /500 { return 500; }
        location /402 { return 402; }
        location /409 { return 409; }
        location /allowed { return 200 "allowed $uri $request_uri"; }
        location /dynamic { return 201 dynamic; }
        location @named { return 503 "named $uri $status"; }
        location /own { error_page 404 /none.html; root %dir%/html; }
        "#,
    )
    .file("html/missing.html", "my 404")
    .start();
    let response = server.get("/nothing");
    assert_eq!((response.status, response.text().as_str()), (404, "my 404"));
    let response = server.get("/403");
    assert_eq!((response.status, response.text().as_str()), (200, "allowed /allowed /403"));
    assert_eq!(server.get("/410").status, 201);
    let response = server.get("/500");
    assert!(response.text().starts_with("named /500"), "{response:?}");
    let response = server.get("/402");
    assert_eq!((response.status, response.header("Location")), (302, Some("http://pay.test/")));
    assert_eq!(server.get("/409").status, 307);
    let response = server.get("/own/x");
    assert_eq!(response.status, 404);
    assert!(response.text().contains("<h1>404 Not Found</h1>"), "{response:?}");
}

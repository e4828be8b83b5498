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
fn error_pages_redirect_internally_and_externally() {
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

#[test]
fn error_pages_may_have_error_pages() {
    let server = Server::server(
        r#"
        location /once { error_page 404 /second; return 404; }
        location /second { error_page 410 /end; return 410; }
        location /on { recursive_error_pages on; error_page 404 /second-on; return 404; }
        location /second-on { recursive_error_pages on; error_page 410 =200 /end; return 410; }
        location /cycle { recursive_error_pages on; error_page 404 /cycle; return 404; }
        location /end { return 200 "end of $request_uri"; }
        location /computed { error_page 404 =200 $arg_to; return 404; }
        location @there { return 200 "there $request_method"; }
        location /missing { error_page 404 @nowhere; return 404; }
        "#,
    )
    .start();
    assert_eq!(server.get("/once").status, 410);
    let response = server.get("/on");
    assert_eq!((response.status, response.text().as_str()), (200, "end of /on"));
    assert_eq!(server.get("/cycle").status, 500);
    server.wait_log("cycle while internally redirecting to \"/cycle\"");
    assert_eq!(server.text("/computed?to=@there"), "there GET");
    assert_eq!(server.text("/computed?to=/end?x"), "end of /computed?to=/end?x");
    let post = "POST /computed?to=@there HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.ask(post).text(), "there POST", "a named location keeps the method");
    let response = server.get("/computed?to=http://other.test/");
    assert_eq!((response.status, response.header("Location")), (302, Some("http://other.test/")));
    assert_eq!(server.get("/missing").status, 500);
    server.wait_log("could not find named location \"@nowhere\"");
}

#[test]
fn captures_and_variables_of_a_block() {
    let server = Server::server(
        r#"
        location ~ ^/re/(?<name>\w+)/(.+)$ { return 200 "$name $2 $1"; }
        location /escaped/ {
            if ($uri ~ ^/escaped/(.*)$) { set $kept $1; }
            return 200 "$kept|$1";
        }
        location /args/ { rewrite ^/args/(.*)$ /show?q=$1? last; }
        location /show { return 200 $args; }
        location /set { set $args x=1&y=2; set $limit_rate 1k; return 200 "$arg_y $limit_rate"; }
        location /unset { if ($arg_a) { set $sometimes 1; } return 200 "[$sometimes]"; }
        location /empty { rewrite ^/empty/(.*)$ $1; }
        location /verbose { error_log %dir%/error.log notice; rewrite_log on;
            rewrite ^/none x; rewrite ^/verbose(.*) /show?a=$1 last; }
        "#,
    )
    .start();
    assert_eq!(server.text("/re/abc/d"), "abc d abc");
    assert_eq!(server.text("/escaped/a%20b"), "a%20b|a b");
    assert_eq!(server.text("/args/a%26b%20c"), "q=a%26b%20c");
    assert_eq!(server.text("/args/ab"), "q=ab");
    assert_eq!(server.text("/set"), "2 1024");
    assert_eq!(server.text("/unset?a=1"), "[1]");
    assert_eq!(server.text("/unset"), "[]");
    server.wait_log("using uninitialized \"sometimes\" variable");
    assert_eq!(server.get("/empty/").status, 500);
    server.wait_log("the rewritten URI has a zero length");
    assert_eq!(server.text("/verbose/x"), "a=/x");
    server.wait_log("\"^/none\" does not match \"/verbose/x\"");
    server.wait_log("rewritten data: \"/show\", args: \"a=/x\"");
}

#[test]
fn an_if_inherits_the_content_handler() {
    let server = Server::http(
        r#"
        server {
            listen 127.0.0.1:%port%;
            location /outer { proxy_pass http://127.0.0.1:%port_back%/o;
                if ($arg_a) { add_header X-If 1; } }
            location /inner { if ($arg_a) { proxy_pass http://127.0.0.1:%port_back%; } return 404; }
            location /chain { if ($arg_a) { set $x a; } if ($arg_b) { add_header X-B $x; }
                return 200 "$x"; }
            location /try { root %dir%; try_files /file =404; if ($arg_a) { set $x 1; } }
        }
        server { listen 127.0.0.1:%port_back%; return 200 "back $uri"; }
        "#,
    )
    .file("file", "tried")
    .start();
    let response = server.get("/outer/x?a=1");
    assert_eq!((response.header("X-If"), response.text().as_str()), (Some("1"), "back /o/x"));
    assert_eq!(server.text("/outer/x"), "back /o/x");
    assert_eq!(server.get("/inner").status, 404);
    let response = server.get("/chain?a=1&b=1");
    assert_eq!((response.header("X-B"), response.text().as_str()), (Some("a"), "a"));
    assert_eq!(server.text("/try"), "tried");
    assert_eq!(server.get("/try?a=1").status, 404, "try_files is not for the block of an if");
}

#[test]
fn old_browsers_get_a_refresh_page() {
    let server = Server::server(
        r#"
        msie_refresh on;
        location /to { return 301 "/there?a=\"b"; }
        location /gone { return 404; }
        "#,
    )
    .start();
    let response = server.get_with("/to", "User-Agent: Mozilla/4.0 (MSIE 6.0)\r\n");
    assert_eq!((response.status, response.header("Location")), (200, None));
    let page = response.text();
    assert!(
        page.contains("<meta http-equiv=\"Refresh\" content=\"0; URL=/there?a=%22b\">"),
        "{page}"
    );
    assert_eq!(server.get("/to").status, 301);
    let padded = server.get_with("/gone", "User-Agent: Chrome/100\r\n").text();
    assert_eq!(padded.matches("disable MSIE and Chrome friendly error page").count(), 6);
}

#[test]
fn a_post_action_follows_the_response() {
    let server = Server::http(
        r#"
        server {
            listen 127.0.0.1:%port%;
            location /first { post_action @after; return 200 answer; }
            location @after { proxy_pass http://127.0.0.1:%port_back%; }
        }
        server { listen 127.0.0.1:%port_back%; error_log %dir%/error.log notice;
            location / { rewrite_log on; rewrite ^/first /heard; return 200 hidden; } }
        "#,
    )
    .start();
    let response = server.get("/first");
    assert_eq!((response.status, response.text().as_str()), (200, "answer"));
    server.wait_log("\"^/first\" matches \"/first");
    assert_eq!(server.text("/first"), "answer");
}

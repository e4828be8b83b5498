//! Filters: replacements, charsets, additions, server-side includes, user cookies, referers.

use crate::harness::Server;

#[test]
fn sub_filter_replaces_within_and_across_pieces() {
    let server = Server::server(
        "root %dir%/html; default_type text/html;
         location /once { sub_filter one 1; sub_filter TWO $arg_x; return 200 $arg_t; }
         location /all { sub_filter_once off; sub_filter abc X; sub_filter bcd Y;
             return 200 $arg_t; }
         location /types { sub_filter a b; sub_filter_types text/css; default_type text/css;
             return 200 a; }
         location /other { sub_filter a b; default_type text/css; return 200 a; }
         location /large { sub_filter_once off; sub_filter 0123456789 -; }",
    )
    .file("html/large", "ab0123456789".repeat(10_000))
    .start();
    assert_eq!(server.text("/once?t=one,two,One&x=zwei"), "1,zwei,One");
    assert_eq!(server.text("/all?t=abcd,bcd,xabc,ab"), "Xd,Y,xX,ab");
    assert_eq!(server.text("/types"), "b");
    assert_eq!(server.text("/other"), "a");
    assert_eq!(server.text("/large"), "ab-".repeat(10_000));
    let response = server.get("/large");
    assert_eq!((response.header("Last-Modified"), response.header("ETag")), (None, None));
    assert_eq!(response.header("Accept-Ranges"), None);
}

#[test]
fn additions_surround_the_body() {
    let server = Server::server(
        "addition_types *;
         location /both { add_before_body /part?before; add_after_body /part?after;
             sub_filter_types *; sub_filter body BODY; return 200 -body-; }
         location /status { add_before_body /part; return 404 body; }
         location /head { add_before_body /part; return 200 body; }
         location /part { return 200 \"[body $args]\"; }",
    )
    .start();
    // A location's filter changes only its own body.
    assert_eq!(server.text("/both"), "[body ]-BODY-[body ]");
    assert_eq!(server.text("/status"), "body");
    let mut client = server.client();
    client.send("HEAD /head HTTP/1.0\r\n\r\n");
    assert_eq!(client.head_response().status, 200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn includes_are_in_order() {
    let server = Server::server(
        "root %dir%/html; types { text/html html; } ssi on;
         location /r { return 200 <$arg_x>; }
         location /empty { return 204; }
         location /back/ { proxy_pass http://127.0.0.1:%port%/; }
         location /small { subrequest_output_buffer_size 2; return 200 abc; }",
    )
    .file(
        "html/page.html",
        "A<!--#include virtual=\"/back/slow.html\" -->B<!--#include virtual=\"/r?x=1\" -->\
         C<!--#include virtual=\"part.html\" wait=\"yes\" -->D",
    )
    .file("html/slow.html", "s".repeat(100_000))
    .file("html/part.html", "<!--#include virtual=\"/r?x=$v\" --><!--#echo var=\"uri\" -->")
    .file(
        "html/set.html",
        "<!--#set var=\"v\" value=\"val\" --><!--#include virtual=\"/part.html\" -->|\
         <!--#include virtual=\"/r?x=got\" set=\"g\" --><!--#echo var=\"g\" encoding=\"none\" -->|\
         <!--#echo var=\"g\" encoding=\"entity\" -->|<!--#echo var=\"none\" -->",
    )
    .file(
        "html/if.html",
        "<!--#if expr=\"$arg_a = /^(x)(.)/\" --><!--#echo var=\"2\" --><!--#elif expr=\"$arg_b\" \
         -->b<!--#else -->e<!--#endif -->.",
    )
    .file(
        "html/stub.html",
        "<!--#block name=\"s\" -->stub<!--#endblock -->1\
         <!--#include virtual=\"/empty\" stub=\"s\" -->2\
         <!--#include virtual=\"/r?x=y\" stub=\"s\" -->3<!--#include virtual=\"/empty\" -->4",
    )
    .file("html/bad.html", "a<!--#bad -->b<!--#include virtual=\"/../x\" -->c")
    .file("html/loop.html", "L<!--#include virtual=\"/loop.html\" -->")
    .file("html/large.html", "<!--#include virtual=\"/small\" set=\"x\" -->")
    .start();
    let slow = "s".repeat(100_000);
    assert_eq!(server.text("/page.html"), format!("A{slow}B<1>C<>/part.htmlD"));
    assert_eq!(server.text("/set.html"), "<val>/part.html|<got>|&lt;got&gt;|(none)");
    assert_eq!(server.text("/if.html?a=xyz"), "y.");
    assert_eq!(server.text("/if.html?b=1"), "b.");
    assert_eq!(server.text("/if.html"), "e.");
    assert_eq!(server.text("/stub.html"), "1stub2<y>34");
    let error = "[an error occurred while processing the directive]";
    assert_eq!(server.text("/bad.html"), format!("a{error}b{error}c"));
    assert_eq!(server.text("/loop.html"), format!("{}{error}", "L".repeat(52)));
    server.wait_log("subrequests cycle while processing \"/loop.html\"");
    let mut client = server.client();
    client.send("GET /large.html HTTP/1.0\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&client.rest()), "");
    server.wait_log("too big subrequest response");
}

#[test]
fn charsets_are_named_and_recoded() {
    let server = Server::http(
        "charset_map koi8-r utf-8 { C1 D0B0; }
         server { listen 127.0.0.1:%port%; root %dir%/html; types { text/html html; }
             location /name { charset latin1; return 200 x; default_type text/html; }
             location /other { charset latin1; default_type image/png; return 200 x; }
             location /koi { source_charset koi8-r; charset utf-8; alias %dir%/html/koi.html; }
             location /utf { source_charset utf-8; charset koi8-r; alias %dir%/html/utf.html; } }",
    )
    .file("html/koi.html", "abc")
    .file("html/utf.html", "a\u{430}\u{1f600}b")
    .start();
    let named = server.get("/name");
    assert_eq!(named.header("Content-Type"), Some("text/html; charset=latin1"));
    assert_eq!(server.get("/other").header("Content-Type"), Some("image/png"));
    assert_eq!(server.get("/koi").header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(server.get("/utf").body, b"a\xc1&#128512;b");
}

#[test]
fn a_user_gets_a_cookie_once() {
    let server = Server::server(
        "userid on; userid_name id; userid_path /p; userid_domain x.y; userid_flags secure;
         add_header X-Got $uid_got; add_header X-Set $uid_set;
         location / { return 200 x; }
         location /mark { userid_mark t; return 200 x; }
         location /off { userid off; return 200 x; }",
    )
    .start();
    let first = server.get("/");
    let cookie = first.header("Set-Cookie").unwrap();
    let (value, rest) = cookie.split_once("; ").unwrap();
    assert_eq!(rest, "domain=x.y; path=/p; secure");
    let set = first.header("X-Set").unwrap();
    let again = server.get_with("/", &format!("Cookie: {value}\r\n"));
    assert_eq!(again.header("X-Got"), Some(set));
    assert_eq!(again.header("Set-Cookie"), None);
    let marked = server.get_with("/mark", &format!("Cookie: {value}\r\n"));
    let expected = format!("{}t=", &value[..value.len() - 2]);
    assert_eq!(marked.header("Set-Cookie").unwrap().split("; ").next(), Some(&*expected));
    assert_eq!(server.get("/off").header("Set-Cookie"), None);
}

#[test]
fn referers_and_secure_links() {
    let server = Server::server(
        "server_name own.example;
         location /ref { valid_referers none server_names *.good.example ~\\.net/x;
             return 200 [$invalid_referer]; }
         location /link { secure_link $arg_h,$arg_e; secure_link_md5 secret$uri;
             return 200 [$secure_link]; }",
    )
    .start();
    let from = |referer: &str| {
        server.get_with("/ref", &format!("Referer: {referer}\r\n")).text().to_owned()
    };
    assert_eq!(server.text("/ref"), "[]");
    assert_eq!(from("http://own.example/a"), "[]");
    assert_eq!(from("https://a.good.example:8080/"), "[]");
    assert_eq!(from("http://a.net/x"), "[]");
    assert_eq!(from("http://good.example.bad/"), "[1]");
    assert_eq!(from("nothing"), "[1]");
    // The MD5 of "secret/link".
    assert_eq!(server.text("/link?h=AAAAAAAAAAAAAAAAAAAAAA&e=4000000000"), "[]");
}

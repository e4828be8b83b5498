//! `echo`: texts, pauses and subrequests as responses. What is expected was recorded from nginx
//! 1.31.5 with OpenResty's module.

use std::sync::{Arc, Barrier};

use crate::harness::{Backend, Reply, Server, Setup, is_nginx};

fn server(conf: &str) -> Option<Setup> {
    // The module is not nginx's.
    (!is_nginx()).then(|| Server::server(&format!("default_type text/plain; {conf}")))
}

/// The bodies of responses.
fn bodies(server: &Server, cases: &[(&str, &str)]) {
    for (target, body) in cases {
        assert_eq!(server.text(target), *body, "{target}");
    }
}

#[test]
fn texts_are_sent() {
    let Some(setup) = server(
        "location /echo { echo hello world; echo; echo -n a \"\" b; echo -- -n x; echo -x y;
             echo $uri $arg_a; }
         location /empty { echo -n; }
         location /dup { echo_duplicate 3 abc; echo_duplicate 0 x; echo_duplicate 1_0 -; echo; }
         location /many { echo_duplicate 100_000 $uri; }
         location /status { echo gone; echo_status 503; }
         location /if { set $r miss; if ($arg_v) { set $r hit; echo $r; } echo \"$r out\"; }
         location /if2 { echo out; if ($arg_v) { set $x 1; } }
         location /outer { echo outer; location /outer/in { } }
         location /loop { echo_foreach_split , $arg_list; echo \"item $echo_it\"; echo_end;
             echo \"[$echo_it]\"; }
         location /words { echo_foreach_split -- '-a-' 'cat-a-dog-a--a-mouse'; echo -n $echo_it;
             echo_end; echo_foreach_split & $args; echo \" $echo_it\"; echo_end; }
         location /timer { echo_reset_timer; echo $echo_timer_elapsed; }
         location /response { echo \"$echo_response_status\"; echo $echo_response_status; }
         location /bad { echo_duplicate x y; }
         location /sleep { echo_sleep 1.2345; }",
    ) else {
        return;
    };
    let server = setup.start();
    bodies(
        &server,
        &[
            ("/echo?a=5", "hello world\n\na  b-n x\ny\n/echo 5\n"),
            ("/empty", ""),
            ("/dup", "abcabcabc----------\n"),
            ("/status", "gone\n"),
            ("/if", "miss out\n"),
            ("/if?v=1", "hit\n"),
            ("/if2?v=1", "out\n"),
            ("/outer", "outer\n"),
            ("/loop?list=x,y,,z", "item x\nitem y\nitem z\n[]\n"),
            ("/loop", "[]\n"),
            ("/words?b&c", "catdogmouse b\n c\n"),
            ("/response", "\n200\n"),
        ],
    );
    assert_eq!(server.get("/status").status, 503);
    assert_eq!(server.get("/outer/in").status, 404);
    assert_eq!(server.get("/bad").status, 500);
    assert_eq!(server.get("/sleep").status, 400);
    assert_eq!(server.get("/many").body.len(), 500_000);
    assert!(server.text("/timer").starts_with("0.0"));
    let mut client = server.client();
    client.send("HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head_response();
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/plain")));
    assert_eq!(client.response().status, 200);
}

#[test]
fn texts_go_around_responses() {
    let Some(setup) = server(
        "location /text { echo_before_body before $uri; echo_before_body -n more;
             echo_after_body after; return 200 \"text\\n\"; }
         location /echo { echo_before_body before; echo_after_body after; echo mid; }
         location /page { echo_before_body b; echo_after_body a; proxy_pass http://%a%; }
         location /none { echo_before_body b; return 204; }
         location /outer { echo_before_body outer; location /outer/in { return 200 x; } }
         location /both { echo_before_body b; echo_location /text; echo_after_body a; }
         location /packed { gzip on; gzip_types *; gzip_min_length 0; echo_before_body b;
             return 200 text; }",
    ) else {
        return;
    };
    let backend = Backend::new(|_| Reply::ok("page"));
    let server = setup.set("a", backend.address()).start();
    bodies(
        &server,
        &[
            ("/text", "before /text\nmoretext\nafter\n"),
            ("/echo", "before\nmid\nafter\n"),
            ("/page", "b\npagea\n"),
            ("/none", ""),
            ("/outer/in", "outer\nx"),
            ("/both", "b\nbefore /text\nmoretext\nafter\na\n"),
        ],
    );
    assert_eq!(server.get("/none").status, 204);
    let packed = server.get_with("/packed", "Accept-Encoding: gzip\r\n");
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&packed.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    assert_eq!(text, "b\ntext");
}

#[test]
fn other_locations_are_included() {
    let Some(setup) = server(
        "location /main { echo_location /sub a=1; echo mid; echo_location /sub?b=2;
             echo_location_async /sub; echo end; }
         location /sub { echo \"sub $args $echo_request_method $echo_client_request_method
$echo_request_uri $request_uri\"; }
         location /loop { echo_foreach_split , $arg_list; echo_location /sub i=$echo_it; echo_end; }
         location /requests { echo_subrequest POST /body -q x=1 -b hi;
             echo_subrequest PUT /body -f %dir%/html/file; echo_subrequest DELETE /body;
             echo_subrequest_async HEAD /body; echo_subrequest_async POST /body -b ''; }
         location /body { echo_read_request_body; echo \"$echo_request_method $args
[$echo_request_body] [$http_content_length]\"; echo_request_body; }
         location /passed { echo_subrequest POST /proxy -b hello; }
         location /proxy { proxy_pass http://%a%/to; }
         location /incr { echo $echo_incr; echo_location /incr2; echo $echo_incr; }
         location /incr2 { echo \"in $echo_incr\"; }
         location /vars { set $a 1; echo_location /vars2; echo \"a=$a b=$b\"; }
         location /vars2 { set $a 2; set $b 3; echo \"in a=$a\"; }
         location /exec { echo_exec /sub a=5; }
         location /exec2 { echo_exec /sub?a=6; }
         location /exec3 { echo_exec @named; }
         location @named { echo \"named $uri\"; }
         location /exec4 { echo_exec @none; }
         location /unsafe { echo_location ../x; }
         location /cycle { echo_location /cycle; }
         location /heads { echo -n $echo_client_request_headers; }",
    ) else {
        return;
    };
    let backend = Backend::new(|seen| {
        let (line, body) = (&seen.line, String::from_utf8_lossy(&seen.body));
        Reply::ok(format!("{line} {body} {}", seen.header("Content-Length").unwrap_or("none")))
    });
    let server = setup.file("html/file", "content").set("a", backend.address()).start();
    let sub = |args: &str| format!("sub {args} GET GET\n/sub /main\n");
    bodies(
        &server,
        &[
            ("/main", &*[&sub("a=1"), "mid\n", &sub("b=2"), &sub(""), "end\n"].concat()),
            (
                "/loop?list=x,y",
                "sub i=x GET GET\n/sub /loop?list=x,y\nsub i=y GET GET\n/sub \
                                /loop?list=x,y\n",
            ),
            (
                "/requests",
                "POST x=1\n[hi] [2]\nhiPUT \n[] [7]\ncontentDELETE \n[] []\nPOST \n[] []\n",
            ),
            ("/passed", "POST /to HTTP/1.1 hello 5"),
            ("/incr", "1\nin 2\n3\n"),
            ("/vars", "in a=2\na=1 b=\n"),
            ("/exec", "sub a=5 GET GET\n/sub /exec\n"),
            ("/exec2", "sub a=6 GET GET\n/sub /exec2\n"),
            ("/exec3", "named /exec3\n"),
            ("/heads", "GET /heads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        ],
    );
    assert_eq!(server.get("/exec4").status, 500);
    assert_eq!(server.get("/unsafe").status, 500);
    let mut client = server.client();
    client.send("GET /cycle HTTP/1.0\r\n\r\n");
    client.finish();
    server.wait_log("subrequests cycle while processing \"/cycle\"");
    // The client's body goes to those without one of their own.
    let post = "POST /requests HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nposted";
    let text = server.ask(post).text();
    assert!(text.contains("DELETE \n[posted] [6]\nposted"), "{text}");
}

#[test]
fn a_body_can_be_read_behind_output() {
    let Some(setup) = server(
        "location / { echo first; echo_flush; echo_read_request_body; echo_request_body; echo; }
         location /unread { echo_request_body; echo x; }",
    ) else {
        return;
    };
    let server = setup.start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    client.head();
    assert_eq!(client.take_chunk(), b"first\n");
    client.send("posted");
    assert_eq!(client.take_chunk(), b"posted");
    let large = "0123456789".repeat(50_000);
    for (target, end) in [("/", "0123456789\n"), ("/unread", "x\n")] {
        let length = large.len();
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let answer = server.ask(head + &large);
        assert!(answer.text().ends_with(end), "{target}");
        assert_eq!(answer.body.len(), if target == "/" { 6 + length + 1 } else { 2 });
    }
}

/// The backend of the second subrequest answers when that of the first has been asked.
#[test]
fn subrequests_run_side_by_side_while_the_request_sleeps() {
    let Some(setup) = server(
        "location / { echo a; echo_flush; echo_location_async /one; echo_location_async /two;
             echo_sleep 0.01; echo b; }
         location /one { proxy_pass http://%a%; } location /two { proxy_pass http://%a%; }",
    ) else {
        return;
    };
    let both = Arc::new(Barrier::new(2));
    let backend = Backend::new(move |seen| {
        both.wait();
        Reply::ok(seen.target())
    });
    let server = setup.set("a", backend.address()).start();
    assert_eq!(server.text("/"), "a\n/one/twob\n");
}

#[test]
fn faults_are_refused() {
    if is_nginx() {
        return;
    }
    for (lines, message) in [
        ("echo_status 100;", "value must be between 200 and 999"),
        ("echo_end;", "has no \"echo_foreach_split\" before"),
        ("echo_foreach_split a b; echo_foreach_split a b;", "cannot stand inside another"),
        ("echo_foreach_split -- a;", "takes two words behind its options"),
        ("echo_subrequest GET /a -x b;", "invalid value \"-x\""),
        ("echo_subrequest GET /a -q;", "invalid value \"-q\""),
        ("echo_blocking_sleep 1;", "use \"echo_sleep\""),
        ("echo_abort_parent;", "delete the line"),
    ] {
        let conf = format!("events {{}} http {{ server {{ location / {{ {lines} }} }} }}");
        let output = Server::conf(&conf).check();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(message), "{lines}: {text}");
    }
}

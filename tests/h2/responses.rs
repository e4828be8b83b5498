//! Responses: without bodies, files, ranges, compression, trailers, early hints, error pages.

use std::io::Read;

use super::{content, proxy, server};
use crate::harness::{Backend, H2Client, Reply, request};

#[test]
fn responses_without_a_body_end_with_their_head() {
    let server = server(
        "location / { root %dir%; } location /none { return 204; }
         location /moved { absolute_redirect off; return 302 /x; }",
    )
    .file("file", "0123456789")
    .start();
    let mut client = H2Client::of(&server);
    let stream = client.open(&request("HEAD", "/file", ""), true);
    let answer = client.answer(stream);
    assert_eq!(answer.whole(), (200, String::new()));
    assert_eq!(answer.field("content-length"), Some("10"));
    let tag = answer.field("etag").unwrap().to_owned();
    let answer = client.get_with("/file", &format!("if-none-match: {tag}"));
    assert_eq!(answer.whole(), (304, String::new()));
    assert_eq!(client.get("/none").whole(), (204, String::new()));
    let answer = client.get("/moved");
    assert_eq!((answer.status, answer.field("location")), (302, Some("/x")));
}

#[test]
fn a_location_of_an_upstream_names_the_client_side() {
    let backend = Backend::new(|_| Reply::with("301 Moved", "Location: /y\r\n", ""));
    let server = proxy(&backend, "").start();
    let answer = H2Client::of(&server).get("/");
    assert_eq!((answer.status, answer.field("location")), (301, Some("/y")));
}

#[test]
fn files_and_ranges_of_any_length() {
    for sendfile in ["on", "off"] {
        let mut setup = server(&format!("location / {{ root %dir%; sendfile {sendfile}; }}"));
        let lengths = [0, 1, 8191, 8192, 16_384, 65_536, 1_000_000];
        for length in lengths {
            setup = setup.file(&format!("f{length}"), content(length));
        }
        let server = setup.start();
        let mut client = H2Client::of(&server);
        let streams = lengths.map(|length| (length, client.ask(&format!("/f{length}"))));
        for (length, stream) in streams {
            let answer = client.answer(stream);
            assert!(answer.complete && answer.body == content(length), "{length} {sendfile}");
            assert_eq!(answer.field("content-length"), Some(&*length.to_string()));
        }
        let answer = client.get_with("/f1000000", "range: bytes=1000-500999");
        assert_eq!(answer.status, 206);
        assert!(answer.body == content(1_000_000)[1000..501_000], "{sendfile}");
        assert_eq!(answer.field("content-range"), Some("bytes 1000-500999/1000000"));
        let answer = client.get_with("/f8192", "range: bytes=0-1,5-6");
        assert_eq!(answer.status, 206);
        assert!(answer.field("content-type").unwrap().starts_with("multipart/byteranges"));
        assert_eq!(client.get_with("/f1", "range: bytes=5-").status, 416);
    }
}

#[test]
fn compressed_responses_decode() {
    let server = server("gzip on; gzip_types *; location / { root %dir%; }")
        .file("file", content(100_000))
        .start();
    let answer = H2Client::of(&server).get_with("/file", "accept-encoding: gzip");
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
    assert!(answer.complete && answer.field("content-length").is_none());
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut body).unwrap();
    assert!(body == content(100_000));
}

#[test]
fn error_pages_are_served() {
    let server = server(
        "error_page 404 /page; location = /page { return 200 sorry; }
         location / { root %dir%; } location /own { return 500; }",
    )
    .start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/missing").whole(), (404, "sorry".to_owned()));
    let (status, text) = client.get("/own").whole();
    assert!(status == 500 && text.contains("<h1>500 Internal Server Error</h1>"), "{text}");
}

#[test]
fn trailers_of_an_upstream_are_passed_on() {
    let backend = Backend::new(|_| {
        Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
              4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n"
                .to_vec(),
        )
    });
    let server = proxy(&backend, "proxy_pass_trailers on; proxy_http_version 1.1;").start();
    let mut client = H2Client::of(&server);
    let answer = client.get_with("/", "te: trailers");
    assert_eq!(answer.whole(), (200, "body".to_owned()));
    assert_eq!(answer.trailer("x-sum"), Some("42"));
    assert!(answer.field("transfer-encoding").is_none());
}

#[test]
fn own_trailers_come_after_the_body() {
    let server = server(
        "location / { add_trailer X-End \"$request_uri\"; root %dir%; }
         location /empty { add_trailer X-End e; return 204; }",
    )
    .file("file", "text")
    .start();
    let mut client = H2Client::of(&server);
    let answer = client.get("/file");
    assert_eq!(answer.whole(), (200, "text".to_owned()));
    assert_eq!(answer.trailer("x-end"), Some("/file"));
    assert_eq!(client.get("/file").trailers.len(), 1, "the connection lives");
}

#[test]
fn early_hints_come_before_the_response() {
    let backend = Backend::new(|_| {
        Reply::Bytes(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    });
    let server = proxy(&backend, "early_hints 1; proxy_http_version 1.1;").start();
    let answer = H2Client::of(&server).get("/");
    assert_eq!(answer.whole(), (200, "ok".to_owned()));
    let hints = &answer.informational;
    assert_eq!(hints.len(), 1);
    assert!(hints[0].contains(&(":status".into(), "103".into())), "{hints:?}");
    assert!(hints[0].contains(&("link".into(), "</a.css>; rel=preload".into())), "{hints:?}");
    let without = proxy(&backend, "proxy_http_version 1.1;").start();
    assert!(H2Client::of(&without).get("/").informational.is_empty());
}

#[test]
fn limited_rates_let_others_pass() {
    let server =
        server("location / { root %dir%; } location /slow { alias %dir%/file; limit_rate 1k; }")
            .file("file", content(20_000))
            .start();
    let mut client = H2Client::of(&server);
    let slow = client.ask("/slow");
    client.partly(slow, |answer| !answer.body.is_empty());
    assert!(client.get("/file").body == content(20_000));
    assert!(!client.so_far(slow).complete);
}

#[test]
fn an_upstream_that_breaks_off_resets_the_stream() {
    let backend =
        Backend::new(|_| Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()));
    let server = proxy(&backend, "").start();
    let mut client = H2Client::of(&server);
    let answer = client.get("/");
    assert!(!answer.complete && answer.reset.is_some(), "{answer:?}");
    let answer = client.get("/");
    assert!(!answer.complete && answer.reset.is_some(), "the connection lives: {answer:?}");
}

#[test]
fn the_log_knows_the_protocol_and_bytes() {
    let server = super::with(
        "log_format f '$request|$status|$body_bytes_sent|$request_length|$connection_requests';",
        "access_log %dir%/access f; return 200 0123456789;",
    )
    .start();
    let mut client = H2Client::of(&server);
    client.get("/a");
    client.get("/b");
    let lines = server.wait_lines("access", 2);
    assert!(lines[0].starts_with("GET /a HTTP/2.0|200|10|"), "{lines:?}");
    assert!(lines[1].starts_with("GET /b HTTP/2.0|200|10|"), "{lines:?}");
    assert!(lines[1].ends_with("|2"), "{lines:?}");
    let length: usize = lines[0].split('|').nth(3).unwrap().parse().unwrap();
    assert!(length > 20, "{lines:?}");
}

#[test]
fn subrequests_and_rewrites_work() {
    let backend = Backend::echo();
    let server = server(
        "location /old { rewrite ^/old/(.*)$ /new/$1 last; }
         location /new { addition_types *; add_before_body /before; root %dir%; }
         location = /before { return 200 before-; }
         location /auth { auth_request /check; root %dir%; }
         location = /check { internal; proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .file("new/file", "new")
    .file("auth", "let in")
    .start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/old/file").whole(), (200, "before-new".to_owned()));
    assert_eq!(client.get("/auth").whole(), (200, "let in".to_owned()));
}

#[test]
fn what_has_waited_for_a_subrequest_ends() {
    let main = content(96_000);
    let backend = Backend::new({
        let main = main.clone();
        move |seen| match seen.target() {
            "/part" => Reply::ok("part"),
            _ => Reply::ok(main.clone()),
        }
    });
    let conf = "postpone_output 0; addition_types *; add_before_body /part;";
    let server = proxy(&backend, conf).start();
    // What is behind the part waits, and is more than the window of the stream.
    let mut client = H2Client::of(&server);
    for _ in 0..5 {
        let answer = client.get("/");
        assert!(answer.complete, "{:?} after {} bytes", answer.reset, answer.body.len());
        assert!(answer.body == [&b"part"[..], &main].concat(), "{} bytes", answer.body.len());
    }
}

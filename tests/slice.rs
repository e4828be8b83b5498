//! `slice`: responses in parts.

use crate::harness::{Backend, Reply, Seen, Server};

const BODY: &str = "0123456789abcdef";

/// A server of [`BODY`], whose parts are as asked for.
fn part(seen: &Seen) -> Reply {
    let range = seen.header("Range").and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Reply::with("200 OK", "ETag: \"a\"\r\nAccept-Ranges: bytes\r\n", BODY);
    };
    let first: usize = first.parse().unwrap();
    let end = (last.parse::<usize>().unwrap() + 1).min(BODY.len());
    if first >= BODY.len() {
        return Reply::with("416 Range Not Satisfiable", "", "");
    }
    let fields = format!(
        "ETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-Range: bytes {first}-{}/{}\r\n",
        end - 1,
        BODY.len()
    );
    Reply::with("206 Partial Content", &fields, &BODY[first..end])
}

#[test]
fn parts_are_joined_and_cut() {
    let backend = Backend::new(part);
    let server = Server::server(
        "proxy_set_header Range $slice_range;
         location / { slice 5; proxy_pass http://%a%; }
         location /rewritten/ { slice 8; rewrite ^/rewritten(/.*)$ /again$1 break;
             proxy_pass http://%a%; }
         location /named { slice 8; set $x 1; try_files /none @named; }
         location @named { slice 8; proxy_pass http://%a%/named$x; }
         location /unsliced { proxy_pass http://%a%; }",
    )
    .set("a", backend.address())
    .start();
    let mut client = server.client();
    let mut get = |target: &str, range: &str| {
        backend.forget();
        let range =
            if range.is_empty() { String::new() } else { format!("Range: bytes={range}\r\n") };
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{range}\r\n"));
        let response = client.response();
        let asked = backend.seen();
        let asked = asked.iter().map(|seen| {
            seen.header("Range").unwrap_or("none").trim_start_matches("bytes=").to_owned()
        });
        (response, asked.collect::<Vec<_>>())
    };
    let (whole, asked) = get("/x", "");
    assert_eq!((whole.status, whole.text().as_str()), (200, BODY));
    assert_eq!(whole.header("Content-Length"), Some("16"));
    assert_eq!(whole.all("Accept-Ranges"), ["bytes"]);
    assert_eq!(whole.header("Content-Range"), None);
    assert_eq!(asked, ["0-4", "5-9", "10-14", "15-19"]);
    for (range, text, parts) in [
        ("3-4", "34", &["0-4"][..]),
        ("3-5", "345", &["0-4", "5-9"]),
        ("6-6", "6", &["5-9"]),
        ("12-", "cdef", &["10-14", "15-19"]),
        // The first part tells the length, and the parts between are not needed.
        ("-2", "ef", &["0-4", "10-14", "15-19"]),
        ("-1", "f", &["0-4", "15-19"]),
    ] {
        let (response, asked) = get("/x", range);
        assert_eq!((response.status, response.text().as_str()), (206, text), "{range}");
        assert_eq!(asked, parts, "{range}");
        assert!(response.header("Content-Range").unwrap().ends_with("/16"), "{range}");
    }
    // Several ranges give the whole.
    assert_eq!(get("/x", "0-0,2-2").0.text(), BODY);
    assert_eq!(get("/x", "16-").0.status, 416);
    for target in ["/rewritten/x", "/named"] {
        let (response, asked) = get(target, "");
        assert_eq!((response.text().as_str(), asked.len()), (BODY, 2), "{target}");
    }
    assert_eq!(backend.last().target(), "/named1");
    assert_eq!(get("/rewritten/x", "").0.status, 200);
    assert_eq!(backend.last().target(), "/again/x");
    let (plain, asked) = get("/unsliced", "");
    assert_eq!((plain.text().as_str(), asked), (BODY, vec!["none".to_owned()]));
}

#[test]
fn parts_go_through_other_filters() {
    let backend = Backend::new(part);
    let server = Server::server(
        "proxy_set_header Range $slice_range;
         location / { slice 5; proxy_pass http://%a%; }
         location /filtered { slice 8; sub_filter_types *; sub_filter_once off;
             sub_filter 7 SEVEN; proxy_pass http://%a%; }
         location /zipped { slice 5; proxy_pass http://%a%; gzip on; gzip_types *;
             gzip_min_length 0; }",
    )
    .set("a", backend.address())
    .start();
    // Filters see each part for itself.
    assert_eq!(server.text("/filtered"), "0123456SEVEN89abcdef");
    let mut client = server.client();
    client.send("GET /zipped HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
    let zipped = client.response();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped.body[..]), &mut text)
        .unwrap();
    assert_eq!(text, BODY);
    client.send("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head_response().header("Content-Length"), Some("16"));
    client.send("GET /x HTTP/1.1\r\nHost: x\r\nIf-Range: \"a\"\r\nRange: bytes=11-12\r\n\r\n");
    assert_eq!(client.response().text(), "bc");
}

#[test]
fn unusable_parts_break_the_response_off() {
    let reply = |range: &'static str, etag: &'static str| {
        let fields = format!("Content-Range: {range}\r\nETag: {etag}\r\n");
        Reply::with("206 Partial Content", &fields, "ab")
    };
    let backend = Backend::new(move |seen| {
        let first = seen.header("Range") == Some("bytes=0-1");
        match seen.target() {
            "/status" if first => reply("bytes 0-1/100", "\"a\""),
            "/status" => Reply::ok("ab"),
            "/etag" if first => reply("bytes 0-1/100", "\"a\""),
            "/etag" => reply("bytes 2-3/100", "\"b\""),
            "/range" => reply("bytes", "\"a\""),
            "/length" => reply("bytes 0-1/*", "\"a\""),
            "/long" => reply("bytes 0-2/100", "\"a\""),
            "/other" => reply("bytes 1-2/100", "\"a\""),
            "/gone" if first => reply("bytes 0-1/100", "\"a\""),
            "/gone" => Reply::Last(
                b"HTTP/1.1 206 OK\r\nContent-Range: bytes 2-3/100\r\n\
                ETag: \"a\"\r\nContent-Length: 2\r\n\r\nc"
                    .into(),
            ),
            _ => Reply::with("404 Not Found", "", "none"),
        }
    });
    let server = Server::server(
        "postpone_output 0; location / { slice 2; proxy_set_header Range $slice_range; proxy_pass http://%a%; }",
    )
    .set("a", backend.address())
    .start();
    for (target, message, begins) in [
        ("/status", "unexpected status code 200 in slice response", true),
        ("/etag", "etag mismatch in slice response", true),
        ("/range", "invalid range in slice response", false),
        ("/length", "no complete length in slice response", false),
        ("/long", "unexpected range in slice response: 0-3, expected: 0-2", false),
        ("/other", "unexpected range in slice response: 1-3, expected: 0-2", false),
        ("/gone", "upstream prematurely closed connection", true),
    ] {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let received = String::from_utf8(client.rest()).unwrap();
        server.wait_log(message);
        assert_eq!(received.starts_with("HTTP/1.1 200 OK\r\n"), begins, "{target}: {received}");
        assert_eq!(received.contains("\r\n\r\nab"), begins, "{target}: {received}");
    }
    assert_eq!(server.get("/none").status, 404);
}

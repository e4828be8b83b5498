//! The requests of a generated case.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::super::case::{Exchange, Turn};
use super::super::corpus::likely;
use super::super::text::show;
use super::configuration::Server;

/// Draws an exchange of one to three requests.
pub(super) fn exchange(rng: &mut Rng, servers: &[Server]) -> Exchange {
    let server = &servers[rng.usize(..servers.len())];
    let host = host(rng, server);
    let mut options = BTreeMap::new();
    if rng.u8(..10) == 0 {
        let raw = RAW[rng.usize(..RAW.len())].replace("HOST", &host);
        let raw = match raw.strip_prefix(HALF) {
            Some(raw) => {
                options.insert("half".to_owned(), String::new());
                raw
            }
            None => &raw,
        };
        return named(raw.as_bytes().to_vec(), options);
    }
    let mut exchange = named(request(rng, server, &host), options);
    // Behind a large body, it depends on timing how much of the next head has arrived.
    if rng.u8(..4) == 0 && exchange.turns[0].bytes.len() < LONGEST_PIPELINED {
        for _ in 0..rng.usize(1..3) {
            let next = request(rng, server, &host);
            let head = next.starts_with(b"HEAD ");
            // On the same connection, afterwards or at once.
            let last = &mut exchange.turns[0];
            if rng.bool() {
                last.bytes.extend(next);
                last.heads.push(head);
            } else {
                exchange.turns.push(Turn { bytes: next, heads: vec![head], wait: None });
                break;
            }
        }
    }
    exchange
}

fn named(bytes: Vec<u8>, options: BTreeMap<String, String>) -> Exchange {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut name = show(line);
    if name.len() > LONGEST_NAME {
        let end = (0..=LONGEST_NAME).rfind(|&at| name.is_char_boundary(at)).unwrap_or(0);
        name.truncate(end);
    }
    let heads = vec![bytes.starts_with(b"HEAD ")];
    let turns = vec![Turn { bytes, heads, wait: None }];
    Exchange { name, turns, options, reasons: Vec::new() }
}

const LONGEST_NAME: usize = 120;

const LONGEST_PIPELINED: usize = 4000;

/// A value of `Host` for the server, mostly its name.
fn host(rng: &mut Rng, server: &Server) -> String {
    let name = &server.names[rng.usize(..server.names.len())];
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.*_".contains(&b));
    let name = match (is_plain, name.strip_prefix('.')) {
        (false, _) => "www.example.com".to_owned(),
        (true, Some(name)) => name.to_owned(),
        (true, None) => name.replace('*', "www"),
    };
    match rng.u8(..16) {
        0 => "other.invalid".to_owned(),
        1 => format!("{name}:8080"),
        2 => format!("{name}."),
        3 => name.to_ascii_uppercase(),
        _ => name,
    }
}

fn request(rng: &mut Rng, server: &Server, host: &str) -> Vec<u8> {
    let target = target(rng, server, host);
    let (method, has_body) = match rng.u8(..24) {
        0..=11 => ("GET", rng.u8(..12) == 0),
        12..=14 => ("HEAD", false),
        15..=19 => ("POST", rng.u8(..8) > 0),
        20 => ("PUT", true),
        _ => (METHODS[rng.usize(..METHODS.len())], rng.u8(..4) == 0),
    };
    let version = if rng.u8(..24) == 0 { "1.0" } else { "1.1" };
    let mut head = format!("{method} {target} HTTP/{version}\r\n").into_bytes();
    match rng.u8(..40) {
        0 => {}
        1 => head.extend(format!("Host: {host}\r\nHost: {host}\r\n").bytes()),
        2 => head.extend(b"Host: a_b/c\r\n"),
        3 => head.extend(b"Host:\r\n"),
        _ => head.extend(format!("Host: {host}\r\n").bytes()),
    }
    for _ in 0..rng.usize(..4) {
        head.extend_from_slice(FIELDS[rng.usize(..FIELDS.len())]);
        head.extend_from_slice(b"\r\n");
    }
    // Around the sizes of buffers.
    if rng.u8(..24) == 0 {
        let length = [490, 990, 2020][rng.usize(..3)] + rng.usize(..40);
        head.extend(format!("X-Large: {}\r\n", "x".repeat(length)).bytes());
    }
    let mut body: Vec<u8> = Vec::new();
    if has_body {
        body = self::body(rng, &mut head);
    }
    head.extend_from_slice(b"\r\n");
    if rng.u8(..32) == 0 {
        head = String::from_utf8_lossy(&head).replace("\r\n", "\n").into_bytes();
    }
    head.extend(body);
    head
}

/// Draws a body, whose fields are added to the head.
fn body(rng: &mut Rng, head: &mut Vec<u8>) -> Vec<u8> {
    if rng.u8(..3) == 0 {
        head.extend_from_slice(b"Content-Type: application/x-www-form-urlencoded\r\n");
    }
    if rng.u8(..8) == 0 {
        head.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    let text = match rng.u8(..6) {
        0 => Vec::new(),
        1 => b"x=".iter().copied().chain(std::iter::repeat_n(b'y', 3000)).collect(),
        2 => (0..60_000_u32).map(|at| 128 + (at % 127) as u8).collect(),
        _ => b"a=b&c=d".to_vec(),
    };
    if rng.u8(..3) > 0 {
        head.extend(format!("Content-Length: {}\r\n", text.len()).bytes());
        return text;
    }
    head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    let size = rng.usize(1..5000);
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        let extension = if rng.u8(..8) == 0 { ";a=b" } else { "" };
        out.extend(format!("{:x}{extension}\r\n", piece.len()).bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if rng.u8(..8) == 0 { b"0\r\nX-T: u\r\n\r\n" } else { b"0\r\n\r\n" });
    out
}

/// A target that matches one of the locations, in one of many forms.
fn target(rng: &mut Rng, server: &Server, host: &str) -> String {
    let (modifier, text) = &server.locations[rng.usize(..server.locations.len())];
    let unquoted = text.trim_matches(['"', '\'']);
    let base = match &**modifier {
        "~" | "~*" => likely(unquoted),
        _ if unquoted.starts_with('/') => unquoted.to_owned(),
        _ => format!("/{unquoted}"),
    };
    let base: String = base.chars().filter(char::is_ascii_graphic).collect();
    let kind = KINDS[rng.usize(..KINDS.len())];
    let query = format!("do={kind}");
    let file = NAMES[rng.usize(..NAMES.len())];
    let slash = if base.ends_with('/') { "" } else { "/" };
    match rng.u8(..32) {
        0..=9 => format!("{base}?{query}"),
        10 => base,
        11 => format!("{base}{slash}{file}?{query}"),
        12..=14 => format!("{base}{file}?{query}&b="),
        15 => format!("{base}{slash}x/../y.php?{query}&q=%20c"),
        16 => format!("/{base}//{slash}./?{query}"),
        17 => format!("{base}{slash}../../a?{query}"),
        18 => {
            let escaped = base.bytes().map(|byte| match rng.u8(..4) {
                0 if byte != b'/' => format!("%{byte:02x}"),
                _ => char::from(byte).to_string(),
            });
            format!("{}?{query}", escaped.collect::<String>())
        }
        19 => format!("{base}%2f%2e%2e{slash}%3f?{query}"),
        20 => format!("{base}{slash}index.php/path/info?{query}"),
        21 => format!("/index.php?{query}"),
        22 => format!("http://{host}{base}?{query}"),
        23 => format!("{base}?{query}#part"),
        24 => format!("{base}{slash}%00%zz"),
        25 => format!("{base}{slash}a%20b;c=d,'\"<>?{query}&%20%00"),
        26 => format!("{base}{slash}{}?{query}", "long/".repeat(rng.usize(1..400))),
        27 => format!("{base}??{query}?"),
        28 => format!("{base}{slash}%C3%A4+%2B?{query}"),
        29 => format!("/{file}"),
        _ => format!("/{file}?{query}"),
    }
}

/// The responses of the upstreams.
const KINDS: &[&str] = &[
    "",
    "plain",
    "empty",
    "redirect",
    "absolute",
    "status",
    "missing",
    "teapot",
    "unchanged",
    "none",
    "cookie",
    "large",
    "length",
    "ranges",
    "ranges",
    "etag",
    "etag",
    "expires",
    "expires",
    "control",
    "control",
    "private",
    "vary",
    "varyall",
    "accel",
    "accelto",
    "accelup",
    "accelname",
    "accelset",
    "rate",
    "json",
    "html",
    "html",
    "typeless",
    "refresh",
    "twice",
    "parts",
    "stderr",
    "warning",
    "date",
    "long",
    "toolong",
    "coded",
    "chunked",
    "hop",
    "disposition",
    "old",
    "reset",
    "field",
    "coding",
    "trailers",
    "hints",
    "feeds",
    "short",
    "lengths",
    "wrapped",
    "nocookie",
    "links",
    "ranged",
];

const NAMES: &[&str] = &[
    "index.php",
    "index.html",
    "page.html",
    "a.txt",
    "big.txt",
    "dir",
    "dir/",
    "dir/b%20c.txt",
    "style.css",
    ".htaccess",
    "none.html",
    "none.php",
    "",
];

const METHODS: &[&str] =
    &["OPTIONS", "DELETE", "PATCH", "PROPFIND", "TRACE", "CONNECT", "get", "X-Y", "PURGE"];

const FIELDS: &[&[u8]] = &[
    b"Range: bytes=0-1",
    b"Range: bytes=-5",
    b"Range: bytes=2-,0-0",
    b"Range: bytes=99999-",
    b"Range: lines=1-2",
    b"Range: bytes=5-2",
    b"If-Range: \"tag\"",
    b"If-Range: Sun, 06 Nov 1994 08:49:37 GMT",
    b"If-None-Match: \"tag\"",
    b"If-None-Match: W/\"tag\", \"x\"",
    b"If-None-Match: *",
    b"If-Match: \"other\"",
    b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    b"If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT",
    b"If-Modified-Since: yesterday",
    b"If-Unmodified-Since: Sun, 06 Nov 1993 08:49:37 GMT",
    b"Accept-Encoding: gzip",
    b"Accept-Encoding: gzip;q=0, identity",
    b"Accept-Encoding: deflate, br, GZIP;q=0.5",
    b"User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
    b"Cookie: a=b; session=0123",
    b"Cookie: c=d",
    b"Referer: http://example.org/x?y",
    b"X-A: one",
    b"X-A: two",
    b"X_A: underscore",
    b"A b: c",
    b"X-Accel-Redirect: /page.html",
    b"X-Accel-Expires: 0",
    b"Connection: close",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: X-A, upgrade",
    b"Upgrade: websocket",
    b"Authorization: Basic YTpi",
    b"Authorization: Basic !",
    b"TE: trailers",
    b"Via: 1.0 proxy",
    b"X-Forwarded-For: 10.1.2.3, 127.0.0.1",
    b"X-Forwarded-Proto: https",
    b"Cache-Control: no-cache",
    b"Pragma: no-cache",
    b"Proxy: http://a.invalid/",
    b"X-Empty:",
    b"X-Blank:   a  b   ",
    b"X-Bytes: \x80\xff\xc3\xa4",
    b"X-Tab: a\tb",
    b" folded: yes",
    b": nameless",
    b"X-Null: a\0b",
    b"Content-Type: text/x",
    b"Content-Length: 0",
    b"Transfer-Encoding: identity",
    b"Keep-Alive: 5",
    b"Expect: 200-ok",
    b"Accept: text/html, */*;q=0.1",
    b"X-Quoted: \"a\\\"b\"",
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT",
    b"X-Forwarded-For: 192.168.7.7, 10.1.2.3",
    b"X-Forwarded-For: not, an address",
    b"X-Real-IP: 10.9.8.7",
    b"Origin: http://a.example",
    b"Expect: 100-continue",
    b"Accept-Encoding: gzip, deflate, br",
    b"If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT",
    b"Range: bytes=0-0, -1",
    b"User-Agent: curl/8.0",
    b"Connection: Upgrade, close",
];

/// The mark of a request after which the client closes its direction.
const HALF: char = '~';

/// Requests that cannot be composed; HOST stands for the server's name.
const RAW: &[&str] = &[
    "GET / HTTP/1.0\r\n\r\n",
    "GET /index.php?do=parts HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\n\r\n",
    "GET /index.php?do=large HTTP/1.0\r\nHost: HOST\r\n\r\n",
    "GET /page.html\r\n",
    "HEAD /\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: HOST\r\n\r\n",
    "GET / HTTP/1.12\r\nHost: HOST\r\n\r\n",
    "GET / HTTP/1.\r\nHost: HOST\r\n\r\n",
    "GET / http/1.1\r\nHost: HOST\r\n\r\n",
    "GET  /  HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET / HTTP/1.1\nHost: HOST\n\n",
    "GET / HTTP/1.1\r\nHost : HOST\r\n\r\n",
    "GET page.html HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET http:///x HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET http://a.invalid HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET https://HOST:443/a?b HTTP/1.1\r\nHost: other.invalid\r\n\r\n",
    "GET http://user@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET ftp://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "CONNECT HOST:443 HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: HOST:x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1x\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /index.php HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
    "POST /index.php HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "POST /index.php HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00\r\n\r\n",
    "POST /index.php HTTP/1.1\r\nHost: HOST\r\nContent-Length: 03\r\n\r\nabc",
    "POST /index.php HTTP/1.0\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc",
    "~GET / HTTP/1.1\r\nHost: HOST\r\nX: y",
    "~GET / HT",
    "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\u{3}",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "@#!$ / HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET /\u{7f}\u{1} HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "GET /\u{e4}\u{20ac} HTTP/1.1\r\nHost: HOST\r\n\r\n",
];

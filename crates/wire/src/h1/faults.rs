//! Attacks and malformed input that this layer decides on, one row each. The ids are those of
//! published collections: request smuggling (S), chunked bodies (C), syntax (L), limits (M), trust
//! (T) and paths (N).

use super::{ChunkError, Chunked, Framing, Limits, RequestParser};
use crate::header::Known;

/// Parses a head whole and in pieces: the status of its refusal, or 200.
fn status(request: &[u8]) -> u16 {
    super::fuzz::fuzz_request(request);
    let mut parser = RequestParser::new();
    match parser.advance(request, &Limits::default()) {
        Ok(Some(_)) => {
            let path = parser.head().path(request, true, &mut Vec::new());
            if path.is_ok() { 200 } else { 400 }
        }
        Ok(None) => 0,
        Err(error) => error.status(),
    }
}

fn post(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n\r\n").into_bytes()
}

#[test]
fn smuggling() {
    let rows: &[(&str, &str, u16)] = &[
        ("S001", "Content-Length: 6\r\nTransfer-Encoding: chunked", 400),
        ("S002", "Transfer-Encoding: chunked\r\nContent-Length: 6", 400),
        ("S003", "Content-Length: 5\r\nContent-Length: 6", 400),
        ("S004", "Content-Length: 5\r\nContent-Length: 5", 400),
        ("S005", "Content-Length: 5, 5", 400),
        ("S006", "Content-Length: +5", 400),
        ("S007", "Content-Length: -1", 400),
        ("S008", "Content-Length: 0x5", 400),
        ("S009", "Content-Length: 5 0", 400),
        ("S010", "Content-Length:", 400),
        ("S011", "Content-Length:\r\nContent-Length: 5", 400),
        ("S012", "Content-Length: 18446744073709551621", 400),
        ("S013", "Content-Length: 1e1", 400),
        ("S013", "Content-Length: 5.0", 400),
        ("S014", "Content-Length: 005", 200),
        ("S015", "Content-Length: 5\t", 400),
        ("S016", "Content-Length : 5", 400),
        ("S017", "Transfer-Encoding : chunked", 400),
        ("S018", "Transfer-Encoding: xchunked", 501),
        ("S019", "Transfer-Encoding: chunked, identity", 501),
        ("S020", "Transfer-Encoding: identity\r\nContent-Length: 5", 501),
        ("S021", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("S022", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        ("S023", "Transfer-Encoding: \x0bchunked", 400),
        ("S024", "Transfer-Encoding: \"chunked\"", 501),
        ("S025", "Transfer-Encoding: chunked;q=1", 501),
        ("S026", "Transfer-Encoding: ,chunked", 501),
        ("S027", "Transfer-Encoding:", 501),
        ("S028", "Transfer-Encoding:\r\n chunked", 400),
        ("S030", "Transfer-\0Encoding: chunked", 400),
        ("S041", "Expect:\r\n 100-continue", 400),
    ];
    for (id, lines, expected) in rows {
        assert_eq!(status(&post(lines)), *expected, "{id}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(old), 400, "S031");
}

#[test]
fn what_is_forwarded_is_unambiguous() {
    let parse = |request: &[u8]| {
        let mut parser = RequestParser::new();
        parser.advance(request, &Limits::default()).expect("taken").expect("complete");
        parser.take_head()
    };
    assert_eq!(parse(&post("Content-Length: 005")).framing, Framing::Length(5), "S014");
    let head = parse(&post("Transfer_Encoding: chunked"));
    assert_eq!(
        (head.framing, head.entries.len(), head.skipped.len()),
        (Framing::None, 1, 1),
        "S029"
    );
    let get = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parse(get).framing, Framing::Chunked, "S033");
    assert_eq!(parse(&post("nothing")[..]).entries.len(), 1, "L005 never as a line");
}

#[test]
fn chunked() {
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000));
    let many_chunks = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(10_000));
    let long_trailer = format!("5\r\nhello\r\n0\r\nA: {}\r\n\r\n", "a".repeat(16_000));
    let rows: &[(&str, &str, Result<(), ChunkError>)] = &[
        ("C001", "5\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C002", "5;\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C003", "5\n;x\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C004", "5\r\nhelloX0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C005", "5\r\nhello\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C006", "5\r\nhelloXY0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C007", "0x5\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C008", "+5\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C009", "5_0\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C010", "10000000000000000\r\nhello", Err(ChunkError::Size)),
        ("C011", "\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C012", " 5\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C013", "5 \r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C014", "5;a\0b\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C015", "5;a\rb\r\nhello\r\n0\r\n\r\n", Err(ChunkError::Syntax)),
        ("C016", &long_extension, Err(ChunkError::Extension)),
        ("C017", &many_chunks, Ok(())),
        ("C018", "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", Ok(())),
        ("C019", "5\r\nhello\r\n0\r\nnothing\r\n\r\n", Err(ChunkError::Syntax)),
        ("C020", "5\r\nhello\r\n0\r\n\n", Err(ChunkError::Syntax)),
        ("C021", &long_trailer, Ok(())),
    ];
    for (id, body, expected) in rows {
        let joined = Chunked::new().join(&mut body.as_bytes().to_vec());
        let ended = joined.map(|joined| (joined.used, joined.ended));
        assert_eq!(ended, expected.map(|()| (body.len(), true)), "{id}");
    }
}

#[test]
fn header_lines() {
    let rows: &[(&str, &str, u16)] = &[
        ("L002", "A: b\rc", 400),
        ("L003", "A: b\0c", 400),
        ("L004", "A: b\x01c", 400),
        ("L005", "nothing", 200),
        ("L006", ": b", 400),
        ("L007", "A B: c", 400),
        ("L008", "A\u{80}: c", 200),
        ("L009", "A: b\r\n c", 400),
        ("L012", "Host: b.test", 400),
        ("M001", &format!("A: {}", "b".repeat(9000)), 494),
        ("M003", &"a: b\r\n".repeat(10_000), 494),
        ("M004", &format!("{}c: d", format!("a: {}\r\n", "b".repeat(495)).repeat(64)), 200),
        ("M008", &format!("Cookie: {}", "b".repeat(60_000)), 494),
        ("T002", "X_Forwarded_For: 1.2.3.4", 200),
    ];
    for (id, lines, expected) in rows {
        assert_eq!(status(&post(lines)), *expected, "{id}");
    }
}

#[test]
fn requests() {
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a.test\r\n\r\n");
    let rows: &[(&str, String, u16)] = &[
        ("L001", "GET / HTTP/1.1\nHost: a.test\n\n".into(), 200),
        ("L010", "GET / HTTP/1.1\r\n A: b\r\nHost: a.test\r\n\r\n".into(), 400),
        ("L011", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("L013", host("a.test/x"), 400),
        ("L014", host("user@a.test"), 400),
        ("L015", host("a.test\0"), 400),
        ("L016", host("a..b:80:90"), 400),
        ("L017", line("GET http://b.test/ HTTP/1.1"), 200),
        ("L018", line("GET ftp://b.test/ HTTP/1.1"), 200),
        ("L019", line("GET a.test:80 HTTP/1.1"), 400),
        ("L020", line("CONNECT a.test:443 HTTP/1.1"), 405),
        ("L022", line("OPTIONS * HTTP/1.1"), 400),
        ("L023", line("GET / HTTP/2.0"), 505),
        ("L024", line("GET / HTTP/1.2"), 200),
        ("L025", line("GET / HTTP/01.1"), 400),
        ("L026", line("GET / http/1.1"), 400),
        ("L027", "GET /\r\n".into(), 200),
        ("L028", line("GET /  HTTP/1.1"), 200),
        ("L029", line("GET\t/\tHTTP/1.1"), 400),
        ("L030", line("GET /a b HTTP/1.1"), 400),
        ("L031", line("get / HTTP/1.1"), 400),
        ("L032", line("FOO / HTTP/1.1"), 200),
        ("L033", line(&format!("{} / HTTP/1.1", "A".repeat(9000))), 414),
        ("L034", line("G\x01T / HTTP/1.1"), 400),
        ("L035", line("GET /\u{80} HTTP/1.1"), 200),
        ("L036", line("GET /\0 HTTP/1.1"), 400),
        ("L037", line("GET /%00 HTTP/1.1"), 400),
        ("L038", line("GET /%zz HTTP/1.1"), 400),
        ("L039", line("GET /a#b HTTP/1.1"), 200),
        ("L040", line("\r\nGET / HTTP/1.1"), 200),
        ("L041", line(&format!("{}GET / HTTP/1.1", "\r\n".repeat(1000))), 200),
        ("L041", line(&format!("{}GET / HTTP/1.1", "\r\n".repeat(100_000))), 400),
        ("L042", "\x16\x03\x01\x02".into(), 400),
        ("L043", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400),
        ("L045", line("PROXY TCP4 1.2.3.4 5.6.7.8 1 2"), 400),
        ("M002", line(&format!("GET /{} HTTP/1.1", "a".repeat(9000))), 414),
    ];
    for (id, request, expected) in rows {
        assert_eq!(status(request.as_bytes()), *expected, "{id}");
    }
}

#[test]
fn the_host_of_an_absolute_target_wins() {
    let request = b"GET http://B.test:81/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut parser = RequestParser::new();
    parser.advance(request, &Limits::default()).expect("taken");
    let head = parser.head();
    assert_eq!((&head.host[..], head.port), (&b"b.test"[..], 81), "L017");
    assert_eq!(head.get(request, Known::Host), Some(&b"a.test"[..]));
    assert_eq!(head.target.of(request), b"/x");
}

#[test]
fn paths() {
    let guarded = Some(true);
    let elsewhere = Some(false);
    let rows: &[(&str, &str, Option<bool>)] = &[
        ("N001", "/admin", guarded),
        ("N002", "/admin/", guarded),
        ("N003", "//admin", guarded),
        ("N004", "/./admin", guarded),
        ("N005", "/x/../admin", guarded),
        ("N006", "/x/%2e%2e/admin", guarded),
        ("N007", "/%61dmin", guarded),
        ("N008", "/%2fadmin", guarded),
        ("N009", "/x/..%2fadmin", guarded),
        ("N010", "/admin%2f", guarded),
        ("N011", "/admin;x", guarded),
        ("N012", "/x/..;/admin/", elsewhere),
        ("N013", "/admin/..;/", guarded),
        ("N014", "/admin%00", None),
        ("N015", "/admin%20", guarded),
        ("N016", "/admin?x", guarded),
        ("N017", "/%252e%252e/admin", elsewhere),
        ("N018", "/x\\..\\admin", elsewhere),
        ("N019", "/ADMIN", elsewhere),
        ("N020", "/../admin", None),
        ("N021", "/x/../../admin", None),
        ("N022", "/admin/../public", elsewhere),
        ("N023", "/public/%2e%2e%2fadmin", guarded),
        ("N024", "http://b.test/admin", guarded),
        ("N025", "/x/.%2e/admin", guarded),
        ("N026", "/admin%c0%af", guarded),
        ("N027", "/%c0%ae%c0%ae/admin", elsewhere),
        ("N028", "/a/b/../../admin/x", guarded),
    ];
    for (id, target, expected) in rows {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut parser = RequestParser::new();
        parser.advance(request.as_bytes(), &Limits::default()).expect(id);
        let mut path = Vec::new();
        let found = parser.head().path(request.as_bytes(), true, &mut path);
        assert_eq!(found.map(|_| path.starts_with(b"/admin")).ok(), *expected, "{id}");
    }
}

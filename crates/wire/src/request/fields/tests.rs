use super::*;
use crate::field_block::BlockLimits;
use crate::h1::RequestParser;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Fields, and the status and message of their refusal; an empty message matches any.
type Refusal<'a> = (Vec<(&'a str, &'a str)>, u16, &'a str);

/// The head and its text, or the status and message of the refusal.
fn build(fields: Fields<'_>, ended: bool) -> Result<(RequestHead, Vec<u8>), (u16, String)> {
    build_by(RequestFields::new(Version::HTTP_2), &Limits::default(), fields, ended)
}

fn build_by(
    mut builder: RequestFields,
    limits: &Limits,
    fields: Fields<'_>,
    ended: bool,
) -> Result<(RequestHead, Vec<u8>), (u16, String)> {
    let (mut text, mut head) = (Vec::new(), RequestHead::default());
    match builder.build(&mut block(fields), &mut text, limits, ended, |_| None) {
        Ok(()) => {
            builder.swap_head(&mut head);
            Ok((head, text))
        }
        Err(error) => Err((error.status(), error.message(&text))),
    }
}

fn block(fields: Fields<'_>) -> FieldBlock {
    let mut block = FieldBlock::default();
    for (name, value) in fields {
        block.push(name.as_bytes(), value.as_bytes());
    }
    block
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")];

fn get<'a>(more: Fields<'a>) -> Vec<(&'a str, &'a str)> {
    GET.iter().chain(more).copied().collect()
}

/// Both protocols yield the same head.
#[test]
fn fields_and_text_make_the_same_head() {
    let rows: &[(&str, &str, Fields<'_>)] = &[
        ("GET", "/", &[]),
        ("GET", "/a/../b?c=d", &[("accept", "*/*"), ("cookie", "a=b")]),
        ("POST", "/%41//x", &[("content-length", "5"), ("content-type", "text/plain")]),
        ("FOO", "/", &[("x-forwarded-for", "1.2.3.4"), ("te", "trailers")]),
    ];
    for (method, path, fields) in rows {
        let mut list: Vec<_> = vec![
            (":method", *method),
            (":scheme", "http"),
            (":path", *path),
            ("host", "A.test:81"),
        ];
        list.extend_from_slice(fields);
        let ended = *method != "POST";
        let (ours, text) = build(&list, ended).expect(path);
        let mut lines = format!("{method} {path} HTTP/1.1\r\nhost: A.test:81\r\n");
        for (name, value) in *fields {
            lines += &format!("{name}: {value}\r\n");
        }
        lines += "\r\n";
        let mut parser = RequestParser::new();
        parser.advance(lines.as_bytes(), &Limits::default()).expect(path).expect(path);
        let theirs = parser.take_head();
        let shown = |head: &RequestHead, text: &[u8]| {
            let mut path = Vec::new();
            let args = head.path(text, true, &mut path).map(|args| args.map(<[u8]>::to_vec));
            let fields = |entry: &Entry| {
                let known = entry.known;
                (entry.name.of(text).to_vec(), entry.value.of(text).to_vec(), known)
            };
            let mut all: Vec<_> = head.entries.iter().map(fields).collect();
            all.sort_by_key(|(name, _, _)| name.clone());
            (head.method, head.host.clone(), head.port, head.framing, path, args, all)
        };
        assert_eq!(shown(&ours, &text), shown(&theirs, lines.as_bytes()), "{method} {path}");
    }
}

#[test]
fn refusals() {
    let long = "x".repeat(40_000);
    let large = [("a", &*long)];
    let many = vec![("a", "b"); 1001];
    let rows: &[Refusal<'_>] = &[
        (GET[1..].to_vec(), 400, "client sent no :method header"),
        (vec![GET[0], GET[3]], 400, "client sent no :scheme header"),
        (GET[..3].to_vec(), 400, "client sent no :path header"),
        (
            vec![GET[0], GET[1], GET[3]],
            400,
            "client sent neither \":authority\" nor \"Host\" header",
        ),
        (vec![GET[0], GET[0]], 400, "client sent duplicate :method header"),
        (get(&[(":path", "/x")]), 400, "client sent duplicate :path header"),
        (get(&[("a", "b"), (":path", "/x")]), 400, "client sent out of order pseudo-headers"),
        (get(&[(":protocol", "x")]), 400, "client sent unknown pseudo-header \":protocol\""),
        (vec![(":method", "")], 400, "client sent empty :method header"),
        (vec![(":method", "get")], 400, "client sent invalid method: \"get\""),
        (vec![(":scheme", "1x")], 400, "client sent invalid :scheme header: \"1x\""),
        (vec![(":path", "x")], 400, "client sent invalid :path header: \"x\""),
        (vec![(":path", "/a b")], 400, "client sent invalid :path header: \"/a b\""),
        (vec![(":authority", "a b")], 400, "client sent invalid \":authority\" header"),
        (get(&[("Accept", "x")]), 400, "client sent invalid header name: \"Accept\""),
        (get(&[("", "x")]), 400, "client sent invalid header name: \"\""),
        (get(&[("x\u{e9}", "2")]), 400, "client sent invalid header name: \"x\u{e9}\""),
        (get(&[("a", " b")]), 400, "client sent header \"a\" with invalid value: \" b\""),
        (get(&[("a", "b\t")]), 400, ""),
        (get(&[("a b", "x")]), 400, "client sent invalid header name: \"a b\""),
        (get(&[("a", "b\0")]), 400, "client sent header \"a\" with invalid value: \"b\0\""),
        (get(&[("a", "b\r\nc: d")]), 400, ""),
        (get(&[("connection", "close")]), 400, "client sent \"Connection\" header"),
        (get(&[("keep-alive", "x")]), 400, "client sent \"Keep-Alive\" header"),
        (get(&[("proxy-connection", "x")]), 400, "client sent \"Proxy-Connection\" header"),
        (get(&[("upgrade", "x")]), 400, "client sent \"Upgrade\" header"),
        (get(&[("transfer-encoding", "chunked")]), 400, "client sent \"Transfer-Encoding\" header"),
        (get(&[("te", "gzip")]), 400, "client sent invalid \"TE\" header"),
        (get(&[("te", "trailers"), ("te", "trailers")]), 400, "client sent invalid \"TE\" header"),
        (
            get(&[("host", "b.test")]),
            400,
            "client sent \":authority\" and \"Host\" headers with different values",
        ),
        (get(&[("host", "a.test"), ("host", "a.test")]), 400, ""),
        (get(&[("content-length", "5"), ("content-length", "5")]), 400, ""),
        (get(&[("content-length", "+5")]), 400, "client sent invalid \"Content-Length\" header"),
        (get(&[("content-length", "5")]), 400, "client prematurely closed stream"),
        (get(&many), 494, "client sent too many header lines"),
        (get(&large), 494, "client sent too large header"),
    ];
    for (fields, status, message) in rows {
        let (found, text) = build(fields, true).expect_err(message);
        assert_eq!(found, *status, "{text}");
        assert!(message.is_empty() || text == *message, "{text}: {message}");
    }
    let connect = [(":method", "CONNECT"), GET[1], GET[2], GET[3]];
    assert_eq!(build(&connect, true).expect_err("CONNECT").0, 405);
}

#[test]
fn a_refused_connect_keeps_its_fields() {
    let fields = [(":method", "CONNECT"), GET[1], GET[2], GET[3], ("range", "bytes=0-1")];
    let mut builder = RequestFields::new(Version::HTTP_2);
    let (mut text, mut fields) = (Vec::new(), block(&fields));
    let refused = builder.build(&mut fields, &mut text, &Limits::default(), true, |_| None);
    assert_eq!(refused.expect_err("CONNECT").status(), 405);
    let head = builder.head();
    assert_eq!(head.get(&text, Known::Range), Some(&b"bytes=0-1"[..]));
    assert!(head.get(&text, Known::Host).is_some() && !head.host.is_empty());
}

#[test]
fn what_is_left_of_odd_fields() {
    let (head, text) = build(
        &get(&[("a_b", "1"), ("cookie", "a=b"), ("x!", "2"), ("cookie", "c=d"), ("d", "")]),
        false,
    )
    .expect("they are dropped or joined");
    let shown: Vec<_> = head
        .entries
        .iter()
        .map(|e| [e.name.of(&text), b"=", e.value.of(&text)].concat())
        .map(|line| String::from_utf8(line).expect("ASCII"))
        .collect();
    assert_eq!(shown, ["cookie=a=b; c=d", "d=", "host=a.test"]);
    let skipped: Vec<_> = head.skipped.iter().map(|span| span.of(&text)).collect();
    assert_eq!(skipped, [b"a_b", b"x!" as &[u8]]);
    assert_eq!(head.framing, Framing::Chunked, "the stream goes on");
    assert_eq!(head.line.of(&text), b"GET / HTTP/2.0");
    assert_eq!(head.scheme.of(&text), b"https");
}

/// A refused head still tells what came before its fault.
#[test]
fn what_is_known_of_refused_heads() {
    let rows: [(Fields<'_>, [&[u8]; 4]); 5] = [
        (
            &[GET[0], GET[1], GET[3], (":authority", "a b")],
            [b"GET", b"/", b"HTTP/2.0", b"GET / HTTP/2.0"],
        ),
        (&[(":method", "HEAD"), (":path", "x")], [b"HEAD", b"", b"HTTP/2.0", b""]),
        (&[(":method", "get"), (":path", "/")], [b"get", b"", b"HTTP/2.0", b""]),
        (&[("accept", "*/*")], [b"", b"", b"HTTP/2.0", b""]),
        (
            &[(":method", "CONNECT"), (":scheme", "http"), (":path", "/a?b"), GET[2]],
            [b"CONNECT", b"/a?b", b"HTTP/2.0", b"CONNECT /a?b HTTP/2.0"],
        ),
    ];
    let mut builder = RequestFields::new(Version::HTTP_2);
    for (fields, expected) in rows {
        let (mut text, mut fields) = (Vec::new(), block(fields));
        builder.build(&mut fields, &mut text, &Limits::default(), true, |_| None).expect_err("no");
        let head = builder.head();
        let spans = [head.method_text, head.target, head.protocol, head.line];
        assert_eq!(spans.map(|span| span.of(&text)), expected);
        assert_eq!(head.version, Version::HTTP_2);
    }
}

/// The server of the host has limits of its own for the following fields.
#[test]
fn a_host_chooses_the_rules() {
    let (mut head, mut text) = (RequestFields::new(Version::HTTP_3), Vec::new());
    let limits = Limits::default();
    let mut asked = Vec::new();
    let choose = |host: &[u8]| {
        asked.push(host.to_vec());
        Some(Limits { underscores: true, ..limits })
    };
    let mut fields = block(&get(&[("a_b", "1")]));
    head.build(&mut fields, &mut text, &limits, true, choose).expect("valid");
    assert_eq!(asked, [b"a.test".to_vec()]);
    assert_eq!(head.head().entries.len(), 2);
    assert_eq!(head.head().protocol.of(&text), b"HTTP/3.0");
    assert!(fields.entries().is_empty() && fields.bytes().is_empty());
}

/// One builder serves many heads, and nothing of one is left for the next.
#[test]
fn a_builder_is_used_again() {
    let (mut builder, limits) = (RequestFields::new(Version::HTTP_2), Limits::default());
    let mut run = |fields: Fields<'_>| {
        let mut text = Vec::new();
        let result = builder.build(&mut block(fields), &mut text, &limits, true, |_| None);
        result.map(|()| (builder.head().host.clone(), builder.head().entries.len()))
    };
    let host = |name: &[u8], count| Ok((name.to_vec(), count));
    assert_eq!(run(&get(&[("cookie", "a"), ("cookie", "b"), ("c", "d")])), host(b"a.test", 3));
    assert!(run(&get(&[("te", "x"), ("cookie", "b")])).is_err());
    assert_eq!(run(&get(&[])), host(b"a.test", 1));
    assert!(run(&GET[..2]).is_err());
    let other = [GET[0], GET[1], (":authority", "b.test"), GET[3]];
    assert_eq!(run(&other), host(b"b.test", 1));
}

/// RFC 9113 section 8.5, RFC 8441 section 4.
#[test]
fn connect() {
    let limits = Limits { allow_connect: true, ..Limits::default() };
    let run = |fields: Fields<'_>, limits: &Limits, extended: bool| {
        let mut builder = RequestFields::new(Version::HTTP_2);
        if extended {
            builder.allow_extended_connect();
        }
        build_by(builder, limits, fields, false)
    };
    let plain = [(":method", "CONNECT"), (":authority", "a.test:443")];
    let (head, text) = run(&plain, &limits, false).expect("a tunnel");
    assert_eq!(head.line.of(&text), b"CONNECT a.test:443 HTTP/2.0");
    assert_eq!(
        (&head.host[..], head.port, head.target.of(&text)),
        (&b"a.test"[..], 443, &b"/"[..])
    );
    assert_eq!((head.method, head.framing), (Method::Connect, Framing::None));
    assert_eq!(run(&plain, &Limits::default(), true).expect_err("not allowed").0, 405);
    assert_eq!(run(&plain[..1], &limits, true).expect_err("nowhere").0, 400);
    for authority in ["a.test", "a.test:", "a.test:0"] {
        let refused = run(&[plain[0], (":authority", authority)], &limits, true);
        assert_eq!(refused.expect_err("no port").0, 400, "{authority}");
    }
    let whole = [plain[0], GET[1], GET[2], GET[3]];
    assert_eq!(run(&whole, &limits, true).expect_err("a path").0, 405);

    let mut extended = whole.to_vec();
    extended.push((":protocol", "websocket"));
    let (head, text) = run(&extended, &Limits::default(), true).expect("a websocket");
    assert_eq!((head.connect_protocol.of(&text), head.framing), (&b"websocket"[..], Framing::None));
    assert_eq!(head.target.of(&text), b"/");
    let refused = run(&extended, &limits, false).expect_err("it was not offered");
    assert_eq!(refused, (400, "client sent unknown pseudo-header \":protocol\"".to_owned()));
    extended[0] = GET[0];
    let refused = run(&extended, &limits, true).expect_err("not with GET");
    assert_eq!(refused.1, "client sent invalid :protocol header: \"\"");
    let lacking = [plain[0], GET[2], GET[3], (":protocol", "websocket")];
    assert_eq!(run(&lacking, &limits, true).expect_err("no scheme").0, 400);
}

#[test]
fn an_overflow_is_told() {
    let limits = BlockLimits { bytes: 100, fields: 5 };
    for (more, message) in [
        (("a", "x".repeat(100)), "client sent too large header"),
        (("a", "x".repeat(9)), "client sent too many header lines"),
    ] {
        let mut fields = block(&get(&[("b", "c")]));
        assert!(!fields.has_room(more.0.len() + more.1.len(), &limits));
        let (mut builder, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
        let rules = Limits::default();
        let error = builder.build(&mut fields, &mut text, &rules, true, |_| None).expect_err("cut");
        assert_eq!((error.status(), &*error.message(&text)), (494, message));
    }
}

use super::*;
use crate::h1::RequestParser;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Fields, and the status and message of their refusal; an empty message matches any.
type Refusal<'a> = (Vec<(&'a str, &'a str)>, u16, &'a str);

/// The head and its text, or the status and message of the refusal.
fn build(fields: Fields<'_>, ended: bool) -> Result<(RequestHead, Vec<u8>), (u16, String)> {
    let (mut head, mut text) = (RequestFields::new(Version::HTTP_2), Vec::new());
    let limits = Limits::default();
    let mut run = || {
        for (name, value) in fields {
            head.push(&mut text, name.as_bytes(), value.as_bytes(), &limits, |_| None)?;
        }
        head.finish(&mut text, &limits, ended, |_| None)
    };
    match run() {
        Ok(()) => Ok((head.take_head(), text)),
        Err(error) => Err((error.status(), error.message(&text))),
    }
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
        (get(&[("a b", "x")]), 400, "client sent invalid header name: \"a b\""),
        (get(&[("a", "b\0")]), 400, "client sent header \"a\" with invalid value: \"b\0\""),
        (get(&[("a", "b\r\nc: d")]), 400, ""),
        (get(&[("connection", "close")]), 400, "client sent \"Connection\" header"),
        (get(&[("keep-alive", "x")]), 400, "client sent \"Keep-Alive\" header"),
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
fn what_is_left_of_odd_fields() {
    let (head, text) = build(
        &get(&[("a_b", "1"), ("cookie", "a=b"), ("x\u{e9}", "2"), ("cookie", "c=d"), ("d", "")]),
        false,
    )
    .expect("they are dropped or joined");
    let shown: Vec<_> = head
        .entries
        .iter()
        .map(|e| [e.name.of(&text), b"=", e.value.of(&text)].concat())
        .map(|line| String::from_utf8(line).expect("ASCII"))
        .collect();
    assert_eq!(shown, ["d=", "cookie=a=b; c=d", "host=a.test"]);
    let skipped: Vec<_> = head.skipped.iter().map(|span| span.of(&text)).collect();
    assert_eq!(skipped, [&b"a_b"[..], "x\u{e9}".as_bytes()]);
    assert_eq!(head.framing, Framing::Chunked, "the stream goes on");
    assert_eq!(head.line.of(&text), b"GET / HTTP/2.0");
    assert_eq!(head.scheme.of(&text), b"https");
}

/// The server of the host has limits of its own for the following fields.
#[test]
fn a_host_chooses_the_rules() {
    let (mut head, mut text) = (RequestFields::new(Version::HTTP_3), Vec::new());
    let limits = Limits::default();
    let mut asked = Vec::new();
    for (name, value) in GET.iter().chain(&[("a_b", "1")]) {
        let choose = |host: &[u8]| {
            asked.push(host.to_vec());
            Some(Limits { underscores: true, ..limits })
        };
        head.push(&mut text, name.as_bytes(), value.as_bytes(), &limits, choose).expect(name);
    }
    head.finish(&mut text, &limits, true, |_| None).expect("it is whole");
    assert_eq!(asked, [b"a.test".to_vec()]);
    assert_eq!(head.head().entries.len(), 2);
    assert_eq!(head.head().protocol.of(&text), b"HTTP/3.0");
}

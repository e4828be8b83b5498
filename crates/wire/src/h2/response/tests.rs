use super::*;

type Lines = Vec<(String, String)>;

fn block(fields: &[(&str, &str)]) -> FieldBlock {
    let mut block = FieldBlock::default();
    for (name, value) in fields {
        block.push(name.as_bytes(), value.as_bytes());
    }
    block
}

fn lines(headers: &Headers) -> Lines {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value, _)| (text(name), text(value))).collect()
}

fn head(fields: &[(&str, &str)]) -> Result<(ResponseFields, Lines), String> {
    let mut headers = Headers::new();
    headers.push(b"old", b"line");
    let mut block = block(fields);
    let result = read_head(&mut block, &mut headers);
    assert!(block.entries().is_empty() && !block.overflowed());
    match result {
        Ok(head) => {
            for (name, _, known) in headers.iter() {
                assert!(headers.contains(known), "{name:?} is found by its id");
            }
            Ok((head, lines(&headers)))
        }
        Err(error) => Err(error.message(headers.arena())),
    }
}

#[test]
fn heads() {
    let (found, all) = head(&[
        (":status", "200"),
        ("server", "a"),
        ("content-length", "5"),
        ("x_odd!", "\u{e9}"),
        ("server", "b"),
        ("set-cookie", "c"),
        ("set-cookie", "d"),
    ])
    .expect("valid");
    assert_eq!((found.status, found.content_length, found.is_interim()), (200, Some(5), false));
    assert_eq!(found.duplicates.len(), 1);
    let names: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        names,
        ["server=a", "content-length=5", "x_odd!=\u{e9}", "set-cookie=c", "set-cookie=d"]
    );
    let (found, all) = head(&[(":status", "103"), ("link", "a"), ("link", "b")]).expect("valid");
    assert_eq!((found.is_interim(), all.len()), (true, 2));
    assert_eq!(head(&[(":status", "999")]).expect("valid").0.content_length, None);
}

#[test]
fn the_lines_can_be_written_as_they_are() {
    let mut headers = Headers::new();
    read_head(&mut block(&[(":status", "204"), ("a", "b"), ("c", "")]), &mut headers)
        .expect("valid");
    let mut out = Vec::new();
    headers.write_to(&mut out);
    assert_eq!(out, b"a: b\r\nc: \r\n");
}

#[test]
fn refusals() {
    let ok = (":status", "200");
    for (fields, message) in [
        (&[][..], "upstream sent no :status header"),
        (&[("a", "b")], "upstream sent no :status header"),
        (&[(":status", "20")], "upstream sent invalid :status \"20\""),
        (&[(":status", "2000")], "upstream sent invalid :status \"2000\""),
        (&[(":status", "099")], "upstream sent invalid :status \"099\""),
        (&[(":status", "2x0")], "upstream sent invalid :status \"2x0\""),
        (&[(":status", "101")], "upstream sent invalid :status \"101\""),
        (&[ok, ok], "upstream sent duplicate :status header"),
        (&[("a", "b"), ok], "upstream sent unexpected pseudo-header \":status\""),
        (&[ok, (":path", "/")], "upstream sent unexpected pseudo-header \":path\""),
        (&[ok, ("Server", "x")], "upstream sent invalid header name: \"Server\""),
        (&[ok, ("a:", "x")], "upstream sent invalid header name: \"a:\""),
        (&[ok, ("", "x")], "upstream sent invalid header name: \"\""),
        (&[ok, ("a", "x\n")], "upstream sent invalid header: \"a: x\n\""),
        (&[ok, ("a", "x ")], "upstream sent invalid header: \"a: x \""),
        (
            &[ok, ("connection", "close")],
            "upstream sent \"connection\" header, which HTTP/2 does not have",
        ),
        (
            &[ok, ("transfer-encoding", "chunked")],
            "upstream sent \"transfer-encoding\" header, which HTTP/2 does not have",
        ),
        (&[ok, ("content-length", "x")], "upstream sent invalid \"Content-Length\" header: \"x\""),
        (
            &[ok, ("content-length", "5"), ("content-length", "5")],
            "upstream sent duplicate content-length header",
        ),
    ] {
        assert_eq!(head(fields).expect_err(message), message);
    }
    let mut large = block(&[ok]);
    assert!(!large.has_room(1, &crate::field_block::BlockLimits { bytes: 0, fields: 9 }));
    let error = read_head(&mut large, &mut Headers::new()).expect_err("it is cut");
    assert_eq!(error.message(&[]), "upstream sent too large http2 header");
}

#[test]
fn trailers() {
    let run = |fields: &[(&str, &str)]| {
        let mut headers = Headers::new();
        let result = read_trailers(&mut block(fields), &mut headers);
        result.map(|()| lines(&headers)).map_err(|error| error.fault)
    };
    assert_eq!(run(&[("grpc-status", "0")]), Ok(vec![("grpc-status".into(), "0".into())]));
    assert_eq!(run(&[]), Ok(vec![]));
    assert_eq!(run(&[("a", "b"), (":status", "200")]), Err(FieldsFault::Pseudo));
    assert_eq!(run(&[("A", "b")]), Err(FieldsFault::Name));
    assert_eq!(run(&[("a", "\0")]), Err(FieldsFault::Value));
    assert_eq!(run(&[("keep-alive", "x")]), Err(FieldsFault::ConnectionSpecific));
}

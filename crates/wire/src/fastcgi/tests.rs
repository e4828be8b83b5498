use super::*;

/// A record of an application, with padding.
fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let header = [1, kind, 0, 1, high, low, padding, 0];
    [&header[..], content, &vec![0xff; usize::from(padding)]].concat()
}

/// The parts of a response, with the text of those that have one.
fn parts(input: &[u8]) -> Result<Vec<(Part, String)>, RecordError> {
    let (mut records, mut at, mut found) = (Records::new(), 0, Vec::new());
    while let Some(part) = records.next(input, &mut at)? {
        let text = match &part {
            Part::Stdout(range) | Part::Stderr(range) => &input[range.clone()],
            _ => b"",
        };
        found.push((part.clone(), String::from_utf8_lossy(text).into_owned()));
    }
    assert!(at == input.len() || records.is_done());
    Ok(found)
}

#[test]
fn a_request_has_the_records_of_nginx() {
    let mut out = b"before".to_vec();
    let mut start = Start::new(false, &mut out);
    FastCgi::put(b"A", b"bc", start.params()).unwrap();
    FastCgi::put(b"EMPTY", b"", start.params()).unwrap();
    start.finish().unwrap();
    let expected: &[&[u8]] = &[
        b"before",
        &[1, 1, 0, 1, 0, 8, 0, 0],
        &[0, 1, 0, 0, 0, 0, 0, 0],
        &[1, 4, 0, 1, 0, 12, 4, 0],
        b"\x01\x02Abc\x05\x00EMPTY\0\0\0\0",
        &[1, 4, 0, 1, 0, 0, 0, 0],
    ];
    assert_eq!(out, expected.concat());
    let mut kept = Vec::new();
    Start::new(true, &mut kept).finish().unwrap();
    assert_eq!(kept[10], 1);
    assert_eq!(END_OF_STDIN, [1, 5, 0, 1, 0, 0, 0, 0]);
    assert_eq!(stdin_header(0x1234), [1, 5, 0, 1, 0x12, 0x34, 4, 0]);
    for (length, zeros) in [(0, 0), (1, 7), (7, 1), (8, 0), (STDIN_MOST, 0)] {
        assert_eq!(padding(length).len(), zeros);
    }
}

#[test]
fn long_names_and_values_have_long_lengths() {
    for (length, head) in [(127, &[127][..]), (128, &[0x80, 0, 0, 128]), (300, &[0x80, 0, 1, 44])] {
        let long = vec![b'x'; length];
        let mut out = Vec::new();
        let mut start = Start::new(false, &mut out);
        FastCgi::put(&long, &long, start.params()).unwrap();
        start.finish().unwrap();
        let expected = [head, head, &long, &long].concat();
        assert_eq!(out[24..24 + expected.len()], expected);
    }
}

#[test]
fn parameters_fit_into_one_record() {
    for (length, fits) in [(MAX_CONTENT - 6, true), (MAX_CONTENT - 5, false)] {
        let mut out = Vec::new();
        let mut start = Start::new(false, &mut out);
        FastCgi::put(b"A", &vec![b'x'; length], start.params()).unwrap();
        assert_eq!(start.finish(), if fits { Ok(()) } else { Err(TooLong(length + 6)) });
    }
}

#[test]
fn a_response_is_a_sequence_of_records() {
    let response = [
        record(STDOUT, b"Status: 200\r\n", 3),
        record(STDERR, b"oops", 4),
        record(STDERR, b"", 0),
        record(STDOUT, b"\r\nbody", 0),
        record(STDOUT, b"", 8),
        record(END_REQUEST, &[0; 8], 1),
    ];
    let found = parts(&response.concat()).unwrap();
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Status: 200\r\n", "oops", "\r\nbody", "", "", ""]);
    let marks: Vec<&Part> = found[3..].iter().map(|(part, _)| part).collect();
    assert_eq!(marks, [&Part::Closed, &Part::EndRequest, &Part::Done]);
    assert!(matches!(found[1].0, Part::Stderr(_)));
    fuzz::fuzz_records(&response.concat());
}

#[test]
fn a_response_is_done_once_its_last_padding_has_come() {
    let response = record(END_REQUEST, &[0; 8], 2);
    for end in 0..response.len() {
        let (mut records, mut at) = (Records::new(), 0);
        while let Some(part) = records.next(&response[..end], &mut at).unwrap() {
            assert_eq!(part, Part::EndRequest);
        }
        assert!(!records.is_done(), "after {end} bytes");
    }
    let found = parts(&[&response[..], b"more"].concat()).unwrap();
    assert_eq!(found.last().map(|(part, _)| part), Some(&Part::Done));
}

#[test]
fn records_are_known_to_be_incomplete() {
    let response = padded_pair();
    for (end, amid) in
        [(0, false), (1, true), (8, true), (9, true), (11, false), (13, false), (14, true)]
    {
        let (mut records, mut at) = (Records::new(), 0);
        while records.next(&response[..end], &mut at).unwrap().is_some() {}
        assert_eq!(records.is_amid_record(), amid, "after {end} bytes");
    }
}

/// A record with a content of 3 bytes and a padding of 2, and another one.
fn padded_pair() -> Vec<u8> {
    [record(STDOUT, b"abc", 2), record(STDOUT, b"", 0)].concat()
}

#[test]
fn other_records_are_refused() {
    let good = record(STDOUT, b"x", 0);
    for (at, byte, error, message) in [
        (0, 2, RecordError::Version(2), "unsupported FastCGI protocol version: 2"),
        (1, 8, RecordError::Kind(8), "invalid FastCGI record type: 8"),
        (2, 9, RecordError::IdHigh(9), "unexpected FastCGI request id high byte: 9"),
        (3, 0, RecordError::IdLow(0), "unexpected FastCGI request id low byte: 0"),
    ] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(parts(&bad), Err(error));
        assert_eq!(error.message(), format!("upstream sent {message}"));
        // The byte alone is enough.
        assert_eq!(parts(&bad[..=at]), Err(error));
        fuzz::fuzz_records(&[good.clone(), bad].concat());
    }
}

#[test]
fn content_can_be_given_back() {
    let input = [record(STDOUT, b"headbody", 8), record(STDOUT, b"more", 0)].concat();
    let (mut records, mut at) = (Records::new(), 0);
    assert_eq!(records.next(&input, &mut at), Ok(Some(Part::Stdout(8..16))));
    records.give_back(4);
    at -= 4;
    assert_eq!(records.next(&input, &mut at), Ok(Some(Part::Stdout(12..16))));
    assert_eq!(records.next(&input, &mut at), Ok(Some(Part::Stdout(32..36))));
    fuzz::fuzz_records(&input);
}

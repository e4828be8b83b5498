use super::*;

fn head() -> Head<'static> {
    Head {
        trace: 1,
        span: 2,
        parent: 0,
        state: b"",
        name: b"/",
        start: 3,
        end: 4,
        sampled: true,
        failed: false,
    }
}

fn span(head: &Head<'_>, fill: impl FnOnce(&mut SpanWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut span = SpanWriter::begin(&mut out, head);
    fill(&mut span);
    span.end();
    out
}

/// The bytes that the official library for Python makes of the same message.
#[test]
fn a_request_is_encoded_as_by_others() {
    let spans = span(&head(), |span| span.attribute(b"k", Value::Number(-1)));
    let envelope = Envelope::new(&[(b"service.name".to_vec(), b"s".to_vec())], "weir", "1");
    let encoded = envelope.request(&spans);
    let expected = [
        &b"\x0a\x71\x0a\x15\x0a\x13\x0a\x0cservice.name\x12\x03\x0a\x01s"[..],
        b"\x12\x58\x0a\x09\x0a\x04weir\x12\x011",
        b"\x12\x4b\x0a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"\x12\x08\0\0\0\0\0\0\0\x02\x2a\x01/\x30\x02",
        b"\x39\x03\0\0\0\0\0\0\0\x41\x04\0\0\0\0\0\0\0",
        b"\x4a\x10\x0a\x01k\x12\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x85\x01\x01\0\0\0",
    ]
    .concat();
    assert_eq!(encoded, expected);
}

#[test]
fn a_response_is_read() {
    assert_eq!(response(b""), Some(PartialSuccess::default()));
    let said = PartialSuccess { refused: 300, message: b"no".to_vec() };
    assert_eq!(response(b"\x0a\x07\x08\xac\x02\x12\x02no"), Some(said));
    assert_eq!(response(b"\x0a\x08\x08\xac\x02\x12\x02no"), None);
    assert_eq!(response(b"<html>"), None);
    assert_eq!(refusal(b"\x08\x03\x12\x03bad"), b"bad");
    assert_eq!(refusal(b"not found"), b"");
    for length in 0..12 {
        for byte in 0..=255 {
            let bytes = vec![byte; length];
            let _ = (response(&bytes), refusal(&bytes));
        }
    }
}

#[test]
fn requests_of_any_texts_are_read() {
    for length in [0, 1, 7, 200] {
        let data: Vec<u8> = (0..length).map(|at| (at * 37 % 251) as u8).collect();
        fuzz::fuzz(&data);
    }
    fuzz::fuzz(b"\x01\xff\x02/\xc3\x01\0\x01\"\x03a\nb\x04\xf0\x9f\x98\x80\0");
}

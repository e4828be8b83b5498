//! Entry point of a fuzz target and tests: spans of any texts are read by a decoder of its own, and
//! answers of any bytes cause no panic.

use super::{Envelope, Head, SpanWriter, Value, grpc, refusal, response};

/// A text of the input: a byte of length, and as many bytes.
fn text<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((&length, rest)) = data.split_first() else { return b"" };
    let (text, rest) = rest.split_at(usize::from(length).min(rest.len()));
    *data = rest;
    text
}

/// Encodes and reads a request made of `data`, and takes `data` as an answer.
pub fn fuzz(data: &[u8]) {
    answers(data);
    let mut data = data;
    let (state, name) = (text(&mut data), text(&mut data));
    let (resource, own) = (text(&mut data), text(&mut data));
    let number = i64::from(own.len() as u32).wrapping_mul(i64::MAX / 7);
    let mut attributes = Vec::new();
    while !data.is_empty() {
        attributes.push((text(&mut data), text(&mut data)));
    }
    let head = Head {
        trace: u128::from_be_bytes([1; 16]),
        span: 2,
        parent: u64::from(!state.is_empty()),
        state,
        name,
        start: 5,
        end: 4,
        sampled: true,
        failed: !name.is_empty(),
    };
    let mut spans = Vec::new();
    for _ in 0..2 {
        let mut span = SpanWriter::begin(&mut spans, &head);
        span.attribute(own, Value::Number(number));
        for (key, value) in &attributes {
            span.attribute(key, Value::Text(value));
            span.attribute(key, Value::Texts(value));
        }
        span.end();
    }
    let envelope = Envelope::new(&[(resource.to_vec(), own.to_vec())], "weir", "1");
    let message = envelope.request(&spans);
    assert_eq!(grpc::unframed(&grpc::framed(&message)), Some(&message[..]));

    let found = only(fields(&message), 1);
    let parts = fields(bytes(found));
    assert_eq!(parts.len(), 2);
    let of_resource = fields(bytes(only(fields(bytes(only(parts[..1].to_vec(), 1))), 1)));
    assert_eq!(key_value(&of_resource), (shown(resource), Some(shown(own))));
    let scope = fields(bytes(only(parts[1..].to_vec(), 2)));
    assert_eq!(scope.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 2]);
    for (_, span) in &scope[1..] {
        check_span(&fields(bytes(*span)), &head, own, number, &attributes);
    }
}

fn check_span(
    span: &[(u64, Field<'_>)],
    head: &Head<'_>,
    own: &[u8],
    number: i64,
    attributes: &[(&[u8], &[u8])],
) {
    let of = |wanted: u64| -> Vec<Field<'_>> {
        span.iter().filter(|(number, _)| *number == wanted).map(|(_, field)| *field).collect()
    };
    assert_eq!(of(1), [Field::Bytes(&[1; 16])]);
    assert_eq!(of(2), [Field::Bytes(&2u64.to_be_bytes())]);
    assert_eq!(of(3).len(), usize::from(!head.state.is_empty()));
    assert_eq!(of(4).len(), usize::from(head.parent != 0));
    assert_eq!(of(5), [Field::Bytes(shown(head.name).as_bytes())]);
    assert_eq!((of(7), of(8)), (vec![Field::Fixed(5)], vec![Field::Fixed(5)]), "no negative time");
    assert_eq!(of(15).len(), usize::from(head.failed));
    let found = of(9);
    assert_eq!(found.len(), 1 + 2 * attributes.len());
    let first = fields(bytes(found[0]));
    assert_eq!(bytes(first[0].1), shown(own).as_bytes());
    assert_eq!(fields(bytes(first[1].1)), [(3, Field::Number(number.cast_unsigned()))]);
    for (pair, (key, value)) in found[1..].chunks(2).zip(attributes) {
        let [one, array] = pair else { panic!("{pair:?}") };
        assert_eq!(key_value(&fields(bytes(*one))), (shown(key), Some(shown(value))));
        let array = fields(bytes(*array));
        let values = fields(bytes(only(fields(bytes(array[1].1)), 5)));
        let one = only(fields(bytes(only(values, 1))), 1);
        assert_eq!(bytes(one), shown(value).as_bytes());
    }
}

/// Answers of a collector.
fn answers(data: &[u8]) {
    let _ = (response(data), refusal(data));
    let message = grpc::message(data);
    assert!(message.len() <= data.len());
    if let Some(wait) = grpc::wait(data) {
        assert!(wait.as_secs() <= 3600);
    }
    if let Some(message) = grpc::unframed(data) {
        let _ = response(message);
    }
    let code = grpc::Code::parse(data);
    assert!(!code.name().is_empty());
    assert!(code != grpc::Code::OK || !code.may_retry(true));
}

fn shown(text: &[u8]) -> String {
    crate::shown(text).into_owned()
}

/// A field, by a reader that shares nothing with the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn number(rest: &mut &[u8]) -> u64 {
        let length = 1 + rest.iter().position(|byte| byte >> 7 == 0).expect("a whole number");
        assert!(length <= 10 && (length == 1 || rest[length - 1] != 0), "{rest:?}");
        let (digits, after) = rest.split_at(length);
        *rest = after;
        digits.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
    }
    let mut all = Vec::new();
    while !rest.is_empty() {
        let key = number(&mut rest);
        let length = match key % 8 {
            0 => 0,
            1 => 8,
            2 => usize::try_from(number(&mut rest)).expect("a length"),
            5 => 4,
            other => panic!("a field of type {other}"),
        };
        let kind = key % 8;
        let field = if kind == 0 {
            Field::Number(number(&mut rest))
        } else {
            let (value, after) = rest.split_at(length);
            rest = after;
            match kind {
                2 => Field::Bytes(value),
                _ => Field::Fixed(value.iter().rev().fold(0, |sum, &b| sum << 8 | u64::from(b))),
            }
        };
        all.push((key / 8, field));
    }
    all
}

fn bytes(field: Field<'_>) -> &[u8] {
    let Field::Bytes(bytes) = field else { panic!("{field:?}") };
    bytes
}

/// The only field of a message, which has this number.
fn only(fields: Vec<(u64, Field<'_>)>, number: u64) -> Field<'_> {
    let [(found, field)] = fields[..] else { panic!("{fields:?}") };
    assert_eq!(found, number);
    field
}

/// A key, and its value if it is a text.
fn key_value(pair: &[(u64, Field<'_>)]) -> (String, Option<String>) {
    let [(1, key), (2, value)] = pair else { panic!("{pair:?}") };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let value = match fields(bytes(*value))[..] {
        [(1, Field::Bytes(value))] => Some(text(value)),
        _ => None,
    };
    (text(bytes(*key)), value)
}

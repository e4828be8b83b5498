//! A collector of OTLP that refuses what is not right: unknown fields and types, ids of other
//! lengths, ends before beginnings, texts that are not UTF-8.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::harness::{Backend, Reply, Seen, until};

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Texts(Vec<String>),
}

/// A span.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) state: String,
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) flags: u32,
    pub(super) failed: bool,
    pub(super) attributes: BTreeMap<String, Value>,
    /// Those of its resource.
    pub(super) resource: BTreeMap<String, Value>,
}

impl Span {
    /// An attribute that is a text.
    pub(super) fn text(&self, name: &str) -> &str {
        match &self.attributes[name] {
            Value::Text(text) => text,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// An attribute that is a number.
    pub(super) fn number(&self, name: &str) -> i64 {
        match &self.attributes[name] {
            Value::Number(number) => *number,
            other => panic!("{name} is {other:?}"),
        }
    }
}

/// The answer to a request, by its number from 0.
type Answering = dyn Fn(usize) -> Reply + Send + Sync;

/// A running collector.
pub(super) struct Collector {
    pub(super) backend: Backend,
    batches: Arc<Mutex<Vec<Vec<Span>>>>,
}

impl Collector {
    /// One that takes everything.
    pub(super) fn start() -> Self {
        Self::answering(|_| taken())
    }

    /// One that answers so. What it does not answer with 200 is not counted.
    pub(super) fn answering(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let answer: Box<Answering> = Box::new(answer);
        let batches = Arc::new(Mutex::new(Vec::new()));
        let (kept, asked) = (Arc::clone(&batches), Mutex::new(0));
        let backend = Backend::new(move |seen| {
            let number = {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                *asked - 1
            };
            let reply = answer(number);
            if matches!(&reply, Reply::Bytes(bytes) if bytes.starts_with(b"HTTP/1.1 200")) {
                kept.lock().unwrap().push(read(seen));
            }
            reply
        });
        Self { backend, batches }
    }

    /// `http://…/…` for `endpoint`.
    pub(super) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.backend.address())
    }

    /// The batches so far.
    pub(super) fn batches(&self) -> Vec<Vec<Span>> {
        self.batches.lock().unwrap().clone()
    }

    /// The spans so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.batches().concat()
    }

    /// Exactly so many spans.
    #[track_caller]
    pub(super) fn wait(&self, count: usize) -> Vec<Span> {
        until(&format!("{count} spans"), || self.spans().len() >= count);
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }
}

/// The answer that everything was taken.
pub(super) fn taken() -> Reply {
    Reply::with("200 OK", "Content-Type: application/x-protobuf\r\n", "")
}

/// Reads a request.
fn read(seen: &Seen) -> Vec<Span> {
    assert!(seen.line.starts_with("POST "), "{}", seen.line);
    assert_eq!(seen.header("Content-Type"), Some("application/x-protobuf"));
    read_message(&seen.body)
}

/// Reads an `ExportTraceServiceRequest`.
pub(super) fn read_message(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (field, value) in fields(bytes) {
        assert_eq!(field, 1, "a field of ExportTraceServiceRequest");
        read_resource_spans(value.bytes(), &mut spans);
    }
    assert!(!spans.is_empty());
    spans
}

fn read_resource_spans(bytes: &[u8], spans: &mut Vec<Span>) {
    let mut resource = BTreeMap::new();
    let begin = spans.len();
    for (field, value) in fields(bytes) {
        match field {
            1 => {
                for (field, value) in fields(value.bytes()) {
                    assert_eq!(field, 1, "a field of Resource");
                    read_attribute(value.bytes(), &mut resource);
                }
            }
            2 => read_scope_spans(value.bytes(), spans),
            _ => panic!("field {field} of ResourceSpans"),
        }
    }
    spans[begin..].iter_mut().for_each(|span| span.resource = resource.clone());
}

fn read_scope_spans(bytes: &[u8], spans: &mut Vec<Span>) {
    let mut scope = Vec::new();
    for (field, value) in fields(bytes) {
        match field {
            1 => scope = fields(value.bytes()).map(|(_, value)| value.text()).collect(),
            2 => spans.push(read_span(value.bytes())),
            _ => panic!("field {field} of ScopeSpans"),
        }
    }
    assert_eq!((scope.len(), scope[0].as_str()), (2, "weir"));
}

fn read_span(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    let mut kind = 0;
    for (field, value) in fields(bytes) {
        match field {
            1 => span.trace = value.id(16),
            2 => span.id = value.id(8),
            3 => span.state = value.text(),
            4 => span.parent = value.id(8),
            5 => span.name = value.text(),
            6 => kind = value.number(),
            7 => span.start = value.fixed64(),
            8 => span.end = value.fixed64(),
            9 => read_attribute(value.bytes(), &mut span.attributes),
            15 => {
                let status: Vec<_> = fields(value.bytes()).collect();
                assert!(matches!(status[..], [(3, Field::Varint(2))]), "{status:?}");
                span.failed = true;
            }
            16 => span.flags = value.fixed32(),
            _ => panic!("field {field} of Span"),
        }
    }
    assert_eq!(kind, 2, "a server's");
    assert!(!span.trace.is_empty() && !span.id.is_empty() && !span.name.is_empty(), "{span:?}");
    assert!(span.start <= span.end && span.start > 1_600_000_000_000_000_000, "{span:?}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(u128::from(span.end) <= now.as_nanos(), "{span:?}");
    // The parent is remote, and whether it is remote is known.
    assert_eq!(span.flags & 0x300 == 0x300, !span.parent.is_empty(), "{span:?}");
    span
}

fn read_attribute(bytes: &[u8], attributes: &mut BTreeMap<String, Value>) {
    let pair: Vec<_> = fields(bytes).collect();
    let [(1, key), (2, value)] = &pair[..] else { panic!("{pair:?}") };
    let value: Vec<_> = fields(value.bytes()).collect();
    let value = match &value[..] {
        [(1, text)] => Value::Text(text.text()),
        [(3, number)] => Value::Number(number.number().cast_signed()),
        [(5, array)] => Value::Texts(
            fields(array.bytes())
                .map(|(field, value)| {
                    assert_eq!(field, 1);
                    let any: Vec<_> = fields(value.bytes()).collect();
                    let [(1, text)] = &any[..] else { panic!("{any:?}") };
                    text.text()
                })
                .collect(),
        ),
        _ => panic!("{value:?}"),
    };
    let key = key.text();
    assert!(!key.is_empty());
    assert!(attributes.insert(key.clone(), value).is_none(), "{key} occurs twice");
}

/// A field's value.
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("{self:?} is no message") };
        bytes
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("a string is UTF-8")
    }

    fn id(self, length: usize) -> String {
        let id = self.bytes();
        assert_eq!(id.len(), length);
        assert!(id.iter().any(|&byte| byte != 0), "an id is not 0");
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn number(self) -> u64 {
        let Self::Varint(number) = self else { panic!("{self:?} is no number") };
        number
    }

    fn fixed64(self) -> u64 {
        let Self::Fixed64(number) = self else { panic!("{self:?} is no fixed64") };
        number
    }

    fn fixed32(self) -> u32 {
        let Self::Fixed32(number) = self else { panic!("{self:?} is no fixed32") };
        number
    }
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let key = varint(&mut bytes);
        let mut take = |length: usize| {
            let (taken, rest) = bytes.split_at_checked(length).expect("a whole field");
            bytes = rest;
            taken
        };
        let value = match key & 7 {
            1 => Field::Fixed64(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Field::Fixed32(u32::from_le_bytes(take(4).try_into().unwrap())),
            0 => Field::Varint(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (taken, rest) = bytes.split_at_checked(length).expect("a whole field");
                bytes = rest;
                Field::Bytes(taken)
            }
            kind => panic!("a field of type {kind}"),
        };
        Some((key >> 3, value))
    })
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            assert!(at == 0 || byte != 0, "a number is as short as it can be");
            return value;
        }
    }
    panic!("a number of more than ten bytes")
}

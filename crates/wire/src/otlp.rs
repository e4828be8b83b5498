//! OTLP's messages for traces in the binary form of Protocol Buffers
//! (<https://opentelemetry.io/docs/specs/otlp/>, `trace.proto` and `trace_service.proto`).
//!
//! A span is encoded once, by the request that it is about. A request of an exporter is then a
//! resource, a scope and such spans in a row, without another look at them.

pub mod fuzz;
pub mod grpc;
mod protobuf;

use protobuf::{Reader, Writer};

/// A value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text. Bytes that are not UTF-8 are replaced, as a string of Protocol Buffers is UTF-8.
    Text(&'a [u8]),
    /// An array with one text.
    Texts(&'a [u8]),
    /// A number.
    Number(i64),
}

/// The head of a span of a server.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Not 0.
    pub trace: u128,
    /// Not 0.
    pub span: u64,
    /// 0 without a parent.
    pub parent: u64,
    /// `tracestate` of the span.
    pub state: &'a [u8],
    /// The name.
    pub name: &'a [u8],
    /// The beginning, in nanoseconds since 1970.
    pub start: u64,
    /// The end, not before the beginning.
    pub end: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
    /// Whether the span is one of an error.
    pub failed: bool,
}

/// `SPAN_KIND_SERVER`.
const SERVER: u64 = 2;

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` and `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`.
const REMOTE_PARENT: u32 = 0x300;

/// Writes a span as an element of `ScopeSpans`.
pub struct SpanWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    flags: u32,
    failed: bool,
}

impl<'a> SpanWriter<'a> {
    /// Begins a span at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>, head: &Head<'_>) -> Self {
        let start = out.len();
        let mut writer = Writer(out);
        writer.bytes(1, &head.trace.to_be_bytes());
        writer.bytes(2, &head.span.to_be_bytes());
        if !head.state.is_empty() {
            writer.text(3, head.state);
        }
        if head.parent != 0 {
            writer.bytes(4, &head.parent.to_be_bytes());
        }
        writer.text(5, head.name);
        writer.number(6, SERVER);
        writer.fixed64(7, head.start);
        writer.fixed64(8, head.end.max(head.start));
        let remote = if head.parent != 0 { REMOTE_PARENT } else { 0 };
        let flags = remote | u32::from(head.sampled);
        Self { out, start, flags, failed: head.failed }
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, key: &[u8], value: Value<'_>) {
        attribute(&mut Writer(self.out), 9, key, value);
    }

    /// Ends the span.
    pub fn end(self) {
        if self.failed {
            Writer(self.out).message(15, |status| status.number(3, ERROR));
        }
        Writer(self.out).fixed32(16, self.flags);
        protobuf::wrap(self.out, self.start, 2);
    }
}

fn attribute(writer: &mut Writer<'_>, field: u32, key: &[u8], value: Value<'_>) {
    writer.message(field, |pair| {
        pair.text(1, key);
        pair.message(2, |any| match value {
            Value::Text(text) => any.text(1, text),
            Value::Number(number) => any.number(3, number.cast_unsigned()),
            Value::Texts(text) => any.message(5, |array| array.message(1, |one| one.text(1, text))),
        });
    });
}

/// What is before and after the spans of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The field of the resource.
    resource: Vec<u8>,
    /// The field of the scope.
    scope: Vec<u8>,
}

impl Envelope {
    /// Spans of a resource with these attributes, by a program.
    pub fn new(attributes: &[(Vec<u8>, Vec<u8>)], scope: &str, version: &str) -> Self {
        let mut resource = Vec::new();
        Writer(&mut resource).message(1, |resource| {
            for (key, value) in attributes {
                attribute(resource, 1, key, Value::Text(value));
            }
        });
        let mut text = Vec::new();
        Writer(&mut text).message(1, |writer| {
            writer.text(1, scope.as_bytes());
            writer.text(2, version.as_bytes());
        });
        Self { resource, scope: text }
    }

    /// An `ExportTraceServiceRequest` with spans of [`SpanWriter`].
    pub fn request(&self, spans: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.resource.len() + self.scope.len() + spans.len() + 16);
        Writer(&mut out).message(1, |one| {
            one.0.extend_from_slice(&self.resource);
            one.message(2, |scope| {
                scope.0.extend_from_slice(&self.scope);
                scope.0.extend_from_slice(spans);
            });
        });
        out
    }
}

/// What a receiver says about spans that it has not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// The number of refused spans.
    pub refused: i64,
    /// The reason, or advice about spans that were taken.
    pub message: Vec<u8>,
}

/// Reads an `ExportTraceServiceResponse`; `None` if it is none.
pub fn response(bytes: &[u8]) -> Option<PartialSuccess> {
    let mut said = PartialSuccess::default();
    let mut fields = Reader::new(bytes);
    while let Some((field, value)) = fields.next()? {
        let (1, protobuf::Field::Bytes(partial)) = (field, value) else { continue };
        let mut fields = Reader::new(partial);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, protobuf::Field::Number(refused)) => said.refused = refused.cast_signed(),
                (2, protobuf::Field::Bytes(message)) => said.message = message.to_vec(),
                _ => {}
            }
        }
    }
    Some(said)
}

/// Reads the message of a `google.rpc.Status`, as bodies of refusals are; empty if it is none.
pub fn refusal(bytes: &[u8]) -> Vec<u8> {
    let mut fields = Reader::new(bytes);
    let mut message = Vec::new();
    loop {
        match fields.next() {
            Some(Some((2, protobuf::Field::Bytes(text)))) => message = text.to_vec(),
            Some(Some(_)) => {}
            Some(None) => return message,
            None => return Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;

//! The span of a request: nginx's attributes, by the semantic conventions of version 1.16.

use weir_engine::clock;
use weir_wire::header::Known;
use weir_wire::otlp::{Head, SpanWriter, Value};

use super::Otel;
use crate::request::Request;

/// The limit of a text in bytes, so that a span is no longer than some of a request's head.
const MAX_TEXT: usize = 4096;

/// Names of attributes whose values are arrays by the conventions.
const ARRAYS: [&[u8]; 2] = [b"http.request.header.", b"http.response.header."];

/// The first status that is an error of a server.
const FIRST_ERROR: u16 = 500;

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MAX_TEXT)]
}

/// Writes the span of a request that has ended.
pub(super) fn write(request: &mut Request, settings: &Otel, out: &mut Vec<u8>) {
    let mut name = Vec::new();
    match &settings.name {
        Some(template) => template.eval(request, &mut name),
        None if request.location.name.is_empty() => name.extend_from_slice(request.method_name()),
        None => name.extend_from_slice(&request.location.name),
    }
    let mut own = Vec::new();
    for attribute in settings.attributes.iter() {
        let mut value = Vec::new();
        attribute.value.eval(request, &mut value);
        own.push((&attribute.name, value));
    }
    let Some(trace) = request.known_trace() else { return };
    let end = clock::wall_nanos();
    let took = u64::try_from(request.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let status = match request.error_status {
        0 => request.response.status,
        error => error,
    };
    let head = Head {
        trace: trace.own.trace,
        span: trace.own.span,
        parent: trace.parent.map_or(0, |parent| parent.span),
        state: cut(&trace.state),
        name: cut(&name),
        start: end.saturating_sub(took),
        end,
        sampled: true,
        failed: status >= FIRST_ERROR,
    };
    let mut span = SpanWriter::begin(out, &head);
    write_usual(request, status, &mut span);
    for (name, value) in own {
        let is_array = ARRAYS.iter().any(|prefix| name.starts_with(prefix));
        let value = cut(&value);
        span.attribute(name, if is_array { Value::Texts(value) } else { Value::Text(value) });
    }
    span.end();
}

/// The attributes that nginx's module adds, in its order.
fn write_usual(request: &Request, status: u16, span: &mut SpanWriter<'_>) {
    let mut text = |key: &[u8], value: &[u8]| span.attribute(key, Value::Text(cut(value)));
    text(b"http.method", request.method_name());
    text(b"http.target", &request.head.unparsed_uri());
    if !request.location.name.is_empty() {
        text(b"http.route", &request.location.name);
    }
    text(b"http.scheme", if request.info.ssl { b"https" } else { b"http" });
    if let Some(version) = request.head.protocol().strip_prefix(b"HTTP/")
        && !version.is_empty()
    {
        text(b"http.flavor", version);
    }
    if let Some(agent) = request.head.get(Known::UserAgent) {
        text(b"http.user_agent", agent);
    }
    let length = request.body.content_length.unwrap_or(0);
    let sent = request.body_bytes_sent();
    let mut number = |key: &[u8], value: u64| {
        span.attribute(key, Value::Number(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    number(b"http.request_content_length", length);
    number(b"http.response_content_length", sent);
    if status != 0 {
        number(b"http.status_code", status.into());
    }
    let name = match request.server.name.is_empty() {
        true => &request.head.host,
        false => &request.server.name,
    };
    span.attribute(b"net.host.name", Value::Text(cut(name)));
    let usual_port = if request.info.ssl { 443 } else { 80 };
    if let Some(port) = request.info.local.port().filter(|&port| port != usual_port) {
        span.attribute(b"net.host.port", Value::Number(port.into()));
    }
    span.attribute(b"net.sock.peer.addr", Value::Text(request.remote.ip_text().as_bytes()));
    let port = request.remote.port().unwrap_or(0);
    span.attribute(b"net.sock.peer.port", Value::Number(port.into()));
}

//! The end of a request: whether it is kept, and the record.

use std::sync::Arc;
use std::time::Duration;

use weir_engine::clock;

use super::notes::{Notes, Noting, lock};
use super::record::{Class, End, Field, Part, Record};
use super::settings::{RECORDS, Recording, WHOLE};
use super::store;
use crate::core::location::Kind;
use crate::request::Request;
use crate::response::Sent;

/// The maximum length of a text from the request, in bytes.
const LONGEST: usize = 1024;

/// The maximum length of an id, in bytes.
const LONGEST_ID: usize = 64;

/// Ends the notes of a request, and keeps a record if the last location that it has been in and
/// that has requests recorded says so.
#[cold]
pub(crate) fn end(request: &mut Request) {
    if request.is_subrequest() {
        return;
    }
    let noting = request.noting.take();
    // An error page may be elsewhere.
    let by = request.recorded_by.take();
    let last = request.location.clone();
    let settings = if last.usual.records { last } else { by.unwrap_or(last) };
    let settings = settings.settings.get(&RECORDS);
    let took = request.start.elapsed();
    let class = class_of(request, settings.recording, noting.as_ref(), took);
    if let Some((class, slow)) = class {
        if let Some(noting) = &noting {
            noting.fill(&request.attempts);
        }
        let names = settings.fields.iter().map(|name| name.0.as_str());
        let fields = names.filter_map(|name| field(request, name)).collect();
        let made = made(request, noting.as_ref());
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let record = Record { class, slow, took, fields, ..made };
        store::keep(record, usize::try_from(settings.size.0).unwrap_or(usize::MAX));
    }
    if let Some(noting) = noting {
        noting.leave();
    }
}

/// Why a request is kept, if it is, and whether it was slow.
fn class_of(
    request: &Request,
    recording: Recording,
    noting: Option<&Noting>,
    took: Duration,
) -> Option<(Class, bool)> {
    if !recording.on {
        return None;
    }
    // What follows the upgrade is the connection's own time.
    let answered = match request.upgraded {
        true => noting.and_then(Noting::headed),
        false => None,
    };
    let slow = recording.slow.is_some_and(|slow| answered.unwrap_or(took) >= slow);
    let class = match () {
        () if status(request) >= 500 => Class::Error,
        () if slow => Class::Slow,
        () if recording.sample > 0 && fastrand::u32(..WHOLE) < recording.sample => Class::Sample,
        () => return None,
    };
    Some((class, slow))
}

/// `$status`.
fn status(request: &Request) -> u16 {
    match (request.error_status, request.response.status) {
        (error @ 1.., _) => error,
        (_, status) => status,
    }
}

fn cut(text: &[u8]) -> Box<[u8]> {
    text[..text.len().min(LONGEST)].into()
}

/// A variable as text, up to a length; empty if it has no value.
fn variable(request: &mut Request, name: &[u8]) -> Box<str> {
    let mut value = Vec::new();
    request.variable_named(name, &mut value);
    value.truncate(LONGEST_ID);
    String::from_utf8_lossy(&value).into()
}

/// A field of the request, if it has it. Secrets are masked.
fn field(request: &Request, name: &str) -> Option<Field> {
    let value = request.head.get_name(name.as_bytes())?;
    let secret = matches!(name, "authorization" | "proxy-authorization" | "cookie");
    Some((name.into(), if secret { b"***".as_slice().into() } else { cut(value) }))
}

/// The record of a request, but for what its settings say.
fn made(request: &mut Request, noting: Option<&Noting>) -> Record {
    let (id, tls) = (request.id().into(), variable(request, b"ssl_protocol"));
    let cipher = variable(request, b"ssl_cipher");
    let trace = request.trace_id().unwrap_or_default().into();
    let end = how_ended(request);
    let location = (request.location.kind != Kind::Server).then(|| Part {
        name: request.location.name.as_slice().into(),
        span: request.location.span,
    });
    let server =
        Part { name: request.server.name.as_slice().into(), span: request.server.location.span };
    let empty = Notes::default();
    let held = noting.map(|noting| lock(&noting.notes));
    let notes = held.as_deref().unwrap_or(&empty);
    let cache = &request.attempts.cache;
    Record {
        class: Class::Sample,
        id,
        trace,
        ended: clock::msec(),
        took: 0,
        slow: false,
        connection: request.info.id,
        number: request.number,
        client: request.remote.ip_text().into(),
        address: request.info.local.to_string().into(),
        protocol: request.head.protocol().into(),
        tls,
        cipher,
        line: cut(request.head.request_line()),
        host: cut(request.host()),
        fields: Box::default(),
        server,
        location,
        uri: cut(&request.uri),
        status: status(request),
        sent_status: request.response.status,
        received: request.length + request.body.raw,
        sent: request.client.bytes_sent,
        end,
        upgraded: request.upgraded,
        cache: cache.status.map_or("", |status| status.name()),
        cache_key: cut(&cache.key),
        steps: notes.steps.as_slice().into(),
        attempts: notes.attempts.as_slice().into(),
        rivals: notes.rivals.as_slice().into(),
        texts: notes.texts.shrunk(),
        dropped: notes.dropped,
        places: Arc::clone(request.snapshot.places()),
    }
}

fn how_ended(request: &Request) -> End {
    let (client, response) = (&request.client, &request.response);
    match () {
        () if response.status == 444 => End::Closed,
        () if client.timed_out || response.status == 408 => End::ClientTimeout,
        () if client.broken || client.has_failed() || response.status == 499 => End::Client,
        () if response.sent == Sent::All || request.upgraded => End::Complete,
        () if response.sent == Sent::Nothing => End::Closed,
        () => End::Broken,
    }
}

//! Fields of requests, at the end of the rewrite phase.

use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::h1::Version;
use weir_wire::header::Known;
use weir_wire::request::Connection;
use weir_wire::uri;

use super::{Command, Field, HEADERS_MORE};
use crate::module::Verdict;
use crate::rejection::Rejection;
use crate::request::Request;

pub(super) fn handle(request: &mut Request) -> Verdict {
    if request.head.version < Version::HTTP_10 {
        return Verdict::Next;
    }
    let location = request.location.clone();
    for command in &location.settings.get(&HEADERS_MORE).input {
        if let Err(rejection) = run(command, request) {
            return rejection.into();
        }
    }
    Verdict::Next
}

fn run(command: &Command, request: &mut Request) -> Result<(), Rejection> {
    if !command.types.is_empty() {
        let content_type = request.head.get(Known::ContentType).unwrap_or_default();
        if !command.types.iter().any(|known| known == content_type) {
            return Ok(());
        }
    }
    let mut value = Vec::new();
    for field in &command.fields {
        value.clear();
        request.eval_field(&field.value, &mut value);
        set(request, field, command.replaces, &value)?;
    }
    Ok(())
}

/// Sets a field, or removes it if the value is empty.
fn set(
    request: &mut Request,
    field: &Field,
    replaces: bool,
    value: &[u8],
) -> Result<(), Rejection> {
    match field.known {
        // The body stays framed as the client has framed it.
        Known::TransferEncoding => return Ok(()),
        Known::ContentLength => {
            drop_body(request, value);
            return Ok(());
        }
        // A prefix with a value is no name of a field.
        Known::Other if field.is_prefix && !value.is_empty() => return Ok(()),
        _ => {}
    }
    let host = match field.known {
        Known::Host => Some(parse_host(request, value)?),
        _ => None,
    };
    // Requests that this one has made keep theirs.
    let head = Rc::make_mut(&mut request.head);
    let new = (!value.is_empty()).then_some(value);
    let frames = |known| matches!(known, Known::ContentLength | Known::TransferEncoding);
    let found = head.set_where(new, |name, known| !frames(known) && field.means(name, known));
    if !found {
        if replaces || value.is_empty() {
            return Ok(());
        }
        head.push(&field.name, value);
    }
    if let Some((host, port)) = host {
        head.set_host(host, port);
    }
    if field.known == Known::Connection {
        let option = Connection::of(value);
        head.set_connection(option);
        request.keepalive &= option != Connection::Close;
    }
    Ok(())
}

/// Discards the body for an empty length or 0. Other lengths change nothing: bytes beyond a smaller
/// one would become a request of their own.
fn drop_body(request: &mut Request, value: &[u8]) {
    let is_none = value.iter().all(|&byte| byte == b'0');
    if is_none && request.body.content_length.is_some() {
        request.body.refuse();
        let head = Rc::make_mut(&mut request.head);
        head.set_where(None, |_, known| known == Known::ContentLength);
    }
}

/// The host and the port of a value for `Host`.
fn parse_host(request: &Request, value: &[u8]) -> Result<(Vec<u8>, u16), Rejection> {
    let mut host = Vec::new();
    if value.is_empty() {
        return Ok((host, 0));
    }
    match uri::parse_host(value, &mut host) {
        Ok(port) => Ok((host, port)),
        Err(_) => {
            let value = weir_wire::shown(value);
            let line = format!("more_set_input_headers: invalid host \"{value}\"");
            request.log(Level::Error, &line);
            Err(Rejection::BAD_REQUEST)
        }
    }
}

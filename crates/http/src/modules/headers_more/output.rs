//! Fields of responses, before `add_header` and the filters of the body.

use weir_wire::h1::Method;
use weir_wire::header::Known;
use weir_wire::request::parse_length;

use super::{Command, Field, HEADERS_MORE};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::response::Response;

/// The fields that a response has once, and that the server acts upon. `-a` is refused for them.
pub(super) const SINGLE: [Known; 14] = [
    Known::Server,
    Known::Date,
    Known::ContentEncoding,
    Known::Location,
    Known::Refresh,
    Known::LastModified,
    Known::ContentRange,
    Known::AcceptRanges,
    Known::WwwAuthenticate,
    Known::Expires,
    Known::ContentLength,
    Known::ContentType,
    Known::CacheControl,
    Known::TransferEncoding,
];

pub(super) fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let mut value = Vec::new();
    for command in &location.settings.get(&HEADERS_MORE).output {
        if !applies(command, &request.response) {
            continue;
        }
        for field in &command.fields {
            value.clear();
            request.eval_field(&field.value, &mut value);
            set(request, field, command.appends, &value);
        }
    }
    Ok(())
}

fn applies(command: &Command, response: &Response) -> bool {
    let (types, statuses) = (&command.types, &command.statuses);
    (types.is_empty() || types.contains(&response.content_type))
        && (statuses.is_empty() || statuses.contains(&response.status))
}

/// Sets a field, or removes it if the value is empty.
fn set(request: &mut Request, field: &Field, appends: bool, value: &[u8]) {
    let response = &mut request.response;
    match field.known {
        // The server's own, for it says how the body ends.
        Known::TransferEncoding => return,
        Known::ContentLength => return set_length(request, value),
        Known::ContentType => {
            response.headers.remove(Known::ContentType);
            return response.set_content_type(value);
        }
        // A path may become absolute.
        Known::Location => {
            response.headers.remove(Known::Location);
            response.location = (!value.is_empty()).then(|| value.to_vec());
            return;
        }
        Known::Server => response.passes_server = true,
        Known::Date => response.passes_date = true,
        Known::LastModified => response.last_modified = weir_wire::date::parse(value),
        Known::AcceptRanges if value.is_empty() => response.allow_ranges = false,
        _ if field.is_prefix && response.location.is_some() => {
            let is_meant = field.means(b"Location", Known::Location);
            if is_meant {
                response.location = (!value.is_empty()).then(|| value.to_vec());
            }
        }
        _ => {}
    }
    let headers = &mut response.headers;
    let new = (!value.is_empty()).then_some(value);
    if !appends && headers.set_where(new, |name, known| field.means(name, known)) {
        return;
    }
    if new.is_some() && !field.is_prefix {
        headers.push_known(field.known, &field.name, value);
    }
}

/// Sets the length of a body that is not sent, or leaves it to the protocol to end the body. A
/// wrong length of a body would make the client take the rest for the next response.
fn set_length(request: &mut Request, value: &[u8]) {
    let has_no_body = request.method == Method::Head || request.response.status == 304;
    if value.is_empty() {
        request.response.clear_length();
    } else if let (true, Some(length)) = (has_no_body, parse_length(value)) {
        request.response.clear_length();
        request.response.content_length = Some(length);
    }
}

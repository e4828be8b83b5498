//! The head of a response in any protocol, in nginx's order (nginx: `ngx_http_header_filter`).

use weir_conf::Settled;
use weir_wire::h1::{Method, Version};
use weir_wire::header::{Headers, Known};

use crate::core::ServerTokens;
use crate::core::connection::Connection;
use crate::core::redirect::Redirect;
use crate::field;
use crate::request::connection_info::ConnectionInfo;
use crate::response::Response;
use crate::server_name::SERVER_NAME;

/// The name of a field that is made here.
#[derive(Clone, Copy)]
pub(super) struct Name {
    /// Followed by `": "`, as in HTTP/1.
    pub line: &'static str,
    pub known: Known,
}

impl Name {
    const SERVER: Self = Self { line: "Server: ", known: Known::Server };
    const DATE: Self = Self { line: "Date: ", known: Known::Date };
    const CONTENT_TYPE: Self = Self { line: "Content-Type: ", known: Known::ContentType };
    const CONTENT_LENGTH: Self = Self { line: "Content-Length: ", known: Known::ContentLength };
    const LAST_MODIFIED: Self = Self { line: "Last-Modified: ", known: Known::LastModified };
    const LOCATION: Self = Self { line: "Location: ", known: Known::Location };
    const VARY: Self = Self { line: "Vary: ", known: Known::Vary };
}

/// A writer of head fields: for each field, a name, a value and an end.
pub(super) trait HeadWriter {
    /// Whether `Location` has the same place whether or not it is absolute.
    const LOCATION_IN_PLACE: bool = false;

    /// Begins a field.
    fn name(&mut self, name: Name);

    /// The buffer to append the value to.
    fn value(&mut self) -> &mut Vec<u8>;

    /// Ends the field.
    fn end(&mut self);

    /// Writes fields unchanged.
    fn fields(&mut self, fields: &Headers);

    /// Writes a field with this value.
    #[inline]
    fn field(&mut self, name: Name, value: &[u8]) {
        self.name(name);
        self.value().extend_from_slice(value);
        self.end();
    }
}

/// A response whose head is to be written, with the properties of its request and location that the
/// head depends on.
pub(crate) struct Reply<'a> {
    /// The response.
    pub(crate) response: &'a mut Response,
    /// Whether the connection stays open for another request. Writing the head may clear it.
    pub(crate) keepalive: &'a mut bool,
    /// The request's method.
    pub(crate) method: Method,
    /// The HTTP version of the request.
    pub(crate) version: Version,
    /// Whether another protocol takes over.
    pub(crate) upgraded: bool,
    /// The host of the request; empty if it has none.
    pub(crate) host: &'a [u8],
    /// The name of the server.
    pub(crate) server_name: &'a [u8],
    /// The connection.
    pub(crate) info: &'a ConnectionInfo,
    /// The settings of connections (`keepalive_*`).
    pub(crate) connection: &'a Settled<Connection>,
    /// The settings of redirects and `server_tokens`.
    pub(crate) redirect: &'a Settled<Redirect>,
}

/// Adapts the head to a response without a body. Returns whether there is none.
#[inline]
pub(super) fn settle(reply: &mut Reply<'_>) -> bool {
    let response = &mut *reply.response;
    if response.status == 204 {
        response.content_length = None;
        response.headers.remove(Known::ContentLength);
        // An upstream's 204 keeps its content type.
        if response.status_line.is_none() {
            response.content_type.clear();
            response.last_modified = None;
        }
    }
    if !matches!(response.status, 200 | 206 | 304) {
        response.last_modified = None;
    }
    response.header_only
        || matches!(response.status, 204 | 304)
        || response.status < 200
        || reply.method == Method::Head
        || reply.method == Method::Connect && response.status / 100 == 2
}

/// Writes the fields. `hop` writes those of the connection in their place.
pub(super) fn write<W: HeadWriter>(
    reply: &mut Reply<'_>,
    out: &mut W,
    hop: impl FnOnce(&Reply<'_>, &mut W),
) {
    server_and_date(reply, out);
    entity(reply.response, out);
    let mut relative = location(reply, out);
    hop(reply, out);
    let response = &*reply.response;
    if W::LOCATION_IN_PLACE
        && relative
        && let Some(target) = &response.location
    {
        out.field(Name::LOCATION, target);
        relative = false;
    }
    if response.vary_accept_encoding {
        out.field(Name::VARY, b"Accept-Encoding");
    }
    if relative && let Some(target) = &response.location {
        out.field(Name::LOCATION, target);
    }
    debug_assert!(response.headers.iter().all(|(_, value, _)| field::is_clean(value)));
    out.fields(&response.headers);
}

fn server_and_date(reply: &Reply<'_>, out: &mut impl HeadWriter) {
    if !reply.response.passes_server {
        let name = match reply.redirect.server_tokens {
            ServerTokens::On => SERVER_NAME.full,
            ServerTokens::Build => SERVER_NAME.build,
            ServerTokens::Off => SERVER_NAME.short,
        };
        out.field(Name::SERVER, name.as_bytes());
    }
    if !reply.response.passes_date {
        out.field(Name::DATE, &weir_engine::clock::http_date());
    }
}

/// The fields that describe the body.
fn entity(response: &Response, out: &mut impl HeadWriter) {
    if !response.content_type.is_empty() {
        out.name(Name::CONTENT_TYPE);
        response.write_content_type(out.value());
        out.end();
    }
    if let Some(length) = response.content_length {
        out.name(Name::CONTENT_LENGTH);
        number(out.value(), length, 1);
        out.end();
    }
    if let Some(time) = response.last_modified
        && !response.headers.contains(Known::LastModified)
    {
        out.name(Name::LAST_MODIFIED);
        weir_wire::date::http(time, out.value());
        out.end();
    }
}

/// Writes `Location`, made absolute if it is a path, unless `absolute_redirect off`. Returns
/// whether there is one to be sent unchanged, which nginx writes with the other fields.
fn location(reply: &mut Reply<'_>, out: &mut impl HeadWriter) -> bool {
    let Some(mut target) = reply.response.location.take() else { return false };
    field::escape_address(&mut target);
    let redirect = reply.redirect;
    if target.first() != Some(&b'/') || !redirect.absolute_redirect {
        reply.response.location = Some(target);
        return true;
    }
    let mut absolute: Vec<u8> = match reply.info.tls {
        Some(_) => b"https://".to_vec(),
        None => b"http://".to_vec(),
    };
    if redirect.server_name_in_redirect {
        absolute.extend_from_slice(reply.server_name);
    } else if !reply.host.is_empty() {
        absolute.extend_from_slice(reply.host);
    } else {
        reply.info.local.write_ip(&mut absolute);
    }
    let usual = if reply.info.tls.is_some() { 443 } else { 80 };
    if let Some(port) = reply.info.local.port()
        && redirect.port_in_redirect
        && port != usual
    {
        absolute.push(b':');
        number(&mut absolute, u64::from(port), 1);
    }
    absolute.extend_from_slice(&target);
    out.field(Name::LOCATION, &absolute);
    reply.response.location = Some(absolute);
    false
}

/// Appends a decimal number of at least `width` digits.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[start..]);
}

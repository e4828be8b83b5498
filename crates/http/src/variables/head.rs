//! Variables of the request's header fields.

use weir_wire::header::Known;

use crate::client::head::number;
use crate::request::Request;

/// Appends `value`, as a found variable.
fn found(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    true
}

/// Joins the values of all fields whose names match `name`, which has underscores for dashes
/// (ngx_http_variable_unknown_header).
pub(crate) fn join<'a>(
    lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    name: &str,
    separator: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let mut any = false;
    for (line, value) in lines {
        if !same_name(line, name.as_bytes()) {
            continue;
        }
        if any {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(value);
        any = true;
    }
    any
}

/// Whether a field's name is that of the variable: lower case, dashes as underscores.
pub(super) fn same_name(line: &[u8], name: &[u8]) -> bool {
    line.len() == name.len()
        && line.iter().zip(name).all(|(&l, &n)| {
            let l = if l == b'-' { b'_' } else { l.to_ascii_lowercase() };
            l == n
        })
}

/// `$http_NAME`.
pub(super) fn http(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    join(request.head.iter().map(|(n, v, _)| (n, v)), name, b", ", out)
}

/// `$http_cookie`: several fields form one list of cookies.
pub(super) fn http_cookie(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    join(request.head.iter().map(|(n, v, _)| (n, v)), "cookie", b"; ", out)
}

/// `$http_x_forwarded_for`.
pub(super) fn x_forwarded_for(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    join(request.head.iter().map(|(n, v, _)| (n, v)), "x_forwarded_for", b", ", out)
}

/// `$cookie_NAME`: the first cookie with that name, ignoring case.
pub(super) fn cookie(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    for (_, line, known) in request.head.iter() {
        if known != Known::Cookie {
            continue;
        }
        for pair in line.split(|&b| b == b';') {
            let pair = pair.trim_ascii_start();
            let Some(equals) = pair.iter().position(|&b| b == b'=') else { continue };
            if pair[..equals].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()) {
                return found(pair[equals + 1..].trim_ascii_start(), out);
            }
        }
    }
    false
}

/// `$content_length`.
pub(super) fn content_length(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    match (request.head.get(Known::ContentLength), &request.body.content) {
        (Some(value), _) => found(value, out),
        (None, Some(content)) if request.body.chunked => {
            number(out, content.len, 1);
            true
        }
        // One of unknown length that was dropped.
        (None, None) if request.body.refused && request.body.content_length.is_some() => {
            found(b"0", out)
        }
        (None, _) => false,
    }
}

/// `$content_type`.
pub(super) fn content_type(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    http(request, "content_type", out)
}

/// `$host`.
pub(super) fn host(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(request.host(), out)
}

/// `$request_port`: the port of the request's host.
pub(super) fn request_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    match request.head.port {
        0 => true,
        port => {
            number(out, port.into(), 1);
            true
        }
    }
}

/// `$is_request_port`: a colon if the host has a port.
pub(super) fn is_request_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(if request.head.port == 0 { b"" } else { b":" }, out)
}

/// `$remote_user`: the user name of Basic authentication.
pub(super) fn remote_user(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    match crate::request::basic::credentials(request) {
        Some((user, _)) => found(&user, out),
        None => false,
    }
}

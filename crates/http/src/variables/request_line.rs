//! Variables of the request: line, URI, arguments, body and files.

use std::os::unix::ffi::OsStrExt;

use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;

use crate::request::Request;

fn found(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    true
}

/// A value, which is missing if it is empty.
fn given(value: &[u8], out: &mut Vec<u8>) -> bool {
    !value.is_empty() && found(value, out)
}

/// `$request_method`: the client's method, or the one that an error page has set.
pub(super) fn method(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    given(request.main_method_name(), out)
}

/// `$request`.
pub(super) fn request(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(request.head.request_line(), out)
}

/// `$request_uri`.
pub(super) fn request_uri(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    given(&request.head.unparsed_uri(), out)
}

/// `$uri`.
pub(super) fn uri(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let known = !request.uri.is_empty() || !request.head.target().is_empty();
    known && found(&request.uri, out)
}

/// `$args`, `$query_string`.
pub(super) fn args(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    given(&request.args, out)
}

/// `set $args …`.
pub(super) fn set_args(request: &mut Request, value: &[u8]) {
    request.args = value.to_vec();
    request.uri_intact = false;
}

/// `$is_args`: a question mark if there are arguments.
pub(super) fn is_args(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(if request.args.is_empty() { b"" } else { b"?" }, out)
}

/// `$arg_NAME`: the first argument with that name, undecoded.
pub(super) fn arg(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    if name.is_empty() {
        return false;
    }
    for pair in request.args.split(|&b| b == b'&') {
        let Some(equals) = pair.iter().position(|&b| b == b'=') else { continue };
        if pair[..equals].eq_ignore_ascii_case(name.as_bytes()) {
            out.extend_from_slice(&pair[equals + 1..]);
            return true;
        }
    }
    false
}

/// `$scheme`.
pub(super) fn scheme(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(if request.info.tls.is_some() { b"https" } else { b"http" }, out)
}

/// `$https`: "on", or nothing.
pub(super) fn https(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(if request.info.tls.is_some() { b"on" } else { b"" }, out)
}

/// `$server_protocol`.
pub(super) fn protocol(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let head = &request.head;
    // With an invalid version, the value is empty, not missing.
    given(head.protocol(), out) || head.version_begins()
}

/// `$document_root`.
pub(super) fn document_root(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.write_document_root(out).is_ok()
}

/// `$realpath_root`.
pub(super) fn realpath_root(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Ok(root) = request.document_root() else { return false };
    match root.canonicalize() {
        Ok(real) => found(real.as_os_str().as_bytes(), out),
        Err(error) => {
            let failed = format!("realpath() \"{}\" failed", root.display());
            request.log(Level::Crit, &Failed(&failed, &error).to_string());
            false
        }
    }
}

/// `$request_filename`.
pub(super) fn filename(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.path().is_ok_and(|path| found(path.as_os_str().as_bytes(), out))
}

/// `$request_body`: the body, if it is in memory.
pub(super) fn body(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(content) = &request.body.content else { return false };
    content.file.is_none() && found(&content.memory, out)
}

/// `$request_body_file`: the file with the body.
pub(super) fn body_file(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let path = request.body.content.as_ref().and_then(|content| content.path.as_ref());
    path.is_some_and(|path| found(path.as_os_str().as_bytes(), out))
}

/// `$request_length`.
pub(super) fn length(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found((request.length + request.body.raw).to_string().as_bytes(), out)
}

/// `$request_id`.
pub(super) fn id(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(request.id().as_bytes(), out)
}

/// `$weir_trace_id`.
pub(super) fn trace_id(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.trace_id().is_some_and(|id| found(id.as_bytes(), out))
}

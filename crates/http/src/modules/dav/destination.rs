//! The target of COPY and MOVE: the fields `Destination` and `Overwrite` (RFC 4918, section 10).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use weir_wire::header::Known;
use weir_wire::uri::parse_redirect;

use super::refuse;
use crate::core::ROOT;
use crate::core::root::Alias;
use crate::module::Verdict;
use crate::request::Request;

/// The decoded path in `Destination`. It has a slash at its end if the request's URI has one.
pub(super) fn parse(request: &Request) -> Result<Vec<u8>, Verdict> {
    let Some(text) = request.head.get(Known::Destination) else {
        return Err(refuse(request, 400, "client sent no \"Destination\" header"));
    };
    let shown = weir_wire::shown(text);
    let invalid = || {
        let reason = format!("client sent invalid \"Destination\" header: \"{shown}\"");
        refuse(request, 400, &reason)
    };
    let path = match text.first() {
        Some(b'/') => text,
        _ => {
            let host = &request.head.host;
            if host.is_empty() {
                return Err(refuse(request, 400, "client sent no \"Host\" header"));
            }
            let scheme: &[u8] = if request.info.ssl { b"https://" } else { b"http://" };
            let rest = text.strip_prefix(scheme).ok_or_else(invalid)?;
            let Some(rest) = rest.strip_prefix(&host[..]) else {
                let reason = format!(
                    "\"Destination\" URI \"{shown}\" is handled by different repository than the \
                     source URI"
                );
                return Err(refuse(request, 400, &reason));
            };
            let slash = rest.iter().position(|&byte| byte == b'/').ok_or_else(invalid)?;
            // What follows the host is its port, or it was the start of a longer one.
            if !matches!(rest[0], b'/' | b':') {
                return Err(invalid());
            }
            &rest[slash..]
        }
    };
    let (path, _) = parse_redirect(path).map_err(|_| invalid())?;
    if request.uri.ends_with(b"/") != path.ends_with(b"/") {
        let uri = weir_wire::shown(&request.uri);
        let reason = format!(
            "both URI \"{uri}\" and \"Destination\" URI \"{shown}\" should be either collections \
             or non-collections"
        );
        return Err(refuse(request, 409, &reason));
    }
    if let Alias::Prefix(length) = request.get(&ROOT).root.alias
        && path.len() < length
    {
        return Err(invalid());
    }
    Ok(path.into_owned())
}

/// Whether an existing target is replaced.
pub(super) fn overwrites(request: &Request) -> Result<bool, Verdict> {
    match request.head.get(Known::Overwrite) {
        None | Some(b"T" | b"t") => Ok(true),
        Some(b"F" | b"f") => Ok(false),
        Some(other) => {
            let other = weir_wire::shown(other);
            let reason = format!("client sent invalid \"Overwrite\" header: \"{other}\"");
            Err(refuse(request, 400, &reason))
        }
    }
}

/// The path of the target.
pub(super) fn path(request: &mut Request, target: Vec<u8>) -> Result<PathBuf, Verdict> {
    let own = std::mem::replace(&mut request.uri, target);
    let path = request.path();
    request.uri = own;
    Ok(path?)
}

/// Refuses a folder's transfer into itself or over a folder around it, and any to its own place.
pub(super) fn check_paths(request: &Request, from: &Path, to: &Path) -> Result<(), Verdict> {
    let is_folder = to.as_os_str().as_bytes().ends_with(b"/");
    let (uri, method) = (weir_wire::shown(&request.uri), weir_wire::shown(request.method_name()));
    let target = weir_wire::shown(request.head.get(Known::Destination).unwrap_or_default());
    // Paths are compared by their parts, so repeated slashes do not matter.
    if from == to {
        let reason = format!(
            "both URI \"{uri}\" and \"Destination\" URI \"{target}\" point to the same location"
        );
        return Err(refuse(request, 403, &reason));
    }
    if is_folder && (to.starts_with(from) || from.starts_with(to)) {
        let reason = format!("\"{uri}\" could not be {method}ed to collection \"{target}\"");
        return Err(refuse(request, 403, &reason));
    }
    Ok(())
}

//! WebDAV: files are stored, removed, copied and moved
//! (<https://nginx.org/en/docs/http/ngx_http_dav_module.html>).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use weir_conf::{Settings, Slot, bitmask, directives};
use weir_engine::error_log::Level;
use weir_engine::event_loop::on_a_thread;
use weir_wire::h1::Method;
use weir_wire::header::Known;
use weir_wire::uri::{Escape, escape};

use crate::core::value::Rights;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::request::Request;

mod destination;
mod put;
mod tree;

use tree::{Failure, Transfer};

pub(crate) const MODULE: Module = Module {
    name: "dav",
    tables: &[&Dav::table(&DAV)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&DAV).methods.bits() & ANY.bits() != 0,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static DAV: Slot<Dav> = Slot::new();

bitmask! {
    /// The methods of WebDAV that modify files.
    pub(super) struct DavMethods {
        /// None.
        "off" => OFF = 1,
        /// Stores a file.
        "put" => PUT = 2,
        /// Removes a file, or a folder with its content.
        "delete" => DELETE = 4,
        /// Creates a folder.
        "mkcol" => MKCOL = 8,
        /// Copies a file or a folder.
        "copy" => COPY = 16,
        /// Moves a file or a folder.
        "move" => MOVE = 32,
    }
}

/// All methods.
const ANY: DavMethods = DavMethods::PUT
    .union(DavMethods::DELETE)
    .union(DavMethods::MKCOL)
    .union(DavMethods::COPY)
    .union(DavMethods::MOVE);

directives! {
    /// Modification of files by WebDAV.
    pub(super) struct Dav in [http, server, location] {
        /// The allowed methods, of `PUT`, `DELETE`, `MKCOL`, `COPY` and `MOVE`.
        "dav_methods" => methods: DavMethods,
        /// Whether PUT creates missing folders.
        "create_full_put_path" => create_full_put_path: bool = false,
        /// The minimum number of segments in the path of a DELETE.
        "min_delete_depth" => min_delete_depth: u64,
        /// The permissions of new files and folders, for `user`, `group` and `all`.
        "dav_access" => access: Rights = Rights::OURS,
    }
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let (bit, method) = match request.method {
            Method::Put => (DavMethods::PUT, Method::Put),
            Method::Delete => (DavMethods::DELETE, Method::Delete),
            Method::Mkcol => (DavMethods::MKCOL, Method::Mkcol),
            Method::Copy => (DavMethods::COPY, Method::Copy),
            Method::Move => (DavMethods::MOVE, Method::Move),
            _ => return Verdict::Next,
        };
        if !request.get(&DAV).methods.has(bit) {
            return Verdict::Next;
        }
        let done = match method {
            Method::Put => put::handle(request).await,
            Method::Delete => delete(request).await,
            Method::Mkcol => make_folder(request).await,
            _ => transfer(request, method == Method::Move).await,
        };
        done.unwrap_or_else(|verdict| verdict)
    })
}

/// Refuses a request for `reason`, which is logged.
fn refuse(request: &Request, status: u16, reason: &str) -> Verdict {
    request.log(Level::Error, reason);
    Verdict::Status(status)
}

/// Logs why files could not be changed, and refuses the request.
fn failed(request: &Request, failure: &Failure) -> Verdict {
    request.log(failure.level(), &failure.to_string());
    Verdict::Status(failure.status)
}

/// Refuses a request with a body, which no method but PUT takes.
fn refuse_body(request: &Request, methods: &str) -> Result<(), Verdict> {
    match request.body.is_announced() {
        true => Err(refuse(request, 415, &format!("{methods} with body is unsupported"))),
        false => Ok(()),
    }
}

/// `Depth`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Zero,
    One,
    Infinity,
    Invalid,
}

fn depth(request: &Request, unset: Depth) -> Depth {
    match request.head.get(Known::Depth) {
        None => unset,
        Some(b"0") => Depth::Zero,
        Some(b"1") => Depth::One,
        Some(b"infinity") => Depth::Infinity,
        Some(other) => {
            let other = weir_wire::shown(other);
            request
                .log(Level::Error, &format!("client sent invalid \"Depth\" header: \"{other}\""));
            Depth::Invalid
        }
    }
}

/// Runs work on files beside the loop.
async fn beside<T: Send + 'static>(
    request: &Request,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Verdict> {
    match on_a_thread(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(failed(request, &failure)),
        Err(_) => Err(Verdict::Status(500)),
    }
}

/// Answers with 201 and the address of the new resource.
async fn created(request: &mut Request) -> Verdict {
    let mut location = Vec::new();
    escape(Escape::Uri, &request.uri, &mut location);
    request.response.location = Some(location);
    request.send_all(201, b"", Vec::new()).await
}

async fn delete(request: &mut Request) -> Result<Verdict, Verdict> {
    refuse_body(request, "DELETE")?;
    let least = request.get(&DAV).min_delete_depth;
    let slashes = request.uri.iter().filter(|&&byte| byte == b'/').count() as u64;
    // A last slash ends a segment, and begins none.
    let depth_of_uri = slashes - u64::from(request.uri.ends_with(b"/")).min(slashes);
    if least > 0 && depth_of_uri < least {
        let reason = format!("insufficient URI depth:{slashes} to DELETE");
        return Err(refuse(request, 409, &reason));
    }
    let path = request.path()?;
    let is_folder_name = request.uri.ends_with(b"/");
    let looked = path.clone();
    let is_folder = beside(request, move || tree::is_folder(&looked, 409)).await?;
    if is_folder && !is_folder_name {
        let reason = format!("DELETE \"{}\" failed (21: Is a directory)", path.display());
        return Err(refuse(request, 409, &reason));
    }
    let unset = if is_folder { Depth::Infinity } else { Depth::Zero };
    match (is_folder, depth(request, unset)) {
        (_, Depth::Infinity) | (false, Depth::Zero) => {}
        (true, _) => return Err(refuse(request, 400, "\"Depth\" header must be infinity")),
        (false, _) => {
            return Err(refuse(request, 400, "\"Depth\" header must be 0 or infinity"));
        }
    }
    beside(request, move || tree::remove(&path, is_folder)).await?;
    Ok(Verdict::Status(204))
}

async fn make_folder(request: &mut Request) -> Result<Verdict, Verdict> {
    refuse_body(request, "MKCOL")?;
    if !request.uri.ends_with(b"/") {
        return Err(refuse(request, 409, "MKCOL can create a collection only"));
    }
    let path = without_slash(request.path()?);
    let mode = tree::folder_mode(request.get(&DAV).access.0);
    beside(request, move || tree::make_folder(&path, mode, 409)).await?;
    Ok(created(request).await)
}

/// COPY and MOVE.
async fn transfer(request: &mut Request, is_move: bool) -> Result<Verdict, Verdict> {
    refuse_body(request, "COPY and MOVE")?;
    let target = destination::parse(request)?;
    match depth(request, Depth::Infinity) {
        Depth::Infinity => {}
        Depth::Zero if !is_move => {}
        _ => {
            let allowed = if is_move { "infinity" } else { "0 or infinity" };
            let reason = format!("\"Depth\" header must be {allowed}");
            return Err(refuse(request, 400, &reason));
        }
    }
    let overwrites = destination::overwrites(request)?;
    let from = request.path()?;
    let to = destination::path(request, target)?;
    destination::check_paths(request, &from, &to)?;
    let is_folder_name = request.uri.ends_with(b"/");
    let access = request.get(&DAV).access.0;
    let (from, to) = (without_slash(from), without_slash(to));
    let plan = Transfer { from, to, is_folder_name, overwrites, is_move, access };
    let made_folder = beside(request, move || plan.run()).await?;
    Ok(Verdict::Status(if made_folder { 201 } else { 204 }))
}

/// The path without the slashes at its end.
fn without_slash(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let slashes = bytes.iter().rev().take_while(|&&byte| byte == b'/').count();
    let kept = (bytes.len() - slashes).max(1);
    OsString::from_vec(bytes[..kept].to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_are_cut() {
        for (path, cut) in
            [("/a/b/", "/a/b"), ("/a//", "/a"), ("/", "/"), ("//", "/"), ("/a", "/a")]
        {
            assert_eq!(without_slash(path.into()), PathBuf::from(cut), "{path}");
        }
    }
}

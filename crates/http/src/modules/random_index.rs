//! `random_index`: a random file as the index
//! (<https://nginx.org/en/docs/http/ngx_http_random_index_module.html>).

use std::fs::DirEntry;
use std::os::unix::ffi::OsStrExt;

use weir_conf::{Settings, Slot, directives};
use weir_engine::error_log::Level;
use weir_wire::h1::Method;

use crate::folder;
use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "random_index",
    tables: &[&RandomIndex::table(&RANDOM_INDEX)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&RANDOM_INDEX).enable,
        handler: Handler::Sync(handle),
    }],
    ..Module::NONE
};

static RANDOM_INDEX: Slot<RandomIndex> = Slot::new();

directives! {
    /// Random index files.
    pub(crate) struct RandomIndex in [location] {
        /// Answers requests for a folder with a random file in it.
        "random_index" => enable: bool = false,
    }
}

fn handle(request: &mut Request) -> Verdict {
    if !request.uri.ends_with(b"/")
        || !matches!(request.method, Method::Get | Method::Head | Method::Post)
    {
        return Verdict::Next;
    }
    match names(request) {
        Ok(names) if names.is_empty() => Verdict::Next,
        Ok(names) => {
            let name = &names[fastrand::usize(..names.len())];
            let uri = [&request.uri[..], name].concat();
            let args = request.args.clone();
            request.internal_redirect(uri, args)
        }
        Err(rejection) => rejection.into(),
    }
}

/// The regular files in the folder of the request.
fn names(request: &mut Request) -> Result<Vec<Vec<u8>>, Rejection> {
    let path = request.folder_path()?;
    let mut names = Vec::new();
    for entry in request.open_folder(&path)? {
        let entry = entry.map_err(|error| {
            request.log_folder(Level::Crit, "readdir()", &path, &error);
            Rejection::INTERNAL
        })?;
        let name = entry.file_name();
        if !folder::is_hidden(&name) && is_file(request, &entry)? {
            names.push(name.as_bytes().to_vec());
        }
    }
    Ok(names)
}

/// Whether an entry is a regular file or a link to one.
fn is_file(request: &Request, entry: &DirEntry) -> Result<bool, Rejection> {
    match entry.file_type() {
        Ok(kind) if !kind.is_symlink() => return Ok(kind.is_file()),
        _ => {}
    }
    match std::fs::metadata(entry.path()) {
        Ok(metadata) => Ok(metadata.is_file()),
        // A dangling link.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            request.log_folder(Level::Crit, "stat()", &entry.path(), &error);
            Err(Rejection::INTERNAL)
        }
    }
}

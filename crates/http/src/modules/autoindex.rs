//! `autoindex`: directory listings
//! (<https://nginx.org/en/docs/http/ngx_http_autoindex_module.html>).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use weir_conf::{Settings, Slot, directives, keywords};
use weir_engine::clock;
use weir_engine::error_log::Level;
use weir_wire::h1::Method;

use crate::folder;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::piece::Piece;
use crate::request::Request;

mod formats;

use formats::{Entry, Kind, Listing};

pub(crate) const MODULE: Module = Module {
    name: "autoindex",
    tables: &[&AutoIndex::table(&AUTO_INDEX)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&AUTO_INDEX).enable,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static AUTO_INDEX: Slot<AutoIndex> = Slot::new();

/// The longest name of a JSONP callback, in bytes.
const MAX_CALLBACK: usize = 128;

keywords! {
    /// The format of a listing.
    pub(crate) enum Format {
        /// An HTML page.
        "html" => Html,
        /// A JSON array of objects.
        "json" => Json,
        /// JSON, passed to the function in the `callback` argument.
        "jsonp" => Jsonp,
        /// An XML document.
        "xml" => Xml,
    }
}

directives! {
    /// Directory listings.
    pub(crate) struct AutoIndex in [http, server, location] {
        /// Answers requests for a folder with a listing of it.
        "autoindex" => enable: bool = false,
        /// The format of listings.
        "autoindex_format" => format: Format = Format::Html,
        /// Shows times in the local time zone instead of UTC. HTML only.
        "autoindex_localtime" => localtime: bool = false,
        /// Shows exact file sizes instead of rounded ones. HTML only.
        "autoindex_exact_size" => exact_size: bool = true,
    }
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !request.uri.ends_with(b"/") || !matches!(request.method, Method::Get | Method::Head) {
            return Verdict::Next;
        }
        match list(request).await {
            Ok(()) => Verdict::Done,
            Err(verdict) => verdict,
        }
    })
}

async fn list(request: &mut Request) -> Result<(), Verdict> {
    let location = request.location.clone();
    let settings = location.settings.get(&AUTO_INDEX);
    let path = request.folder_path()?;
    let mut format = settings.format;
    let mut callback = Vec::new();
    if format == Format::Jsonp {
        callback = self::callback(request)?;
        if callback.is_empty() {
            format = Format::Json;
        }
    }
    let folder = request.open_folder(&path)?;
    let response = &mut request.response;
    response.status = 200;
    response.content_type = match format {
        Format::Html => b"text/html".to_vec(),
        Format::Json => b"application/json".to_vec(),
        Format::Jsonp => b"application/javascript".to_vec(),
        Format::Xml => b"text/xml".to_vec(),
    };
    if format == Format::Xml {
        response.charset = b"utf-8".to_vec();
    }
    request.send_head()?;
    let mut body = Vec::new();
    if !request.response.header_only {
        let entries = entries(request, &path, folder).map_err(|_| Verdict::Abort)?;
        let listing = Listing {
            uri: &request.uri,
            utf8: request.response.charset.eq_ignore_ascii_case(b"utf-8"),
            offset: if settings.localtime { i64::from(clock::local_offset()) } else { 0 },
            exact_size: settings.exact_size,
        };
        match format {
            Format::Html => listing.html(&entries, &mut body),
            Format::Json => formats::json(&entries, &mut body),
            Format::Jsonp => formats::jsonp(&entries, &callback, &mut body),
            Format::Xml => formats::xml(&entries, &mut body),
        }
    }
    request.send_last(Some(Piece::copy(&body))).await.map_err(|_| Verdict::Abort)
}

/// The JSONP callback from the query, empty if there is none. An invalid name is answered with 400.
fn callback(request: &Request) -> Result<Vec<u8>, Verdict> {
    let name = weir_wire::uri::arg(&request.args, b"callback").unwrap_or_default();
    let shown = String::from_utf8_lossy(name);
    if name.len() > MAX_CALLBACK {
        request.log(Level::Info, &format!("client sent too long callback name: \"{shown}\""));
        return Err(Verdict::Status(400));
    }
    if !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
        request.log(Level::Info, &format!("client sent invalid callback name: \"{shown}\""));
        return Err(Verdict::Status(400));
    }
    Ok(name.to_vec())
}

/// The entries of a folder: folders first, then by name.
fn entries(request: &Request, path: &Path, folder: std::fs::ReadDir) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in folder {
        let entry = entry.inspect_err(|error| {
            request.log_folder(Level::Crit, "readdir()", path, error);
        })?;
        let name = entry.file_name();
        if folder::is_hidden(&name) {
            continue;
        }
        let path = entry.path();
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => match Errno::from_io_error(&error) {
                // A dangling link is listed with its own metadata.
                Some(Errno::NOENT | Errno::LOOP) => {
                    std::fs::symlink_metadata(&path).inspect_err(|error| {
                        request.log_folder(Level::Crit, "lstat()", &path, error);
                    })?
                }
                errno => {
                    request.log_folder(Level::Crit, "stat()", &path, &error);
                    if errno == Some(Errno::ACCESS) {
                        continue;
                    }
                    return Err(error);
                }
            },
        };
        let kind = match () {
            () if metadata.is_dir() => Kind::Folder,
            () if metadata.is_file() => Kind::File,
            () => Kind::Other,
        };
        let name = name.as_bytes().to_vec();
        entries.push(Entry { name, kind, modified: metadata.mtime(), size: metadata.size() });
    }
    entries.sort_by(|a, b| {
        let folder = |entry: &Entry| entry.kind != Kind::Folder;
        folder(a).cmp(&folder(b)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(entries)
}

//! Precompressed files in place of plain ones: the parts that `gzip_static`, `brotli_static` and
//! `zstd_static` share.

use std::path::PathBuf;

use rustix::io::Errno;
use weir_conf::keywords;
use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::core::GZIP;
use crate::module::Verdict;
use crate::open_file::{FoundFile, Want};
use crate::request::Request;

keywords! {
    /// When a precompressed file is sent.
    pub(crate) enum StaticMode {
        /// Never.
        "off" => Off,
        /// If the client accepts the coding.
        "on" => On,
        /// Always.
        "always" => Always,
    }
}

/// A kind of precompressed files.
pub(crate) struct Kind {
    /// The name of the coding, as in `Content-Encoding`.
    pub(crate) coding: &'static str,
    /// The end of the files' names.
    pub(crate) suffix: &'static str,
    /// Whether the client takes the coding.
    pub(crate) is_taken: fn(&mut Request) -> bool,
}

/// Sends the precompressed file for the URI, if there is one and `mode` lets the client get it.
pub(crate) async fn send(request: &mut Request, kind: &Kind, mode: StaticMode) -> Verdict {
    if !matches!(request.method, Method::Get | Method::Head) || request.uri.ends_with(b"/") {
        return Verdict::Next;
    }
    let found = match find(request, kind, mode).await {
        Ok(found) => found,
        Err(verdict) => return verdict,
    };
    let Some(file) = found.file else { return Verdict::Next };
    request.describe_file(found.size, found.modified);
    let headers = &mut request.response.headers;
    headers.remove(Known::ContentEncoding);
    let (name, value) = (b"Content-Encoding", kind.coding.as_bytes());
    headers.push_known(Known::ContentEncoding, name, value);
    request.send_file(file, found.size).await
}

/// The compressed file, if it exists and may be sent.
async fn find(request: &mut Request, kind: &Kind, mode: StaticMode) -> Result<FoundFile, Verdict> {
    let always = mode == StaticMode::Always;
    let taken = always || (kind.is_taken)(request);
    // With `gzip_vary`, the file is looked up even if this client does not accept it: `Vary`
    // depends on it.
    if !taken && !request.get(&GZIP).vary {
        return Err(Verdict::Next);
    }
    let mut path = request.path()?.into_os_string();
    path.push(kind.suffix);
    let path = PathBuf::from(path);
    request.prepare_path(&path).await;
    let found = match request.open_file(&path, Want::File) {
        Ok(found) => found,
        Err(fault) => {
            let level = match fault.errno {
                Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => return Err(Verdict::Next),
                Errno::ACCESS | Errno::MLINK | Errno::LOOP => Level::Error,
                _ => Level::Crit,
            };
            request.log(level, &fault.describe(&path));
            return Err(Verdict::Next);
        }
    };
    if !always {
        request.varies_by_encoding();
    }
    if !taken || found.is_dir {
        return Err(Verdict::Next);
    }
    if !found.is_file {
        let path = path.display();
        request.log(Level::Crit, &format!("\"{path}\" is not a regular file"));
        return Err(Verdict::Status(404));
    }
    Ok(found)
}

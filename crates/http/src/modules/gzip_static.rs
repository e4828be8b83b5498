//! `gzip_static`: precompressed files
//! (<https://nginx.org/en/docs/http/ngx_http_gzip_static_module.html>).

use rustix::io::Errno;
use weir_conf::{Settings, Slot, directives, keywords};
use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::core::GZIP;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::open_file::{FoundFile, Want};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "gzip_static",
    tables: &[&GzipStatic::table(&GZIP_STATIC)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&GZIP_STATIC).mode != StaticMode::Off,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static GZIP_STATIC: Slot<GzipStatic> = Slot::new();

keywords! {
    /// When a precompressed file is sent.
    pub(crate) enum StaticMode {
        /// Never.
        "off" => Off,
        /// If the client accepts gzip.
        "on" => On,
        /// Always.
        "always" => Always,
    }
}

directives! {
    /// Precompressed files.
    pub(crate) struct GzipStatic in [http, server, location] {
        /// Sends the file with the suffix `.gz` in place of the plain one, if it exists.
        "gzip_static" => mode: StaticMode = StaticMode::Off,
    }
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !matches!(request.method, Method::Get | Method::Head) || request.uri.ends_with(b"/") {
            return Verdict::Next;
        }
        let found = match find(request).await {
            Ok(found) => found,
            Err(verdict) => return verdict,
        };
        let Some(file) = found.file else { return Verdict::Next };
        request.describe_file(found.size, found.modified);
        let headers = &mut request.response.headers;
        headers.remove(Known::ContentEncoding);
        headers.push_known(Known::ContentEncoding, b"Content-Encoding", b"gzip");
        request.send_file(file, found.size).await
    })
}

/// The compressed file, if it exists and may be sent.
async fn find(request: &mut Request) -> Result<FoundFile, Verdict> {
    let always = request.get(&GZIP_STATIC).mode == StaticMode::Always;
    let taken = always || request.takes_gzip();
    // With `gzip_vary`, the file is looked up even if this client does not accept gzip: `Vary`
    // depends on it.
    if !taken && !request.get(&GZIP).vary {
        return Err(Verdict::Next);
    }
    let mut path = request.path()?.into_os_string();
    path.push(".gz");
    let path = std::path::PathBuf::from(path);
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

//! Static files: the last of the content handlers (nginx: `ngx_http_static_module`).

use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;
use weir_wire::uri::{Escape, escape};

use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::open_file::Want;
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "static",
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |_| true,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !matches!(request.method, Method::Get | Method::Head | Method::Post) {
            return Verdict::Status(405);
        }
        if request.uri.ends_with(b"/") {
            return Verdict::Next;
        }
        let path = match request.path() {
            Ok(path) => path,
            Err(rejection) => return rejection.into(),
        };
        request.prepare_path(&path).await;
        let found = match request.open_file(&path, Want::File) {
            Ok(found) => found,
            Err(fault) => return request.open_failed(&path, fault).into(),
        };
        if found.is_dir {
            return redirect_to_folder(request);
        }
        let Some(file) = found.file.filter(|_| found.is_file) else {
            let path = path.display();
            request.log(Level::Crit, &format!("\"{path}\" is not a regular file"));
            return Verdict::Status(404);
        };
        if request.method == Method::Post {
            return Verdict::Status(405);
        }
        request.describe_file(found.size, found.modified);
        request.send_file(file, found.size).await
    })
}

/// Redirects to the folder's URI with a trailing slash, which relative links need.
fn redirect_to_folder(request: &mut Request) -> Verdict {
    let mut target = Vec::with_capacity(request.uri.len() + 1);
    escape(Escape::Uri, &request.uri, &mut target);
    target.push(b'/');
    if !request.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&request.args);
    }
    request.response.headers.remove(Known::Location);
    request.response.location = Some(target);
    Verdict::Status(301)
}

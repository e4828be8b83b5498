//! Commands with other locations: `echo_location`, `echo_subrequest`, `echo_exec`.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_script::Template;
use weir_wire::h1::Method;
use weir_wire::header::Known;
use weir_wire::uri;

use super::command::{Subrequest, Target};
use super::run::{Next, begin, fail, value};
use crate::body::Body;
use crate::body::content::Content;
use crate::module::Verdict;
use crate::open_file::Want;
use crate::request::Request;
use crate::response::Sent;
use crate::subrequest::include::Include;

/// The path and the arguments of a target.
fn resolve(request: &mut Request, target: &Target) -> Result<(Vec<u8>, Vec<u8>), Verdict> {
    let text = value(request, &target.uri);
    let args = target.args.as_ref().map(|args| value(request, args));
    match uri::parse_redirect(&text) {
        Ok((path, own)) if !path.is_empty() => {
            let args = args.unwrap_or_else(|| own.unwrap_or_default().to_vec());
            Ok((path.into_owned(), args))
        }
        _ => {
            let text = weir_wire::shown(&text);
            request.log(Level::Error, &format!("unsafe URI \"{text}\" was detected"));
            Err(fail(request, 500))
        }
    }
}

/// Includes the response of a subrequest.
pub(super) async fn subrequest(request: &mut Request, wanted: &Subrequest) -> Next {
    // Subrequests share the body.
    request.read_body().await?;
    let method = match &wanted.method {
        Some(method) => method_of(request, method)?,
        None => Method::Get,
    };
    let (uri, args) = resolve(request, &wanted.target)?;
    let body = body_of(request, wanted)?;
    begin(request)?;
    if request.response.header_only {
        return Ok(());
    }
    let prepare = move |child: &mut Request| {
        child.method = method;
        child.response.header_only = method == Method::Head;
        if let Some(content) = body {
            give_body(child, content);
        }
    };
    let include =
        Include { uri, args, apart: true, prepare: Some(Box::new(prepare)), ..Include::default() };
    let piece = request.include(include).ok_or(Verdict::Abort)?;
    request.push(piece).map_err(|_| Verdict::Abort)?;
    if wanted.waits {
        request.flush().await.map_err(|_| Verdict::Abort)?;
    }
    Ok(())
}

fn method_of(request: &mut Request, method: &Template) -> Result<Method, Verdict> {
    let text = value(request, method);
    match Method::from_bytes(&text) {
        Method::Other | Method::Connect => {
            let text = weir_wire::shown(&text);
            request.log(Level::Error, &format!("unknown method \"{text}\" of a subrequest"));
            Err(fail(request, 500))
        }
        method => Ok(method),
    }
}

/// The body of a subrequest, if it has its own.
fn body_of(request: &mut Request, wanted: &Subrequest) -> Result<Option<Content>, Verdict> {
    if let Some(text) = &wanted.text {
        let text = value(request, text);
        if !text.is_empty() {
            return Ok(Some(Content::of_bytes(&text)));
        }
    }
    let Some((name, folder)) = &wanted.file else { return Ok(None) };
    let name = value(request, name);
    if name.is_empty() {
        return Ok(None);
    }
    let path = folder.join(Path::new(OsStr::from_bytes(&name)));
    let found = request.open_file(&path, Want::File).map_err(|fault| {
        request.log(Level::Error, &fault.describe(&path));
        fail(request, 500)
    })?;
    match found.file.filter(|_| found.is_file) {
        Some(file) => Ok(Some(Content::of_file(file, found.size))),
        None => {
            let error = std::io::Error::from(ErrorKind::IsADirectory);
            request.log(Level::Error, &format!("\"{}\": {error}", path.display()));
            Err(fail(request, 500))
        }
    }
}

/// Gives a subrequest a body of its own, and the field with its length.
fn give_body(child: &mut Request, content: Content) {
    let length = content.len.to_string();
    // The other requests of this client keep theirs.
    let head = Rc::make_mut(&mut child.head);
    head.set_where(None, |_, known| known == Known::TransferEncoding);
    if !head.set_where(Some(length.as_bytes()), |_, known| known == Known::ContentLength) {
        head.push(b"Content-Length", length.as_bytes());
    }
    child.body = Body::of(content);
}

/// Serves another location in place of this one.
pub(super) fn exec(request: &mut Request, target: &Target) -> Verdict {
    if request.response.sent != Sent::Nothing {
        request.log(Level::Error, "\"echo_exec\" behind output");
        return fail(request, 500);
    }
    let name = value(request, &target.uri);
    if name.is_empty() {
        return Verdict::Status(400);
    }
    if name.starts_with(b"@") {
        let end = name.iter().position(|&byte| byte == b'?').unwrap_or(name.len());
        return request.named_redirect(&name[..end]);
    }
    match resolve(request, target) {
        Ok((uri, args)) => request.internal_redirect(uri, args),
        Err(verdict) => verdict,
    }
}

//! PUT.

use std::path::Path;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_engine::file_io::File;
use weir_engine::temp_file::Attributes;
use weir_wire::date;
use weir_wire::header::Known;

use super::{DAV, beside, created, refuse, tree};
use crate::core::LIMITS;
use crate::module::Verdict;
use crate::request::Request;

/// Stores the body as the file that the URI names. The file is complete when it gets its name.
pub(super) async fn handle(request: &mut Request) -> Result<Verdict, Verdict> {
    if request.uri.ends_with(b"/") {
        return Err(refuse(request, 409, "cannot PUT to a collection"));
    }
    if request.head.get(Known::ContentRange).is_some() {
        return Err(refuse(request, 501, "PUT with range is unsupported"));
    }
    if !request.body.chunked && request.body.content_length.is_none() {
        return Err(refuse(request, 500, "PUT request body is unavailable"));
    }
    request.read_body().await?;
    let path = request.path()?;
    let looked = path.clone();
    let may_create_folders = request.get(&DAV).create_full_put_path;
    let exists = beside(request, move || tree::check_place(&looked, may_create_folders)).await?;
    store(request, &path).await?;
    if exists {
        request.response.status = 204;
        return match request.send_head() {
            Ok(()) => Ok(request.send_last(None).await.map_or(Verdict::Abort, |()| Verdict::Done)),
            Err(rejection) => Err(rejection.into()),
        };
    }
    Ok(created(request).await)
}

async fn store(request: &mut Request, path: &Path) -> Result<(), Verdict> {
    let modified = request.head.get(Known::Date).and_then(date::parse);
    let attributes = Attributes { mode: request.get(&DAV).access.0, modified };
    let file = file(request)?;
    let aio = request.aio_write().unwrap_or_default();
    file.keep(&aio, path.to_owned(), attributes).await.map_err(|error| {
        request.log(Level::Crit, &error.to_string());
        Verdict::Status(500)
    })
}

/// The file with the body; one that fitted into memory is written now.
fn file(request: &Request) -> Result<Rc<File>, Verdict> {
    let content = request.body.content.clone();
    if let Some(file) = content.as_ref().and_then(|content| content.file.clone()) {
        return Ok(file);
    }
    let memory = content.as_ref().map_or(&[][..], |content| &content.memory);
    let Some(temp) = &request.get(&LIMITS).client_body_temp_path else {
        return Err(Verdict::Status(500));
    };
    let failed = |message: String| {
        request.log(Level::Crit, &message);
        Verdict::Status(500)
    };
    let (file, path) = temp.create(false).map_err(|error| failed(error.to_string()))?;
    let file = Rc::new(File::new(file));
    file.append(memory, &[])
        .map_err(|error| failed(format!("write() \"{}\" failed ({error})", path.display())))?;
    Ok(file)
}

//! Storing responses as files (`proxy_store` and its relatives).
//!
//! A response is written to a temporary file while it goes to the client. If its body is complete
//! and its status 200, the file then gets its name; otherwise it disappears with its last
//! descriptor. Neither the client's pace nor its leaving matters.

use std::ffi::OsString;
use std::future::poll_fn;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::error_log::Level;
use weir_engine::temp_file::Attributes;
use weir_wire::date;
use weir_wire::header::Known;

use super::body::BodyReader;
use super::course::Pass;
use super::keep::{Keep, Keeping};
use super::protocol::UpstreamHead;
use super::store::Store;
use super::temp_file::{TempFile, failed};
use super::transfer::Transfer;
use crate::core::temp_path::TempFileError;
use crate::module::Pending;
use crate::piece::Piece;
use crate::request::Request;

impl Store {
    /// The path for this request's response. None if it has none, which has been logged if it is a
    /// fault.
    fn path(&self, request: &mut Request) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::Named(name) => {
                let path = request.eval_path(name).ok()?;
                (!path.is_empty()).then(|| OsString::from_vec(path).into())
            }
            Self::Mapped => request.path().ok(),
        }
    }
}

/// Responses are stored as files, which are served as such (`try_files`, `error_page`).
pub(super) struct InFiles;

impl<'a> Keep<'a> for InFiles {
    fn outlasts_client(&self, _: &Request) -> bool {
        true
    }

    /// A response without a body, as to HEAD, is not stored.
    fn wants(&mut self, request: &mut Request, pass: &Pass<'_>, head: &UpstreamHead) -> bool {
        head.status == 200
            && !matches!(head.body, BodyReader::None)
            && super::relay::is_buffered(request, pass.settings)
    }

    fn begin(&mut self, request: &mut Request, pass: &Pass<'a>) -> Box<dyn Keeping + 'a> {
        let settings = pass.settings;
        Box::new(Stored { settings, file: TempFile::new(request, settings.temp_path.as_ref()) })
    }
}

/// A response that is being stored.
struct Stored<'a> {
    settings: &'a Transfer,
    file: TempFile<'a>,
}

impl Keeping for Stored<'_> {
    fn put(&mut self, request: &Request, bytes: &[u8]) -> Option<Piece> {
        let put = self.file.put(bytes);
        put.inspect_err(|error| failed(request, error)).ok()
    }

    fn is_behind(&self) -> bool {
        self.file.is_behind()
    }

    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>> {
        self.file.poll_written(cx)
    }

    fn finish<'r>(self: Box<Self>, request: &'r mut Request) -> Pending<'r, ()>
    where
        Self: 'r,
    {
        Box::pin(self.finished(request))
    }
}

impl Stored<'_> {
    /// Gives the file its name.
    async fn finished(mut self: Box<Self>, request: &mut Request) {
        if let Err(error) = poll_fn(|cx| self.file.poll_written(cx)).await {
            return failed(request, &error);
        }
        let Some(path) = self.settings.store.path(request) else { return };
        let modified = request.attempts.headers.get(Known::LastModified).and_then(date::parse);
        let attributes = Attributes { mode: self.settings.store_access.0, modified };
        let file = match self.file.open() {
            Ok(file) => Rc::clone(file),
            Err(error) => return failed(request, &error),
        };
        if let Err(error) = file.keep(self.file.aio(), path, attributes).await {
            request.log_upstream(Level::Crit, &format!("{error} while reading upstream"));
        }
    }
}

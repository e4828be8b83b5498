//! The file of a response that exceeds memory.

use std::task::{Context, Poll};

use weir_engine::error_log::Level;

use super::temp_file::{TempFile, failed};
use super::transfer::Transfer;
use crate::core::temp_path::TempFileError;
use crate::piece::Piece;
use crate::request::Request;

/// The part of a response that exceeds memory, in a file. After a failure nothing is added: the
/// rest of the response comes at the client's pace.
pub(super) struct Spill<'a> {
    settings: &'a Transfer,
    file: TempFile<'a>,
    told: bool,
    has_failed: bool,
}

impl<'a> Spill<'a> {
    /// An empty spill.
    pub(super) fn new(request: &mut Request, settings: &'a Transfer) -> Self {
        let file = TempFile::new(request, settings.temp_path.as_ref());
        Self { settings, file, told: false, has_failed: false }
    }

    /// The number of bytes that can still be added.
    pub(super) fn room(&self) -> u64 {
        if self.has_failed || self.file.is_behind() {
            return 0;
        }
        self.settings.file_max().saturating_sub(self.file.len())
    }

    /// Moves the bytes that wait for the client to the file, except `memory` of them.
    pub(super) fn relieve(&mut self, request: &mut Request, memory: u64) {
        if request.client.held() <= memory || self.room() == 0 {
            return;
        }
        let mut failure = None;
        request.client.spill(memory, |bytes| match &failure {
            Some(_) => None,
            None => self.file.put(bytes).map_err(|why| failure = Some(why)).ok(),
        });
        self.tell(request);
        if let Some(why) = &failure {
            self.fail(request, why);
        }
    }

    /// Appends `bytes`. Returns the range of the file that holds them, now or later; nothing if
    /// that fails, which has been logged.
    pub(super) fn put(&mut self, request: &Request, bytes: &[u8]) -> Option<Piece> {
        match self.file.put(bytes) {
            Ok(piece) => {
                self.tell(request);
                Some(piece)
            }
            Err(why) => {
                self.fail(request, &why);
                None
            }
        }
    }

    #[cold]
    fn fail(&mut self, request: &Request, why: &TempFileError) {
        self.has_failed = true;
        failed(request, why);
    }

    /// Ready when all appended bytes are written.
    pub(super) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>> {
        self.file.poll_written(cx)
    }

    /// Logs that there is a file, once.
    fn tell(&mut self, request: &Request) {
        if !self.told
            && let Some(path) = self.file.path()
        {
            self.told = true;
            let message = format!(
                "an upstream response is buffered to a temporary file {} while reading upstream",
                path.display()
            );
            request.log_upstream(Level::Warn, &message);
        }
    }
}

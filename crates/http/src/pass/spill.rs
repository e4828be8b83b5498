//! The file of a response that exceeds memory.

use std::io;
use std::task::{Context, Poll};

use weir_engine::error_log::Level;

use super::temp_file::{TempFile, failed};
use super::transfer::Transfer;
use crate::core::temp_path::TempFileError;
use crate::piece::Piece;
use crate::request::Request;

/// The part of a response that exceeds memory, in a file.
pub(super) struct Spill<'a> {
    settings: &'a Transfer,
    file: TempFile<'a>,
    told: bool,
}

impl<'a> Spill<'a> {
    /// An empty spill.
    pub(super) fn new(request: &mut Request, settings: &'a Transfer) -> Self {
        Self { settings, file: TempFile::new(request, settings.temp_path.as_ref()), told: false }
    }

    /// The number of bytes that can still be added.
    pub(super) fn room(&self) -> u64 {
        if self.file.is_behind() {
            return 0;
        }
        self.settings.file_max().saturating_sub(self.file.len())
    }

    /// Moves the bytes that wait for the client to the file, except `memory` of them. An error has
    /// been logged.
    pub(super) fn relieve(&mut self, request: &mut Request, memory: u64) -> io::Result<()> {
        if request.client.held() <= memory || self.room() == 0 {
            return Ok(());
        }
        let mut unwritten = None;
        let moved = request.client.spill(memory, |bytes| {
            self.put(bytes).map_err(|why| {
                unwritten = Some(why);
                io::ErrorKind::Other.into()
            })
        });
        self.tell(request);
        if let Some(why) = &unwritten {
            failed(request, why);
        }
        moved
    }

    /// Appends `bytes`. Returns the range of the file that holds them, now or later.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<Piece, TempFileError> {
        self.file.put(bytes)
    }

    /// Ready when all appended bytes are written.
    pub(super) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>> {
        self.file.poll_written(cx)
    }

    /// Logs that there is a file, once.
    pub(super) fn tell(&mut self, request: &Request) {
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

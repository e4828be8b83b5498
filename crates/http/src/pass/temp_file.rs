//! The temporary file of a response: bytes are appended, and returned as pieces.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll};

use weir_engine::error_log::{Level, Seldom};
use weir_engine::file_io::{Aio, File};

use crate::core::temp_path::{TempFileError, TempPath};
use crate::piece::Piece;
use crate::request::Request;

/// A temporary file, created when it is needed.
pub(crate) struct TempFile<'a> {
    folder: Option<&'a TempPath>,
    /// How it is written (`aio_write`).
    aio: Aio,
    file: Option<Rc<File>>,
    path: PathBuf,
    len: u64,
}

/// One line a second: a full disk fails for every response.
static FAILED: Seldom = Seldom::new();

/// The number of unwritten bytes at which appending has to wait.
const MOST_UNWRITTEN: usize = 1024 * 1024;

impl<'a> TempFile<'a> {
    /// No file yet. An unknown pool of threads has been logged; writes then run on the loop.
    pub(crate) fn new(request: &mut Request, folder: Option<&'a TempPath>) -> Self {
        let aio = request.aio_write().unwrap_or_default();
        Self { folder, aio, file: None, path: PathBuf::new(), len: 0 }
    }

    /// Leaves room for this many bytes at the start of a new file.
    pub(crate) fn leave_room(&mut self, length: u64) {
        debug_assert!(self.file.is_none() && self.len == 0);
        self.len = length;
    }

    /// Writes bytes where room was left, when all appended bytes are written. Blocks the loop.
    ///
    /// # Errors
    /// As for [`TempFile::put`].
    pub(crate) fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), TempFileError> {
        let file = Rc::clone(self.open()?);
        file.write_at(bytes, at).map_err(|error| self.unwritten(error))
    }

    /// How it is written.
    pub(crate) fn aio(&self) -> &Aio {
        &self.aio
    }

    /// Whether unwritten bytes have to be written first.
    pub(crate) fn is_behind(&self) -> bool {
        !self.aio.is_off()
            && self.file.as_ref().is_some_and(|file| file.unwritten() >= MOST_UNWRITTEN)
    }

    /// Ready when all appended bytes are written.
    ///
    /// # Errors
    /// They could not be written.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), TempFileError>> {
        match &self.file {
            Some(file) if !self.aio.is_off() => {
                file.poll_written(cx).map_err(|error| self.unwritten(error))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn unwritten(&self, error: io::Error) -> TempFileError {
        TempFileError::new("pwrite()", &self.path, error)
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The path that the file would have, if there is a file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// The file, which is created in the folder of the settings if necessary.
    ///
    /// # Errors
    /// The folder is missing, not writable or full.
    pub(crate) fn open(&mut self) -> Result<&Rc<File>, TempFileError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let (file, path) = self.folder.ok_or(TempFileError::NoFolder)?.create(false)?;
                self.path = path;
                Rc::new(File::new(file))
            }
        };
        Ok(self.file.insert(file))
    }

    /// Appends `bytes`. Returns the range of the file that holds them, now or later.
    ///
    /// # Errors
    /// As for [`TempFile::open`], or the file could not be written.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<Piece, TempFileError> {
        let start = self.len;
        let file = Rc::clone(self.open()?);
        let written = file.write_behind(&self.aio, bytes, start);
        written.map_err(|error| self.unwritten(error))?;
        self.len += bytes.len() as u64;
        Ok(Piece::File(file, start..self.len))
    }
}

/// Logs that the file could not be created or written.
#[cold]
pub(crate) fn failed(request: &Request, why: &TempFileError) {
    FAILED.log_to(why, |message| {
        request.log_upstream(Level::Crit, &format!("{message} while reading upstream"));
    });
}

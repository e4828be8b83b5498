//! The temporary file of a response: bytes go in at its end, and pieces of it come out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;

use super::transfer::Transfer;
use crate::piece::Piece;
use crate::request::Request;

/// A temporary file, made when it is needed.
#[derive(Default)]
pub(super) struct TempFile {
    file: Option<Rc<File>>,
    len: u64,
}

impl TempFile {
    /// How many bytes it holds.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is a file.
    pub(super) fn is_made(&self) -> bool {
        self.file.is_some()
    }

    /// The file, which is made in the folder of the settings unless it is there.
    ///
    /// # Errors
    /// The system's when the folder is missing, closed to us or full.
    pub(super) fn open(&mut self, settings: &Transfer) -> io::Result<&Rc<File>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => Rc::new(weir_engine::temp_file::create(&settings.folder())?),
        };
        Ok(self.file.insert(file))
    }

    /// Writes `bytes` behind what there is; the stretch of the file that holds them.
    ///
    /// # Errors
    /// As for [`TempFile::open`], and those of writing.
    pub(super) fn put(&mut self, settings: &Transfer, bytes: &[u8]) -> io::Result<Piece> {
        let start = self.len;
        let file = Rc::clone(self.open(settings)?);
        file.write_all_at(bytes, start)?;
        self.len += bytes.len() as u64;
        Ok(Piece::File(file, start..self.len))
    }
}

/// Logs that the file could not be made or written.
#[cold]
pub(super) fn failed(request: &Request, error: &io::Error) {
    let message = Failed("writing a temporary file failed", error);
    request.log(Level::Crit, &message.to_string());
}

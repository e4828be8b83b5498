//! The temporary file of a response: bytes go in at its end, and pieces of it come out.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use weir_engine::error_log::Level;

use super::transfer::Transfer;
use crate::core::temp_path;
use crate::piece::Piece;
use crate::request::Request;

/// A temporary file, made when it is needed.
#[derive(Default)]
pub(super) struct TempFile {
    file: Option<Rc<File>>,
    path: PathBuf,
    len: u64,
}

/// Why the file could not be made or written, in words for the log.
pub(super) struct Unwritten(String);

impl TempFile {
    /// How many bytes it holds.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The name that the file would have, if there is a file.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// The file, which is made in the folder of the settings unless it is there.
    ///
    /// # Errors
    /// When the folder is missing, closed to us or full.
    pub(super) fn open(&mut self, settings: &Transfer) -> Result<&Rc<File>, Unwritten> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let folder = settings.temp_path.as_ref();
                let folder = folder.ok_or_else(|| Unwritten("no temporary path".to_owned()))?;
                let (file, path) = folder.create(false).map_err(Unwritten)?;
                self.path = path;
                Rc::new(file)
            }
        };
        Ok(self.file.insert(file))
    }

    /// Writes `bytes` behind what there is; the stretch of the file that holds them.
    ///
    /// # Errors
    /// As for [`TempFile::open`], and when the file cannot be written.
    pub(super) fn put(&mut self, settings: &Transfer, bytes: &[u8]) -> Result<Piece, Unwritten> {
        let start = self.len;
        let file = Rc::clone(self.open(settings)?);
        let written = file.write_all_at(bytes, start);
        written.map_err(|error| Unwritten(temp_path::failed("pwrite()", &self.path, &error)))?;
        self.len += bytes.len() as u64;
        Ok(Piece::File(file, start..self.len))
    }
}

/// Logs that the file could not be made or written.
#[cold]
pub(super) fn failed(request: &Request, why: &Unwritten) {
    request.log_upstream(Level::Crit, &format!("{} while reading upstream", why.0));
}

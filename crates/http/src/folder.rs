//! Opening folders, for modules that list them.

use std::ffi::OsString;
use std::fs::ReadDir;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;

use crate::rejection::Rejection;
use crate::request::Request;

impl Request {
    /// The folder of a URI that ends in a slash, without that slash.
    ///
    /// # Errors
    /// As for [`Request::path`].
    pub fn folder_path(&mut self) -> Result<PathBuf, Rejection> {
        let mut path = self.path()?.into_os_string().into_vec();
        if path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
        Ok(PathBuf::from(OsString::from_vec(path)))
    }

    /// Opens a folder for reading.
    ///
    /// # Errors
    /// The folder is missing, forbidden or unreadable.
    pub fn open_folder(&self, path: &Path) -> Result<ReadDir, Rejection> {
        std::fs::read_dir(path).map_err(|error| {
            let (rejection, level) = match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {
                    (Rejection::NOT_FOUND, Level::Error)
                }
                Some(Errno::ACCESS) => (Rejection::FORBIDDEN, Level::Error),
                _ => (Rejection::INTERNAL, Level::Crit),
            };
            self.log_folder(level, "opendir()", path, &error);
            rejection
        })
    }

    /// Logs a failed call on a folder or on a file in it, in nginx's words.
    pub(crate) fn log_folder(&self, level: Level, call: &str, path: &Path, error: &io::Error) {
        let what = format!("{call} \"{}\" failed", path.display());
        self.log(level, &Failed(&what, error).to_string());
    }
}

/// Whether a name is hidden: it has a leading dot.
pub(crate) fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

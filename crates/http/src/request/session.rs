//! The interface of requests for the settings that http shares with stream.

use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_conf::LogFile as Handle;
use weir_edge::Session;
use weir_engine::error_log::Level;
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;

use crate::request::Request;

/// `ENOTDIR`
const NOT_A_FOLDER: i32 = 20;

impl Session for Request {
    fn log(&self, level: Level, message: &str) {
        Self::log(self, level, message);
    }

    fn log_file(&self, handle: Handle) -> Option<Arc<LogFile>> {
        self.snapshot.log_file(handle).map(Arc::clone)
    }

    /// The root of the request must exist: clients must not fill the disk with names of their own.
    fn may_open_log(&mut self) -> bool {
        let Ok(root) = self.document_root() else { return false };
        let Err(error) = is_folder(&root) else { return true };
        let what = format!("testing \"{}\" existence failed", root.display());
        self.log(Level::Error, &Failed(&what, &error).to_string());
        false
    }
}

fn is_folder(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(NOT_A_FOLDER)),
    }
}

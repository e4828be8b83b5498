//! A body that has been read whole, shared by everything that forwards it.

use std::path::PathBuf;
use std::rc::Rc;

use weir_engine::buffer::Buf;
use weir_engine::file_io::File;

/// The content of a body that has been read whole.
#[derive(Default)]
pub struct Content {
    /// The bytes, if they fit into memory.
    pub memory: Buf,
    /// The file that otherwise holds the bytes.
    pub file: Option<Rc<File>>,
    /// The file's name, for `$request_body_file`.
    pub path: Option<PathBuf>,
    /// Whether the file is removed with the request (`client_body_in_file_only clean`).
    pub(super) clean: bool,
    /// Total length in bytes.
    pub len: u64,
}

impl Drop for Content {
    fn drop(&mut self) {
        if self.clean
            && let Some(path) = self.path.take()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

//! A body that has been read whole, shared by everything that forwards it.

use std::path::PathBuf;
use std::rc::Rc;

use weir_engine::buffer::{self, Buf};
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

impl Content {
    /// A body in memory.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.memory = buffer::take(bytes.len());
        buffer::append(bytes, &mut content.memory);
        content.len = bytes.len() as u64;
        content
    }

    /// A body of a file's first `len` bytes.
    pub(crate) fn of_file(file: Rc<File>, len: u64) -> Self {
        let mut content = Self::default();
        (content.file, content.len) = ((len > 0).then_some(file), len);
        content
    }
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

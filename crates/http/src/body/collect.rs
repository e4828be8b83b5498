//! A body that is read whole: into memory, then into a file.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::PathBuf;
use std::rc::Rc;

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;

use crate::core::LIMITS;
use crate::core::limits::BodyInFile;
use crate::core::temp_path::failed;
use crate::request::Request;

/// A body that has been read whole.
#[derive(Default)]
pub struct Content {
    /// The bytes, when they fitted into memory.
    pub memory: Buf,
    /// The file that holds the bytes instead.
    pub file: Option<Rc<File>>,
    /// The file's name, for `$request_body_file`.
    pub path: Option<PathBuf>,
    /// Whether the file goes with the request (`client_body_in_file_only clean`).
    clean: bool,
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

/// Collects a body: in memory up to a limit, in a temporary file beyond.
pub struct Collector {
    content: Content,
    limit: usize,
    /// How long the body is, when that is known.
    expected: Option<u64>,
    in_file: BodyInFile,
}

impl Collector {
    /// A collector by the rules of the request's location. `received` bytes came with the head.
    pub fn new(request: &Request, received: u64) -> Self {
        let limits = request.get(&LIMITS);
        let size = limits.client_body_buffer_size.0;
        // What stands behind the head in its buffer stays in memory, and what exceeds the buffer
        // for bodies by up to a quarter gets a larger one.
        let buffer = limits.client_header_buffer_size.0.saturating_sub(request.head.length as u64);
        let with_head = received.min(buffer);
        let limit = match request.body.content_length {
            Some(length) if length <= with_head => length,
            Some(length) if length - with_head < size + size / 4 => length,
            _ => size,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            content: Content::default(),
            limit,
            expected: request.body.content_length,
            in_file: limits.client_body_in_file_only,
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// In words for the log, when the temporary file cannot be made or written.
    pub fn add(&mut self, request: &Request, data: &[u8]) -> Result<(), String> {
        self.content.len += data.len() as u64;
        if self.content.file.is_none() && self.content.memory.len() + data.len() <= self.limit {
            if self.content.memory.capacity() == 0 {
                let length = self.expected.unwrap_or(data.len() as u64);
                self.content.memory = buffer::take((length as usize).min(self.limit) + 1);
            }
            self.content.memory.extend_from_slice(data);
            return Ok(());
        }
        self.spill(request, data)
    }

    /// The memory that the rest of the body can be received into, when there is room for all of
    /// it and one byte more.
    pub fn room(&mut self) -> Option<&mut Buf> {
        let Self { content, limit, expected, .. } = self;
        let length = usize::try_from((*expected)?).unwrap_or(usize::MAX);
        let fits = content.file.is_none() && length <= *limit && length < content.memory.capacity();
        fits.then_some(&mut content.memory)
    }

    /// Counts what has been received into [`Collector::room`].
    pub fn received(&mut self, count: u64) {
        self.content.len += count;
    }

    /// Moves what is in memory to the file, and `data` behind it.
    fn spill(&mut self, request: &Request, data: &[u8]) -> Result<(), String> {
        if self.content.file.is_none() {
            self.make_file(request)?;
        }
        let memory = std::mem::take(&mut self.content.memory);
        let Content { file: Some(file), path: Some(path), .. } = &self.content else {
            return Ok(());
        };
        write_both(file, &memory, data).map_err(|error| failed("write()", path, &error))
    }

    fn make_file(&mut self, request: &Request) -> Result<(), String> {
        let limits = request.get(&LIMITS);
        let Some(temp) = &limits.client_body_temp_path else {
            return Err("no \"client_body_temp_path\" is defined".to_owned());
        };
        let named = self.in_file != BodyInFile::Off;
        let (file, path) = temp.create(named)?;
        let level = if named { Level::Notice } else { Level::Warn };
        let message =
            format!("a client request body is buffered to a temporary file {}", path.display());
        request.log(level, &message);
        self.content.file = Some(Rc::new(file));
        self.content.path = Some(path);
        self.content.clean = self.in_file == BodyInFile::Clean;
        Ok(())
    }

    /// The body, whole.
    ///
    /// # Errors
    /// As [`Collector::add`].
    pub fn finish(mut self, request: &Request) -> Result<Content, String> {
        if self.in_file != BodyInFile::Off {
            self.spill(request, &[])?;
        }
        Ok(self.content)
    }
}

/// Writes two pieces with one call, as a rule.
fn write_both(mut file: &File, one: &[u8], two: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(one), IoSlice::new(two)];
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

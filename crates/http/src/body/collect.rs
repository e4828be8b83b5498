//! Collecting a whole body, in memory or in a file.

use std::future::poll_fn;
use std::rc::Rc;

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_engine::file_io::{Aio, File};

use super::content::Content;
use crate::core::LIMITS;
use crate::core::limits::BodyInFile;
use crate::core::temp_path::TempFileError;
use crate::request::Request;

/// Collects a body in memory up to a limit, and in a temporary file beyond it.
pub(super) struct Collector {
    content: Content,
    limit: usize,
    /// The length of the body, if known.
    expected: Option<u64>,
    in_file: BodyInFile,
    /// How the file is written (`aio_write`).
    aio: Aio,
    /// The number of bytes written to the file or on their way into it.
    written: u64,
}

/// The maximum number of unwritten bytes before reading from the client pauses.
const MOST_UNWRITTEN: usize = 1024 * 1024;

impl Collector {
    /// A collector for the request's location. `received` bytes came with the head.
    pub(super) fn new(request: &mut Request, received: u64) -> Self {
        // An unknown pool has been logged; writes then run on the loop.
        let aio = request.aio_write().unwrap_or_default();
        let limits = request.get(&LIMITS);
        let size = limits.client_body_buffer_size.0;
        // The bytes received with the head stay in memory. A body that exceeds the body buffer by
        // up to a quarter gets a larger one.
        let buffer = limits.client_header_buffer_size.0.saturating_sub(request.head.length as u64);
        let with_head = received.min(buffer);
        let limit = match request.body.content_length {
            _ if !request.client.is_h1() => size,
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
            aio,
            written: 0,
        }
    }

    /// A collector for a body that is not to be buffered and is there already. It needs no file,
    /// not even with `client_body_in_file_only`.
    pub(super) fn of_received(request: &mut Request, received: u64) -> Self {
        let limit = usize::try_from(received).unwrap_or(usize::MAX);
        Self { limit, in_file: BodyInFile::Off, ..Self::new(request, received) }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The temporary file cannot be created or written.
    pub(super) fn add(&mut self, request: &Request, data: &[u8]) -> Result<(), TempFileError> {
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

    /// The memory for the rest of the body, if it has room for all of it and one byte more.
    pub(super) fn room(&mut self) -> Option<&mut Buf> {
        let Self { content, limit, expected, .. } = self;
        let length = usize::try_from((*expected)?).unwrap_or(usize::MAX);
        let fits = content.file.is_none() && length <= *limit && length < content.memory.capacity();
        fits.then_some(&mut content.memory)
    }

    /// Counts bytes received into [`Collector::room`].
    pub(super) fn received(&mut self, count: u64) {
        self.content.len += count;
    }

    /// Moves the bytes in memory to the file, followed by `data`.
    fn spill(&mut self, request: &Request, data: &[u8]) -> Result<(), TempFileError> {
        if self.content.file.is_none() {
            self.make_file(request)?;
        }
        let memory = std::mem::take(&mut self.content.memory);
        if memory.is_empty() && data.is_empty() {
            return Ok(());
        }
        let Content { file: Some(file), path: Some(path), .. } = &self.content else {
            return Ok(());
        };
        let written = match self.aio.is_off() {
            true => file.append(&memory, data),
            false => file.write_behind(&self.aio, &[&memory[..], data].concat(), self.written),
        };
        self.written += (memory.len() + data.len()) as u64;
        written.map_err(|error| TempFileError::new("write()", path, error))
    }

    /// Waits until few bytes are unwritten or, with `all`, none.
    ///
    /// # Errors
    /// As [`Collector::add`].
    pub(super) async fn written(&self, all: bool) -> Result<(), TempFileError> {
        let Content { file: Some(file), path: Some(path), .. } = &self.content else {
            return Ok(());
        };
        if self.aio.is_off() || !all && file.unwritten() < MOST_UNWRITTEN {
            return Ok(());
        }
        let written = poll_fn(|cx| file.poll_written(cx)).await;
        written.map_err(|error| TempFileError::new("write()", path, error))
    }

    fn make_file(&mut self, request: &Request) -> Result<(), TempFileError> {
        let limits = request.get(&LIMITS);
        let Some(temp) = &limits.client_body_temp_path else {
            return Err(TempFileError::NoFolder);
        };
        let named = self.in_file != BodyInFile::Off;
        let (file, path) = temp.create(named)?;
        let level = if named { Level::Notice } else { Level::Warn };
        let message =
            format!("a client request body is buffered to a temporary file {}", path.display());
        if self.content.len > 0 {
            request.log(level, &message);
        }
        self.content.file = Some(Rc::new(File::new(file)));
        self.content.path = Some(path);
        self.content.clean = self.in_file == BodyInFile::Clean;
        Ok(())
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Collector::add`].
    pub(super) async fn finish(mut self, request: &Request) -> Result<Content, TempFileError> {
        if self.in_file != BodyInFile::Off {
            self.spill(request, &[])?;
        }
        self.written(true).await?;
        Ok(self.content)
    }
}

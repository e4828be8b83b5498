//! Responses from files: their heads, and their way through the filters.

use std::io;
use std::ops::Range;
use std::rc::Rc;

use smallvec::SmallVec;
use weir_engine::buffer;
use weir_engine::file_io::File;
use weir_wire::header::Known;

use crate::core::{FILES, TYPES};
use crate::module::Verdict;
use crate::piece::{FILE_READ, Piece};
use crate::request::Request;

/// The number of queued bytes above which the next part of a file waits for the client.
const QUEUE_LIMIT: u64 = 128 * 1024;

/// The file size up to which the kernel reads ahead by itself (nginx: NGX_MIN_READ_AHEAD).
const MIN_READ_AHEAD: u64 = 128 * 1024;

/// An ETag: two numbers of 64 bits in hexadecimal, a hyphen and quotes.
type ETag = SmallVec<[u8; 36]>;

impl Request {
    /// Sets the head of a response from a file: length, time, ETag, type and ranges.
    pub fn describe_file(&mut self, size: u64, modified: i64) {
        self.response.status = 200;
        self.response.content_length = Some(size);
        self.response.headers.remove(Known::ContentLength);
        self.response.last_modified = Some(modified);
        self.set_etag();
        self.set_content_type();
        self.response.allow_ranges = true;
    }

    /// Sets the ETag of a file, from its time and length (ngx_http_set_etag).
    pub fn set_etag(&mut self) {
        if !self.get(&FILES).etag {
            return;
        }
        let modified = self.response.last_modified.unwrap_or(0);
        let size = self.response.content_length.unwrap_or(0);
        let mut etag = ETag::new();
        etag.push(b'"');
        hexadecimal(modified.cast_unsigned(), &mut etag);
        etag.push(b'-');
        hexadecimal(size, &mut etag);
        etag.push(b'"');
        self.response.headers.set(Known::ETag, &etag);
    }

    /// Sets the media type by the URI's extension, unless it is set (ngx_http_set_content_type).
    pub fn set_content_type(&mut self) {
        if self.response.content_type.is_empty() {
            let mut content_type = std::mem::take(&mut self.response.content_type);
            content_type.extend_from_slice(self.get(&TYPES).media_type(self.extension()));
            self.response.content_type = content_type;
        }
    }

    /// Sends the head and `size` bytes of a file.
    pub async fn send_file(&mut self, file: Rc<File>, size: u64) -> Verdict {
        self.send_part(None, file, 0..size).await
    }

    /// Sends the head, optional bytes before the file, and a range of the file.
    pub async fn send_part(
        &mut self,
        before: Option<Piece>,
        file: Rc<File>,
        part: Range<u64>,
    ) -> Verdict {
        if let Err(rejection) = self.send_head() {
            return rejection.into();
        }
        if self.get(&FILES).read_ahead.0 > 0 && part.end > MIN_READ_AHEAD {
            // A failure does not matter.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        }
        let Ok(aio) = self.aio() else { return Verdict::Abort };
        self.client.set_aio(aio);
        let sent = async {
            if let Some(before) = before {
                self.push(before)?;
            }
            self.send_file_body(file, part).await
        };
        match sent.await {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        }
    }

    /// Sends a range of a file in one piece if no filter reads it, otherwise in parts, as fast as
    /// the client takes the output.
    pub(crate) async fn send_file_body(
        &mut self,
        file: Rc<File>,
        part: Range<u64>,
    ) -> io::Result<()> {
        let whole = self.response.header_only || self.chain.takes_whole();
        if !self.client.aio().is_off()
            && !(whole && (self.response.header_only || !self.is_subrequest()))
        {
            return Box::pin(self.send_read(file, part)).await;
        }
        if whole || part.end - part.start <= FILE_READ {
            return self.send_last(Some(Piece::File(file, part))).await;
        }
        let mut start = part.start;
        while start < part.end {
            let end = part.end.min(start + FILE_READ);
            self.push(Piece::File(Rc::clone(&file), start..end))?;
            start = end;
            if self.client.queued() > QUEUE_LIMIT {
                self.client.flush().await?;
            }
        }
        self.send_last(None).await
    }

    /// Sends a range of a file that is read off the loop. Filters, and responses that include this
    /// one, would read it on the loop.
    async fn send_read(&mut self, file: Rc<File>, part: Range<u64>) -> io::Result<()> {
        let step = self.client.sending.file_read;
        let mut start = part.start;
        while start < part.end {
            let count = (part.end - start).min(step) as usize;
            let piece = self.read_file(&file, start, count).await?;
            start += piece.len();
            self.push(piece)?;
            if self.client.queued() > QUEUE_LIMIT {
                self.client.flush().await?;
            }
        }
        self.send_last(None).await
    }

    /// Reads a range of a file into memory, in the way that the location sets.
    ///
    /// # Errors
    /// A read error; `UnexpectedEof` if the file has become shorter.
    pub(crate) async fn read_range(&self, file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        while at < range.end {
            let piece = self.read_file(file, at, (range.end - at) as usize).await?;
            buffer::append(piece.bytes().unwrap_or_default(), &mut bytes);
            at += piece.len();
        }
        Ok(bytes)
    }

    /// Reads at most `count` bytes of a file, in the way that the location sets.
    pub(crate) async fn read_file(&self, file: &File, at: u64, count: usize) -> io::Result<Piece> {
        std::future::poll_fn(|cx| file.poll_written(cx)).await?;
        let mut buf = buffer::take(count);
        match file.read_now(at, count, &mut buf) {
            Ok(_) => return Ok(Piece::from(buf)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        drop(buf);
        let mut reading = file.read(self.client.aio(), at, count);
        let (buf, range) = std::future::poll_fn(|cx| reading.poll(cx)).await?;
        Ok(Piece::Buf(buf, range))
    }
}

/// Appends a number in hexadecimal, without leading zeros.
fn hexadecimal(number: u64, out: &mut ETag) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hexadecimal() {
        for number in [0, 1, 15, 16, 255, 0x1234_abcd, u64::MAX] {
            let mut text = ETag::new();
            hexadecimal(number, &mut text);
            assert_eq!(text.as_slice(), format!("{number:x}").as_bytes());
        }
    }
}

//! Request heads.

use super::field;
use super::lines::{self, Rules, Stop};
use super::request_line::{RequestLine, State};
use crate::header::{Entry, Known, Seen, Span};
use crate::request::{
    BLANK_MAX, Builder, Framing, Limits, Method, RequestError, RequestFault, RequestHead, Version,
    request_framing,
};
use crate::uri::Scan;

/// The fields that a request parser acts on.
const SPECIAL: Rules =
    Rules { notice: Seen::of(&[Known::Host, Known::Connection]), once: Known::UNIQUE_IN_REQUEST };

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RequestPhase {
    #[default]
    Line,
    Headers,
    Done,
}

/// A parser of successive request heads in a growing buffer.
///
/// The result does not depend on how the bytes were split. Size limits act as in nginx, where a
/// head occupies one small buffer and then large ones, and a line at the end of its buffer is moved
/// to the next.
#[derive(Clone, Debug, Default)]
pub struct RequestParser {
    builder: Builder,
    line: RequestLine,
    phase: RequestPhase,
    /// The offset of the current line.
    line_start: usize,
    /// Bytes before this offset are parsed.
    at: usize,
    /// The end of nginx's current buffer. 0 before the first byte.
    window_end: usize,
    large_used: u32,
}

impl RequestParser {
    /// A parser at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prepares for the next head and keeps the memory. Its buffer starts at the next request.
    pub fn reset(&mut self) {
        self.builder.reset();
        self.line = RequestLine::default();
        self.phase = RequestPhase::Line;
        (self.line_start, self.at, self.window_end, self.large_used) = (0, 0, 0, 0);
    }

    /// The head so far; complete once [`Self::advance`] returned a length.
    pub fn head(&self) -> &RequestHead {
        &self.builder.head
    }

    /// The head by value.
    pub fn take_head(&mut self) -> RequestHead {
        std::mem::take(&mut self.builder.head)
    }

    /// Swaps the head with an old one, whose memory serves the next head.
    pub fn swap_head(&mut self, head: &mut RequestHead) {
        std::mem::swap(&mut self.builder.head, head);
        self.reset();
    }

    /// Whether the request line is incomplete.
    pub fn is_in_line(&self) -> bool {
        self.phase == RequestPhase::Line
    }

    /// The partial head of a refused or aborted request, for the log. An incomplete request line
    /// extends to its end or the end of `buf`. `whole` means that the last header line is complete
    /// and counts for the length.
    pub fn take_partial(&mut self, buf: &[u8], whole: bool) -> RequestHead {
        if self.phase == RequestPhase::Line && self.builder.head.line == Span::default() {
            let start = match self.line.state {
                // A first byte that no method has, unless all are blank lines.
                State::Start => buf.iter().position(|byte| !b"\r\n".contains(byte)),
                _ => Some(self.line.start),
            };
            let start = start.unwrap_or(buf.len());
            let rest = &buf[start..];
            let length = rest.iter().position(|byte| b"\r\n".contains(byte));
            self.builder.head.line = Span::new(start, start + length.unwrap_or(rest.len()));
            self.builder.head.method = self.line.method;
            if self.line.state == State::Done {
                self.builder.head.version = self.line.version();
            }
        } else {
            let end = if whole { self.at } else { self.line_start };
            self.builder.head.length = end.saturating_sub(self.builder.head.line.start as usize);
        }
        self.take_head()
    }

    /// Parses the new bytes of `buf`, which must keep all bytes since [`Self::reset`]. `Some(n)`:
    /// the head is complete and has `n` bytes. `None`: more bytes are needed.
    pub fn advance(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
        self.advance_with(buf, limits, |_| None)
    }

    /// As [`Self::advance`]. When the host becomes known, `choose` may return the limits of its
    /// server, which apply to the following lines.
    pub fn advance_with(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        mut choose: impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<Option<usize>, RequestError> {
        if self.window_end == 0 {
            self.window_end = limits.header_buffer_size.max(1) as usize;
        }
        if self.phase == RequestPhase::Line && !self.usual_request_line(buf) {
            if !self.request_line(buf, limits)? {
                return Ok(None);
            }
            self.take_line(buf, &mut choose)?;
            self.phase = if self.builder.head.version < Version::HTTP_10 {
                RequestPhase::Done
            } else {
                RequestPhase::Headers
            };
        }
        while self.phase == RequestPhase::Headers {
            let stop = match self.at == self.line_start {
                true => self.usual_lines(buf, limits),
                false => Stop::Odd,
            };
            match stop {
                Stop::Notice => self.notice(buf, &mut choose)?,
                Stop::Blank => {
                    self.at += 2;
                    self.finish(buf, limits)?;
                }
                Stop::Odd => match self.line_end(buf, limits)? {
                    Some(end) => self.any_line(buf, end, limits, &mut choose)?,
                    None => return Ok(None),
                },
            }
            self.line_start = self.at;
        }
        self.builder.head.length = self.line_start - self.builder.head.line.start as usize;
        Ok(Some(self.line_start))
    }

    /// The fast path: a complete request line with a usual method, a path, HTTP/1.1. Other lines,
    /// and all faults, are left to [`RequestLine`].
    #[inline]
    fn usual_request_line(&mut self, buf: &[u8]) -> bool {
        if self.at != 0 {
            return false;
        }
        let buf = &buf[..buf.len().min(self.window_end)];
        let Some((method, length)) = Method::usual(buf) else { return false };
        let target = length + 1;
        if buf.get(target) != Some(&b'/') {
            return false;
        }
        let mut scan = Scan::default();
        let end = scan.feed(buf, target + 1);
        if !buf.get(end..).is_some_and(|rest| rest.starts_with(b" HTTP/1.1\r\n")) {
            return false;
        }
        let head = &mut self.builder.head;
        head.method = method;
        head.method_text = Span::new(0, length);
        head.target = Span::new(target, end);
        head.scan = scan;
        head.protocol = Span::new(end + 1, end + 9);
        head.line = Span::new(0, end + 9);
        head.version = Version::HTTP_11;
        self.at = end + 11;
        self.line_start = self.at;
        self.phase = RequestPhase::Headers;
        true
    }

    #[inline(never)]
    fn request_line(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        loop {
            let end = buf.len().min(self.window_end);
            if let Some(at) = self.line.feed(buf, self.at, end)? {
                self.at = at;
                self.line_start = at;
                return Ok(true);
            }
            self.at = end;
            if end == self.window_end {
                self.next_window_for_line(limits)?;
            }
            if self.at == buf.len() {
                return Ok(false);
            }
        }
    }

    fn next_window_for_line(&mut self, limits: &Limits) -> Result<(), RequestError> {
        if self.line.state != State::Start {
            let start = self.line.start;
            return self.next_window(start, limits).map_err(|_| RequestError {
                fault: RequestFault::LongLine,
                span: Span::new(start, self.at),
            });
        }
        // A buffer with nothing but blank lines is reused.
        if self.at >= BLANK_MAX {
            return Err(RequestError::new(RequestFault::Line));
        }
        self.window_end += limits.header_buffer_size.max(1) as usize;
        Ok(())
    }

    /// Moves to the next large buffer, with the part of the line from `start` on.
    fn next_window(&mut self, start: usize, limits: &Limits) -> Result<(), ()> {
        let size = limits.large_buffer_size as usize;
        let has = self.at - start;
        if (has > 0 && has >= size) || size == 0 || self.large_used >= limits.large_buffers {
            return Err(());
        }
        self.large_used += 1;
        self.window_end = start + size;
        Ok(())
    }

    /// The offset after the LF of the current header line.
    #[inline(never)]
    fn line_end(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
        let limits = &{ *self.builder.rules(limits) };
        loop {
            let end = buf.len().min(self.window_end);
            if let Some(n) = memchr::memchr(b'\n', &buf[self.at..end]) {
                self.at += n + 1;
                return Ok(Some(self.at));
            }
            self.at = end;
            if end == self.window_end && self.next_window(self.line_start, limits).is_err() {
                let fault = match self.at == self.line_start {
                    true => RequestFault::LargeRequest,
                    false => RequestFault::LongHeader,
                };
                return Err(RequestError { fault, span: Span::new(self.line_start, self.at) });
            }
            if self.at == buf.len() {
                return Ok(None);
            }
        }
    }

    /// Stores the parsed request line.
    fn take_line(
        &mut self,
        buf: &[u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let (head, line) = (&mut self.builder.head, &self.line);
        head.method = line.method;
        head.method_text = line.method_text();
        head.line = line.line();
        head.target = line.target;
        head.scan = line.scan;
        head.empty_path = line.empty_path;
        head.scheme = line.scheme;
        head.protocol = line.protocol();
        head.version = line.version();
        match line.authority {
            Some(host) => self.builder.authority(host, buf, RequestFault::HostInLine, choose),
            None => Ok(()),
        }
    }

    /// Takes plain lines, up to the first one that is not.
    #[inline]
    fn usual_lines(&mut self, buf: &[u8], limits: &Limits) -> Stop {
        let buf = &buf[..buf.len().min(self.window_end)];
        if buf.get(self.at..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
            return Stop::Blank;
        }
        let most = self.builder.max_headers(limits);
        let RequestHead { entries, seen, .. } = &mut self.builder.head;
        let (at, stop) = lines::read(buf, self.at, most, &SPECIAL, entries, seen);
        (self.at, self.line_start) = (at, at);
        stop
    }

    /// Takes the line that ends at `end`, which may be the final blank one.
    fn any_line(
        &mut self,
        buf: &[u8],
        end: usize,
        limits: &Limits,
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let rules = self.builder.rules(limits);
        let base = self.line_start;
        let line = &buf[base..end - 1];
        if line.is_empty() || line == b"\r" {
            return self.finish(buf, limits);
        }
        let field = field::parse(line, rules.underscores).map_err(|bad| RequestError {
            fault: RequestFault::Header { byte: line[bad.0] },
            span: Span::new(base, base + bad.0),
        })?;
        if field.invalid && rules.ignore_invalid {
            self.builder.head.skipped.push(Span::new(base, base + field.value_end));
            return Ok(());
        }
        let entry = Entry {
            name: Span::new(base, base + field.name_end),
            value: Span::new(base + field.value_start, base + field.value_end),
            known: Known::from_name(&line[..field.name_end]),
            never_indexed: false,
        };
        self.builder.field(entry, buf, limits, choose)
    }

    /// Acts on the last field.
    #[inline]
    fn notice(
        &mut self,
        buf: &[u8],
        choose: &mut impl FnMut(&[u8]) -> Option<Limits>,
    ) -> Result<(), RequestError> {
        let Some(&entry) = self.builder.head.entries.last() else { return Ok(()) };
        self.line_start = entry.name.start as usize;
        self.builder.notice(entry, buf, choose)
    }

    /// Handles the final blank line.
    fn finish(&mut self, buf: &[u8], limits: &Limits) -> Result<(), RequestError> {
        self.builder.finish(limits, |head| {
            let length = head.get(buf, Known::ContentLength);
            if length.is_none() && !head.seen.contains(Known::TransferEncoding) {
                return Ok(Framing::None);
            }
            let encoding = head.entries.iter().find(|e| e.known == Known::TransferEncoding);
            let text = encoding.map(|entry| entry.value.of(buf));
            request_framing(head.version, length, text).map_err(|error| RequestError {
                span: encoding.map(|e| e.value).unwrap_or_default(),
                ..error
            })
        })?;
        self.phase = RequestPhase::Done;
        Ok(())
    }
}

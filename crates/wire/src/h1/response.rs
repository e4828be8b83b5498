//! Response heads of upstream servers.

mod error;
mod head;

pub use error::{ResponseError, ResponseFault};
pub use head::ResponseHead;

use super::field;
use super::lines::{self, Rules, Stop};
use crate::header::{Entry, Headers, Known, Seen, Span, is_clean_value};
use crate::request::parse_length;
use crate::request::{Connection, Version};
use crate::words;

/// The unique fields. Parsing acts on them only once all are read.
const SPECIAL: Rules = Rules {
    notice: Seen::of(&[]),
    once: Known::FIRST_COUNTS_IN_RESPONSE
        .or(Seen::of(&[Known::ContentLength, Known::TransferEncoding])),
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ResponsePhase {
    #[default]
    Status,
    Headers,
    Done,
}

/// Whether a response begins with a status line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusLine {
    /// It must.
    #[default]
    Required,
    /// It may, as in SCGI and uwsgi: a first line that is none is a header line.
    Optional,
    /// It does not, as in FastCGI.
    None,
}

/// A parser of response heads in a growing buffer. The result does not depend on how it was split.
#[derive(Clone, Debug, Default)]
pub struct ResponseParser {
    head: ResponseHead,
    phase: ResponsePhase,
    /// Whether the first line may be a header line.
    lenient: bool,
    seen: Seen,
    line_start: usize,
    at: usize,
}

impl ResponseParser {
    /// A parser at the start of a response.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prepares for the next head and keeps the memory. Its buffer starts at the next response.
    pub fn reset(&mut self) {
        self.head.clear();
        self.phase = ResponsePhase::Status;
        self.lenient = false;
        self.seen = Seen::default();
        (self.line_start, self.at) = (0, 0);
    }

    /// As [`Self::reset`], for a head with such a status line.
    pub fn reset_to(&mut self, line: StatusLine) {
        self.reset();
        self.lenient = line == StatusLine::Optional;
        if line == StatusLine::None {
            self.phase = ResponsePhase::Headers;
        }
    }

    /// The head so far; complete once [`Self::advance`] returned a length.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Moves the lines of a complete head to `into`, whose memory this parser takes over: only
    /// `head`, the bytes of the head, is copied.
    pub fn give_lines(&mut self, head: &[u8], into: &mut Headers) {
        into.exchange(head, &mut self.head.entries, self.seen);
    }

    /// The head by value, to be returned with [`Self::restore`] for its memory.
    pub fn take_head(&mut self) -> ResponseHead {
        std::mem::take(&mut self.head)
    }

    /// Returns a head for its memory.
    pub fn restore(&mut self, head: ResponseHead) {
        self.head = head;
        self.reset();
    }

    /// Parses the new bytes of `buf`. `Some(n)`: the head has `n` bytes. `None`: more bytes are
    /// needed. Refuses a head over `max` bytes, or without a status line (HTTP/0.9).
    pub fn advance(&mut self, buf: &[u8], max: usize) -> Result<Option<usize>, ResponseError> {
        let seen = &buf[..buf.len().min(max)];
        if self.phase == ResponsePhase::Status && self.at == 0 {
            self.usual_status_line(seen);
        }
        // What cannot become a status line is the start of a header line.
        if self.lenient && self.phase == ResponsePhase::Status && !is_version_start(seen) {
            self.phase = ResponsePhase::Headers;
        }
        while self.phase != ResponsePhase::Done {
            let stop = match self.phase == ResponsePhase::Headers && self.at == self.line_start {
                true => self.usual_lines(seen),
                false => Stop::Odd,
            };
            match stop {
                Stop::Blank => {
                    self.at += 2;
                    self.finish(seen)?;
                }
                Stop::Odd | Stop::Notice if self.line_end(seen) => self.any_line(seen)?,
                Stop::Odd | Stop::Notice => return self.wait(seen, max),
            }
            self.line_start = self.at;
        }
        Ok(Some(self.line_start))
    }

    /// Takes plain lines, up to the first one that is not.
    #[inline]
    fn usual_lines(&mut self, seen: &[u8]) -> Stop {
        let (entries, ids) = (&mut self.head.entries, &mut self.seen);
        let (at, stop) = lines::read(seen, self.at, usize::MAX, &SPECIAL, entries, ids);
        (self.at, self.line_start) = (at, at);
        stop
    }

    /// Searches for the end of the current line, from where the last search ended.
    fn line_end(&mut self, seen: &[u8]) -> bool {
        let found = memchr::memchr(b'\n', &seen[self.at..]);
        self.at = found.map_or(seen.len(), |n| self.at + n + 1);
        found.is_some()
    }

    /// Handles an incomplete line.
    fn wait(&mut self, seen: &[u8], max: usize) -> Result<Option<usize>, ResponseError> {
        if self.phase == ResponsePhase::Status && !is_version_start(seen) {
            return Err(fault(ResponseFault::NoStatusLine, 0, 0));
        }
        if seen.len() == max {
            return Err(fault(ResponseFault::TooBig, 0, 0));
        }
        Ok(None)
    }

    /// Takes the line before `self.at`.
    fn any_line(&mut self, seen: &[u8]) -> Result<(), ResponseError> {
        let line = &seen[self.line_start..self.at - 1];
        if self.phase == ResponsePhase::Status {
            self.phase = ResponsePhase::Headers;
            match self.status_line(line) {
                Err(error) if self.lenient && error.fault == ResponseFault::NoStatusLine => {
                    self.header_line(line)?;
                }
                other => other?,
            }
        } else if line.is_empty() || line == b"\r" {
            self.finish(seen)?;
        } else {
            self.header_line(line)?;
        }
        Ok(())
    }

    /// The fast path: a complete and plain status line. Other lines, and all faults, are left to
    /// [`Self::status_line`].
    #[inline]
    fn usual_status_line(&mut self, buf: &[u8]) {
        let Some(rest) = buf.strip_prefix(b"HTTP/1.1 ") else { return };
        let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] = *rest else { return };
        let end = words::find_control(buf, 13);
        if !buf[end..].starts_with(b"\r\n") {
            return;
        }
        let digit = |byte: u8| u16::from(byte - b'0');
        self.head.version = Version::HTTP_11;
        self.head.close = false;
        self.head.status = digit(a) * 100 + digit(b) * 10 + digit(c);
        self.head.status_line = Span::new(9, end);
        self.phase = ResponsePhase::Headers;
        self.at = end + 2;
        self.line_start = self.at;
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let none = fault(ResponseFault::NoStatusLine, 0, 0);
        let Some((version, status_at)) = version_of(line) else { return Err(none) };
        let rest = &line[status_at..];
        let (Some(digits), after) = (rest.get(..3), rest.get(3)) else { return Err(none) };
        if !digits.iter().all(u8::is_ascii_digit)
            || !matches!(after, None | Some(b' ' | b'.' | b'\r'))
        {
            return Err(none);
        }
        let end = line.strip_suffix(b"\r").unwrap_or(line).len();
        self.head.version = version;
        self.head.close = version < Version::HTTP_11;
        self.head.status = digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
        self.head.status_line = Span::new(status_at, end);
        if self.head.status < 100 || !is_clean_value(&line[status_at..end]) {
            return Err(fault(ResponseFault::Status, 0, end));
        }
        if self.head.status == 103 && version < Version::HTTP_11 {
            return Err(fault(ResponseFault::EarlyHints10, 0, end));
        }
        Ok(())
    }

    fn header_line(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        // Some servers repeat the status line among the header lines.
        if line.starts_with(b"HTTP/") {
            return Ok(());
        }
        let base = self.line_start;
        let field = field::parse(line, true).map_err(|bad| {
            fault(ResponseFault::Header { byte: line[bad.0] }, base, base + bad.0)
        })?;
        self.take(Entry {
            name: Span::new(base, base + field.name_end),
            value: Span::new(base + field.value_start, base + field.value_end),
            known: Known::from_name(&line[..field.name_end]),
            never_indexed: false,
        })
    }

    #[inline]
    fn take(&mut self, entry: Entry) -> Result<(), ResponseError> {
        if !self.seen.insert(entry.known) && !self.head.is_interim() {
            if entry.known.first_counts_in_response() {
                self.head.duplicates.push(entry);
                return Ok(());
            }
            if matches!(entry.known, Known::ContentLength | Known::TransferEncoding) {
                return Err(self.duplicate(entry));
            }
        }
        self.head.entries.push(entry);
        Ok(())
    }

    #[cold]
    fn duplicate(&self, entry: Entry) -> ResponseError {
        let previous = self.head.entries.iter().find(|other| other.known == entry.known);
        let previous = *previous.unwrap_or(&entry);
        let fault = ResponseFault::Duplicate { previous, entry };
        ResponseError { fault, span: entry.value }
    }

    /// Checks the framing fields, once all fields are read.
    fn finish(&mut self, buf: &[u8]) -> Result<(), ResponseError> {
        let head = &mut self.head;
        if head.is_interim() {
            self.phase = ResponsePhase::Done;
            return Ok(());
        }
        const HERE: [Known; 3] = [Known::ContentLength, Known::TransferEncoding, Known::Connection];
        for entry in head.entries.iter().filter(|entry| HERE.contains(&entry.known)) {
            let value = entry.value.of(buf);
            let refuse = |fault| Err(ResponseError { fault, span: entry.value });
            match entry.known {
                Known::ContentLength if head.chunked => {
                    return refuse(ResponseFault::LengthAndEncoding);
                }
                Known::ContentLength => match parse_length(value) {
                    Some(length) => head.content_length = Some(length),
                    None => return refuse(ResponseFault::ContentLength),
                },
                Known::TransferEncoding if head.content_length.is_some() => {
                    return refuse(ResponseFault::LengthAndEncoding);
                }
                Known::TransferEncoding if value.eq_ignore_ascii_case(b"chunked") => {
                    head.chunked = true;
                }
                Known::TransferEncoding => return refuse(ResponseFault::TransferEncoding),
                _ => head.close |= Connection::of(value) == Connection::Close,
            }
        }
        self.phase = ResponsePhase::Done;
        Ok(())
    }
}

/// Whether a status line can begin like this.
fn is_version_start(seen: &[u8]) -> bool {
    b"HTTP/".starts_with(&seen[..seen.len().min(5)])
}

fn fault(fault: ResponseFault, start: usize, end: usize) -> ResponseError {
    ResponseError { fault, span: Span::new(start, end) }
}

/// Parses `HTTP/major.minor` and the spaces after it; returns the offset after them.
fn version_of(line: &[u8]) -> Option<(Version, usize)> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let dot = rest.iter().position(|&b| b == b'.')?;
    let space = rest.iter().position(|&b| b == b' ')?;
    let (major, minor) = (rest.get(..dot)?, rest.get(dot + 1..space)?);
    if major.first() == Some(&b'0') {
        return None;
    }
    let number = |digits: &[u8]| {
        let small = matches!(digits.len(), 1..=3) && digits.iter().all(u8::is_ascii_digit);
        small.then(|| digits.iter().fold(0_u16, |n, digit| n * 10 + u16::from(digit - b'0')))
    };
    // Versions after HTTP/1 count as the highest version known here.
    let version = (number(major)?.min(3) * 1000 + number(minor)?).min(3999);
    let spaces = rest[space..].iter().take_while(|&&b| b == b' ').count();
    Some((Version(version), 5 + space + spaces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Framing;

    fn parse(text: &str) -> Result<ResponseHead, ResponseFault> {
        let mut parser = ResponseParser::new();
        match parser.advance(text.as_bytes(), 4096) {
            Ok(Some(_)) => Ok(parser.take_head()),
            Ok(None) => panic!("not complete: {text:?}"),
            Err(error) => Err(error.fault),
        }
    }

    #[test]
    fn status_lines() {
        for (line, status, text) in [
            ("HTTP/1.1 200 OK\r\n", 200, "200 OK"),
            ("HTTP/1.1 200\n", 200, "200"),
            ("HTTP/1.1   404 \r\n", 404, "404 "),
            ("HTTP/1.0 403.1 No\n", 403, "403.1 No"),
        ] {
            let head = parse(&format!("{line}\r\n")).expect(line);
            assert_eq!(
                (head.status, head.status_line.of(line.as_bytes())),
                (status, text.as_bytes())
            );
        }
        for line in [
            "hello\n",
            "HTTP/0.9 200\n",
            "HTTP/1.1 20\n",
            "HTTP/1.1 2000\n",
            "HTTP/1 200 OK\n",
            "\n",
        ] {
            assert_eq!(parse(line).err(), Some(ResponseFault::NoStatusLine), "{line}");
        }
        assert_eq!(parse("HTTP/1.1 099 x\r\n").err(), Some(ResponseFault::Status));
        assert_eq!(parse("HTTP/1.1 200 a\x01b\r\n").err(), Some(ResponseFault::Status));
        assert_eq!(parse("HTTP/1.0 103 x\r\n").err(), Some(ResponseFault::EarlyHints10));
    }

    #[test]
    fn bodies() {
        let framing = |lines: &str| {
            parse(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).map(|head| head.framing(false))
        };
        assert_eq!(framing(""), Ok(Framing::UntilClose));
        assert_eq!(framing("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(framing("transfer-encoding: CHUNKED\r\n"), Ok(Framing::Chunked));
        assert_eq!(framing("Content-Length: x\n"), Err(ResponseFault::ContentLength));
        assert_eq!(framing("Transfer-Encoding: gzip\n"), Err(ResponseFault::TransferEncoding));
        for both in [
            "Content-Length: 5\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: chunked\nContent-Length: 5\n",
        ] {
            assert_eq!(framing(both), Err(ResponseFault::LengthAndEncoding));
        }
        let twice = framing("Content-Length: 5\nContent-Length: 5\n");
        assert!(matches!(twice, Err(ResponseFault::Duplicate { .. })));
        assert!(matches!(framing("A: b\x00c\n"), Err(ResponseFault::Header { byte: 0 })));
        assert!(matches!(framing("A: b\n c\n"), Err(ResponseFault::Header { byte: b' ' })));
        let head = parse("HTTP/1.1 304 x\nContent-Length: 5\n\n").expect("valid");
        assert_eq!((head.framing(false), head.content_length), (Framing::None, Some(5)));
    }

    #[test]
    fn first_of_some_fields_counts() {
        let text = "HTTP/1.1 200 OK\nHTTP/1.1 200 OK\nServer: a\nServer: b\nSet-Cookie: a\nSet-Cookie: b\n\n";
        let head = parse(text).expect("valid");
        assert_eq!((head.entries.len(), head.duplicates.len()), (3, 1));
        assert_eq!(head.get(text.as_bytes(), Known::Server), Some(&b"a"[..]));
    }

    #[test]
    fn a_head_has_a_limit() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        assert_eq!(ResponseParser::new().advance(text, text.len()), Ok(Some(text.len())));
        let error = ResponseParser::new().advance(text, text.len() - 1).expect_err("too big");
        assert_eq!(error.fault, ResponseFault::TooBig);
        assert_eq!(ResponseParser::new().advance(&text[..20], 21), Ok(None));
    }
}

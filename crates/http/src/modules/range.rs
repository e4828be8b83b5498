//! Range requests: `Range`, `If-Range` and `Accept-Ranges` (RFC 9110 section 14; nginx:
//! `ngx_http_range_filter_module`).
//!
//! The header filter runs last, because other filters may change the length. The body filter runs
//! first, because ranges are counted in the unfiltered body.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use weir_wire::h1::Version;
use weir_wire::header::Known;

use crate::core::LIMITS;
use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) const MODULE: Module =
    Module { name: "range", header_filter: Some((|_| true, filter)), ..Module::NONE };

/// `max_ranges` by default: ranges are then ignored if they would make the response too long.
const UNLIMITED: u32 = i32::MAX as u32;

/// The approximate size of a part's head in a multipart response, in bytes.
const PART_HEAD: u64 = 256;

/// The number of bytes by which a multipart response may exceed the body.
const ALLOWANCE: u64 = 4096;

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let response = &request.response;
    if request.head.version < Version::HTTP_10
        || response.status != 200
        || request.is_subrequest()
        || !response.allow_ranges
    {
        return Ok(());
    }
    let Some(length) = response.content_length else { return Ok(()) };
    let max_ranges = request.get(&LIMITS).max_ranges;
    if max_ranges == 0 {
        return Ok(());
    }
    let asked = match request.head.get(Known::Range) {
        Some(value) if value.len() >= 7 && value[..6].eq_ignore_ascii_case(b"bytes=") => {
            if_range_holds(request).then(|| value[6..].to_vec())
        }
        _ => None,
    };
    let max = if response.single_range { 1 } else { max_ranges };
    let parsed = asked.map_or(Parsed::Ignored, |asked| parse(&asked, length, max));
    match parsed {
        Parsed::Ignored => request.response.headers.set(Known::AcceptRanges, b"bytes"),
        Parsed::Refused => return Err(refuse(request, length)),
        Parsed::Ranges(ranges) => {
            request.response.status = 206;
            request.response.status_line = None;
            request.response.headers.remove(Known::ContentLength);
            match <[Range<u64>; 1]>::try_from(ranges) {
                Ok([range]) => single(request, range, length),
                Err(ranges) => multiple(request, ranges, length),
            }
        }
    }
    Ok(())
}

/// Whether the `If-Range` condition holds. Without the field it does.
fn if_range_holds(request: &Request) -> bool {
    let Some(value) = request.head.get(Known::IfRange) else { return true };
    if value.len() >= 2 && value.ends_with(b"\"") {
        return request.response.headers.get(Known::ETag) == Some(value);
    }
    match request.response.last_modified {
        Some(modified) => weir_wire::date::parse(value) == Some(modified),
        None => false,
    }
}

/// The result of parsing `Range`.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// The whole body is sent.
    Ignored,
    /// The response is 416.
    Refused,
    /// The parts to send: at least one, none of them empty.
    Ranges(Vec<Range<u64>>),
}

/// Parses the list after `bytes=` (ngx_http_range_parse).
fn parse(text: &[u8], length: u64, max: u32) -> Parsed {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut size: u64 = 0;
    let mut left = max;
    let mut reader = Reader(text);
    loop {
        let Some(range) = reader.range(length) else { return Parsed::Refused };
        if range.start < range.end {
            let Some(sum) = size.checked_add(range.end - range.start) else {
                return Parsed::Refused;
            };
            size = sum;
            if left == 0 {
                return Parsed::Ignored;
            }
            left -= 1;
            ranges.push(range);
        } else if range.start == 0 {
            return Parsed::Ignored;
        }
        if !reader.take(b',') {
            break;
        }
    }
    match ranges.len() as u64 {
        0 => Parsed::Refused,
        1 => Parsed::Ranges(ranges),
        _ if size > length => Parsed::Ignored,
        count if max == UNLIMITED && size + count * PART_HEAD > length + ALLOWANCE => {
            Parsed::Ignored
        }
        _ => Parsed::Ranges(ranges),
    }
}

/// Entry point of a fuzz target: a length of eight bytes and the list after `bytes=`.
///
/// # Panics
/// If a part is empty or exceeds the body.
#[cfg(any(test, fuzzing))]
pub fn fuzz_ranges(data: &[u8]) {
    let Some((length, text)) = data.split_first_chunk() else { return };
    let length = u64::from_be_bytes(*length) >> 1;
    for max in [0, 1, 5, UNLIMITED] {
        if let Parsed::Ranges(ranges) = parse(text, length, max) {
            assert!(!ranges.is_empty() && ranges.len() as u64 <= u64::from(max));
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// One range with an exclusive end, which is within the body; it may be empty. None for a
    /// syntax error.
    fn range(&mut self, length: u64) -> Option<Range<u64>> {
        self.spaces();
        if self.take(b'-') {
            let suffix = self.number()?;
            self.item_ends()?;
            return Some(length.saturating_sub(suffix)..length);
        }
        let start = self.number()?;
        self.spaces();
        if !self.take(b'-') {
            return None;
        }
        self.spaces();
        if self.item_ends().is_some() {
            return Some(start..length);
        }
        let last = self.number()?;
        self.item_ends()?;
        Some(start..length.min(last.saturating_add(1)))
    }

    fn spaces(&mut self) {
        while self.take(b' ') {}
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn item_ends(&mut self) -> Option<()> {
        self.spaces();
        matches!(self.0.first(), None | Some(b',')).then_some(())
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        weir_conf::value::parse_number(number)
    }
}

/// Gives 416, with the body's length in `Content-Range`.
fn refuse(request: &mut Request, length: u64) -> Rejection {
    let response = &mut request.response;
    response.headers.remove(Known::ContentRange);
    let value = format!("bytes */{length}");
    response.headers.push_known(Known::ContentRange, b"Content-Range", value.as_bytes());
    response.content_length = None;
    response.headers.remove(Known::ContentLength);
    Rejection::BAD_RANGE
}

fn single(request: &mut Request, range: Range<u64>, length: u64) {
    let response = &mut request.response;
    response.headers.remove(Known::ContentRange);
    let value = format!("bytes {}-{}/{length}", range.start, range.end - 1);
    response.headers.push_known(Known::ContentRange, b"Content-Range", value.as_bytes());
    response.content_length = Some(range.end - range.start);
    response.range = Some(range.clone());
    match response.offset.clone() {
        None => request.chain.add_first(Box::new(Single { range, at: Rc::default() })),
        // Subrequests give the rest of such a body.
        Some(at) => request.chain.add_joint(Box::new(Single { range, at })),
    }
}

fn multiple(request: &mut Request, ranges: Vec<Range<u64>>, length: u64) {
    let response = &mut request.response;
    let boundary = format!("{:020}", fastrand::u64(..));
    let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
    if !response.content_type.is_empty() {
        head.extend_from_slice(b"Content-Type: ");
        response.write_content_type(&mut head);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"Content-Range: bytes ");
    let part = |range: Range<u64>| {
        let of = format!("{}-{}/{length}\r\n\r\n", range.start, range.end - 1);
        Part { head: [&head[..], of.as_bytes()].concat(), range }
    };
    let parts: Vec<Part> = ranges.into_iter().map(part).collect();
    let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
    let bytes = parts.iter().map(|part| part.head.len() as u64 + part.range.end - part.range.start);
    response.content_length = Some(bytes.sum::<u64>() + tail.len() as u64);
    response.content_type = format!("multipart/byteranges; boundary={boundary}").into_bytes();
    response.charset.clear();
    response.headers.remove(Known::ContentRange);
    request.chain.add_first(Box::new(Multiple { parts, tail, length }));
}

/// Passes one range of a body.
struct Single {
    range: Range<u64>,
    /// The offset of the next piece in the body.
    at: Rc<Cell<u64>>,
}

impl BodyFilter for Single {
    fn push(&mut self, _: &mut Request, mut piece: Piece, out: &mut Vec<Piece>) -> io::Result<()> {
        let start = self.at.get();
        let end = start + piece.len();
        self.at.set(end);
        if self.range.end <= start || self.range.start >= end {
            return Ok(());
        }
        if self.range.end < end {
            piece.truncate(self.range.end - start);
        }
        if self.range.start > start {
            piece.advance(self.range.start - start);
        }
        out.push(piece);
        Ok(())
    }

    fn only_cuts(&self) -> bool {
        true
    }
}

/// A part of a multipart response.
struct Part {
    /// The boundary, the part's fields and the empty line.
    head: Vec<u8>,
    range: Range<u64>,
}

/// Cuts a body, which must come in a single piece, into parts.
struct Multiple {
    parts: Vec<Part>,
    tail: Vec<u8>,
    length: u64,
}

impl BodyFilter for Multiple {
    fn push(&mut self, _: &mut Request, piece: Piece, out: &mut Vec<Piece>) -> io::Result<()> {
        if piece.len() != self.length {
            return Err(io::Error::other("range in overlapped buffers"));
        }
        for part in std::mem::take(&mut self.parts) {
            out.push(Piece::copy(&part.head));
            out.push(piece.part(part.range));
        }
        out.push(Piece::copy(&self.tail));
        Ok(())
    }

    fn only_cuts(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges as pairs of start and exclusive end.
    fn ranges(text: &str) -> Result<Vec<(u64, u64)>, Parsed> {
        match parse(text.as_bytes(), 100, UNLIMITED) {
            Parsed::Ranges(list) => Ok(list.into_iter().map(|r| (r.start, r.end)).collect()),
            other => Err(other),
        }
    }

    #[test]
    fn lists_of_ranges() {
        assert_eq!(ranges("0-0"), Ok(vec![(0, 1)]));
        assert_eq!(ranges("10-"), Ok(vec![(10, 100)]));
        assert_eq!(ranges("-10"), Ok(vec![(90, 100)]));
        assert_eq!(ranges("-1000"), Ok(vec![(0, 100)]));
        assert_eq!(ranges("90-1000"), Ok(vec![(90, 100)]));
        assert_eq!(ranges(" 1 - 2 , 5-6"), Ok(vec![(1, 3), (5, 7)]));
        assert_eq!(ranges("0-9,200-300"), Ok(vec![(0, 10)]));
        assert_eq!(ranges("0-9223372036854775807"), Ok(vec![(0, 100)]));
        assert_eq!(ranges("5-6,0-9,-90"), Err(Parsed::Ignored));
        for refused in ["-0", "100-", "5", "a-b", "1-2;", "1-2,", "99999999999999999999-"] {
            assert_eq!(ranges(refused), Err(Parsed::Refused), "{refused}");
        }
    }

    #[test]
    fn no_more_ranges_than_allowed() {
        assert_eq!(parse(b"0-0,2-2", 100, 1), Parsed::Ignored);
        assert_eq!(parse(b"0-0,2-2", 100, 2), Parsed::Ranges(vec![0..1, 2..3]));
        // Without `max_ranges`, no more bytes than the body has.
        let many = vec!["0-0"; 50].join(",");
        assert_eq!(ranges(&many), Err(Parsed::Ignored));
    }
}

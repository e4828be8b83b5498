//! `slice`: responses are asked for in parts of one size, so that each can be cached
//! (<https://nginx.org/en/docs/http/ngx_http_slice_module.html>).
//!
//! The request itself gets the first part that the client's range needs, and its response becomes
//! one with the whole length. Behind the part's body, a filter includes the next parts one by one,
//! by subrequests in the same location.

use std::cell::Cell;
use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;

use weir_conf::value::{Size, parse_number};
use weir_conf::{Settings, Slot, directives};
use weir_engine::error_log::Level;
use weir_wire::header::Known;

use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::{Request, State};
use crate::subrequest::include::Include;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "slice",
    tables: &[&Slice::table(&SLICE)],
    variables: &[VariableRow::new(
        "slice_range",
        "The byte range of the slice at hand, for `Range` and keys of caches.",
        slice_range,
    )],
    header_filter: Some((|settings: &Settings| settings.get(&SLICE).size.0 > 0, filter)),
    ..Module::NONE
};

static SLICE: Slot<Slice> = Slot::new();

directives! {
    /// Responses in parts of one size.
    pub(crate) struct Slice in [http, server, location] {
        /// The size of the parts, which are asked for by `$slice_range`; 0 asks for no parts.
        "slice" => size: Size,
    }
}

/// The progress of a client's request through the parts.
#[derive(Default)]
struct Progress {
    /// The offset of the next part.
    start: u64,
    /// The length of the whole, once a part is there.
    length: u64,
    /// The ETag of the parts so far.
    etag: Option<Vec<u8>>,
    /// Whether the part that was asked for last has come.
    has_come: bool,
}

static PROGRESS: State<Progress> = State::new(Progress::default);

/// Whether a request asks for a part: `$slice_range` was computed for it.
static ASKS: State<bool> = State::new(|| false);

fn asks(request: &Request) -> bool {
    request.state_if(&ASKS) == Some(&true)
}

/// `$slice_range`: the range of the next part, as in `Range`.
fn slice_range(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let size = request.get(&SLICE).size.0;
    if size == 0 {
        return false;
    }
    if !asks(request) {
        if request.is_subrequest() || request.response.status != 0 {
            return false;
        }
        let start = first_byte(request) / size * size;
        *request.state(&ASKS) = true;
        request
            .with_main(&PROGRESS, |progress| *progress = Progress { start, ..Progress::default() });
    }
    let start = request.with_main(&PROGRESS, |progress| progress.start);
    write!(out, "bytes={start}-{}", start.saturating_add(size - 1)).is_ok()
}

/// The first byte of a single range that the client asks for without a condition.
fn first_byte(request: &Request) -> u64 {
    let head = &request.head;
    let Some(value) = head.get(Known::Range).filter(|_| head.get(Known::IfRange).is_none()) else {
        return 0;
    };
    let is_single = value.get(..6).is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes="))
        && !value.contains(&b',');
    if !is_single {
        return 0;
    }
    let text = value[6..].trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    parse_number(&text[..digits]).unwrap_or(0)
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    if !asks(request) {
        return Ok(());
    }
    if request.response.status != 206 {
        if request.is_subrequest() {
            let status = request.response.status;
            return Err(broken(
                request,
                &format!("unexpected status code {status} in slice response"),
            ));
        }
        *request.state(&ASKS) = false;
        return Ok(());
    }
    let size = request.get(&SLICE).size.0;
    let etag = request.response.headers.get(Known::ETag).map(<[u8]>::to_vec);
    let (start, known) =
        request.with_main(&PROGRESS, |progress| (progress.start, progress.etag.take()));
    if known.is_some() && etag != known {
        return Err(broken(request, "etag mismatch in slice response"));
    }
    let range = request.response.headers.get(Known::ContentRange).and_then(parse_range);
    let (range, length) = match range {
        None => return Err(broken(request, "invalid range in slice response")),
        Some((_, None)) => return Err(broken(request, "no complete length in slice response")),
        Some((range, Some(length))) => (range, length),
    };
    let end = start.saturating_add(size).min(length);
    if range != (start..end) {
        let (first, last) = (range.start, range.end);
        return Err(broken(
            request,
            &format!("unexpected range in slice response: {first}-{last}, expected: {start}-{end}"),
        ));
    }
    request.with_main(&PROGRESS, |progress| {
        *progress = Progress { start: end, length, etag, has_come: true };
    });
    describe(request, start, length);
    Ok(())
}

/// Describes the whole in place of the part.
fn describe(request: &mut Request, start: u64, length: u64) {
    let response = &mut request.response;
    (response.status, response.status_line) = (200, None);
    for known in [Known::ContentRange, Known::AcceptRanges, Known::ContentLength] {
        response.headers.remove(known);
    }
    response.content_length = Some(length);
    if request.is_subrequest() {
        return;
    }
    let response = &mut request.response;
    (response.allow_ranges, response.single_range) = (true, true);
    let offset = Rc::new(Cell::new(start));
    response.offset = Some(Rc::clone(&offset));
    request.chain.add(Box::new(Rest { offset, begun: false, skips: false, waits: false }));
}

/// Reports an unusable part, and breaks the response off.
fn broken(request: &Request, why: &str) -> Rejection {
    request.log(Level::Error, why);
    Rejection::CLOSE
}

/// Parses `Content-Range`: the range, and the length of the whole if it is known.
fn parse_range(value: &[u8]) -> Option<(Range<u64>, Option<u64>)> {
    let value = value.strip_prefix(b"bytes ")?;
    let slash = value.iter().position(|&byte| byte == b'/')?;
    let dash = value[..slash].iter().position(|&byte| byte == b'-')?;
    let first = parse_number(value[..dash].trim_ascii())?;
    let last = parse_number(value[dash + 1..slash].trim_ascii())?;
    let length = match value[slash + 1..].trim_ascii() {
        b"*" => None,
        digits => Some(parse_number(digits)?),
    };
    Some((first..last + 1, length))
}

/// Entry point of a fuzz target: the value of `Content-Range`.
///
/// # Panics
/// If a range is read differently once it is written.
#[cfg(any(test, fuzzing))]
pub fn fuzz_content_range(data: &[u8]) {
    if let Some((range, length)) = parse_range(data) {
        let length = length.map_or("*".to_owned(), |length| length.to_string());
        let text = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        assert_eq!(parse_range(text.as_bytes()).map(|(again, _)| again), Some(range));
    }
}

/// Includes the rest of the parts behind the first one.
struct Rest {
    /// The offset of the next byte, for the range filter.
    offset: Rc<Cell<u64>>,
    begun: bool,
    /// Whether the first part has nothing of the client's range.
    skips: bool,
    waits: bool,
}

impl Rest {
    /// The end of what the client gets. At first, skips the parts before its range.
    fn end(&mut self, request: &mut Request) -> u64 {
        let size = request.get(&SLICE).size.0;
        let range = request.response.range.clone();
        let first = !std::mem::replace(&mut self.begun, true);
        let (skipped, length) = request.with_main(&PROGRESS, |progress| {
            let from = range.as_ref().map_or(0, |range| range.start);
            let skips = first && progress.start.saturating_add(size) <= from;
            if skips {
                progress.start = from / size * size;
            }
            (skips.then_some(progress.start), progress.length)
        });
        if let Some(start) = skipped {
            self.skips = true;
            self.offset.set(start);
        }
        range.map_or(length, |range| range.end)
    }

    /// Includes the next part, if there is one.
    fn next(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        let end = self.end(request);
        self.waits = false;
        let (start, has_come) = request.with_main(&PROGRESS, |progress| {
            (progress.start, std::mem::take(&mut progress.has_come))
        });
        if !has_come {
            request.log(Level::Error, "missing slice response");
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if start >= end {
            return Ok(());
        }
        let (uri, args) = (request.uri.clone(), request.args.clone());
        let again: fn(&mut Request) = |child| *child.state(&ASKS) = true;
        let include = Include { uri, args, waited: true, again: Some(again), ..Include::default() };
        let piece = request.include(include).ok_or(io::ErrorKind::ConnectionAborted)?;
        out.push(piece);
        self.waits = true;
        Ok(())
    }
}

impl BodyFilter for Rest {
    fn push(
        &mut self,
        request: &mut Request,
        piece: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        if !self.begun {
            self.end(request);
        }
        if !self.skips {
            out.push(piece);
        }
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.next(request, out)
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn resume(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.next(request, out)
    }

    fn only_cuts(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn content_ranges() {
        for (value, expected) in [
            ("bytes 0-1/16", Some((0..2, Some(16)))),
            ("bytes 4 - 9 / *", Some((4..10, None))),
            ("bytes */16", None),
            ("bytes", None),
            ("bytes 0-1", None),
            ("bytes 0-x/2", None),
            ("bytes 0-1/2x", None),
            ("bytes 99999999999999999999-1/2", None),
            (
                "bytes 0-9223372036854775807/9223372036854775807",
                Some((0..1 << 63, Some((1 << 63) - 1))),
            ),
        ] {
            assert_eq!(parse_range(value.as_bytes()), expected, "{value}");
        }
    }
}

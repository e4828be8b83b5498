//! A response: its head, and the state of sending it.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use weir_wire::header::{Headers, Known};

pub(crate) mod gzip_clients;
pub(crate) mod output;
pub(crate) mod send_file;

/// A response before and while it is sent. Fields that the server itself uses have members; all
/// others are in `headers`, in the order of output.
#[derive(Default)]
pub struct Response {
    /// The status code; 0 until it is set.
    pub status: u16,
    /// The status line after the version, as received from an upstream ("200 Fine").
    pub status_line: Option<Vec<u8>>,
    /// The length of the body in bytes, if known.
    pub content_length: Option<u64>,
    /// `Content-Type` without a charset; empty means none.
    pub content_type: Vec<u8>,
    /// The charset for `Content-Type`; empty means none.
    pub charset: Vec<u8>,
    /// `Content-Type` as received, if its charset is not written as usual. It is sent unchanged
    /// while type and charset are the same.
    pub content_type_text: Vec<u8>,
    /// The charset to which an upstream wants the response converted (`X-Accel-Charset`).
    pub override_charset: Vec<u8>,
    /// The modification time, in seconds since the epoch.
    pub last_modified: Option<i64>,
    /// `Location`, before it is made absolute.
    pub location: Option<Vec<u8>>,
    /// Whether `Server` is sent only if `headers` has it (`proxy_pass_header`).
    pub passes_server: bool,
    /// Whether `Date` is sent only if `headers` has it.
    pub passes_date: bool,
    /// Whether ranges of the body may be sent, as `Accept-Ranges: bytes` says.
    pub allow_ranges: bool,
    /// Whether only a single range may be sent (an unfinished upstream response).
    pub single_range: bool,
    /// The offset of the body's next byte, if the body does not begin with the first.
    pub offset: Option<Rc<Cell<u64>>>,
    /// The single range of the body that is sent.
    pub range: Option<Range<u64>>,
    /// Whether a cache that follows RFC 9111 sends it, so that conditions are judged by RFC 9110.
    pub by_rfc9111: bool,
    /// Whether conditional fields (`If-Match` and the like) are ignored.
    pub disable_not_modified: bool,
    /// Whether the response needs `Vary: Accept-Encoding`.
    pub vary_accept_encoding: bool,
    /// The content coding that the body is going to get.
    pub(crate) chosen_coding: Option<ChosenCoding>,
    /// Whether expiry fields have been handled (`X-Accel-Expires`, `expires`).
    pub expires_set: bool,
    /// The length of the head as written, to tell the body's share of the bytes sent.
    pub head_size: u64,
    /// The other fields.
    pub headers: Headers,
    /// Trailer fields.
    pub trailers: Headers,
    /// Whether there will be trailers, which require a chunked body.
    pub expect_trailers: bool,
    /// Whether no body is sent although the status may allow one (HEAD, 204, 304, header_only).
    pub header_only: bool,
    /// Whether the client is probably still sending, so that closing must linger.
    pub lingers: bool,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// The progress of sending.
    pub sent: Sent,
}

/// The coding that a response is going to have, until a later module has a better one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChosenCoding {
    /// Its weight in `Accept-Encoding`, in thousandths.
    pub(crate) weight: u16,
    /// The length of the plain response.
    pub(crate) length: Option<u64>,
}

/// The progress of sending a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    /// Nothing has been queued: another response can take its place.
    #[default]
    Nothing,
    /// The head has been queued; the status is final.
    Head,
    /// The last byte has been queued.
    All,
}

/// The text between a type and its charset, as it is usually written.
const CHARSET: &[u8] = b"; charset=";

impl Response {
    /// Resets the response, and keeps the memory.
    pub fn reset(&mut self) {
        let Self {
            status,
            status_line,
            content_length,
            content_type,
            charset,
            content_type_text,
            override_charset,
            last_modified,
            location,
            passes_server,
            passes_date,
            allow_ranges,
            single_range,
            offset,
            range,
            by_rfc9111,
            disable_not_modified,
            vary_accept_encoding,
            chosen_coding,
            expires_set,
            head_size,
            headers,
            trailers,
            expect_trailers,
            header_only,
            lingers,
            chunked,
            sent,
        } = self;
        (*status, *head_size, *sent) = (0, 0, Sent::Nothing);
        (*status_line, *location) = (None, None);
        (*passes_server, *passes_date) = (false, false);
        (*content_length, *last_modified) = (None, None);
        (*offset, *range, *chosen_coding) = (None, None, None);
        for text in [content_type, charset, content_type_text, override_charset] {
            text.clear();
        }
        for flag in [
            allow_ranges,
            single_range,
            by_rfc9111,
            disable_not_modified,
            vary_accept_encoding,
            expires_set,
            expect_trailers,
            header_only,
            lingers,
            chunked,
        ] {
            *flag = false;
        }
        headers.clear();
        trailers.clear();
    }

    /// Sets `Content-Type`, with the charset split off so that `charset` can change it. A value
    /// without a charset leaves the charset.
    pub(crate) fn set_content_type(&mut self, value: &[u8]) {
        self.content_type.clear();
        self.content_type.extend_from_slice(value);
        self.content_type_text.clear();
        let mut at = 0;
        while let Some(semicolon) = value[at..].iter().position(|&b| b == b';') {
            let start = at + semicolon;
            let parameter = value[start + 1..].trim_ascii_start();
            if parameter.len() > 8 && parameter[..8].eq_ignore_ascii_case(b"charset=") {
                self.content_type.truncate(start);
                let charset = &parameter[8..];
                let charset = charset.strip_prefix(b"\"").unwrap_or(charset);
                let charset = charset.strip_suffix(b"\"").unwrap_or(charset);
                self.charset.clear();
                self.charset.extend_from_slice(charset);
                let is_usual = value[start..].strip_prefix(CHARSET) == Some(charset);
                if !is_usual {
                    self.content_type_text.extend_from_slice(value);
                }
                return;
            }
            at = start + 1;
        }
    }

    /// Appends the value of `Content-Type`: as received, or the type with the charset.
    pub(crate) fn write_content_type(&self, out: &mut Vec<u8>) {
        if !self.content_type_text.is_empty() && self.is_content_type_as_received() {
            return out.extend_from_slice(&self.content_type_text);
        }
        out.extend_from_slice(&self.content_type);
        if !self.charset.is_empty() {
            out.extend_from_slice(CHARSET);
            out.extend_from_slice(&self.charset);
        }
    }

    /// Whether no filter has changed the type or the charset.
    #[cold]
    fn is_content_type_as_received(&self) -> bool {
        let mut received = Self::default();
        received.set_content_type(&self.content_type_text);
        received.content_type == self.content_type
            && received.charset.eq_ignore_ascii_case(&self.charset)
    }

    /// Removes the length, because a filter will change it (nginx:
    /// `ngx_http_clear_content_length`).
    pub fn clear_length(&mut self) {
        self.content_length = None;
        self.headers.remove(Known::ContentLength);
    }

    /// Disallows ranges of the body (nginx: `ngx_http_clear_accept_ranges`).
    pub fn clear_ranges(&mut self) {
        self.allow_ranges = false;
        self.headers.remove(Known::AcceptRanges);
    }

    /// Removes the fields that describe a body that is not sent.
    pub(crate) fn forget_body(&mut self) {
        self.status_line = None;
        self.content_type.clear();
        self.charset.clear();
        self.location = None;
        self.headers.clear();
        self.trailers.clear();
        (self.passes_server, self.passes_date) = (false, false);
        self.expect_trailers = false;
        self.content_length = None;
        self.last_modified = None;
        self.allow_ranges = false;
        self.chosen_coding = None;
    }

    /// Removes the modification time (nginx: `ngx_http_clear_last_modified`).
    pub fn clear_last_modified(&mut self) {
        self.last_modified = None;
        self.headers.remove(Known::LastModified);
    }

    /// Removes the ETag (nginx: `ngx_http_clear_etag`).
    pub fn clear_etag(&mut self) {
        self.headers.remove(Known::ETag);
    }

    /// Prepares the head for a filter that changes the body. With the module's `…_last_modified`,
    /// `Last-Modified` and a weak `ETag` are kept.
    pub fn expect_change(&mut self, keep_last_modified: bool) {
        self.clear_length();
        if keep_last_modified {
            self.weaken_etag();
        } else {
            self.clear_last_modified();
            self.clear_etag();
        }
    }

    /// Makes a strong ETag weak, or removes an invalid one (nginx: `ngx_http_weak_etag`).
    pub fn weaken_etag(&mut self) {
        let Some(etag) = self.headers.get(Known::ETag) else { return };
        if etag.starts_with(b"W/") {
            return;
        }
        let weak = etag.starts_with(b"\"").then(|| [b"W/", etag].concat());
        match weak {
            Some(weak) => self.headers.set(Known::ETag, &weak),
            None => self.headers.remove(Known::ETag),
        }
    }
}

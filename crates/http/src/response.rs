//! The head of a response, from the handler that decides it to the codec that writes it.

use weir_wire::header::{Headers, Known};

use crate::filter::Chain;

/// A response before and while it is sent. Fields that the server computes with have a place of
/// their own; everything else is in `headers`, in the order in which it will be written.
#[derive(Default)]
pub struct Response {
    /// The status code; 0 until somebody decides.
    pub status: u16,
    /// The status line's text after the version, as an upstream sent it ("200 Fine").
    pub status_line: Option<Vec<u8>>,
    /// The length of the body in bytes, when it is known.
    pub content_length: Option<u64>,
    /// `Content-Type` without a charset; empty means none.
    pub content_type: Vec<u8>,
    /// The charset to be added to the content type; empty means none.
    pub charset: Vec<u8>,
    /// The charset that an upstream wants the response recoded to (`X-Accel-Charset`).
    pub override_charset: Vec<u8>,
    /// Seconds since the epoch.
    pub last_modified: Option<i64>,
    /// `Location`, absolute or to be made so.
    pub location: Option<Vec<u8>>,
    /// Whether `Server` is what the other fields say, or do not (`proxy_pass_header`).
    pub passes_server: bool,
    /// Whether `Date` is, likewise.
    pub passes_date: bool,
    /// Whether `Accept-Ranges: bytes` may be said and ranges may be cut from this body.
    pub allow_ranges: bool,
    /// Whether only one range may be asked for (an unfinished upstream response).
    pub single_range: bool,
    /// Whether conditions of the request (`If-Match` and the like) are not looked at.
    pub disable_not_modified: bool,
    /// Whether `Vary: Accept-Encoding` is owed.
    pub vary_accept_encoding: bool,
    /// Whether expiry headers were already handled (`X-Accel-Expires`, `expires`).
    pub expires_set: bool,
    /// Bytes of the head as written, to tell the body's share of what was sent.
    pub head_size: u64,
    /// The other fields.
    pub headers: Headers,
    /// Fields after a chunked body.
    pub trailers: Headers,
    /// Whether there will be such fields, so that the body has to go in chunks.
    pub expect_trailers: bool,
    /// What runs before the body ends, to compute trailers.
    pub before_last: Vec<fn(&mut crate::request::Request)>,
    /// The body filters.
    pub chain: Chain,
    /// Whether there is no body although the status would allow one (HEAD, 204, 304, header_only).
    pub header_only: bool,
    /// Whether the client is likely still sending, so that closing must linger.
    pub lingers: bool,
    /// Whether the body goes out in chunks.
    pub chunked: bool,
    /// How much of it is on its way.
    pub sent: Sent,
}

/// How far a response has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    /// Nothing has been written: another response may take its place.
    #[default]
    Nothing,
    /// The head is on its way; the status can no longer change.
    Head,
    /// The last byte has been queued.
    All,
}

impl Response {
    /// Back to nothing, keeping the memory.
    pub fn reset(&mut self) {
        let Self {
            status,
            status_line,
            content_length,
            content_type,
            charset,
            override_charset,
            last_modified,
            location,
            passes_server,
            passes_date,
            allow_ranges,
            single_range,
            disable_not_modified,
            vary_accept_encoding,
            expires_set,
            head_size,
            headers,
            trailers,
            expect_trailers,
            before_last,
            chain,
            header_only,
            lingers,
            chunked,
            sent,
        } = self;
        (*status, *head_size, *sent) = (0, 0, Sent::Nothing);
        (*status_line, *location) = (None, None);
        (*passes_server, *passes_date) = (false, false);
        (*content_length, *last_modified) = (None, None);
        for text in [content_type, charset, override_charset] {
            text.clear();
        }
        for flag in [
            allow_ranges,
            single_range,
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
        before_last.clear();
        chain.clear();
    }

    /// Takes away the length, because a filter will change it
    /// (nginx: `ngx_http_clear_content_length`).
    pub fn clear_length(&mut self) {
        self.content_length = None;
        self.headers.remove(Known::ContentLength);
    }

    /// Ranges can no longer be cut from the body (nginx: `ngx_http_clear_accept_ranges`).
    pub fn clear_ranges(&mut self) {
        self.allow_ranges = false;
        self.headers.remove(Known::AcceptRanges);
    }

    /// Forgets what describes a body that will not be sent (ngx_http_clean_header).
    pub fn forget_body(&mut self) {
        self.status_line = None;
        self.content_type.clear();
        self.charset.clear();
        self.location = None;
        self.headers.clear();
        self.trailers.clear();
        self.expect_trailers = false;
        self.before_last.clear();
        self.chain.clear();
        self.content_length = None;
        self.last_modified = None;
        self.allow_ranges = false;
    }

    /// Takes away the time of the last change (nginx: `ngx_http_clear_last_modified`).
    pub fn clear_last_modified(&mut self) {
        self.last_modified = None;
        self.headers.remove(Known::LastModified);
    }

    /// Takes away the validator (nginx: `ngx_http_clear_etag`).
    pub fn clear_etag(&mut self) {
        self.headers.remove(Known::ETag);
    }

    /// Readies the head for a filter that will put something else into the body. What tells
    /// versions apart stays only if the module's `…_last_modified` wants it.
    pub fn expect_change(&mut self, keep_last_modified: bool) {
        self.clear_length();
        if keep_last_modified {
            self.weaken_etag();
        } else {
            self.clear_last_modified();
            self.clear_etag();
        }
    }

    /// Makes a strong validator weak, or removes one that cannot be (nginx: `ngx_http_weak_etag`).
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

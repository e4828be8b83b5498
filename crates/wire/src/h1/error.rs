//! Why a request head is refused.

use crate::header::{Entry, Span};

/// A refused request: the status to answer with, why, and where in the buffer.
/// It is always the client's fault; the connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// What went wrong.
    pub fault: RequestFault,
    /// The line or value that the log shows; empty when the wording has none.
    pub span: Span,
}

/// What is wrong with a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// A byte that no method has.
    Method,
    /// The request line does not follow the grammar.
    Line,
    /// HTTP/2.0 or later on an HTTP/1 connection.
    Version,
    /// Another method than GET without a version.
    Method09,
    /// The host of an absolute target is none.
    HostInLine,
    /// The request line does not fit a large header buffer.
    LongLine,
    /// A header line does not fit, or all large buffers are full.
    LongHeader,
    /// The large buffers are full before a header line has begun.
    LargeRequest,
    /// More header lines than `max_headers`.
    ManyHeaders,
    /// A byte that a header line cannot have; the span ends at it.
    Header {
        /// The byte.
        byte: u8,
    },
    /// A second line of a field that must be one.
    Duplicate {
        /// The line before.
        previous: Entry,
        /// The line itself.
        entry: Entry,
    },
    /// The `Host` value is no host.
    Host,
    /// HTTP/1.1 or later without `Host`.
    NoHost,
    /// A `Content-Length` that is no number, or too large a one.
    ContentLength,
    /// `Transfer-Encoding` before HTTP/1.1.
    TransferEncoding10,
    /// `Content-Length` and `Transfer-Encoding` in one request.
    LengthAndEncoding,
    /// Another `Transfer-Encoding` than `chunked`.
    TransferEncoding,
    /// CONNECT where it is not served.
    Connect,
    /// CONNECT with a body.
    ConnectBody,
    /// TRACE, which is never served.
    Trace,
}

impl RequestError {
    pub(super) fn new(fault: RequestFault) -> Self {
        Self { fault, span: Span::default() }
    }

    /// The status to finish the request with. 494 is nginx's own for a head that is too large:
    /// `error_page` can name it, and clients see 400.
    pub fn status(&self) -> u16 {
        match self.fault {
            RequestFault::Version => 505,
            RequestFault::LongLine => 414,
            RequestFault::LongHeader | RequestFault::LargeRequest | RequestFault::ManyHeaders => {
                494
            }
            RequestFault::TransferEncoding => 501,
            RequestFault::Connect | RequestFault::Trace => 405,
            _ => 400,
        }
    }

    /// Whether the client should be let finish sending, so that it sees the answer.
    pub fn lingers(&self) -> bool {
        self.status() == 494
    }

    /// The message for the error log, at level info. `buf` is what the parser was given.
    pub fn message(&self, buf: &[u8]) -> String {
        let text = |span: Span| crate::shown(span.of(buf)).into_owned();
        let field = |entry: Entry| format!("{}: {}", text(entry.name), text(entry.value));
        match self.fault {
            RequestFault::Method => "client sent invalid method".into(),
            RequestFault::Line => "client sent invalid request".into(),
            RequestFault::Version => "client sent invalid version".into(),
            RequestFault::Method09 => "client sent invalid method in HTTP/0.9 request".into(),
            RequestFault::HostInLine => "client sent invalid host in request line".into(),
            RequestFault::LongLine => "client sent too long URI".into(),
            RequestFault::LongHeader => {
                let shown = Span { end: self.span.end.min(self.span.start + LOG_MAX), ..self.span };
                format!("client sent too long header line: \"{}...\"", text(shown))
            }
            RequestFault::LargeRequest => "client sent too large request".into(),
            RequestFault::ManyHeaders => "client sent too many header lines".into(),
            RequestFault::Header { byte } => {
                format!("client sent invalid header line: \"{}\\x{byte:02x}...\"", text(self.span))
            }
            RequestFault::Duplicate { previous, entry } => format!(
                "client sent duplicate {}: \"{}\", previous value: \"{}\"",
                if entry.known == crate::header::Known::Host {
                    "host header"
                } else {
                    "header line"
                },
                field(entry),
                field(previous)
            ),
            RequestFault::Host => "client sent invalid host header".into(),
            RequestFault::NoHost => "client sent HTTP/1.1 request without \"Host\" header".into(),
            RequestFault::ContentLength => "client sent invalid \"Content-Length\" header".into(),
            RequestFault::TransferEncoding10 => {
                "client sent HTTP/1.0 request with \"Transfer-Encoding\" header".into()
            }
            RequestFault::LengthAndEncoding => "client sent \"Content-Length\" and \
                \"Transfer-Encoding\" headers at the same time"
                .into(),
            RequestFault::TransferEncoding => {
                format!("client sent unknown \"Transfer-Encoding\": \"{}\"", text(self.span))
            }
            RequestFault::Connect => "client sent CONNECT method".into(),
            RequestFault::ConnectBody => "client sent CONNECT request with body".into(),
            RequestFault::Trace => "client sent TRACE method".into(),
        }
    }
}

/// Bytes of a line that is too long which the log shows, so that the message stays one line of it.
const LOG_MAX: u32 = 1748;

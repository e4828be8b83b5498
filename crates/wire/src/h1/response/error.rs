//! Refusals of response heads.

use crate::header::{Entry, Span};

/// A refused response head; always the upstream's fault (502).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseError {
    /// The fault.
    pub fault: ResponseFault,
    /// The line or value for the log.
    pub span: Span,
}

/// A fault of a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// The head exceeds the buffer.
    TooBig,
    /// A missing status line, as in HTTP/0.9, or an unreadable one.
    NoStatusLine,
    /// A status below 100, or a control byte in the reason.
    Status,
    /// An illegal byte in a header line; the span ends at it.
    Header {
        /// The byte.
        byte: u8,
    },
    /// A second `Content-Length` or `Transfer-Encoding`.
    Duplicate {
        /// The first line.
        previous: Entry,
        /// The second line.
        entry: Entry,
    },
    /// `Content-Length` and `Transfer-Encoding` in one response.
    LengthAndEncoding,
    /// A `Content-Length` that is not a number.
    ContentLength,
    /// A `Transfer-Encoding` other than `chunked`.
    TransferEncoding,
    /// 103 from an HTTP/1.0 server.
    EarlyHints10,
}

impl ResponseError {
    /// The message for the error log, at level error. `buf` is the parser's input.
    pub fn message(&self, buf: &[u8]) -> String {
        let text = |span: Span| crate::shown(span.of(buf)).into_owned();
        let field = |entry: Entry| format!("{}: {}", text(entry.name), text(entry.value));
        match self.fault {
            ResponseFault::TooBig => "upstream sent too big header".into(),
            ResponseFault::NoStatusLine => "upstream sent no valid HTTP/1.0 header".into(),
            ResponseFault::Status => "upstream sent invalid status line".into(),
            ResponseFault::Header { byte } => {
                format!("upstream sent invalid header: \"{}\\x{byte:02x}...\"", text(self.span))
            }
            ResponseFault::Duplicate { previous, entry } => format!(
                "upstream sent duplicate header line: \"{}\", previous value: \"{}\"",
                field(entry),
                field(previous)
            ),
            ResponseFault::LengthAndEncoding => "upstream sent \"Content-Length\" and \
                \"Transfer-Encoding\" headers at the same time"
                .into(),
            ResponseFault::ContentLength => format!(
                "upstream sent invalid \"Content-Length\" header: \"Content-Length: {}\"",
                text(self.span)
            ),
            ResponseFault::TransferEncoding => {
                format!("upstream sent unknown \"Transfer-Encoding\": \"{}\"", text(self.span))
            }
            ResponseFault::EarlyHints10 => {
                "upstream sent HTTP/1.0 response with early hints".into()
            }
        }
    }
}

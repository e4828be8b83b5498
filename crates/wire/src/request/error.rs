//! Why a request head is refused.

use crate::header::{Entry, Known, Span};

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
    /// Fields that are too large together.
    LargeFields,
    /// A name that no field of HTTP/2 may have.
    FieldName,
    /// A value that no field may have.
    FieldValue {
        /// The field.
        entry: Entry,
    },
    /// A pseudo-field behind other fields.
    PseudoOrder,
    /// A pseudo-field that is none.
    PseudoUnknown,
    /// A pseudo-field that is not as it must be.
    Pseudo {
        /// Which one.
        field: Pseudo,
        /// What is wrong with it.
        wrong: PseudoFault,
    },
    /// A field that only HTTP/1 has.
    HopField {
        /// Which one.
        known: Known,
    },
    /// Another `TE` than `trailers`.
    Te,
    /// Neither `:authority` nor `Host`.
    NoAuthority,
    /// An `:authority` and another `Host`.
    HostsDiffer,
    /// A body that is announced, in a stream that has ended.
    EarlyEnd,
}

/// A pseudo-field of a request (RFC 9113 section 8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pseudo {
    /// `:method`.
    Method,
    /// `:scheme`.
    Scheme,
    /// `:authority`.
    Authority,
    /// `:path`.
    Path,
}

impl Pseudo {
    /// The field of this name, which has no colon.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"method" => Self::Method,
            b"scheme" => Self::Scheme,
            b"authority" => Self::Authority,
            b"path" => Self::Path,
            _ => return None,
        })
    }

    /// The name as nginx's messages have it.
    fn shown(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Authority => "\":authority\"",
            Self::Path => ":path",
        }
    }
}

/// What is wrong with a pseudo-field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PseudoFault {
    /// It is there twice.
    Duplicate,
    /// It has no value.
    Empty,
    /// Its value is none.
    Invalid,
    /// It is not there.
    Missing,
}

impl RequestError {
    pub(crate) fn new(fault: RequestFault) -> Self {
        Self { fault, span: Span::default() }
    }

    /// The status to finish the request with. 494 is nginx's own for a head that is too large:
    /// `error_page` can name it, and clients see 400.
    pub fn status(&self) -> u16 {
        match self.fault {
            RequestFault::Version => 505,
            RequestFault::LongLine => 414,
            RequestFault::LongHeader
            | RequestFault::LargeRequest
            | RequestFault::LargeFields
            | RequestFault::ManyHeaders => 494,
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
                if entry.known == Known::Host { "host header" } else { "header line" },
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
            RequestFault::Pseudo { field, wrong } => self.pseudo_message(field, wrong, buf),
            other => other.message_of_fields(self.span, buf),
        }
    }
}

impl RequestError {
    fn pseudo_message(&self, field: Pseudo, wrong: PseudoFault, buf: &[u8]) -> String {
        let (name, value) = (field.shown(), crate::shown(self.span.of(buf)));
        match (wrong, field) {
            (PseudoFault::Duplicate, _) => format!("client sent duplicate {name} header"),
            (PseudoFault::Empty, _) => format!("client sent empty {name} header"),
            (PseudoFault::Missing, _) => format!("client sent no {name} header"),
            (PseudoFault::Invalid, Pseudo::Method) => {
                format!("client sent invalid method: \"{value}\"")
            }
            (PseudoFault::Invalid, Pseudo::Authority) => {
                format!("client sent invalid {name} header")
            }
            (PseudoFault::Invalid, _) => format!("client sent invalid {name} header: \"{value}\""),
        }
    }
}

impl RequestFault {
    /// The message of what only heads that come as fields can have, in nginx's words.
    fn message_of_fields(self, span: Span, buf: &[u8]) -> String {
        let text = |span: Span| crate::shown(span.of(buf)).into_owned();
        match self {
            Self::LargeFields => "client sent too large header".into(),
            Self::FieldName => format!("client sent invalid header name: \"{}\"", text(span)),
            Self::FieldValue { entry } => format!(
                "client sent header \"{}\" with invalid value: \"{}\"",
                text(entry.name),
                text(entry.value)
            ),
            Self::PseudoOrder => "client sent out of order pseudo-headers".into(),
            Self::PseudoUnknown => {
                format!("client sent unknown pseudo-header \":{}\"", text(span))
            }
            Self::HopField { known } => format!("client sent \"{}\" header", known.name()),
            Self::Te => "client sent invalid \"TE\" header".into(),
            Self::NoAuthority => "client sent neither \":authority\" nor \"Host\" header".into(),
            Self::HostsDiffer => {
                "client sent \":authority\" and \"Host\" headers with different values".into()
            }
            Self::EarlyEnd => "client prematurely closed stream".into(),
            _ => "client sent invalid request".into(),
        }
    }
}

/// Bytes of a line that is too long which the log shows, so that the message stays one line of it.
const LOG_MAX: u32 = 1748;

//! Refusals of request heads.

use crate::header::{Entry, Known, Span};

/// A refused request head: the fault, and its place in the buffer. It is always the client's fault;
/// the connection is closed after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The fault.
    pub fault: RequestFault,
    /// The line or value for the log; empty if the message shows none.
    pub span: Span,
}

/// A fault of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// A byte that no method has.
    Method,
    /// Wrong syntax of the request line.
    Line,
    /// HTTP/2.0 or later on an HTTP/1 connection.
    Version,
    /// A method other than GET without a version.
    Method09,
    /// An invalid host in an absolute target.
    HostInLine,
    /// A request line that exceeds a large header buffer.
    LongLine,
    /// A header line that exceeds its buffer, or the last of the large buffers.
    LongHeader,
    /// The large buffers are full at the start of a header line.
    LargeRequest,
    /// More header lines than `max_headers`.
    ManyHeaders,
    /// An illegal byte in a header line; the span ends at it.
    Header {
        /// The byte.
        byte: u8,
    },
    /// A second line of a unique field.
    Duplicate {
        /// The first line.
        previous: Entry,
        /// The second line.
        entry: Entry,
    },
    /// An invalid `Host` value.
    Host,
    /// HTTP/1.1 or later without `Host`.
    NoHost,
    /// A `Content-Length` that is not a number, or too large.
    ContentLength,
    /// `Transfer-Encoding` before HTTP/1.1.
    TransferEncoding10,
    /// `Content-Length` and `Transfer-Encoding` in one request.
    LengthAndEncoding,
    /// A `Transfer-Encoding` other than `chunked`.
    TransferEncoding,
    /// CONNECT where it is not allowed.
    Connect,
    /// CONNECT with a body.
    ConnectBody,
    /// Fields that are too large together.
    LargeFields,
    /// A name that HTTP/2 forbids.
    FieldName,
    /// An illegal value.
    FieldValue {
        /// The field.
        entry: Entry,
    },
    /// A pseudo-field after other fields.
    PseudoOrder,
    /// An unknown pseudo-field.
    PseudoUnknown,
    /// A malformed pseudo-field.
    Pseudo {
        /// The pseudo-field.
        field: Pseudo,
        /// The fault.
        wrong: PseudoFault,
    },
    /// A connection-specific field of HTTP/1.
    HopField {
        /// The field.
        known: Known,
    },
    /// A `TE` other than `trailers`.
    Te,
    /// Neither `:authority` nor `Host`.
    NoAuthority,
    /// An `:authority` that differs from `Host`.
    HostsDiffer,
    /// A stream that ended before its announced body.
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
    /// `:protocol` (RFC 8441 section 4).
    Protocol,
}

impl Pseudo {
    /// The pseudo-field of this name, given without its colon.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"method" => Self::Method,
            b"scheme" => Self::Scheme,
            b"authority" => Self::Authority,
            b"path" => Self::Path,
            b"protocol" => Self::Protocol,
            _ => return None,
        })
    }

    /// The name in nginx's messages.
    fn shown(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Authority => "\":authority\"",
            Self::Path => ":path",
            Self::Protocol => ":protocol",
        }
    }
}

/// A fault of a pseudo-field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PseudoFault {
    /// It is repeated.
    Duplicate,
    /// It is empty.
    Empty,
    /// Its value is invalid.
    Invalid,
    /// It is missing.
    Missing,
}

impl RequestError {
    pub(crate) fn new(fault: RequestFault) -> Self {
        Self { fault, span: Span::default() }
    }

    /// The status of the response. 494 is nginx's own code for a head that is too large:
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
            RequestFault::Connect => 405,
            _ => 400,
        }
    }

    /// Whether to let the client finish sending, so that it sees the response.
    pub fn lingers(&self) -> bool {
        self.status() == 494
    }

    /// The message for the error log, at level info. `buf` is the parser's input.
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
    /// The message of a fault that only heads made of fields can have, in nginx's wording.
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

/// The limit of an overlong line in a log message, which must stay one line.
const LOG_MAX: u32 = 1748;

//! Refusals of responses and trailers.

use crate::header::Span;

/// A malformed head or trailers (RFC 9113 section 8.1.1): a stream error PROTOCOL_ERROR of the
/// peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldsError {
    /// The fault.
    pub fault: FieldsFault,
    /// The name, value or line for the log; empty if the message shows none.
    pub span: Span,
}

/// A fault of a head or of trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldsFault {
    /// The fields exceed a limit.
    TooLarge,
    /// A name that HTTP/2 forbids.
    Name,
    /// A value with control bytes, or with spaces around it.
    Value,
    /// A connection-specific field of HTTP/1.
    ConnectionSpecific,
    /// A pseudo-field other than `:status`, or one behind other fields or in trailers.
    Pseudo,
    /// No `:status`.
    NoStatus,
    /// A `:status` that is not a status of HTTP/2.
    Status,
    /// A second `:status` or `Content-Length`.
    Duplicate,
    /// A `Content-Length` that is not a number.
    ContentLength,
}

impl FieldsFault {
    pub(super) fn at(self, span: Span) -> FieldsError {
        FieldsError { fault: self, span }
    }
}

impl FieldsError {
    /// The message for the error log, at level error. `arena` is that of the fields.
    pub fn message(&self, arena: &[u8]) -> String {
        let text = crate::shown(self.span.of(arena));
        match self.fault {
            FieldsFault::TooLarge => "upstream sent too large http2 header".into(),
            FieldsFault::Name => format!("upstream sent invalid header name: \"{text}\""),
            FieldsFault::Value => format!("upstream sent invalid header: \"{text}\""),
            FieldsFault::ConnectionSpecific => {
                format!("upstream sent \"{text}\" header, which HTTP/2 does not have")
            }
            FieldsFault::Pseudo => format!("upstream sent unexpected pseudo-header \"{text}\""),
            FieldsFault::NoStatus => "upstream sent no :status header".into(),
            FieldsFault::Status => format!("upstream sent invalid :status \"{text}\""),
            FieldsFault::Duplicate => format!("upstream sent duplicate {text} header"),
            FieldsFault::ContentLength => {
                format!("upstream sent invalid \"Content-Length\" header: \"{text}\"")
            }
        }
    }
}

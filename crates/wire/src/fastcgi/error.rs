//! Violations of FastCGI: by an application, and by a request of ours.

/// Parameters of this length, in bytes, which exceeds [`MAX_CONTENT`](super::MAX_CONTENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

impl TooLong {
    /// The message for the error log, in nginx's words.
    pub fn message(self) -> String {
        format!("fastcgi request record is too big: {}", self.0)
    }
}

/// A record that is refused; the connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Another version of the protocol.
    Version(u8),
    /// A type that applications do not send in response.
    Kind(u8),
    /// The high byte of another request's id.
    IdHigh(u8),
    /// The low byte of another request's id.
    IdLow(u8),
}

impl RecordError {
    /// The message for the error log, in nginx's words.
    pub fn message(self) -> String {
        match self {
            Self::Version(byte) => {
                format!("upstream sent unsupported FastCGI protocol version: {byte}")
            }
            Self::Kind(byte) => format!("upstream sent invalid FastCGI record type: {byte}"),
            Self::IdHigh(byte) => {
                format!("upstream sent unexpected FastCGI request id high byte: {byte}")
            }
            Self::IdLow(byte) => {
                format!("upstream sent unexpected FastCGI request id low byte: {byte}")
            }
        }
    }
}

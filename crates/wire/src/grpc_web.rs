//! gRPC-Web, the form of gRPC for clients without trailers and HTTP/2 frames
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>), and its translation.
//!
//! ```text
//! request    messages, in base64 or not          ─▶  messages
//! response   messages, then fields in trailers   ─▶  messages, then a frame of fields; in base64 or not
//! ```
//!
//! A message is preceded by a byte of flags and its length. The frame of fields is like a message
//! whose flags have [`TRAILERS`].

mod base64;
pub mod fuzz;
mod messages;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use request::Decoder;
pub use response::Encoder;

/// The flag of a frame of trailers.
pub const TRAILERS: u8 = 0x80;

/// Why bytes cannot be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A byte that base64 does not have, or misplaced padding.
    Base64,
    /// The end within four characters of base64.
    Base64Cut,
    /// The end within a message.
    Cut,
    /// A frame of trailers among the messages.
    Trailers,
}

impl Fault {
    /// The fault in words, to complete "sent …".
    pub fn text(self) -> &'static str {
        match self {
            Self::Base64 => "invalid base64",
            Self::Base64Cut => "base64 that is cut",
            Self::Cut => "a gRPC message that is cut",
            Self::Trailers => "a frame of trailers as a gRPC message",
        }
    }
}

/// What the output of a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The input itself; nothing was appended.
    Unchanged,
    /// What was appended.
    Appended,
}

/// A media type of gRPC-Web: `application/grpc-web+proto`, `application/grpc-web-text`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// Whether bodies are in base64.
    pub text: bool,
    /// The format of messages with its plus sign (`+proto`), or nothing.
    pub format: &'a [u8],
}

const GRPC: &[u8] = b"application/grpc";
const WEB: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"-text";

/// The one encoding of texts, which may be named.
const BASE64: &[u8] = b"-base64";

impl<'a> MediaType<'a> {
    /// The type in a value of `Content-Type`, if it is one of gRPC-Web. Parameters are dropped.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let rest = after(value, WEB)?;
        let (text, rest) = match after(rest, TEXT) {
            Some(rest) => (true, after(rest, BASE64).unwrap_or(rest)),
            None => (false, rest),
        };
        Some(Self { text, format: format(rest)? })
    }

    /// Appends the type of the same messages in gRPC.
    pub fn write_plain(self, out: &mut Vec<u8>) {
        out.extend_from_slice(GRPC);
        out.extend_from_slice(self.format);
    }

    /// Appends the type.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(WEB);
        if self.text {
            out.extend_from_slice(TEXT);
        }
        out.extend_from_slice(self.format);
    }
}

/// The format of messages in a value of `Content-Type` of gRPC, as in [`MediaType::format`].
pub fn plain_format(value: &[u8]) -> Option<&[u8]> {
    format(after(value, GRPC)?)
}

/// Whether responses to a request are in base64: as the first type of gRPC-Web in `accept` says, or
/// like the request.
pub fn wants_text(accept: &[u8], request: MediaType<'_>) -> bool {
    let types = accept.split(|&byte| byte == b',');
    let first = types.map(<[u8]>::trim_ascii).find_map(MediaType::parse);
    first.unwrap_or(request).text
}

/// What follows `start`, in any case.
fn after<'a>(value: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = value.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// The format at the end of a media type, without parameters.
fn format(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().position(|byte| matches!(byte, b';' | b' ' | b'\t'));
    let format = &rest[..end.unwrap_or(rest.len())];
    (format.is_empty() || format[0] == b'+').then_some(format)
}

/// Appends a `grpc-message`: what is not printable ASCII becomes percent-encoded.
pub fn write_message(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte),
            _ => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
                out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
}

/// The status of gRPC in place of a status of HTTP: gRPC's own mapping
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>), and
/// RESOURCE_EXHAUSTED for a body that is too large.
pub fn status_of(http: u16) -> u8 {
    match http {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        413 => RESOURCE_EXHAUSTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// The status without a better one.
pub const UNKNOWN: u8 = 2;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
/// The status of messages that break the protocol.
pub const INTERNAL: u8 = 13;
/// The status of a service that cannot be reached.
pub const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

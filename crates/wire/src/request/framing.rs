//! Message framing: the end of a body. Request smuggling exploits disagreements about it, so any
//! input that two parsers could read differently is refused.

use super::error::{RequestError, RequestFault};
use super::method::Version;

/// The way to find the end of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// This many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// All bytes until the connection closes; responses only.
    UntilClose,
}

/// The framing of a request, from its only `Content-Length` and `Transfer-Encoding` lines. Repeated
/// lines are refused before this (see `RequestFault::Duplicate`).
pub fn request_framing(
    version: Version,
    content_length: Option<&[u8]>,
    transfer_encoding: Option<&[u8]>,
) -> Result<Framing, RequestError> {
    let length = match content_length {
        Some(value) => {
            Some(parse_length(value).ok_or(RequestError::new(RequestFault::ContentLength))?)
        }
        None => None,
    };
    let Some(encoding) = transfer_encoding else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    let fault = if version < Version::HTTP_11 {
        RequestFault::TransferEncoding10
    } else if !encoding.eq_ignore_ascii_case(b"chunked") {
        RequestFault::TransferEncoding
    } else if length.is_some() {
        RequestFault::LengthAndEncoding
    } else {
        return Ok(Framing::Chunked);
    };
    Err(RequestError::new(fault))
}

/// Parses a `Content-Length`: digits only, at least one, below 2^63 as file offsets are.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    let mut number = 0_i64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = match value.len() {
            // Numbers of so few digits cannot overflow.
            ..=18 => number * 10 + i64::from(digit),
            _ => number.checked_mul(10)?.checked_add(i64::from(digit))?,
        };
    }
    (!value.is_empty()).then_some(number.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(parse_length(b"005"), Some(5));
        assert_eq!(parse_length(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in ["", "+5", "-1", "0x5", "5 0", "1e1", "5.0", "5\t", "5,5", "9223372036854775808"]
        {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad}");
        }
    }
}

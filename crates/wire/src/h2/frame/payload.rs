//! Decoding payloads.

use super::{FrameHead, flag};
use crate::h2::dependency::Dependency;
use crate::h2::error::{ConnectionError, ErrorCode};

type Result<T> = std::result::Result<T, ConnectionError>;

/// The fragment of a header block in a HEADERS frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeadersPayload<'p> {
    pub fragment: &'p [u8],
    /// The priority of RFC 7540, if there is one.
    pub dependency: Option<Dependency>,
}

/// Decodes the payload of HEADERS.
pub(crate) fn headers(head: FrameHead, payload: &[u8]) -> Result<HeadersPayload<'_>> {
    let mut fragment = payload;
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (&length, rest) = fragment.split_first().ok_or(TOO_SHORT)?;
        (fragment, padding) = (rest, usize::from(length));
    }
    let mut dependency = None;
    if head.has(flag::PRIORITY) {
        let (priority, rest) = fragment.split_first_chunk::<5>().ok_or(TOO_SHORT)?;
        (fragment, dependency) = (rest, Some(Dependency::parse(*priority)));
    }
    let length = fragment.len().checked_sub(padding).ok_or(BAD_PADDING)?;
    Ok(HeadersPayload { fragment: &fragment[..length], dependency })
}

/// The number at the start of a payload of exactly four bytes.
pub(crate) fn number(payload: &[u8]) -> Result<u32> {
    let bytes = payload.try_into().map_err(|_| WRONG_SIZE)?;
    Ok(u32::from_be_bytes(bytes))
}

/// The payload has another length than its type demands.
pub(crate) const WRONG_SIZE: ConnectionError =
    ConnectionError { code: ErrorCode::FRAME_SIZE_ERROR, reason: "a frame has a wrong size" };

/// The payload lacks what its flags announce.
pub(crate) const TOO_SHORT: ConnectionError = ConnectionError {
    code: ErrorCode::FRAME_SIZE_ERROR,
    reason: "a frame is too short for its flags",
};

/// The padding is longer than the payload.
pub(crate) const BAD_PADDING: ConnectionError =
    ConnectionError { code: ErrorCode::PROTOCOL_ERROR, reason: "padding is longer than the frame" };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::frame::kind;

    fn head(flags: u8, payload: &[u8]) -> FrameHead {
        FrameHead { length: payload.len() as u32, kind: kind::HEADERS, flags, stream: 1 }
    }

    #[test]
    fn padding_and_priority_surround_the_fragment() {
        let payload = [2, 0x80, 0, 0, 7, 16, b'a', b'b', 0, 0];
        let found = headers(head(flag::PADDED | flag::PRIORITY, &payload), &payload).unwrap();
        let dependency = Dependency { on: 7, exclusive: true, weight: 17 };
        assert_eq!(found, HeadersPayload { fragment: b"ab", dependency: Some(dependency) });
    }

    #[test]
    fn padding_may_be_all_there_is() {
        let payload = [2, 0, 0];
        assert_eq!(headers(head(flag::PADDED, &payload), &payload).unwrap().fragment, b"");
    }

    #[test]
    fn padding_beyond_the_payload_is_refused() {
        let payload = [3, 0, 0];
        assert_eq!(headers(head(flag::PADDED, &payload), &payload), Err(BAD_PADDING));
    }

    #[test]
    fn missing_parts_are_refused() {
        assert_eq!(headers(head(flag::PADDED, &[]), &[]), Err(TOO_SHORT));
        assert_eq!(headers(head(flag::PRIORITY, &[0; 4]), &[0; 4]), Err(TOO_SHORT));
        assert_eq!(number(&[0; 3]), Err(WRONG_SIZE));
        assert_eq!(number(&[0; 5]), Err(WRONG_SIZE));
        assert_eq!(number(&[0, 0, 1, 2]), Ok(258));
    }
}

//! OTLP over gRPC (<https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>): the call, its status, and
//! what a status means for the same spans.

use std::time::Duration;

use super::protobuf::{Field, Reader};

/// The path of the method that is called.
pub const PATH: &[u8] = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The length of what precedes a message: a flag and the message's length.
const PREFIX: usize = 5;

/// The type of the detail of a status that asks for a wait (`google/rpc/error_details.proto`).
const RETRY_INFO: &[u8] = b"/google.rpc.RetryInfo";

/// The limit of a detail's wait, so that sums do not overflow.
const LONGEST: Duration = Duration::from_secs(3600);

/// A message as the body of a call has it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// The message in the body of an answer, empty if there is none. `None` if it is no such body, or a
/// compressed one, which nobody asked for.
pub fn unframed(body: &[u8]) -> Option<&[u8]> {
    if body.is_empty() {
        return Some(body);
    }
    let (&[flag, length @ ..], message) = body.split_first_chunk::<PREFIX>()?;
    let whole = usize::try_from(u32::from_be_bytes(length)) == Ok(message.len());
    (flag == 0 && whole).then_some(message)
}

/// A status code of gRPC. Unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// Success.
    pub const OK: Self = Self(0);
    /// The call was cancelled.
    pub const CANCELLED: Self = Self(1);
    /// An answer without a status that is known.
    pub const UNKNOWN: Self = Self(2);
    /// The time is over.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// The caller may not.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// A limit is reached.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// Another call came between.
    pub const ABORTED: Self = Self(10);
    /// The call is past an end.
    pub const OUT_OF_RANGE: Self = Self(11);
    /// The method is unknown.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// A fault of the peer.
    pub const INTERNAL: Self = Self(13);
    /// The peer is not able for now.
    pub const UNAVAILABLE: Self = Self(14);
    /// Data are lost.
    pub const DATA_LOSS: Self = Self(15);
    /// The caller is unknown.
    pub const UNAUTHENTICATED: Self = Self(16);

    /// The code in `grpc-status`.
    pub fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        number.map_or(Self::UNKNOWN, Self)
    }

    /// What a status of HTTP stands for, in an answer without one of gRPC
    /// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
    pub fn of_http(status: u16) -> Self {
        match status {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// Its name, as in gRPC's documentation.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "OK",
            1 => "CANCELLED",
            3 => "INVALID_ARGUMENT",
            4 => "DEADLINE_EXCEEDED",
            5 => "NOT_FOUND",
            6 => "ALREADY_EXISTS",
            7 => "PERMISSION_DENIED",
            8 => "RESOURCE_EXHAUSTED",
            9 => "FAILED_PRECONDITION",
            10 => "ABORTED",
            11 => "OUT_OF_RANGE",
            12 => "UNIMPLEMENTED",
            13 => "INTERNAL",
            14 => "UNAVAILABLE",
            15 => "DATA_LOSS",
            16 => "UNAUTHENTICATED",
            _ => "UNKNOWN",
        }
    }

    /// Whether the same spans may be sent again. One that has reached a limit says by a wait that
    /// it can recover.
    pub fn may_retry(self, asks_for_wait: bool) -> bool {
        match self {
            Self::CANCELLED
            | Self::DEADLINE_EXCEEDED
            | Self::ABORTED
            | Self::OUT_OF_RANGE
            | Self::UNAVAILABLE
            | Self::DATA_LOSS => true,
            Self::RESOURCE_EXHAUSTED => asks_for_wait,
            _ => false,
        }
    }
}

/// The wait that a `google.rpc.Status` asks for, in the bytes of `grpc-status-details-bin`.
pub fn wait(status: &[u8]) -> Option<Duration> {
    let mut fields = Reader::new(status);
    while let Some((number, field)) = fields.next()? {
        if let (3, Field::Bytes(detail)) = (number, field)
            && let Some(wait) = wait_of_detail(detail)
        {
            return Some(wait);
        }
    }
    None
}

/// The wait in a `google.protobuf.Any`, if it has one.
fn wait_of_detail(any: &[u8]) -> Option<Duration> {
    let (mut kind, mut value) = (&b""[..], &b""[..]);
    let mut fields = Reader::new(any);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => kind = bytes,
            (2, Field::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    if !kind.ends_with(RETRY_INFO) {
        return None;
    }
    let mut delay = &b""[..];
    let mut fields = Reader::new(value);
    while let Some((number, field)) = fields.next()? {
        if let (1, Field::Bytes(bytes)) = (number, field) {
            delay = bytes;
        }
    }
    duration(delay)
}

/// A `google.protobuf.Duration` that is not negative.
fn duration(bytes: &[u8]) -> Option<Duration> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Reader::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(value)) => seconds = value.cast_signed(),
            (2, Field::Number(value)) => nanos = value.cast_signed(),
            _ => {}
        }
    }
    let seconds = Duration::from_secs(u64::try_from(seconds).ok()?);
    let nanos = Duration::from_nanos(u64::try_from(nanos).ok()?);
    Some(seconds.checked_add(nanos)?.min(LONGEST))
}

/// The text of `grpc-message`, whose bytes outside ASCII are written as `%XX`.
pub fn message(value: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%'
            && let Some((&[high, low], after)) = rest.split_first_chunk::<2>()
            && let Some((high, low)) = digit(high).zip(digit(low))
        {
            text.push((high << 4 | low) as u8);
            rest = after;
        } else {
            text.push(byte);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(framed(b"abc"), b"\0\0\0\0\x03abc");
        assert_eq!(unframed(b"\0\0\0\0\x03abc"), Some(&b"abc"[..]));
        assert_eq!(unframed(b""), Some(&b""[..]));
        assert_eq!(unframed(b"\0\0\0\0\0"), Some(&b""[..]));
        for other in [&b"\x01\0\0\0\x03abc"[..], b"\0\0\0\0\x03ab", b"\0\0\0\0\x03abcd", b"\0\0"] {
            assert_eq!(unframed(other), None);
        }
    }

    #[test]
    fn codes_say_whether_to_try_again() {
        let retried: Vec<_> = (0..20).filter(|&code| Code(code).may_retry(false)).collect();
        assert_eq!(retried, [1, 4, 10, 11, 14, 15]);
        let retried: Vec<_> = (0..20).filter(|&code| Code(code).may_retry(true)).collect();
        assert_eq!(retried, [1, 4, 8, 10, 11, 14, 15]);
        assert_eq!(Code::parse(b"14"), Code::UNAVAILABLE);
        assert_eq!(Code::parse(b"x"), Code::UNKNOWN);
        assert_eq!(Code::of_http(503), Code::UNAVAILABLE);
        assert_eq!(Code::of_http(200).name(), "UNKNOWN");
    }

    /// The bytes that the official libraries make of the same status.
    #[test]
    fn a_status_asks_for_a_wait() {
        let info = |delay: &[u8]| {
            let value = [&[0x0a, delay.len() as u8], delay].concat();
            let kind = b"type.googleapis.com/google.rpc.RetryInfo";
            let any = [&b"\x0a\x28"[..], kind, &[0x12, value.len() as u8], &value].concat();
            [&b"\x08\x08\x12\x04full\x1a"[..], &[any.len() as u8], &any].concat()
        };
        let of = |seconds, nanos| Some(Duration::new(seconds, nanos));
        assert_eq!(wait(&info(b"\x08\x02\x10\xe8\x07")), of(2, 1000));
        assert_eq!(wait(&info(b"")), of(0, 0));
        assert_eq!(wait(&info(b"\x08\xff\xff\xff\xff\xff\x7f")), Some(LONGEST));
        let negative = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(wait(&info(negative)), None);
        assert_eq!(wait(b"\x08\x08\x12\x04full"), None);
        assert_eq!(wait(b"\xff"), None);
    }

    #[test]
    fn messages_are_decoded() {
        assert_eq!(message(b"a%20b%c3%BC%"), "a b\u{fc}%".as_bytes());
        assert_eq!(message(b"%zz%4"), b"%zz%4");
    }
}

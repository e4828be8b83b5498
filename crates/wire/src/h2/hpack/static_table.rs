//! The static table (RFC 7541 appendix A).

use crate::header::Known;

/// A field of the static table.
#[derive(Clone, Copy, Debug)]
pub(super) struct StaticField {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    /// Both as a line of HTTP/1.
    pub(super) line: &'static str,
    pub(super) known: Known,
}

macro_rules! field {
    ($name:literal, $value:literal, $known:expr) => {
        StaticField {
            name: $name,
            value: $value,
            line: concat!($name, ": ", $value, "\r\n"),
            known: $known,
        }
    };
}

/// The number of fields in the static table; dynamic ones follow.
pub(super) const COUNT: usize = FIELDS.len();

/// The indices of `:authority`, `:method`, `:path`, `:scheme` and `:status`.
pub(super) const AUTHORITY: usize = 1;
pub(super) const METHOD: usize = 2;
pub(super) const PATH: usize = 4;
pub(super) const SCHEME: usize = 6;
pub(super) const STATUS: usize = 8;

/// The index of a name, given in lower case or as its id; 0 if the table has it not.
#[inline]
pub(super) fn index_of(known: Known, name: &[u8]) -> usize {
    match known {
        Known::Other => index_of_other(name),
        known => usize::from(INDICES[known as usize]),
    }
}

fn index_of_other(name: &[u8]) -> usize {
    match name {
        b":authority" => AUTHORITY,
        b":method" => METHOD,
        b":path" => PATH,
        b":scheme" => SCHEME,
        b":status" => STATUS,
        b"accept-charset" => 15,
        b"access-control-allow-origin" => 20,
        b"from" => 37,
        b"max-forwards" => 47,
        _ => 0,
    }
}

/// The index of a whole field whose name's first index is `index`.
#[inline]
pub(super) fn whole(index: usize, value: &[u8]) -> Option<usize> {
    if index == 0 || index > LAST_WITH_VALUE {
        return (index > 0 && value.is_empty()).then_some(index);
    }
    let name = FIELDS[index - 1].name;
    let same = FIELDS[index - 1..LAST_WITH_VALUE].iter().take_while(|field| field.name == name);
    let found = same.enumerate().find(|(_, field)| field.value.as_bytes() == value);
    found.map(|(offset, _)| index + offset)
}

/// The last field that has a value.
const LAST_WITH_VALUE: usize = 16;

/// The index by id.
static INDICES: [u8; Known::Other as usize + 1] = indices();

const fn indices() -> [u8; Known::Other as usize + 1] {
    let mut indices = [0; Known::Other as usize + 1];
    let mut i = COUNT;
    while i > 0 {
        indices[FIELDS[i - 1].known as usize] = i as u8;
        i -= 1;
    }
    indices[Known::Other as usize] = 0;
    indices
}

/// The fields; the first one has index 1.
pub(super) static FIELDS: [StaticField; 61] = [
    field!(":authority", "", Known::Other),
    field!(":method", "GET", Known::Other),
    field!(":method", "POST", Known::Other),
    field!(":path", "/", Known::Other),
    field!(":path", "/index.html", Known::Other),
    field!(":scheme", "http", Known::Other),
    field!(":scheme", "https", Known::Other),
    field!(":status", "200", Known::Other),
    field!(":status", "204", Known::Other),
    field!(":status", "206", Known::Other),
    field!(":status", "304", Known::Other),
    field!(":status", "400", Known::Other),
    field!(":status", "404", Known::Other),
    field!(":status", "500", Known::Other),
    field!("accept-charset", "", Known::Other),
    field!("accept-encoding", "gzip, deflate", Known::AcceptEncoding),
    field!("accept-language", "", Known::AcceptLanguage),
    field!("accept-ranges", "", Known::AcceptRanges),
    field!("accept", "", Known::Accept),
    field!("access-control-allow-origin", "", Known::Other),
    field!("age", "", Known::Age),
    field!("allow", "", Known::Allow),
    field!("authorization", "", Known::Authorization),
    field!("cache-control", "", Known::CacheControl),
    field!("content-disposition", "", Known::ContentDisposition),
    field!("content-encoding", "", Known::ContentEncoding),
    field!("content-language", "", Known::ContentLanguage),
    field!("content-length", "", Known::ContentLength),
    field!("content-location", "", Known::ContentLocation),
    field!("content-range", "", Known::ContentRange),
    field!("content-type", "", Known::ContentType),
    field!("cookie", "", Known::Cookie),
    field!("date", "", Known::Date),
    field!("etag", "", Known::ETag),
    field!("expect", "", Known::Expect),
    field!("expires", "", Known::Expires),
    field!("from", "", Known::Other),
    field!("host", "", Known::Host),
    field!("if-match", "", Known::IfMatch),
    field!("if-modified-since", "", Known::IfModifiedSince),
    field!("if-none-match", "", Known::IfNoneMatch),
    field!("if-range", "", Known::IfRange),
    field!("if-unmodified-since", "", Known::IfUnmodifiedSince),
    field!("last-modified", "", Known::LastModified),
    field!("link", "", Known::Link),
    field!("location", "", Known::Location),
    field!("max-forwards", "", Known::Other),
    field!("proxy-authenticate", "", Known::ProxyAuthenticate),
    field!("proxy-authorization", "", Known::ProxyAuthorization),
    field!("range", "", Known::Range),
    field!("referer", "", Known::Referer),
    field!("refresh", "", Known::Refresh),
    field!("retry-after", "", Known::RetryAfter),
    field!("server", "", Known::Server),
    field!("set-cookie", "", Known::SetCookie),
    field!("strict-transport-security", "", Known::StrictTransportSecurity),
    field!("transfer-encoding", "", Known::TransferEncoding),
    field!("user-agent", "", Known::UserAgent),
    field!("vary", "", Known::Vary),
    field!("via", "", Known::Via),
    field!("www-authenticate", "", Known::WwwAuthenticate),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_indices_belong_to_the_names() {
        for (at, field) in FIELDS.iter().enumerate() {
            assert_eq!(Known::from_name(field.name.as_bytes()), field.known);
            let first = FIELDS.iter().position(|other| other.name == field.name);
            let index = index_of(field.known, field.name.as_bytes());
            assert_eq!(Some(index), first.map(|at| at + 1), "{} {}", at + 1, field.name);
        }
        assert_eq!(index_of(Known::XRequestId, b"x-request-id"), 0);
        assert_eq!(index_of(Known::Other, b"x"), 0);
    }
}

//! Known names: the names that the proxy acts on, and their ids.

mod find;

macro_rules! known {
    ($($id:ident = $text:literal,)*) => {
        /// The id of a header name. Other names are [`Known::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Known { $($id,)* Other }

        const NAMES: &[&str] = &[$($text,)* ""];
        const IDS: &[Known] = &[$(Known::$id,)* Known::Other];
    };
}

known! {
    Host = "Host",
    Connection = "Connection",
    ProxyConnection = "Proxy-Connection",
    IfModifiedSince = "If-Modified-Since",
    IfUnmodifiedSince = "If-Unmodified-Since",
    IfMatch = "If-Match",
    IfNoneMatch = "If-None-Match",
    UserAgent = "User-Agent",
    Referer = "Referer",
    ContentLength = "Content-Length",
    ContentRange = "Content-Range",
    ContentType = "Content-Type",
    Range = "Range",
    IfRange = "If-Range",
    TransferEncoding = "Transfer-Encoding",
    Te = "TE",
    Trailer = "Trailer",
    Expect = "Expect",
    Upgrade = "Upgrade",
    AcceptEncoding = "Accept-Encoding",
    Via = "Via",
    Authorization = "Authorization",
    ProxyAuthorization = "Proxy-Authorization",
    KeepAlive = "Keep-Alive",
    XForwardedFor = "X-Forwarded-For",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPort = "X-Forwarded-Port",
    Forwarded = "Forwarded",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-ID",
    Accept = "Accept",
    AcceptLanguage = "Accept-Language",
    Depth = "Depth",
    Destination = "Destination",
    Overwrite = "Overwrite",
    Date = "Date",
    Cookie = "Cookie",
    Origin = "Origin",
    Purpose = "Purpose",
    Priority = "Priority",
    EarlyData = "Early-Data",
    Http2Settings = "HTTP2-Settings",
    SecWebSocketKey = "Sec-WebSocket-Key",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Server = "Server",
    Status = "Status",
    LastModified = "Last-Modified",
    Location = "Location",
    Refresh = "Refresh",
    SetCookie = "Set-Cookie",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language",
    ContentLocation = "Content-Location",
    CacheControl = "Cache-Control",
    Expires = "Expires",
    Pragma = "Pragma",
    Age = "Age",
    AcceptRanges = "Accept-Ranges",
    WwwAuthenticate = "WWW-Authenticate",
    ProxyAuthenticate = "Proxy-Authenticate",
    ETag = "ETag",
    Vary = "Vary",
    Link = "Link",
    Allow = "Allow",
    RetryAfter = "Retry-After",
    StrictTransportSecurity = "Strict-Transport-Security",
    AltSvc = "Alt-Svc",
    XPoweredBy = "X-Powered-By",
    XAccelRedirect = "X-Accel-Redirect",
    XAccelLimitRate = "X-Accel-Limit-Rate",
    XAccelExpires = "X-Accel-Expires",
    XAccelBuffering = "X-Accel-Buffering",
    XAccelCharset = "X-Accel-Charset",
    XPad = "X-Pad",
}

const COUNT: usize = IDS.len() - 1;
const _: () = assert!(COUNT < 128, "Seen holds one bit per id in 128 bits");

/// The names in lower case, with their lengths.
static LOWER_CASE: [([u8; LONGEST], u8); COUNT + 1] = lower_case();

/// The longest name, in bytes.
const LONGEST: usize = 32;

const fn lower_case() -> [([u8; LONGEST], u8); COUNT + 1] {
    let mut names = [([0; LONGEST], 0); COUNT + 1];
    let mut i = 0;
    while i < COUNT {
        let name = NAMES[i].as_bytes();
        let mut at = 0;
        while at < name.len() {
            names[i].0[at] = name[at].to_ascii_lowercase();
            at += 1;
        }
        names[i].1 = name.len() as u8;
        i += 1;
    }
    names
}

impl Known {
    /// The id of a name, ignoring case.
    #[inline]
    pub fn from_name(name: &[u8]) -> Self {
        find::find(name)
    }

    /// As [`Self::from_name`], for a name that fits one word, padded with zeros.
    #[inline]
    pub(crate) fn of_short(name: u64, len: usize) -> Self {
        find::candidate(name, 0, len)
    }

    /// As [`Self::from_name`], with the first and last eight bytes of the name given.
    #[inline]
    pub(crate) fn of_long(first: u64, last: u64, name: &[u8]) -> Self {
        find::by_ends(first, last, name)
    }

    /// The usual spelling; empty for [`Known::Other`].
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The name in lower case; empty for [`Known::Other`].
    #[inline]
    pub fn lower_case(self) -> &'static [u8] {
        let (name, length) = &LOWER_CASE[self as usize];
        name.get(..usize::from(*length)).unwrap_or_default()
    }

    /// All ids except [`Known::Other`].
    pub fn all() -> &'static [Self] {
        &IDS[..COUNT]
    }

    /// Whether a request with two such lines is refused with 400
    /// (`ngx_http_process_unique_header_line` and the rule for Host).
    pub(crate) fn unique_in_request(self) -> bool {
        Self::UNIQUE_IN_REQUEST.contains(self)
    }

    /// Whether only the first such line of an upstream's response counts; the others are dropped
    /// with a warning in the error log.
    pub(crate) fn first_counts_in_response(self) -> bool {
        Self::FIRST_COUNTS_IN_RESPONSE.contains(self)
    }
}

/// A set of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen([u64; 2]);

impl Seen {
    /// A set of these ids.
    pub(crate) const fn of(ids: &[Known]) -> Self {
        let mut set = Self([0; 2]);
        let mut i = 0;
        while i < ids.len() {
            set.0[ids[i].place()] |= ids[i].bit();
            i += 1;
        }
        set
    }

    /// The union of both sets.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Adds an id; returns whether it was new.
    #[inline]
    pub fn insert(&mut self, known: Known) -> bool {
        let word = &mut self.0[known.place()];
        let new = *word & known.bit() == 0;
        *word |= known.bit();
        new
    }

    /// Removes an id.
    #[inline]
    pub fn remove(&mut self, known: Known) {
        self.0[known.place()] &= !known.bit();
    }

    /// Whether the sets have an id in common.
    #[inline]
    pub(crate) const fn meets(self, other: Self) -> bool {
        (self.0[0] & other.0[0]) | (self.0[1] & other.0[1]) != 0
    }

    /// Whether the set has the id.
    #[inline]
    pub fn contains(&self, known: Known) -> bool {
        self.0[known.place()] & known.bit() != 0
    }
}

impl Known {
    pub(crate) const UNIQUE_IN_REQUEST: Seen = Seen::of(&[
        Self::Host,
        Self::IfModifiedSince,
        Self::IfUnmodifiedSince,
        Self::IfMatch,
        Self::IfNoneMatch,
        Self::ContentLength,
        Self::ContentRange,
        Self::IfRange,
        Self::TransferEncoding,
        Self::Expect,
        Self::Authorization,
        Self::ProxyAuthorization,
    ]);

    pub(crate) const FIRST_COUNTS_IN_RESPONSE: Seen = Seen::of(&[
        Self::Status,
        Self::ContentType,
        Self::Date,
        Self::LastModified,
        Self::ETag,
        Self::Server,
        Self::Location,
        Self::Refresh,
        Self::Expires,
        Self::XAccelExpires,
        Self::XAccelRedirect,
        Self::XAccelLimitRate,
        Self::XAccelBuffering,
        Self::XAccelCharset,
    ]);

    /// The fields that only HTTP/1 connections have (RFC 9113 section 8.2.2).
    pub const CONNECTION_SPECIFIC: Seen = Seen::of(&[
        Self::Connection,
        Self::ProxyConnection,
        Self::KeepAlive,
        Self::TransferEncoding,
        Self::Upgrade,
    ]);

    /// The fields that are never taken from trailers (RFC 9110 section 6.5.1: framing, routing,
    /// content).
    pub const NOT_IN_TRAILERS: Seen = Seen::of(&[
        Self::ContentLength,
        Self::TransferEncoding,
        Self::Trailer,
        Self::Te,
        Self::Host,
        Self::Connection,
        Self::ProxyConnection,
        Self::KeepAlive,
        Self::Upgrade,
        Self::ContentType,
        Self::ContentEncoding,
        Self::ContentRange,
        Self::Authorization,
        Self::ProxyAuthorization,
        Self::SetCookie,
        Self::Location,
    ]);

    /// The index of the word of a [`Seen`] that has the id.
    const fn place(self) -> usize {
        (self as usize >> 6) & 1
    }

    const fn bit(self) -> u64 {
        1 << (self as u8 & 63)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for known in Known::all() {
            let name = known.name();
            assert_eq!(Known::from_name(name.as_bytes()), *known);
            assert_eq!(Known::from_name(name.to_ascii_uppercase().as_bytes()), *known);
            assert_eq!(Known::from_name(name.to_ascii_lowercase().as_bytes()), *known);
            assert_eq!(Known::from_name(&name.as_bytes()[1..]), Known::Other);
            assert_eq!(known.lower_case(), name.to_ascii_lowercase().as_bytes());
        }
        for known in Known::all() {
            for at in 0..known.name().len() {
                for bit in 0..8 {
                    let mut name = known.name().as_bytes().to_vec();
                    name[at] ^= 1 << bit;
                    let same = name.eq_ignore_ascii_case(known.name().as_bytes());
                    assert_eq!(Known::from_name(&name) == *known, same, "{known:?} {at} {bit}");
                }
            }
        }
        assert!(Known::Other.lower_case().is_empty());
        for other in ["", "x", "Hos", "Hosts", "X-Forwarded-Fo\0", "Content_Length"] {
            assert_eq!(Known::from_name(other.as_bytes()), Known::Other, "{other}");
        }
    }
}

//! The names that the proxy acts on, and how a name becomes an id.

macro_rules! known {
    ($($id:ident = $text:literal,)*) => {
        /// The id of a header name. Names that the proxy does not act on are [`Known::Other`].
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
}

const COUNT: usize = IDS.len() - 1;
const _: () = assert!(COUNT < 128, "Seen holds one bit per id in 128 bits");

impl Known {
    /// The id of a name, whatever its case.
    #[inline]
    pub fn from_name(name: &[u8]) -> Self {
        let Some(mut slot) = slot_of(name) else { return Self::Other };
        loop {
            let index = SLOTS[slot] as usize;
            if index >= COUNT {
                return Self::Other;
            }
            if same_name(name, NAMES[index].as_bytes()) {
                return IDS[index];
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
    }

    /// The usual spelling; empty for [`Known::Other`].
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Every id but [`Known::Other`].
    pub fn all() -> &'static [Self] {
        &IDS[..COUNT]
    }

    /// Whether a request with two of these lines is refused with 400
    /// (`ngx_http_process_unique_header_line` and the rule for Host).
    pub fn unique_in_request(self) -> bool {
        UNIQUE_IN_REQUEST.contains(self)
    }

    /// Whether of several such lines in an upstream's response only the first counts, and the
    /// others are dropped with a warning in the error log.
    pub fn first_counts_in_response(self) -> bool {
        FIRST_COUNTS_IN_RESPONSE.contains(self)
    }
}

/// A set of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen(u128);

impl Seen {
    const fn of(ids: &[Known]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < ids.len() {
            bits |= 1 << ids[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Puts an id in and says whether it was new.
    #[inline]
    pub fn insert(&mut self, known: Known) -> bool {
        let new = !self.contains(known);
        self.0 |= 1 << known as u8;
        new
    }

    /// Takes an id out.
    pub fn remove(&mut self, known: Known) {
        self.0 &= !(1 << known as u8);
    }

    /// Whether the id is in the set.
    #[inline]
    pub fn contains(self, known: Known) -> bool {
        self.0 & (1 << known as u8) != 0
    }
}

const UNIQUE_IN_REQUEST: Seen = Seen::of(&[
    Known::Host,
    Known::IfModifiedSince,
    Known::IfUnmodifiedSince,
    Known::IfMatch,
    Known::IfNoneMatch,
    Known::ContentLength,
    Known::ContentRange,
    Known::IfRange,
    Known::TransferEncoding,
    Known::Expect,
    Known::Authorization,
    Known::ProxyAuthorization,
]);

const FIRST_COUNTS_IN_RESPONSE: Seen = Seen::of(&[
    Known::Status,
    Known::ContentType,
    Known::Date,
    Known::LastModified,
    Known::ETag,
    Known::Server,
    Known::Location,
    Known::Refresh,
    Known::Expires,
    Known::XAccelExpires,
    Known::XAccelRedirect,
    Known::XAccelLimitRate,
    Known::XAccelBuffering,
    Known::XAccelCharset,
]);

/// Open addressing, at most a third full, so that an unknown name usually meets an empty slot
/// first.
const SLOT_COUNT: usize = 256;
static SLOTS: [u8; SLOT_COUNT] = slots();

const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [u8::MAX; SLOT_COUNT];
    let mut i = 0;
    while i < COUNT {
        let Some(mut slot) = slot_of(NAMES[i].as_bytes()) else { panic!("a name is too short") };
        while slots[slot] != u8::MAX {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = i as u8;
        i += 1;
    }
    slots
}

/// Length and three letters, without their case, spread the names well enough.
const fn slot_of(name: &[u8]) -> Option<usize> {
    let len = name.len();
    if len < 2 {
        return None;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[len / 2] | 0x20) as usize;
    let last = (name[len - 1] | 0x20) as usize;
    Some((len * 7 + first * 31 + middle * 113 + last * 5) % SLOT_COUNT)
}

/// Whether `name` is `known` but for case, eight bytes at a time. `known` has letters, digits and
/// `-`, so a byte that differs from its own in the case bit alone is a letter's other case or a
/// control byte, and those are the ones with neither of the bits 0x40 and 0x20.
#[inline]
fn same_name(name: &[u8], known: &[u8]) -> bool {
    let len = known.len();
    if name.len() != len {
        return false;
    }
    match (name.first_chunk::<8>(), known.first_chunk::<8>()) {
        (Some(a), Some(b)) if same_eight(*a, *b) => {}
        (None, None) => return name.eq_ignore_ascii_case(known),
        _ => return false,
    }
    let mut at = 8;
    while at < len {
        // The last piece reaches back over bytes that have been compared.
        let from = at.min(len - 8);
        match (name[from..].first_chunk::<8>(), known[from..].first_chunk::<8>()) {
            (Some(a), Some(b)) if same_eight(*a, *b) => at += 8,
            _ => return false,
        }
    }
    true
}

#[inline]
fn same_eight(name: [u8; 8], known: [u8; 8]) -> bool {
    const CASE: u64 = u64::from_ne_bytes([0x20; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x40; 8]);
    let (a, b) = (u64::from_le_bytes(name), u64::from_le_bytes(known));
    (a ^ b) & !CASE == 0 && (a | a << 1) & HIGH == HIGH
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
        for other in ["", "x", "Hos", "Hosts", "X-Forwarded-Fo\0", "Content_Length"] {
            assert_eq!(Known::from_name(other.as_bytes()), Known::Other, "{other}");
        }
    }
}

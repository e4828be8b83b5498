//! The conditions for compressed responses, shared by `gzip`, `gunzip`, `gzip_static` and other
//! codings.

use weir_wire::h1::Version;
use weir_wire::header::{Known, has_item};

use crate::core::GZIP;
use crate::core::gzip::{GzipProxied, GzipVersion};
use crate::request::browser::UserAgent;
use crate::request::head::Head;
use crate::request::{Request, State};

/// Whether the client gets a compressed response. Kept through internal redirects.
static ACCEPTED: State<Option<bool>> = State::kept(|| None);

impl Request {
    /// Whether the client gets a compressed response (ngx_http_gzip_ok).
    pub fn takes_gzip(&mut self) -> bool {
        if let Some(verdict) = *self.state(&ACCEPTED) {
            return verdict;
        }
        let verdict = is_taken(self);
        *self.state(&ACCEPTED) = Some(verdict);
        verdict
    }

    /// Whether the client gets a response in another coding than gzip: whether it accepts that.
    pub(crate) fn takes_coding(&self, coding: &[u8]) -> bool {
        !self.is_subrequest() && weight(&self.head, coding) > 0
    }

    /// The weight of a coding for this client, in thousandths; 0 if it does not get it.
    pub(crate) fn weight_of_coding(&mut self, coding: &[u8]) -> u16 {
        let taken = match coding {
            b"gzip" => self.takes_gzip(),
            _ => !self.is_subrequest(),
        };
        if taken { weight(&self.head, coding) } else { 0 }
    }

    /// Marks the response as dependent on `Accept-Encoding`, for `gzip_vary`.
    pub fn varies_by_encoding(&mut self) {
        self.response.vary_accept_encoding = self.get(&GZIP).vary;
    }
}

fn is_taken(request: &Request) -> bool {
    let head = &request.head;
    if request.is_subrequest() || weight(head, b"gzip") == 0 {
        return false;
    }
    let settings = request.get(&GZIP);
    let lowest = match settings.http_version {
        GzipVersion::V10 => Version::HTTP_10,
        GzipVersion::V11 => Version::HTTP_11,
    };
    if settings.disabled_msie6 && UserAgent::of(head).msie6 || head.version < lowest {
        return false;
    }
    if head.get(Known::Via).is_some() && !is_for_proxies(request, settings.proxied) {
        return false;
    }
    !head
        .get(Known::UserAgent)
        .is_some_and(|agent| settings.disabled.iter().any(|regex| regex.is_match(agent)))
}

/// Whether `gzip_proxied` allows compression for a proxy.
fn is_for_proxies(request: &Request, allowed: GzipProxied) -> bool {
    if allowed.has(GzipProxied::OFF) {
        return false;
    }
    let authorized = request.head.get(Known::Authorization).is_some();
    if allowed.has(GzipProxied::ANY) || authorized && allowed.has(GzipProxied::AUTH) {
        return true;
    }
    let response = &request.response;
    if let Some(expires) = response.headers.get(Known::Expires) {
        return allowed.has(GzipProxied::EXPIRED) && has_expired(request, expires);
    }
    if response.headers.contains(Known::CacheControl) {
        let says = |word: &[u8]| {
            response.headers.get_all(Known::CacheControl).any(|list| has_item(list, word, b','))
        };
        return allowed.has(GzipProxied::NO_CACHE) && says(b"no-cache")
            || allowed.has(GzipProxied::NO_STORE) && says(b"no-store")
            || allowed.has(GzipProxied::PRIVATE) && says(b"private");
    }
    // The modification time of a file is not yet among the fields.
    !(allowed.has(GzipProxied::NO_LAST_MODIFIED) && response.headers.contains(Known::LastModified)
        || allowed.has(GzipProxied::NO_ETAG) && response.headers.contains(Known::ETag))
}

fn has_expired(request: &Request, expires: &[u8]) -> bool {
    let now = match request.response.headers.get(Known::Date) {
        Some(date) => weir_wire::date::parse(date),
        None => Some(weir_engine::clock::wall_secs()),
    };
    matches!((weir_wire::date::parse(expires), now), (Some(expires), Some(now)) if expires < now)
}

/// The weight of a coding in a head's `Accept-Encoding`, in thousandths; 0 if it is not there.
fn weight(head: &Head, coding: &[u8]) -> u16 {
    head.get(Known::AcceptEncoding).map_or(0, |value| weight_in(value, coding))
}

/// The weight of a coding without one.
const FULL: u16 = 1000;

/// The weight of a coding in a list, in thousandths; 0 if it is not there or its weight is
/// malformed (ngx_http_gzip_accept_encoding).
fn weight_in(value: &[u8], coding: &[u8]) -> u16 {
    let mut at = 0;
    let is_here = |text: &[u8]| text.eq_ignore_ascii_case(coding);
    while let Some(found) = value[at..].windows(coding.len()).position(is_here) {
        let start = at + found;
        at = start + coding.len();
        let begins = start == 0 || matches!(value[start - 1], b',' | b' ');
        let rest = skip_spaces(&value[at..]);
        match rest.split_first() {
            _ if !begins => {}
            None | Some((b',', _)) => return FULL,
            Some((b';', parameter)) => {
                return match skip_spaces(parameter) {
                    [] => FULL,
                    [b'q' | b'Q', b'=', weight @ ..] => thousandths(weight),
                    _ => 0,
                };
            }
            // The start of a longer name.
            Some(_) => {}
        }
    }
    0
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&b| b == b' ').count()..]
}

/// A weight from `0` to `1.000`; a malformed one counts as 0.
fn thousandths(text: &[u8]) -> u16 {
    let end = text.iter().position(|b| matches!(b, b',' | b' ')).unwrap_or(text.len());
    let (whole, digits) = match &text[..end] {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] => (*whole, digits),
        _ => return 0,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let places = digits.iter().chain(b"000").take(3);
    let fraction = places.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        b'1' if fraction == 0 => FULL,
        b'1' => 0,
        _ => fraction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_encodings() {
        for (value, accepted) in [
            ("gzip", true),
            ("gzip, deflate", true),
            ("GZIP", true),
            ("deflate, gzip", true),
            ("deflate,gzip;q=0.5", true),
            ("gzip ; q=1.000", true),
            ("gzip;q=0.001", true),
            ("gzip;", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0.0001", false),
            ("gzip;q=1.001", false),
            ("gzip;q=", false),
            ("gzip;q=2", false),
            ("gzip;x=1", false),
            ("xgzip", false),
            ("gzipx", false),
            ("deflate", false),
            ("", false),
        ] {
            assert_eq!(weight_in(value.as_bytes(), b"gzip") > 0, accepted, "{value}");
        }
        for (value, weight) in [
            ("gzip", 1000),
            ("gzip;q=1.00", 1000),
            ("gzip;q=0.5", 500),
            ("br;q=1, gzip;q=0.25,zstd", 250),
            ("gzip;q=0.999", 999),
            ("gzip;q=1.5", 0),
        ] {
            assert_eq!(weight_in(value.as_bytes(), b"gzip"), weight, "{value}");
        }
        for (value, accepted) in [
            ("br", true),
            ("brx, BR;q=0.1", true),
            ("gzip, deflate, br, zstd", true),
            ("gzip, br;q=0", false),
            ("abr, brotli", false),
        ] {
            assert_eq!(weight_in(value.as_bytes(), b"br") > 0, accepted, "{value}");
        }
    }
}

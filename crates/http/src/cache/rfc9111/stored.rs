//! The fields of a response that are stored (RFC 9111 section 3.1), and what a 304 changes in them
//! (sections 3.2 and 4.3.4).

use weir_wire::header::{Headers, Known};

use super::control::directives;
use super::lifetime::Lifetime;

/// The fields about one connection (RFC 9110 section 7.6.1), and those about one proxy.
fn is_of_connection(name: &[u8], known: Known) -> bool {
    let is_known = matches!(
        known,
        Known::Connection
            | Known::ProxyConnection
            | Known::KeepAlive
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
    );
    is_known || name.eq_ignore_ascii_case(b"Proxy-Authentication-Info")
}

/// The fields to store: without those about the connection, those that `Connection` lists and those
/// that must not be kept; with one `Age` and one `Date`.
pub(in crate::cache) fn fields(received: &Headers, lifetime: &Lifetime) -> Headers {
    let listed = listed(received);
    let is_withheld = |name: &[u8]| {
        let same = |other: &Vec<u8>| other.eq_ignore_ascii_case(name);
        listed.iter().any(same) || lifetime.withheld.iter().any(same)
    };
    let date = received.get(Known::Date).filter(|date| is_date(date));
    let mut stored = Headers::new();
    for (name, value, known) in received.iter() {
        let is_ours = matches!(known, Known::Age | Known::Date);
        if !is_ours && !is_of_connection(name, known) && !is_withheld(name) {
            stored.push_known(known, name, value);
        }
    }
    let mut now = Vec::new();
    weir_wire::date::http(lifetime.times.date, &mut now);
    stored.push_known(Known::Date, b"Date", date.unwrap_or(&now));
    if lifetime.age > 0 {
        stored.push_known(Known::Age, b"Age", lifetime.age.to_string().as_bytes());
    }
    stored
}

fn is_date(text: &[u8]) -> bool {
    weir_wire::date::parse_strictly(text).is_some()
}

/// The names that `Connection` lists.
fn listed(fields: &Headers) -> Vec<Vec<u8>> {
    let names = fields.get_all(Known::Connection).flat_map(directives);
    names.map(|directive| directive.name.to_vec()).collect()
}

/// Whether a 304 with these fields is about the stored response: not if its validator is strong,
/// and another one.
pub(in crate::cache) fn is_meant(stored: &Headers, update: &Headers) -> bool {
    match update.get(Known::ETag) {
        Some(etag) if !etag.starts_with(b"W/") => stored.get(Known::ETag) == Some(etag),
        _ => true,
    }
}

/// The stored fields with those of a 304 in place of them. What describes the stored bytes stays;
/// `Age` and `Date` are those of the 304.
pub(in crate::cache) fn updated(stored: &Headers, update: &Headers) -> Headers {
    let listed = listed(update);
    let counts = |name: &[u8], known: Known| {
        let is_of_body =
            matches!(known, Known::ContentLength | Known::ContentEncoding | Known::ContentRange);
        !is_of_body
            && !is_of_connection(name, known)
            && !listed.iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    let mut all = Headers::new();
    for (name, value, known) in stored.iter() {
        let is_replaced = matches!(known, Known::Age | Known::Date)
            || counts(name, known) && update.get_name(name).is_some();
        if !is_replaced {
            all.push_known(known, name, value);
        }
    }
    for (name, value, known) in update.iter() {
        if counts(name, known) {
            all.push_known(known, name, value);
        }
    }
    all
}

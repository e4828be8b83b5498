//! Heads of responses as they are sent (RFC 9111 section 4): with their `Date`, and from the cache
//! with their age.

use std::rc::Rc;

use weir_wire::header::Known;

use super::reuse;
use crate::cache::index::Now;
use crate::cache::opened::Opened;
use crate::request::Request;

/// Completes the head of a stored response.
pub(in crate::cache) fn complete(request: &mut Request, opened: &Opened) {
    with_date(request);
    let age = reuse::age(&opened.fields, opened.head.times, Now::of_turn().wall);
    let response = &mut request.response;
    response.headers.set(Known::Age, age.to_string().as_bytes());
    // Complete, so that all of its ranges can be sent.
    if opened.head.status == 200 {
        response.allow_ranges = true;
        response.single_range = false;
    }
}

/// Sends the received `Date`, which stays true when the response is kept elsewhere.
pub(in crate::cache) fn with_date(request: &mut Request) {
    let received = Rc::clone(&request.attempts.headers);
    let response = &mut request.response;
    response.by_rfc9111 = true;
    if let Some(date) = received.get(Known::Date) {
        response.passes_date = true;
        response.headers.set(Known::Date, date);
    }
}

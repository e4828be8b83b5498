//! Whether a stored response is good enough for a request (RFC 9111 section 4).

use weir_wire::header::{Headers, Known};

use super::control::MOST_SECONDS;
use super::demands::Demands;
use super::lifetime;
use crate::cache::file::Times;
use crate::cache::index::Now;
use crate::cache::opened::Opened;
use crate::request::Request;

/// The age of a stored response in seconds (section 4.2.3).
pub(in crate::cache) fn age(fields: &Headers, times: Times, now: i64) -> i64 {
    let resident = now.saturating_sub(times.date).max(0);
    lifetime::age(fields).saturating_add(resident).min(MOST_SECONDS)
}

/// The seconds for which a stored response stays fresh; 0 or less if it is stale.
pub(in crate::cache) fn left(times: Times, now: i64) -> i64 {
    times.valid.saturating_add(1).saturating_sub(now)
}

/// Whether a request must reach the origin, which alone can judge its conditions (section 4.3.2).
pub(in crate::cache) fn is_for_origin(request: &Request) -> bool {
    let has = |known| request.head.get(known).is_some();
    has(Known::IfMatch) || has(Known::IfUnmodifiedSince)
}

/// Notes what the request demands. An update beside it is our own request, which demands nothing.
pub(in crate::cache) fn demand(request: &mut Request) {
    if request.attempts.cache.is_background {
        request.attempts.cache.demands = Some(Demands::default());
        return;
    }
    let lines = request.head.iter().filter(|(_, _, known)| *known == Known::CacheControl);
    let lines = lines.map(|(_, value, _)| value);
    let demands = Demands::of(lines, request.head.get(Known::Pragma));
    let cache = &mut request.attempts.cache;
    cache.demands = Some(demands);
    cache.fetches &= !demands.no_store;
}

/// Whether the request takes the response without validation. Without RFC 9111, it does.
#[inline]
pub(in crate::cache) fn is_good_enough(request: &Request, opened: &Opened) -> bool {
    let Some(demands) = &request.attempts.cache.demands else { return true };
    let (times, now) = (opened.head.times, Now::of_turn().wall);
    demands.are_met(age(&opened.fields, times, now), left(times, now))
}

/// Whether the request takes a response of this age, if it may be stale for other reasons.
pub(in crate::cache) fn is_young_enough(request: &Request, opened: &Opened) -> bool {
    let Some(demands) = &request.attempts.cache.demands else { return true };
    demands.allow_age(age(&opened.fields, opened.head.times, Now::of_turn().wall))
}

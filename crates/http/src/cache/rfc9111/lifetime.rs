//! Whether a response is kept, and how long it is fresh (RFC 9111 sections 3 and 4.2).

use weir_conf::Word;
use weir_wire::date;
use weir_wire::header::{Headers, Known};

use super::control::{MOST_SECONDS, Said, directives, seconds};
use super::dictionary;
use super::understood::{is_kept_unsaid, is_understood};
use crate::cache::file::Times;
use crate::cache::freshness;
use crate::cache::shown::Conditions;
use crate::pass::hidden::Ignored;

/// The part of the time since the last change for which a response is fresh that does not say it
/// (section 4.2.2), as a divisor.
const HEURISTIC_PART: i64 = 10;

/// The maximum of that lifetime, in seconds.
const HEURISTIC_MOST: i64 = 24 * 3600;

/// A response as it was received.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct Received<'r> {
    /// The status.
    pub(in crate::cache) status: u16,
    /// The fields.
    pub(in crate::cache) fields: &'r Headers,
    /// The fields without effect.
    pub(in crate::cache) ignored: Ignored,
    /// The targeted fields that are heeded, the most specific first.
    pub(in crate::cache) targets: &'r [Word],
    /// The lifetime that the configuration sets for the status, in seconds.
    pub(in crate::cache) by_status: Option<i64>,
    /// Whether the request had `Authorization`.
    pub(in crate::cache) is_authorized: bool,
    /// Whether parts (206) are kept, because the key tells them apart.
    pub(in crate::cache) keeps_parts: bool,
    /// The time when the head was complete.
    pub(in crate::cache) now: i64,
    /// The seconds since the request was sent.
    pub(in crate::cache) delay: i64,
}

/// A response that is kept.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cache) struct Lifetime {
    /// How long it may be used.
    pub(in crate::cache) times: Times,
    /// Its age in seconds.
    pub(in crate::cache) age: i64,
    /// The fields that are not kept, in lower case.
    pub(in crate::cache) withheld: Vec<Vec<u8>>,
}

/// What a response says, by the first targeted field that is valid, or by `Cache-Control`. Returns
/// also whether it was a targeted one, so that `Expires` has no effect (RFC 9213 section 2.2).
fn said(fields: &Headers, targets: &[Word], ignored: Ignored) -> (Said, bool) {
    if ignored.has(Ignored::CACHE_CONTROL) {
        return (Said::default(), false);
    }
    let targeted = targets.iter().find_map(|target| {
        let same = |(name, value, _)| target.value.eq_ignore_ascii_case(name).then_some(value);
        let lines: Vec<&[u8]> = fields.iter().filter_map(same).collect();
        dictionary::parse(&lines.join(&b", "[..]))
    });
    match targeted {
        Some(said) => (said, true),
        None => (Said::of(fields.get_all(Known::CacheControl)), false),
    }
}

/// Whether a response with these fields must not be used when its lifetime is over.
pub(in crate::cache) fn forbids_stale(
    fields: &Headers,
    targets: &[Word],
    ignored: Ignored,
) -> bool {
    said(fields, targets, ignored).0.forbids_stale()
}

/// Decides whether a response is kept, and how long it may be used. None if it is not kept.
pub(in crate::cache) fn judge(received: &Received<'_>) -> Option<Lifetime> {
    let &Received { status, fields, ignored, now, .. } = received;
    let (said, is_targeted) = said(fields, received.targets, ignored);
    let accel = accel_expires(fields, ignored, now);
    if accel == Some(0) || !may_be_stored(received, &said, accel.is_some()) {
        return None;
    }
    let date = fields.get(Known::Date).and_then(date::parse_strictly).unwrap_or(now);
    let by_expires = || match is_targeted || ignored.has(Ignored::EXPIRES_FIELD) {
        true => None,
        false => expires(fields, date),
    };
    let explicit = accel.or_else(|| said.lifetime()).or_else(by_expires);
    let has_cookie = !ignored.has(Ignored::SET_COOKIE) && fields.contains(Known::SetCookie);
    if explicit.is_none() && has_cookie {
        return None;
    }
    let may_guess = said.public || is_kept_unsaid(status);
    let lifetime = explicit
        .or(received.by_status.filter(|&seconds| seconds > 0))
        .or_else(|| may_guess.then(|| heuristic(fields, date)))?;
    let age = initial_age(fields, date, now, received.delay);
    // The last valid second: a response is fresh while its lifetime exceeds its age.
    let mut valid = now.saturating_add(lifetime.saturating_sub(age)).saturating_sub(1);
    if said.no_cache && accel.is_none() {
        valid = valid.min(now - 1);
    }
    let window = |seconds: Option<i64>| match said.forbids_stale() {
        true => 0,
        false => u32::try_from(seconds.unwrap_or(0)).unwrap_or(u32::MAX),
    };
    let (updating, error) = (window(said.updating), window(said.error));
    let is_useful = valid.saturating_add(i64::from(updating.max(error))) >= now
        || Conditions::of(status, fields).fields().next().is_some();
    let times = Times { valid, updating, error, date: now };
    is_useful.then_some(Lifetime { times, age, withheld: said.withheld })
}

/// Whether a response may be stored at all (section 3). `X-Accel-Expires` overrules what is said
/// to others.
fn may_be_stored(received: &Received<'_>, said: &Said, by_accel: bool) -> bool {
    let &Received { status, .. } = received;
    let understands = is_understood(status);
    let is_forbidden = match said.must_understand {
        true => !understands,
        false => said.no_store,
    };
    status >= 200
        && (status != 206 || received.keeps_parts)
        && (by_accel || !is_forbidden && !said.private)
        && (!received.is_authorized || said.is_for_all())
}

/// The lifetime by `X-Accel-Expires`, 0 for none at all. None if nothing is said.
fn accel_expires(fields: &Headers, ignored: Ignored, now: i64) -> Option<i64> {
    let value = fields.get(Known::XAccelExpires)?;
    if ignored.has(Ignored::EXPIRES) {
        return None;
    }
    match value.strip_prefix(b"@") {
        // A time that has passed keeps nothing, either.
        Some(at) => freshness::number(at).map(|at| at.saturating_sub(now).max(0)),
        None => freshness::number(value),
    }
}

/// The lifetime by `Expires`; what is no date is in the past (section 5.3).
fn expires(fields: &Headers, date: i64) -> Option<i64> {
    let value = fields.get(Known::Expires)?;
    Some(date::parse_strictly(value).map_or(0, |expires| expires.saturating_sub(date)))
}

/// The lifetime of a response that does not say it.
fn heuristic(fields: &Headers, date: i64) -> i64 {
    let modified = fields.get(Known::LastModified).and_then(date::parse_strictly);
    let unchanged = modified.map_or(0, |modified| date.saturating_sub(modified));
    (unchanged / HEURISTIC_PART).clamp(0, HEURISTIC_MOST)
}

/// The age of a response when it was received (section 4.2.3).
fn initial_age(fields: &Headers, date: i64, now: i64, delay: i64) -> i64 {
    let apparent = now.saturating_sub(date).max(0);
    let corrected = age(fields).saturating_add(delay.max(0));
    apparent.max(corrected).min(MOST_SECONDS)
}

/// The value of `Age`: the first one of the first line; what is no number of seconds is ignored
/// (section 5.1).
pub(super) fn age(fields: &Headers) -> i64 {
    let first = fields.get(Known::Age).and_then(|line| directives(line).next());
    let first = first.filter(|first| first.argument.is_none());
    first.and_then(|first| seconds(first.name)).unwrap_or(0)
}

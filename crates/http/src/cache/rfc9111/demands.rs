//! What a request demands of a stored response (RFC 9111 section 5.2.1).

use super::control::{Directive, MOST_SECONDS, directives, seconds};

/// What a request demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demands {
    /// A stored response must be validated.
    no_cache: bool,
    /// The response must not be stored.
    pub(crate) no_store: bool,
    /// The upstream must not be asked.
    pub(crate) only_if_cached: bool,
    /// The greatest age, in seconds.
    max_age: i64,
    /// The seconds for which the response must stay fresh.
    min_fresh: i64,
    /// The greatest time since the end of the lifetime, in seconds; 0 if it must be fresh.
    max_stale: i64,
}

impl Default for Demands {
    fn default() -> Self {
        let (no_cache, no_store, only_if_cached) = (false, false, false);
        let (max_age, min_fresh, max_stale) = (i64::MAX, 0, 0);
        Self { no_cache, no_store, only_if_cached, max_age, min_fresh, max_stale }
    }
}

impl Demands {
    /// Those of a request with these lines of `Cache-Control` and `Pragma`.
    pub(in crate::cache) fn of<'t>(
        lines: impl Iterator<Item = &'t [u8]>,
        pragma: Option<&[u8]>,
    ) -> Self {
        let mut demands = Self::default();
        let mut says = false;
        for Directive { name, argument } in lines.flat_map(directives) {
            says = true;
            let number = argument.as_deref().and_then(seconds);
            match name.to_ascii_lowercase().as_slice() {
                b"no-cache" => demands.no_cache = true,
                b"no-store" => demands.no_store = true,
                b"only-if-cached" => demands.only_if_cached = true,
                b"max-age" => demands.max_age = number.unwrap_or(0),
                b"min-fresh" => demands.min_fresh = number.unwrap_or(0),
                b"max-stale" if argument.is_none() => demands.max_stale = MOST_SECONDS,
                b"max-stale" => demands.max_stale = number.unwrap_or(0),
                _ => {}
            }
        }
        // Counts only if there is no Cache-Control (section 5.4).
        if let Some(pragma) = pragma.filter(|_| !says) {
            let is_no_cache = |word: Directive<'_>| word.name.eq_ignore_ascii_case(b"no-cache");
            demands.no_cache = directives(pragma).any(is_no_cache);
        }
        demands
    }

    /// Whether a response of this age that stays fresh for `left` seconds (less than 1 if it is
    /// stale) is good enough, if stale ones may be used.
    pub(in crate::cache) fn are_met(&self, age: i64, left: i64) -> bool {
        self.allow_age(age)
            && (left >= self.min_fresh.max(1) || self.max_stale > 0 && left >= -self.max_stale)
    }

    /// Whether a response of this age is good enough, if it may be stale for other reasons.
    pub(in crate::cache) fn allow_age(&self, age: i64) -> bool {
        !self.no_cache && age <= self.max_age
    }
}

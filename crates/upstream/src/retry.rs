//! `…_next_upstream`: retries of failed attempts.

pub(crate) mod budget;

use std::ops::{BitOr, BitOrAssign};

use crate::outcome::Outcome;

/// A set of causes of failed attempts, as listed in `proxy_next_upstream`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes(u32);

impl Causes {
    /// Establishing, writing to or reading from the connection failed.
    pub const ERROR: Self = Self(1 << 1);
    /// Connecting, sending or reading took too long.
    pub const TIMEOUT: Self = Self(1 << 2);
    /// The response is empty or malformed.
    pub const INVALID_HEADER: Self = Self(1 << 3);
    /// Status 500.
    pub const HTTP_500: Self = Self(1 << 4);
    /// Status 502.
    pub const HTTP_502: Self = Self(1 << 5);
    /// Status 503.
    pub const HTTP_503: Self = Self(1 << 6);
    /// Status 504.
    pub const HTTP_504: Self = Self(1 << 7);
    /// Status 403.
    pub const HTTP_403: Self = Self(1 << 8);
    /// Status 404.
    pub const HTTP_404: Self = Self(1 << 9);
    /// Status 429.
    pub const HTTP_429: Self = Self(1 << 10);
    /// For `…_cache_use_stale`: the entry is being updated.
    pub const UPDATING: Self = Self(1 << 11);
    /// Non-idempotent requests may be retried.
    pub const NON_IDEMPOTENT: Self = Self(1 << 14);
    /// No live peer. Not a word of the lists.
    pub const NO_LIVE: Self = Self(1 << 30);
    /// No retries.
    pub const OFF: Self = Self(1 << 31);

    /// The default causes.
    pub const DEFAULT: Self = Self(Self::ERROR.0 | Self::TIMEOUT.0);

    /// The words of `…_next_upstream` and `…_cache_use_stale`.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("timeout", Self::TIMEOUT),
        ("invalid_header", Self::INVALID_HEADER),
        ("non_idempotent", Self::NON_IDEMPOTENT),
        ("http_500", Self::HTTP_500),
        ("http_502", Self::HTTP_502),
        ("http_503", Self::HTTP_503),
        ("http_504", Self::HTTP_504),
        ("http_403", Self::HTTP_403),
        ("http_404", Self::HTTP_404),
        ("http_429", Self::HTTP_429),
        ("updating", Self::UPDATING),
        ("off", Self::OFF),
    ];

    /// The cause of a status, if it is one.
    pub fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            500 => Self::HTTP_500,
            502 => Self::HTTP_502,
            503 => Self::HTTP_503,
            504 => Self::HTTP_504,
            403 => Self::HTTP_403,
            404 => Self::HTTP_404,
            429 => Self::HTTP_429,
            _ => return None,
        })
    }

    /// Whether the set has all of these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set with `off` applied: it overrides all others.
    #[must_use]
    pub fn settled(self) -> Self {
        if self.contains(Self::OFF) { Self::OFF } else { self }
    }

    /// The outcome of the attempt for its peer.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::HTTP_403 | Self::HTTP_404 => Outcome::NotCounted,
            _ => Outcome::Failed,
        }
    }

    /// The client's status if no other peer is asked.
    pub fn status(self) -> u16 {
        match self {
            Self::TIMEOUT | Self::HTTP_504 => 504,
            Self::HTTP_500 => 500,
            Self::HTTP_503 => 503,
            Self::HTTP_403 => 403,
            Self::HTTP_404 => 404,
            Self::HTTP_429 => 429,
            _ => 502,
        }
    }
}

impl BitOr for Causes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Causes {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// The retry settings of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// `…_next_upstream`, settled.
    pub causes: Causes,
    /// `…_next_upstream_timeout` in milliseconds; 0 is no limit. ([`Pick`](crate::Pick) has the
    /// limit of tries.)
    pub timeout: u64,
}

/// The progress of a request at a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of attempts left. When a status is judged, it includes the current one.
    pub tries: usize,
    /// Whether any part of the request was sent to a peer.
    pub request_sent: bool,
    /// Whether the method is POST, LOCK or PATCH.
    pub non_idempotent: bool,
    /// Whether the body was not kept (`proxy_request_buffering off`), so that it cannot be sent
    /// again.
    pub body_gone: bool,
    /// Whether a part of such a body was taken from the client, so that it cannot be sent again
    /// even if the peer has not begun with the request.
    pub body_spent: bool,
    /// Milliseconds since the start of the first attempt.
    pub elapsed: u64,
}

impl Retry {
    /// Whether to ask another peer after the attempt failed and its peer was freed.
    pub fn goes_on(&self, cause: Causes, progress: &Progress) -> bool {
        progress.tries > 0 && self.allows(cause, progress)
    }

    /// Whether to ask another peer because of the status of a valid response. Called while the peer
    /// still has the request: without another peer the response is passed on.
    pub fn refuses(&self, cause: Causes, progress: &Progress) -> bool {
        progress.tries > 1 && self.allows(cause, progress)
    }

    fn allows(&self, cause: Causes, progress: &Progress) -> bool {
        let mut wanted = cause;
        if progress.request_sent && progress.non_idempotent {
            wanted |= Causes::NON_IDEMPOTENT;
        }
        let lacks_body = progress.body_spent || progress.request_sent && progress.body_gone;
        let is_late = self.timeout != 0 && progress.elapsed >= self.timeout;
        self.causes.contains(wanted) && !lacks_body && !is_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry { causes: Causes::DEFAULT, timeout: 0 };
    const ONE_LEFT: Progress = Progress {
        tries: 1,
        request_sent: true,
        non_idempotent: false,
        body_gone: false,
        body_spent: false,
        elapsed: 0,
    };

    #[test]
    fn only_what_is_listed_goes_on() {
        assert!(RETRY.goes_on(Causes::ERROR, &ONE_LEFT));
        assert!(!RETRY.goes_on(Causes::INVALID_HEADER, &ONE_LEFT));
        assert!(!RETRY.goes_on(Causes::NO_LIVE, &ONE_LEFT));
        assert!(!RETRY.goes_on(Causes::ERROR, &Progress { tries: 0, ..ONE_LEFT }));
        let off = Retry { causes: (Causes::ERROR | Causes::OFF).settled(), ..RETRY };
        assert!(!off.goes_on(Causes::ERROR, &ONE_LEFT));
    }

    #[test]
    fn a_post_that_went_out_is_not_repeated_unless_allowed() {
        let post = Progress { non_idempotent: true, ..ONE_LEFT };
        assert!(!RETRY.goes_on(Causes::ERROR, &post));
        assert!(RETRY.goes_on(Causes::ERROR, &Progress { request_sent: false, ..post }));
        let bold = Retry { causes: Causes::DEFAULT | Causes::NON_IDEMPOTENT, ..RETRY };
        assert!(bold.goes_on(Causes::ERROR, &post));
        assert!(!bold.goes_on(Causes::ERROR, &Progress { body_gone: true, ..post }));
        let refused = Progress { request_sent: false, body_gone: true, ..post };
        assert!(bold.goes_on(Causes::ERROR, &refused));
        assert!(!bold.goes_on(Causes::ERROR, &Progress { body_spent: true, ..refused }));
    }

    #[test]
    fn a_status_needs_another_peer_to_go_to() {
        let retry = Retry { causes: Causes::HTTP_404, timeout: 100 };
        let two = Progress { tries: 2, elapsed: 99, ..ONE_LEFT };
        assert!(retry.refuses(Causes::HTTP_404, &two));
        assert!(!retry.refuses(Causes::HTTP_404, &ONE_LEFT));
        assert!(!retry.refuses(Causes::HTTP_500, &two));
        assert!(!retry.refuses(Causes::HTTP_404, &Progress { elapsed: 100, ..two }));
        assert_eq!(Causes::of_status(404), Some(Causes::HTTP_404));
        assert_eq!(Causes::of_status(200), None);
        assert_eq!(Causes::HTTP_404.outcome(), Outcome::NotCounted);
        assert_eq!(Causes::HTTP_504.outcome(), Outcome::Failed);
    }
}

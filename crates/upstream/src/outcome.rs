//! The outcome of an attempt at a peer.

/// The outcome of an attempt, for the peer's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A good response.
    Success,
    /// A response that tells of a failure and is passed on all the same: a success for `max_fails`,
    /// a failure for methods that measure.
    Error,
    /// No response, or one listed as a failure: counts towards `max_fails`.
    Failed,
    /// A response after which the request goes on to another peer (403, 404): counts as neither.
    NotCounted,
}

impl Outcome {
    /// The outcome of an attempt whose response is passed on.
    pub fn of_status(status: u16) -> Self {
        match status {
            500 | 502..=504 | 506.. => Self::Error,
            // 501 and 505 are about the request.
            _ => Self::Success,
        }
    }
}

/// The measured times of an attempt in milliseconds. Missing times are not averaged: http omits all
/// for a response without a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the connection.
    pub connect: Option<u64>,
    /// Until the header, or the first byte.
    pub header: Option<u64>,
    /// Until the last byte.
    pub response: Option<u64>,
}

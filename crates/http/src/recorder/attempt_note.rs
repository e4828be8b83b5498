//! The note of one attempt at an upstream.

use super::notes::Text;
use weir_engine::clock::Micros;

/// An attempt. Times are in microseconds since the start of the request; 0 for what did not happen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttemptNote {
    /// The number of the subrequest that made it; 0 for the request itself.
    pub(crate) of: u16,
    /// Its place among the attempts of that request.
    pub(crate) place: u16,
    /// The peer's address, or the group's name if there was none.
    pub(crate) name: Text,
    /// The group's name.
    pub(crate) group: Text,
    /// Whether there was no peer.
    pub(crate) nobody: bool,
    /// The choice of the peer.
    pub(crate) at: u64,
    /// The connection.
    pub(crate) connected: u64,
    /// Whether the connection was there already.
    pub(crate) reused: bool,
    /// The end of the response's head.
    pub(crate) headed: u64,
    /// The end of the attempt.
    pub(crate) ended: u64,
    /// Its error, in the words of the log.
    pub(crate) error: Text,
    /// What followed.
    pub(crate) next: Next,
    /// The method of balancing, or the reason that made it unnecessary.
    pub(crate) method: &'static str,
    /// What the method compares; empty if it does not.
    pub(crate) compared: &'static str,
    /// Whether the choice was among the backup servers.
    pub(crate) backup: bool,
    /// The number of servers of the group that the choice was among.
    pub(crate) servers: u32,
    /// The number of those that were looked at for [`RivalNote`]s.
    pub(crate) looked_at: u32,
    /// The range of its rivals.
    pub(crate) rivals: (u16, u16),
    /// The figures that the request's own state has at its end.
    pub(crate) figures: Figures,
}

/// The figures of an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// The status; 0 if there is none.
    pub(crate) status: u16,
    /// The time in the queue.
    pub(crate) queue: Option<Micros>,
    /// Bytes sent, received, and of the body.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) body: u64,
}

/// What followed an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is under way, or was the last because it succeeded.
    #[default]
    Nothing,
    /// Another attempt.
    Retry,
    /// No other attempt, for this reason.
    GivenUp(&'static str),
}

/// A server that could have been chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RivalNote {
    /// Its address.
    pub(crate) name: Text,
    /// Its weight.
    pub(crate) weight: u32,
    /// Its active requests.
    pub(crate) active: u64,
    /// What the method went by, if it compares.
    pub(crate) score: Option<f64>,
    /// Why it could not be chosen; empty if it could.
    pub(crate) excluded: &'static str,
    /// Whether it was chosen.
    pub(crate) chosen: bool,
}

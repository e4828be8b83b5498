//! What a killed worker has noted about the health of servers (`record/health.rs`).

use std::collections::HashMap;

use crate::{check::judge::Judgement, clock::Now, peer::Peer};

/// The health of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// What checks and its agent say.
    pub(crate) judged: Judgement,
    /// The end of its ejection in milliseconds; 0 if it is not ejected.
    pub(crate) until: u64,
    /// The weight and the limit of requests that its agent has said.
    pub(crate) said: (u64, u64),
}

/// What a killed worker has noted about addresses of names that are not resolved again yet.
#[derive(Debug, Default)]
pub(crate) struct Left {
    noted: HashMap<String, Noted>,
    /// It is heeded until then, in milliseconds.
    until: u64,
}

/// How long that is heeded, in milliseconds: names are asked for at once, and an address that comes
/// later may be another server's.
const HEEDED: u64 = 60_000;

impl Left {
    pub(crate) fn new(noted: HashMap<String, Noted>, now: Now) -> Self {
        Self { noted, until: now.millis + HEEDED }
    }

    /// Names of servers with what is noted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Noted)> {
        self.noted.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    pub(crate) fn is_over(&self, now: Now) -> bool {
        self.noted.is_empty() || now.millis > self.until
    }

    /// What is noted about a new server.
    pub(crate) fn take(&mut self, peer: &Peer, now: Now) -> Option<Noted> {
        if self.is_over(now) {
            self.noted = HashMap::new();
            return None;
        }
        self.noted.remove(&peer.name)
    }
}

impl Noted {
    /// That of a server now.
    pub(crate) fn of(peer: &Peer) -> Self {
        let (judged, said) = (peer.judgement(), peer.state.said.noted());
        Self { judged, until: peer.ejected_until().unwrap_or(0), said }
    }
}

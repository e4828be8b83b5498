//! The results of probes, and the verdicts that follow from them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    check::config::CheckConfig,
    health::{Checks, Health},
};

/// The results of one check at one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// The number of passes in a row.
    passes: u32,
    /// The number of failures in a row.
    pub(super) fails: u32,
}

impl Tally {
    /// Adds a result, and returns the verdict that follows the one so far.
    pub(super) fn judge(&mut self, so_far: Health, passed: bool, check: &CheckConfig) -> Health {
        *self = match passed {
            true => Self { passes: self.passes.saturating_add(1), fails: 0 },
            false => Self { passes: 0, fails: self.fails.saturating_add(1) },
        };
        match so_far {
            // The first result decides.
            Health::Checking if passed => Health::Good,
            Health::Checking => Health::Unhealthy,
            Health::Good if self.fails >= check.fails => Health::Unhealthy,
            Health::Unhealthy if self.passes >= check.passes => Health::Good,
            Health::Good | Health::Unhealthy => so_far,
        }
    }
}

/// The counts of all checks of a peer, as in nginx's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// The number of probes.
    pub checks: u64,
    /// The number of failed probes.
    pub fails: u64,
    /// How often the peer became unhealthy.
    pub unhealthy: u64,
    /// Whether the last probe passed; `None` before the first.
    pub last_passed: Option<bool>,
}

/// The results of all checks of a peer.
#[derive(Debug, Default)]
pub(crate) struct CheckResults(Mutex<Results>);

#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) counts: CheckCounts,
    /// By the number of the check.
    pub(super) tallies: Vec<Tally>,
    /// The checks that have a verdict of this node.
    pub(crate) proved: Checks,
    /// The checks without one by which other nodes find the peer unhealthy.
    pub(crate) doubted: Checks,
}

impl CheckResults {
    pub(crate) fn results(&self) -> MutexGuard<'_, Results> {
        // No code under this lock leaves them inconsistent, so poisoning is harmless.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts.
    pub(crate) fn counts(&self) -> CheckCounts {
        self.results().counts
    }

    /// Starts the counts over; the last result stays.
    pub(crate) fn reset(&self) {
        let counts = &mut self.results().counts;
        *counts = CheckCounts { last_passed: counts.last_passed, ..CheckCounts::default() };
    }
}

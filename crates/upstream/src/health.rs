//! Health: what others than requests say about a peer. Every source has a verdict of its own, and a
//! peer takes requests if all sources that its group heeds find it good.
//!
//! Verdicts are apart from the limits: reloads and edits leave them alone. The configuration only
//! decides which of them count.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The health of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Healthy, or not judged.
    #[default]
    Good,
    /// The first verdict is pending, and requests wait for it.
    Checking,
    /// Judged to be unfit for requests.
    Unhealthy,
}

/// A source of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The health check with this number in its group, below [`MAX_CHECKS`].
    Check(usize),
    /// The comparison with its siblings (`outlier_ejection`).
    Outlier,
    /// Its agent says that it is down.
    Agent,
    /// Its agent wants maintenance: an administrative state, as the next one.
    AgentMaint,
    /// Its agent wants it to take bound requests only.
    AgentDrain,
    /// Its agent says a weight of 0, which has the same effect.
    AgentWeight,
    /// Other nodes' checks find it unhealthy, and those of this one have not found anything yet.
    OtherNodes,
}

/// A set of the checks of a group, a bit for each number.
pub(crate) type Checks = u32;

/// The limit of health checks of one group.
pub const MAX_CHECKS: usize = 16;

impl Source {
    /// The words of an agent.
    pub(crate) const AGENTS: [Self; 4] =
        [Self::Agent, Self::AgentMaint, Self::AgentDrain, Self::AgentWeight];

    const fn bit(self) -> u64 {
        match self {
            Self::Check(number) => 1 << (number % MAX_CHECKS),
            Self::Outlier => 1 << MAX_CHECKS,
            Self::Agent => 1 << (MAX_CHECKS + 1),
            Self::AgentMaint => 1 << (MAX_CHECKS + 2),
            Self::AgentDrain => 1 << (MAX_CHECKS + 3),
            Self::AgentWeight => 1 << (MAX_CHECKS + 4),
            Self::OtherNodes => 1 << (MAX_CHECKS + 5),
        }
    }
}

/// A set of sources: those that a group heeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources(u64);

impl Sources {
    /// Those that keep only unbound requests away.
    const DRAINS: u64 = Source::AgentDrain.bit() | Source::AgentWeight.bit();

    /// Without those that keep only unbound requests away.
    pub(crate) fn for_bound_requests(self) -> Self {
        Self(self.0 & !Self::DRAINS)
    }

    /// Without administrative states.
    pub(crate) fn of_health(self) -> Self {
        Self(self.0 & !Self::DRAINS & !Source::AgentMaint.bit())
    }

    /// Whether a source is among them.
    pub(crate) fn has(self, source: Source) -> bool {
        self.0 & source.bit() != 0
    }

    /// The others.
    pub(crate) fn without(self, source: Source) -> Self {
        Self(self.0 & !source.bit())
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<T: IntoIterator<Item = Source>>(sources: T) -> Self {
        Self(sources.into_iter().fold(0, |all, source| all | source.bit()))
    }
}

/// The verdicts of all sources about a peer, shared by threads. The lower half has a bit for each
/// source that finds it unhealthy, and the upper half for each whose first verdict is pending.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(AtomicU64);

/// The distance of the halves.
const PENDING: u32 = 32;

/// The verdicts that the journal has: those of this node.
const NOTED: u64 = {
    let half = (1 << (MAX_CHECKS + 5)) - 1;
    half | half << PENDING
};

impl Verdicts {
    /// Sets the verdict of a source.
    pub(crate) fn set(&self, source: Source, health: Health) {
        let (bad, pending) = (source.bit(), source.bit() << PENDING);
        let bits = match health {
            Health::Good => 0,
            Health::Checking => pending,
            Health::Unhealthy => bad,
        };
        let replace = |old: u64| Some(old & !(bad | pending) | bits);
        let _ = self.0.fetch_update(Relaxed, Relaxed, replace);
    }

    /// Makes the verdicts of these sources pending.
    pub(crate) fn await_all(&self, sources: Sources) {
        self.0.fetch_or(sources.0 << PENDING, Relaxed);
    }

    /// The verdicts as one number, for the journal.
    pub(crate) fn noted(&self) -> u64 {
        self.0.load(Relaxed) & NOTED
    }

    /// Sets these verdicts from the number of the journal.
    pub(crate) fn restore(&self, noted: u64) {
        let replace = |old: u64| Some(old & !NOTED | noted & NOTED);
        let _ = self.0.fetch_update(Relaxed, Relaxed, replace);
    }

    /// The verdict of one source.
    pub(crate) fn of(&self, source: Source) -> Health {
        self.worst(Sources(source.bit()))
    }

    /// The worst verdict of these sources.
    pub(crate) fn worst(&self, heeded: Sources) -> Health {
        let all = self.0.load(Relaxed);
        match (all & heeded.0, all >> PENDING & heeded.0) {
            (0, 0) => Health::Good,
            (0, _) => Health::Checking,
            _ => Health::Unhealthy,
        }
    }

    /// Whether all of these sources find the peer good.
    pub(crate) fn are_good(&self, heeded: Sources) -> bool {
        self.0.load(Relaxed) & (heeded.0 | heeded.0 << PENDING) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(count: usize) -> Sources {
        (0..count).map(Source::Check).collect()
    }

    #[test]
    fn every_source_has_to_agree() {
        let verdicts = Verdicts::default();
        let both = checks(2);
        assert!(verdicts.are_good(both));
        verdicts.set(Source::Check(0), Health::Checking);
        verdicts.set(Source::Check(1), Health::Checking);
        assert_eq!(verdicts.worst(both), Health::Checking);
        verdicts.set(Source::Check(0), Health::Unhealthy);
        assert_eq!(verdicts.worst(both), Health::Unhealthy);
        verdicts.set(Source::Check(1), Health::Good);
        assert_eq!(verdicts.worst(both), Health::Unhealthy);
        assert_eq!(verdicts.of(Source::Check(1)), Health::Good);
        verdicts.set(Source::Check(0), Health::Good);
        assert!(verdicts.are_good(both));
        assert_eq!(verdicts.worst(both), Health::Good);
    }

    #[test]
    fn sources_that_are_not_heeded_do_not_count() {
        let verdicts = Verdicts::default();
        verdicts.set(Source::Check(MAX_CHECKS - 1), Health::Unhealthy);
        assert!(verdicts.are_good(checks(MAX_CHECKS - 1)));
        assert_eq!(verdicts.worst(checks(MAX_CHECKS - 1)), Health::Good);
        assert!(!verdicts.are_good(checks(MAX_CHECKS)));
        assert_eq!(verdicts.of(Source::Check(0)), Health::Good);
    }
}

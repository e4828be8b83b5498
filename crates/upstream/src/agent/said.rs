//! What the agent of a peer has said, but for health and administration, which are verdicts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use weir_wire::agent::{Admin, AgentLine, AgentWeight};

/// No limit was said.
const UNSAID: u64 = u64::MAX;

/// Marks an absolute weight; a percentage is without it.
const ABSOLUTE: u64 = 1 << 32;

/// What an agent has said. Its words about health and administration are
/// [`Verdicts`](crate::health::Verdicts).
#[derive(Debug)]
pub(crate) struct Said {
    weight: AtomicU64,
    max_conns: AtomicU64,
    /// Whether it has ever said something.
    heard: AtomicBool,
    /// Whether it did not answer the last question.
    lost: AtomicBool,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            weight: AtomicU64::new(100),
            max_conns: AtomicU64::new(UNSAID),
            heard: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }
}

/// The words of an agent, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentView {
    /// Whether it answered the last question; `None` before the first answer or failure.
    pub reached: Option<bool>,
    /// Its last word about the administrative state.
    pub admin: Admin,
    /// Its last word about the health.
    pub up: bool,
    /// Its last word about the weight.
    pub weight: AgentWeight,
    /// Its last word about the limit of requests.
    pub max_conns: Option<u64>,
}

/// What an agent has said, as nodes tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// A bit for each of [`Source::AGENTS`](crate::health::Source::AGENTS).
    pub(crate) verdicts: u64,
    /// The weight and the limit of requests, as noted.
    pub(crate) said: (u64, u64),
}

impl Said {
    /// The weight.
    pub(super) fn weight(&self) -> AgentWeight {
        let packed = self.weight.load(Relaxed);
        let number = packed as u32;
        match packed & ABSOLUTE {
            0 => AgentWeight::Percent(number),
            _ => AgentWeight::Absolute(number),
        }
    }

    /// The effective part of a nominal weight, as a fraction.
    pub(crate) fn part_of(&self, nominal: u32) -> (u32, u32) {
        match self.weight() {
            AgentWeight::Percent(percent) => (percent, 100),
            AgentWeight::Absolute(weight) => (weight, nominal.max(1)),
        }
    }

    /// The limit of requests that the agent has set; 0 is none.
    pub(crate) fn max_conns(&self) -> Option<u64> {
        Some(self.max_conns.load(Relaxed)).filter(|&max| max != UNSAID)
    }

    /// Takes over the words of a line about the weight and the limit of requests.
    pub(super) fn apply(&self, line: &AgentLine) {
        line.weight.into_iter().for_each(|weight| self.set_weight(weight));
        if let Some(max) = line.max_conns {
            self.max_conns.store(max.min(UNSAID - 1), Relaxed);
        }
        self.heard.store(true, Relaxed);
        self.lost.store(false, Relaxed);
    }

    /// The weight and the limit of requests as numbers, for the journal.
    pub(crate) fn noted(&self) -> (u64, u64) {
        (self.weight.load(Relaxed), self.max_conns.load(Relaxed))
    }

    /// Sets these words from the numbers of the journal.
    pub(crate) fn restore(&self, (weight, max_conns): (u64, u64)) {
        self.weight.store(weight & (ABSOLUTE | u64::from(u32::MAX)), Relaxed);
        self.max_conns.store(max_conns, Relaxed);
    }

    /// Whether it has ever said something to this node.
    pub(super) fn is_heard(&self) -> bool {
        self.heard.load(Relaxed)
    }

    /// It did not answer. Returns whether it did the last time.
    pub(super) fn lose(&self) -> bool {
        !self.lost.swap(true, Relaxed)
    }

    /// Whether it answered the last question, if there was one.
    pub(super) fn is_reached(&self) -> Option<bool> {
        let (heard, lost) = (self.heard.load(Relaxed), self.lost.load(Relaxed));
        (heard || lost).then_some(!lost)
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.set_weight(AgentWeight::Percent(100));
        self.max_conns.store(UNSAID, Relaxed);
        self.heard.store(false, Relaxed);
        self.lost.store(false, Relaxed);
    }

    fn set_weight(&self, weight: AgentWeight) {
        let packed = match weight {
            AgentWeight::Percent(percent) => u64::from(percent),
            AgentWeight::Absolute(weight) => ABSOLUTE | u64::from(weight),
        };
        self.weight.store(packed, Relaxed);
    }
}

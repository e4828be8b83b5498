//! The effect of what other nodes have found.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_engine::{Level, error_log::process_log};

use super::record::{Findings, Found, names};
use crate::{
    check::config::CheckConfig,
    clock::Now,
    health::{Health, MAX_CHECKS, Source},
    peer::Peer,
};

/// What other nodes have found about the servers of a group, by node. It outlives reloads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others(Arc<Mutex<BTreeMap<String, Heard>>>);

/// What a node has found, when it was last seen.
#[derive(Debug)]
struct Heard {
    findings: Findings,
    is_away: bool,
}

impl Heard {
    /// What counts of it. That a server was good says little once the node is away.
    fn of(&self, peer: &Peer, checks: &[String]) -> Option<Found> {
        let found = self.findings.of(&peer.name, checks)?;
        Some(if self.is_away { Found { good: 0, ..found } } else { found })
    }
}

impl Others {
    fn by_node(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        // No code under this lock leaves it inconsistent, so poisoning is harmless.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what a node has found.
    pub(crate) fn set(&self, node: &str, findings: Option<Findings>) {
        let mut by_node = self.by_node();
        match findings {
            Some(findings) => by_node.insert(node.to_owned(), Heard { findings, is_away: false }),
            None => by_node.remove(node),
        };
    }

    /// A node is away. What it has told stays in force, and makes no later server good.
    pub(crate) fn leave(&self, node: &str) {
        if let Some(heard) = self.by_node().get_mut(node) {
            heard.is_away = true;
        }
    }

    /// Whether no node has found anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_node().is_empty()
    }

    /// Makes servers heed what is known. Returns whether the health of any has changed.
    pub(crate) fn teach<'a>(
        &self,
        group: &str,
        checks: &[CheckConfig],
        peers: impl IntoIterator<Item = &'a Arc<Peer>>,
        now: Now,
    ) -> bool {
        let by_node = self.by_node();
        let names = names(checks);
        let mut has_changed = false;
        for peer in peers {
            let found = by_node.values().filter_map(|heard| heard.of(peer, &names));
            let found = found.fold(Found::default(), Found::or);
            let before = peer.judgement();
            peer.heed(group, found, now);
            has_changed |= peer.judgement() != before;
        }
        has_changed
    }
}

impl Peer {
    /// Heeds what other nodes have found, where this node has no verdict of its own.
    fn heed(&self, group: &str, found: Found, now: Now) {
        let before = self.health();
        self.heed_checks(found, now);
        if let Some(words) = found.words {
            self.hear_of(words, now);
        }
        let after = self.health();
        if before == after {
            return;
        }
        let (level, what) = match after {
            Health::Unhealthy => (Level::Warn, "is unhealthy, as other nodes have found"),
            Health::Good if found.good != 0 => {
                (Level::Notice, "is healthy, as other nodes have found")
            }
            _ => (Level::Notice, "is no longer found unhealthy by other nodes"),
        };
        process_log().log(
            level,
            0,
            format_args!("server {} in upstream \"{group}\" {what}", self.name),
        );
    }

    fn heed_checks(&self, found: Found, now: Now) {
        let mut results = self.state.checks.results();
        let open = !results.proved;
        results.doubted = found.bad & open;
        let is_doubted = results.doubted != 0;
        if is_doubted && self.state.verdicts.of(Source::OtherNodes) == Health::Good {
            let was_ill = self.health() == Health::Unhealthy;
            self.set_health(Source::OtherNodes, Health::Unhealthy, now);
            results.counts.unhealthy += u64::from(!was_ill);
        }
        for number in (0..MAX_CHECKS).filter(|number| found.good & open & 1 << number != 0) {
            if self.state.verdicts.of(Source::Check(number)) == Health::Checking {
                self.set_health(Source::Check(number), Health::Good, now);
            }
        }
        if !is_doubted && self.state.verdicts.of(Source::OtherNodes) != Health::Good {
            self.set_health(Source::OtherNodes, Health::Good, now);
        }
    }

    /// What this node itself has found.
    pub(super) fn found(&self) -> Found {
        let proved = self.state.checks.results().proved;
        let is_bad = |&number: &usize| {
            proved & 1 << number != 0
                && self.state.verdicts.of(Source::Check(number)) == Health::Unhealthy
        };
        let bad = (0..MAX_CHECKS).filter(is_bad).fold(0, |all, number| all | 1 << number);
        Found { good: proved & !bad, bad, words: self.state.words() }
    }
}

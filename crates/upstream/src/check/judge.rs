//! The changes of health that follow from the results of probes.

use weir_engine::Level;

use crate::{
    check::{
        config::CheckConfig,
        probe::{Finding, Probed},
        tally::Tally,
    },
    clock::Now,
    health::{Checks, Health, MAX_CHECKS, Source},
    peer::{Peer, PeerState},
};

/// The effect of a result on its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The new verdict of the check, if it has changed.
    pub(crate) change: Option<Health>,
    /// Whether this is the first failure after a pass.
    pub(crate) first_failure: bool,
}

/// What the journal has about the checks of a peer, and its agent's verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The bits of the verdicts.
    pub(crate) verdicts: u64,
    /// The checks that have a verdict of this node.
    pub(crate) proved: Checks,
}

impl Peer {
    /// The verdicts of this node.
    pub(crate) fn judgement(&self) -> Judgement {
        let proved = self.state.checks.results().proved;
        Judgement { verdicts: self.state.verdicts.noted(), proved }
    }

    /// Adds the result of the check with this number.
    pub(crate) fn judge(
        &self,
        number: usize,
        check: &CheckConfig,
        passed: bool,
        now: Now,
    ) -> Judged {
        let source = Source::Check(number);
        let bit: Checks = 1 << number;
        let so_far = self.state.verdicts.of(source);
        let mut results = self.state.checks.results();
        if results.tallies.len() <= number {
            results.tallies.resize_with(number + 1, Tally::default);
        }
        let is_doubted = results.doubted & bit != 0;
        // As after `mandatory`, the first result decides what other nodes have found.
        let basis = if is_doubted { Health::Checking } else { so_far };
        let verdict = results.tallies[number].judge(basis, passed, check);
        let first_failure = results.tallies[number].fails == 1;
        let before = self.health();
        if verdict != so_far {
            self.set_health(source, verdict, now);
            if (so_far, verdict) == (Health::Unhealthy, Health::Good) {
                // The check has seen what was wrong, and that it is over.
                self.readmit(now);
            }
        }
        if passed || verdict == Health::Unhealthy {
            results.proved |= bit;
            results.doubted &= !bit;
        }
        if is_doubted && results.doubted == 0 {
            self.set_health(Source::OtherNodes, Health::Good, now);
        }
        let turned = before != Health::Unhealthy && self.health() == Health::Unhealthy;
        let counts = &mut results.counts;
        counts.checks += 1;
        counts.fails += u64::from(!passed);
        counts.unhealthy += u64::from(turned);
        counts.last_passed = Some(passed);
        Judged { change: (verdict != basis).then_some(verdict), first_failure }
    }
}

/// Judges a peer by a finding. Returns the lines for the log: the reasons of a failure, and a
/// change of health.
pub(super) fn conclude(
    number: usize,
    check: &CheckConfig,
    peer: &Peer,
    finding: Finding,
    now: Now,
) -> Vec<(Level, String)> {
    let Finding { probed, doing, reasons: mut lines } = finding;
    let passed = match probed {
        Probed::Passed => true,
        Probed::Failed | Probed::TimedOut => false,
        // A health check hears no words.
        Probed::Nothing | Probed::Said(_) => return lines,
    };
    let judged = peer.judge(number, check, passed, now);
    if !judged.first_failure {
        // Repeated failures are told only to those who want to know everything.
        lines.iter_mut().for_each(|(level, _)| *level = Level::Info.max(*level));
    }
    match judged.change {
        Some(Health::Unhealthy) => {
            lines.push((Level::Warn, format!("peer is unhealthy while {doing}")));
        }
        Some(Health::Good) => {
            lines.push((Level::Notice, format!("peer is healthy while {doing}")));
        }
        Some(Health::Checking) | None => {}
    }
    lines
}

impl PeerState {
    /// Makes a check prove anew what its verdict says, since it is another one.
    pub(crate) fn doubt_check(&self, number: usize) {
        self.checks.results().proved &= !(1 << number);
    }

    /// Forgets the results and verdicts of the checks from this number on.
    pub(crate) fn forget_checks(&self, from: usize) {
        let mut results = self.checks.results();
        results.tallies.truncate(from);
        let kept: Checks = (1 << from) - 1;
        results.proved &= kept;
        results.doubted &= kept;
        if results.doubted == 0 {
            self.verdicts.set(Source::OtherNodes, Health::Good);
        }
        for number in from..MAX_CHECKS {
            self.verdicts.set(Source::Check(number), Health::Good);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::Addr;

    use super::*;
    use crate::{check::tally::CheckCounts, server::Limits};

    const NOW: Now = Now { seconds: 1, millis: 1000 };

    fn check(fails: u32, passes: u32) -> CheckConfig {
        CheckConfig { fails, passes, ..CheckConfig::every(5000) }
    }

    fn peer(checks: usize) -> Peer {
        let address = Addr::Inet(([127, 0, 0, 1], 80).into());
        let mut peer = Peer::new(address, "s", Limits::default(), None);
        peer.heeded = (0..checks).map(Source::Check).collect();
        peer
    }

    /// The health after each result: `+` a pass, `-` a failure.
    fn course(peer: &Peer, check: &CheckConfig, results: &str) -> String {
        let letter = |result| {
            peer.judge(0, check, result == '+', NOW);
            match peer.health() {
                Health::Good => 'g',
                Health::Checking => 'c',
                Health::Unhealthy => 'u',
            }
        };
        results.chars().map(letter).collect()
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        assert_eq!(course(&peer(1), &check(1, 1), "+-+-"), "gugu");
        assert_eq!(course(&peer(1), &check(3, 2), "--+---+-++"), "gggggu".to_owned() + "uuug");
    }

    #[test]
    fn the_first_result_decides_about_a_new_server() {
        for (first, health) in [('+', "g"), ('-', "u")] {
            let peer = peer(1);
            peer.set_health(Source::Check(0), Health::Checking, NOW);
            assert_eq!(course(&peer, &check(3, 3), &first.to_string()), health);
        }
    }

    #[test]
    fn changes_are_told_once() {
        let peer = peer(1);
        let check = check(2, 1);
        let judge = |passed| peer.judge(0, &check, passed, NOW);
        let (none, first) = (Judged::default(), Judged { first_failure: true, change: None });
        assert_eq!([judge(true), judge(false)], [none, first]);
        assert_eq!(judge(false), Judged { change: Some(Health::Unhealthy), ..none });
        assert_eq!(judge(false), none);
        assert_eq!(judge(true), Judged { change: Some(Health::Good), ..none });
        let counts = peer.state.checks.counts();
        let expected = CheckCounts { checks: 5, fails: 3, unhealthy: 1, last_passed: Some(true) };
        assert_eq!(counts, expected);
    }

    #[test]
    fn one_of_several_checks_suffices_to_fail() {
        let peer = peer(2);
        let check = check(1, 1);
        peer.judge(0, &check, true, NOW);
        peer.judge(1, &check, false, NOW);
        assert_eq!(peer.health(), Health::Unhealthy);
        peer.judge(0, &check, false, NOW);
        peer.judge(1, &check, true, NOW);
        assert_eq!(peer.health(), Health::Unhealthy);
        assert_eq!(peer.state.checks.counts().unhealthy, 1);
        peer.state.forget_checks(0);
        assert_eq!(peer.health(), Health::Good);
    }
}

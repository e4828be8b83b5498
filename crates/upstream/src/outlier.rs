//! `outlier_ejection`: servers that fail, or are worse than their siblings, take no requests for a
//! while (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier>).
//!
//! ```text
//!  end of an attempt ─▶ conduct (of a peer) ─▶ siblings (at the end of an interval) ─┐
//!                            └────── failures in a row ──────────▶ eject ◀──────────┘
//! ```
//!
//! There is no timer: the first request after an event is due sees to it, before it chooses. The
//! ejection itself is a source of health, so choices cost no more than without it.

pub(crate) mod conduct;
pub(crate) mod config;
pub(crate) mod siblings;
pub(crate) mod watch;

use std::sync::Arc;

use weir_engine::{Level, error_log::process_log};

use crate::{
    clock::Now,
    group::Group,
    health::{Health, Source},
    outcome::Outcome,
    outlier::{
        conduct::Conduct,
        config::OutlierConfig,
        siblings::{Reason, outliers},
        watch::Watch,
    },
    peer::Peer,
    server::Admission,
    set::{Set, Sets},
};

impl Peer {
    fn conduct(&self) -> &Conduct {
        self.state.outlier.get_or_init(Box::default)
    }

    /// The end of its ejection, in milliseconds.
    pub(crate) fn ejected_until(&self) -> Option<u64> {
        self.state.outlier.get()?.ejected_until()
    }

    /// Whether it is ejected as an outlier.
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_until().is_some()
    }

    /// Restores the end of an ejection by a killed worker; 0 if there is none.
    pub(crate) fn restore_ejection(&self, until: u64) {
        if until != 0 {
            self.conduct().restore(until);
        } else {
            // Without an end it would last for ever.
            self.state.verdicts.set(Source::Outlier, Health::Good);
        }
    }

    /// Whether an ejection is all that is wrong with it.
    pub(crate) fn is_only_ejected(&self) -> bool {
        let others = self.heeded.without(Source::Outlier);
        self.is_ejected() && self.state.verdicts.are_good(others.of_health())
    }

    /// Ends its ejection; returns whether there was one.
    pub(crate) fn readmit(&self, now: Now) -> bool {
        let was_out = self.state.outlier.get().is_some_and(|conduct| conduct.readmit(now.millis));
        if was_out {
            self.set_health(Source::Outlier, Health::Good, now);
        }
        was_out
    }
}

/// A group with `outlier_ejection`.
struct Ejection<'a> {
    group: &'a Group,
    config: &'a OutlierConfig,
    watch: &'a Watch,
}

impl Group {
    fn ejection(&self) -> Option<Ejection<'_>> {
        let (config, watch) = (self.config.outliers.as_ref()?, self.outliers.as_ref()?);
        Some(Ejection { group: self, config, watch })
    }

    /// Notes the end of an attempt, whose head took that many milliseconds.
    pub(crate) fn follow(&self, peer: &Peer, outcome: Outcome, header: Option<u64>, now: Now) {
        let Some(ejection) = self.ejection() else { return };
        match (outcome, header) {
            (Outcome::Success, Some(header)) => peer.conduct().succeed(header),
            (Outcome::Failed | Outcome::Error, _) => {
                if ejection.fail(peer, now) {
                    self.tell_health_change();
                }
            }
            // The client left, or the peer is not to blame.
            (Outcome::Success, None) | (Outcome::NotCounted, _) => {}
        }
    }

    /// Sees to what is due: ends of ejections, and of an interval.
    pub(crate) fn review(&self, now: Now) {
        if let Some(ejection) = self.ejection()
            && ejection.watch.is_due(now.millis)
            && ejection.review(now)
        {
            self.tell_health_change();
        }
    }

    /// Ends all ejections if nobody else is left. Returns whether it did. Where requests can wait,
    /// servers that are merely full are left.
    pub(crate) fn readmit_all(&self, sets: &Sets, now: Now) -> bool {
        let Some(ejection) = self.ejection() else { return false };
        let waits = self.queue().is_some();
        let is_left = |peer: &Arc<Peer>| {
            let works = is_open(peer) && peer.is_healthy() && !peer.is_failed(now);
            works && (waits || !peer.is_full())
        };
        if sets.peers().any(is_left) {
            return false;
        }
        let lines = [Some(&sets.primary), sets.backup.as_ref()];
        let opened = lines.into_iter().flatten().filter(|set| ejection.open(set, now));
        opened.count() > 0
    }
}

impl Ejection<'_> {
    /// Counts a failure; returns whether the peer is ejected for it.
    fn fail(&self, peer: &Peer, now: Now) -> bool {
        let conduct = peer.conduct();
        let row = conduct.fail();
        if self.config.consecutive == 0 || row < self.config.consecutive || peer.is_ejected() {
            return false;
        }
        let sets = self.group.sets();
        // One thread at a time counts who is out.
        let _turn = self.group.turns();
        let lines = [Some(&sets.primary), sets.backup.as_ref()];
        let of = |set: &&Set| set.peers.iter().any(|other| other.serial() == peer.serial());
        let Some(set) = lines.into_iter().flatten().find(of) else { return false };
        let is_out = self.eject(set, peer, Reason::Failures(row), now);
        conduct.forget_row();
        is_out
    }

    /// Returns whether a server was ejected or takes requests again.
    fn review(&self, now: Now) -> bool {
        let sets = self.group.sets();
        let _turn = self.group.turns();
        if !self.watch.is_due(now.millis) {
            // Another thread was faster.
            return false;
        }
        let mut has_changed = false;
        for peer in sets.peers() {
            let until = peer.conduct().ejected_until();
            if until.is_some_and(|until| until <= now.millis) && peer.readmit(now) {
                let what = match peer.is_healthy() {
                    true => "takes requests again after an ejection",
                    false => "is no longer ejected, but unhealthy",
                };
                self.tell(Level::Notice, peer, what);
                has_changed = true;
            }
        }
        if let Some(start) = self.watch.end_interval(self.config.interval, now.millis) {
            for set in [Some(&sets.primary), sets.backup.as_ref()].into_iter().flatten() {
                has_changed |= self.compare(set, start, now);
            }
        }
        self.watch.settle(sets.peers().filter_map(|peer| peer.conduct().ejected_until()));
        has_changed
    }

    /// Compares the servers of a set at the end of an interval. Returns whether any is ejected or
    /// takes requests again.
    fn compare(&self, set: &Set, start: u64, now: Now) -> bool {
        let taken = set.peers.iter().map(|peer| {
            let conduct = peer.conduct();
            conduct.end_interval(start);
            (peer, conduct.take())
        });
        let in_service = taken.filter(|(peer, _)| is_open(peer) && !peer.is_ejected());
        let (peers, samples): (Vec<_>, Vec<_>) = in_service.unzip();
        let mut has_changed = false;
        for (place, reason) in outliers(&samples, self.config) {
            has_changed |= self.eject(set, peers[place], reason, now);
        }
        let (open, left) = self.count(set, None, now);
        if 2 * left < open {
            has_changed |= self.open(set, now);
        }
        has_changed
    }

    /// The number of servers of a set, and of those that take requests, without `peer`.
    fn count(&self, set: &Set, peer: Option<&Peer>, now: Now) -> (usize, usize) {
        let serial = peer.map(Peer::serial);
        let open = || set.peers.iter().filter(|peer| is_open(peer));
        let left = open().filter(|other| Some(other.serial()) != serial && other.is_available(now));
        (open().count(), left.count())
    }

    /// Ejects a server, unless too few would be left. Returns whether it did.
    fn eject(&self, set: &Set, peer: &Peer, reason: Reason, now: Now) -> bool {
        if !is_open(peer) || peer.is_ejected() {
            return false;
        }
        let (open, left) = self.count(set, Some(peer), now);
        let out = set.peers.iter().filter(|peer| is_open(peer) && peer.is_ejected()).count();
        let most = (open as u64).saturating_mul(self.config.max) / 100;
        if out as u64 >= most.max(1) || 2 * left < open {
            let (name, group) = (&peer.name, self.group.name());
            let text = format_args!(
                "server {name} in upstream \"{group}\" is not ejected, {out} of {open} are out \
                 and {left} others take requests: {reason}"
            );
            self.watch.stays.log(Level::Warn, text);
            return false;
        }
        let OutlierConfig { time, max_time, .. } = *self.config;
        let conduct = peer.conduct();
        let length = conduct.eject(time, max_time, now.millis);
        conduct.ejected_until().into_iter().for_each(|until| self.watch.expect(until));
        peer.state.unavailable.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        peer.counters.iter().for_each(|counters| counters.count_ejection(reason));
        peer.set_health(Source::Outlier, Health::Unhealthy, now);
        let seconds = length as f64 / 1000.0;
        self.tell(Level::Warn, peer, &format!("is ejected for {seconds} s: {reason}"));
        true
    }

    /// Ends the ejections of a set; returns whether there were any.
    fn open(&self, set: &Set, now: Now) -> bool {
        let readmit = |peer: &&Arc<Peer>| peer.readmit(now);
        let any = set.peers.iter().filter(readmit).count() > 0;
        if any {
            let group = self.group.name();
            let text = format_args!(
                "too few servers in upstream \"{group}\" are left, ejected ones take requests again"
            );
            process_log().log(Level::Warn, 0, text);
        }
        any
    }

    fn tell(&self, level: Level, peer: &Peer, what: &str) {
        let (name, group) = (&peer.name, self.group.name());
        let text = format_args!("server {name} in upstream \"{group}\" {what}");
        process_log().log(level, 0, text);
    }
}

fn is_open(peer: &Peer) -> bool {
    peer.admission() == Admission::Open
}

#[cfg(test)]
mod tests;

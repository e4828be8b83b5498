//! The side of the proposer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::mirror::effect::{Effect, Outcome, Proposal};
use crate::mirror::limits;
use crate::mirror::message::{Message, SetInfo, Verdict};
use crate::mirror::name::Name;
use crate::mirror::version::{Relation, Standing, Version, relate};

use super::{Config, Effects, Held, Link, Proposed, State};

/// A proposal that other nodes check.
#[derive(Debug)]
pub(super) struct Proposing {
    pub(super) candidate: Held,
    proposal: Proposal,
    asked: BTreeSet<Name>,
    /// The nodes that have not answered.
    waiting: BTreeSet<Name>,
    since: Duration,
}

impl Proposing {
    pub(super) fn ask(&mut self, node: &Name, link: &mut Link) {
        self.asked.insert(node.clone());
        self.waiting.insert(node.clone());
        let Held { standing, info, .. } = &self.candidate;
        link.send(Message::Propose(standing.clone(), info.clone()));
    }

    pub(super) fn waits_for(&self, node: &Name) -> bool {
        self.waiting.contains(node)
    }

    /// A node that has not answered in time.
    pub(super) fn late(&self, now: Duration) -> Option<Name> {
        let is_late = now.saturating_sub(self.since) > limits::CHECK;
        self.waiting.first().filter(|_| is_late).cloned()
    }

    pub(super) fn version(&self) -> &Version {
        &self.candidate.standing.version
    }
}

impl Config {
    pub(in crate::mirror) fn propose(
        &mut self,
        now: Duration,
        proposal: Proposal,
        proposed: Proposed,
        out: &mut Effects,
    ) {
        if let Some(outcome) = self.obstacle(&proposed) {
            out.push_back(Effect::Answer(proposal, outcome));
            return;
        }
        let Proposed { digest, signature, bytes } = proposed;
        self.highest += 1;
        let version = Version { counter: self.highest, proposer: self.me.clone(), digest };
        let standing = Standing::after(self.standing(), version);
        let info = SetInfo { size: bytes.len() as u64, signature };
        let (asked, waiting) = (BTreeSet::new(), BTreeSet::new());
        let candidate = Held { standing, info, bytes };
        let mut proposing = Proposing { candidate, proposal, asked, waiting, since: now };
        for (node, link) in &mut self.links {
            proposing.ask(node, link);
        }
        self.state = State::Proposing(proposing);
        self.decide(out);
    }

    /// What stands in the way of a proposal.
    fn obstacle(&self, proposed: &Proposed) -> Option<Outcome> {
        let is_large = proposed.bytes.len() as u64 > limits::SET;
        if is_large || proposed.signature.len() > limits::SIGNATURE {
            return Some(Outcome::TooLarge);
        }
        match &self.state {
            State::Settled if self.confirming.is_some() => {
                return Some(Outcome::Concurrent(self.me.clone()));
            }
            State::Settled => {}
            State::Proposing(_) => return Some(Outcome::Concurrent(self.me.clone())),
            State::Following(following) if following.is_proposal => {
                return Some(Outcome::Concurrent(following.from.clone()));
            }
            State::Following(following) => {
                let version = Some(following.standing.version.clone());
                return Some(Outcome::Behind(following.from.clone(), version));
            }
            State::Applying(applying) => return Some(Outcome::Concurrent(applying.from.clone())),
        }
        let replacing = self.links.iter().find_map(|(node, link)| {
            let theirs = link.standing()?;
            let replaces = relate(self.standing(), Some(theirs)).replaces();
            replaces.then(|| (node.clone(), theirs.version.clone()))
        });
        replacing.map(|(node, version)| Outcome::Behind(node, Some(version)))
    }

    /// Puts the own proposal in force if all have agreed.
    fn decide(&mut self, out: &mut Effects) {
        if !matches!(&self.state, State::Proposing(proposing) if proposing.waiting.is_empty()) {
            return;
        }
        let State::Proposing(proposing) = std::mem::replace(&mut self.state, State::Settled) else {
            return;
        };
        let own = Some((proposing.proposal, proposing.asked));
        self.apply(proposing.candidate, own, self.me.clone(), out);
    }

    /// Gives the own proposal up, and tells those that were asked.
    pub(super) fn give_up(&mut self, outcome: Outcome, now: Duration, out: &mut Effects) {
        let State::Proposing(proposing) = std::mem::replace(&mut self.state, State::Settled) else {
            return;
        };
        self.withdraw(proposing.version(), &proposing.asked);
        out.push_back(Effect::Answer(proposing.proposal, outcome));
        self.settle(now, out);
    }

    pub(super) fn withdraw(&mut self, version: &Version, asked: &BTreeSet<Name>) {
        for (_, link) in self.links.iter_mut().filter(|(node, _)| asked.contains(*node)) {
            link.send(Message::Withdraw(version.clone()));
        }
    }

    pub(super) fn handle_verdict(
        &mut self,
        now: Duration,
        node: &Name,
        version: &Version,
        verdict: Verdict,
        out: &mut Effects,
    ) {
        let State::Proposing(proposing) = &mut self.state else { return };
        if proposing.version() != version {
            return;
        }
        let outcome = match verdict {
            Verdict::Agrees => {
                proposing.waiting.remove(node);
                return self.decide(out);
            }
            Verdict::Refuses(reason) => Outcome::Refused(node.clone(), reason),
            Verdict::Busy(by) => Outcome::Concurrent(by),
            Verdict::Stale => {
                let theirs = self.links.get(node).and_then(Link::standing);
                let is_newer =
                    |theirs: &&Standing| relate(self.standing(), Some(theirs)) != Relation::Same;
                let version = theirs.filter(is_newer).map(|theirs| theirs.version.clone());
                Outcome::Behind(node.clone(), version)
            }
        };
        self.give_up(outcome, now, out);
    }

    /// Heeds a proposal that arrives during an own one: of the two, the greater version goes on.
    /// Both nodes see the same two versions, so that one of them goes on.
    pub(super) fn yields_to(
        &mut self,
        now: Duration,
        node: &Name,
        other: &Version,
        out: &mut Effects,
    ) -> bool {
        let State::Proposing(proposing) = &self.state else { return true };
        if proposing.version() > other {
            let busy = Verdict::Busy(self.me.clone());
            self.answer(node, other, busy);
            return false;
        }
        self.give_up(Outcome::Concurrent(node.clone()), now, out);
        true
    }

    pub(super) fn answer(&mut self, node: &Name, version: &Version, verdict: Verdict) {
        if let Some(link) = self.links.get_mut(node) {
            link.send(Message::Verdict(version.clone(), verdict));
        }
    }
}

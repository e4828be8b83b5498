//! The answer to a proposer whose change is in force here.

use std::time::Duration;

use crate::mirror::effect::{Effect, Missing, Outcome, Proposal};
use crate::mirror::limits;
use crate::mirror::name::Name;
use crate::mirror::version::{Relation, Version, relate};

use super::{Config, Effects};

/// A change that waits for the other nodes.
#[derive(Debug)]
pub(super) struct Confirming {
    proposal: Proposal,
    version: Version,
    since: Duration,
    /// The nodes have to connect to this process first, until this time.
    connecting: Option<Duration>,
}

impl Confirming {
    pub(super) fn new(proposal: Proposal, version: Version, since: Duration) -> Self {
        Self { proposal, version, since, connecting: None }
    }
}

/// How far another node is with a version.
enum Stand {
    /// It has it, and knows durably that all have.
    Sealed,
    /// It has it.
    Has,
    Pending,
    Missing(Missing),
    Replaced(Version),
}

impl Config {
    pub(in crate::mirror) fn resume(
        &mut self,
        now: Duration,
        proposal: Proposal,
        version: Version,
        out: &mut Effects,
    ) {
        let connecting = Some(now + limits::CONNECT);
        self.confirming = Some(Confirming { proposal, version, since: now, connecting });
        self.confirm(now, out);
    }

    /// Answers the proposer when it is known what became of the change.
    pub(super) fn confirm(&mut self, now: Duration, out: &mut Effects) {
        let Some(confirming) = &self.confirming else { return };
        let (version, proposal) = (confirming.version.clone(), confirming.proposal);
        let is_late = now.saturating_sub(confirming.since) > limits::CONFIRM;
        let may_connect = confirming.connecting.is_some_and(|until| now < until);
        let is_here = self.standing().is_some_and(|own| own.has(&version));
        let is_sealed = self.standing().is_some_and(|own| own.has_sealed(&version));
        let (mut all_sealed, mut pending, mut missing) = (is_sealed, false, Vec::new());
        let mut replaced = match self.standing() {
            Some(own) if !is_here => Some(own.version.clone()),
            _ => None,
        };
        for node in self.members.iter().filter(|node| **node != self.me) {
            let stand = self.stand(node, &version);
            all_sealed &= matches!(stand, Stand::Sealed);
            match stand {
                Stand::Sealed | Stand::Has => {}
                Stand::Missing(Missing::Away) if may_connect => pending = true,
                Stand::Pending if is_late => missing.push((node.clone(), Missing::Silent)),
                Stand::Pending => pending = true,
                Stand::Missing(why) => missing.push((node.clone(), why)),
                Stand::Replaced(by) => replaced = Some(by),
            }
        }
        let waits_for_seals = missing.is_empty() && !all_sealed && !is_late;
        let outcome = match replaced {
            Some(by) => Outcome::Replaced(version, by),
            None if all_sealed => Outcome::Acknowledged(version),
            None if pending || waits_for_seals => return,
            None => Outcome::Applied(version, missing),
        };
        self.confirming = None;
        out.push_back(Effect::Answer(proposal, outcome));
    }

    fn stand(&self, node: &Name, version: &Version) -> Stand {
        let Some(link) = self.links.get(node) else { return Stand::Missing(Missing::Away) };
        let trouble = link.status.as_ref().and_then(|status| status.trouble.as_ref());
        if let Some((_, reason)) = trouble.filter(|(known, _)| known == version) {
            return Stand::Missing(Missing::Failed(reason.clone()));
        }
        match link.standing() {
            Some(theirs) if theirs.has_sealed(version) => Stand::Sealed,
            Some(theirs) if theirs.has(version) => Stand::Has,
            Some(theirs) if relate(self.standing(), Some(theirs)) == Relation::Wins => {
                Stand::Replaced(theirs.version.clone())
            }
            _ => Stand::Pending,
        }
    }
}

//! The judge: keeps accounts of its own, and says which promise was broken.

use std::collections::{BTreeMap, BTreeSet};

use weir_ha::mirror::{Digest, Key, Kind, Outcome, Proposal, Version};

use crate::node::{NAMES, Node};
use crate::plan::Plan;

/// A broken promise.
pub(crate) type Fault = String;

#[derive(Debug)]
struct Made {
    node: usize,
    life: u32,
    digest: Digest,
    answer: Option<Outcome>,
}

#[derive(Debug, Default)]
pub(crate) struct Judge {
    restores: bool,
    made: BTreeMap<Proposal, Made>,
    /// The version that each proposed set was made from.
    made_from: BTreeMap<Digest, Option<Digest>>,
    /// Every set that was ever in force on a node.
    in_force: BTreeSet<Digest>,
    /// The sets that a node has refused as proposals.
    refused: BTreeSet<Digest>,
    acknowledged: Vec<Version>,
    newest: BTreeMap<usize, Version>,
    /// The requests that nodes have admitted, and those that they were told of.
    pub(crate) admitted: BTreeMap<usize, u64>,
    pub(crate) told: BTreeMap<usize, u64>,
}

impl Judge {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { restores: plan.restores(), ..Self::default() }
    }

    pub(crate) fn proposed(
        &mut self,
        number: Proposal,
        digest: Digest,
        base: Option<Digest>,
        node: usize,
        life: u32,
    ) {
        self.made_from.insert(digest, base);
        self.made.insert(number, Made { node, life, digest, answer: None });
    }

    pub(crate) fn refused(&mut self, digest: Digest) {
        self.refused.insert(digest);
    }

    /// A set is durable and in force on a node.
    pub(crate) fn in_force(&mut self, node: usize, version: Version) -> Result<(), Fault> {
        self.in_force.insert(version.digest);
        let before = self.newest.insert(node, version.clone());
        match before {
            Some(before) if before.counter > version.counter && !self.restores => {
                Err(format!("{}: version {version} replaces {before}", NAMES[node]))
            }
            _ => Ok(()),
        }
    }

    /// Whether a version is another, or was made from it.
    fn comes_from(&self, version: &Version, other: &Digest) -> bool {
        let mut at = Some(version.digest);
        while let Some(digest) = at {
            if digest == *other {
                return true;
            }
            at = self.made_from.get(&digest).copied().flatten();
        }
        false
    }

    pub(crate) fn answered(
        &mut self,
        number: Proposal,
        outcome: Outcome,
        nodes: &[Node],
    ) -> Result<(), Fault> {
        let Some(made) = self.made.get_mut(&number) else {
            return Err(format!("an answer to no proposal: {outcome}"));
        };
        if made.answer.is_some() {
            return Err(format!("proposal {number} is answered twice"));
        }
        made.answer = Some(outcome.clone());
        let digest = made.digest;
        let is_here = self.in_force.contains(&digest);
        match outcome {
            Outcome::Acknowledged(version) => {
                self.acknowledged.push(version.clone());
                for (node, name) in nodes.iter().zip(NAMES) {
                    let has = node.disk.version().is_some_and(|own| self.comes_from(&own, &digest));
                    if !has && !self.restores {
                        return Err(format!("{version} is acknowledged, and {name} lacks it"));
                    }
                }
            }
            Outcome::Applied(..) | Outcome::Replaced(..) if !is_here => {
                return Err(format!("proposal {number} is in force nowhere: {outcome}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// What must hold when everything has been in order for a while.
    pub(crate) fn last(&self, nodes: &[Node]) -> Result<(), Fault> {
        for (number, made) in &self.made {
            let lives = nodes[made.node].life == made.life;
            match &made.answer {
                None if lives => return Err(format!("proposal {number} has no answer")),
                None | Some(Outcome::Acknowledged(_) | Outcome::Applied(..)) => {}
                Some(Outcome::Replaced(..)) => {}
                Some(outcome) if self.in_force.contains(&made.digest) => {
                    return Err(format!(
                        "proposal {number} is in force, and was answered: {outcome}"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(refused) = self.refused.intersection(&self.in_force).next() {
            return Err(format!("a refused set was in force: {refused:?}"));
        }
        self.one_version(nodes)?;
        self.nothing_acknowledged_is_lost(nodes)?;
        self.equal_records(nodes)?;
        self.counters(nodes)
    }

    fn one_version(&self, nodes: &[Node]) -> Result<(), Fault> {
        let version = nodes[0].disk.version();
        for (node, name) in nodes.iter().zip(NAMES) {
            let mirror = node.mirror.as_ref().expect("all nodes are up");
            let here = mirror.standing().map(|standing| standing.version.clone());
            if here != version || node.disk.version() != version {
                return Err(format!("two versions: a has {version:?}, {name} has {here:?}"));
            }
            let view = mirror.view();
            if view.sealed != version {
                return Err(format!("{name} does not know that all have {version:?}: {view:?}"));
            }
        }
        Ok(())
    }

    fn nothing_acknowledged_is_lost(&self, nodes: &[Node]) -> Result<(), Fault> {
        let version = nodes[0].disk.version();
        for acknowledged in &self.acknowledged {
            let digest = acknowledged.digest;
            if !version.as_ref().is_some_and(|version| self.comes_from(version, &digest)) {
                return Err(format!("version {acknowledged} was acknowledged and is lost"));
            }
        }
        Ok(())
    }

    fn equal_records(&self, nodes: &[Node]) -> Result<(), Fault> {
        let records = |node: &Node| -> BTreeMap<_, _> {
            let mirror = node.mirror.as_ref().expect("all nodes are up");
            mirror.records().map(|(key, value)| (key.clone(), without_age(key, value))).collect()
        };
        let first = records(&nodes[0]);
        for (node, name) in nodes.iter().zip(NAMES) {
            let (own, mirror) = (records(node), node.mirror.as_ref().unwrap());
            if own != first {
                let differs = own.iter().find(|(key, value)| first.get(*key) != Some(value));
                return Err(format!("records of a and {name} differ: {differs:?}"));
            }
            let seen = own.iter().map(|(key, value)| (key.key.clone(), value.clone()));
            let is_test = |key: &[u8]| key.starts_with(b"key ");
            let seen: BTreeMap<_, _> = seen.filter(|(key, _)| is_test(key)).collect();
            if seen != node.seen {
                return Err(format!("{name} was not told of its records"));
            }
            let health =
                own.iter().find(|(key, _)| key.key == format!("{name}\0health").as_bytes());
            if node.health.as_ref() != health.map(|(_, value)| value) {
                return Err(format!("the health of {name} is not what it told: {health:?}"));
            }
            if !mirror.is_consistent() {
                return Err(format!("the sums of {name} are wrong"));
            }
            if node.tickets != nodes[0].tickets || node.tickets.is_none() {
                return Err(format!("the ticket keys of a and {name} differ"));
            }
        }
        Ok(())
    }

    fn counters(&self, nodes: &[Node]) -> Result<(), Fault> {
        for (place, (node, name)) in nodes.iter().zip(NAMES).enumerate() {
            let others = self.admitted.iter().filter(|(other, _)| **other != place);
            let admitted: u64 = others.map(|(_, count)| count).sum();
            let told = self.told.get(&place).copied().unwrap_or(0);
            if told > admitted {
                return Err(format!("{name} was told of {told} of {admitted} requests"));
            }
            let mut levels = BTreeMap::new();
            for (other, has) in nodes.iter().enumerate().filter(|(other, _)| *other != place) {
                let living = has.levels.iter().filter(|(_, level)| **level > 0);
                levels.extend(living.map(|(key, level)| ((other, vec![*key]), *level)));
            }
            if levels != node.told {
                return Err(format!(
                    "{name} believes in connections {:?}, not {levels:?}",
                    node.told
                ));
            }
        }
        Ok(())
    }

    /// All that nodes were told of, if no connection broke.
    pub(crate) fn nothing_is_lost(&self, nodes: usize) -> Result<(), Fault> {
        let all: u64 = self.admitted.values().sum();
        for (node, name) in NAMES.iter().enumerate().take(nodes) {
            let others = all - self.admitted.get(&node).copied().unwrap_or(0);
            let told = self.told.get(&node).copied().unwrap_or(0);
            if told != others {
                return Err(format!("{name} was told of {told} of {others} requests"));
            }
        }
        Ok(())
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = Option<&Outcome>> {
        self.made.values().map(|made| made.answer.as_ref())
    }
}

/// The value of a record without the age of a ticket key, which goes on and may be on its way.
fn without_age(key: &Key, value: &[u8]) -> Vec<u8> {
    match (key.kind, value.split_first_chunk::<4>()) {
        (Kind::TicketsHeld, Some((_, names))) => names.to_vec(),
        _ => value.to_vec(),
    }
}

//! What the mirrors want, and when it is done.

use std::sync::Arc;

use weir_ha::mirror::{Effect, Kind};

use super::{Event, Sabotage, World};
use crate::judge::Fault;
use crate::network::side;
use crate::node::{NAMES, place};
use crate::plan::{HEALING, Millis, SECOND};

impl World<'_> {
    /// Does what a node's mirror wants.
    pub(super) fn effect(&mut self, node: usize, effect: Effect) -> Result<(), Fault> {
        let life = self.nodes[node].life;
        match effect {
            Effect::Check { set, .. } => {
                if set.bytes.len() as u64 != set.info.size || set.info.signature != [7; 64] {
                    return Err("a set has other bytes than were proposed".to_owned());
                }
                let version = set.version;
                let bad = usize::from(version.digest[8]) == node && !self.is_healed;
                let at = self.now + self.random.u64(..=self.nodes[node].check);
                self.at(at, Event::Checked { node, life, version, bad });
            }
            Effect::Apply { set, state } => {
                let failed = self.now < self.nodes[node].broken_until;
                let (durable, done) = self.disk_times(node);
                if !failed && self.sabotage != Some(Sabotage::ForgetsSets) {
                    let set = Some(Arc::clone(&set.bytes));
                    self.at(durable, Event::Durable { node, life, state, set });
                }
                self.at(done, Event::Applied { node, life, version: set.version, failed });
            }
            Effect::Store { serial, state } => {
                let (durable, done) = self.disk_times(node);
                self.at(durable, Event::Durable { node, life, state, set: None });
                self.at(done, Event::Stored { node, life, serial });
            }
            Effect::KeepAside { .. } => self.report.aside += 1,
            Effect::Answer(number, outcome) => {
                self.trace(|| format!("{}: proposal {number}: {outcome}", NAMES[node]));
                let is_swallowed =
                    self.sabotage == Some(Sabotage::SwallowsAnswers) && number % 10 == 3;
                if !is_swallowed {
                    self.judge.answered(number, outcome, &self.nodes)?;
                }
            }
            Effect::Disconnect(other, fault) => {
                self.trace(|| format!("{} ends {other}: {fault}", NAMES[node]));
                self.disconnect(node, place(&other));
            }
            Effect::Log(_, text) => self.trace(|| format!("{} logs: {text}", NAMES[node])),
            effect => self.state_effect(node, effect),
        }
        Ok(())
    }

    fn disconnect(&mut self, node: usize, other: usize) {
        self.network.get(node, other).up[side(node, other)] = false;
        self.network.lose(node, other);
        self.network.lose(other, node);
        let number = self.network.get(node, other).number;
        let at = self.now + self.random.u64(1..8000);
        self.at(at, Event::Ended(other, node, number));
    }

    fn state_effect(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Record { key, value } if key.kind == Kind::Keyval => {
                match value {
                    Some(value) => self.nodes[node].seen.insert(key.key, value),
                    None => self.nodes[node].seen.remove(&key.key),
                };
            }
            Effect::Counted { amount, .. } => {
                *self.judge.told.entry(node).or_default() += u64::from(amount);
            }
            Effect::Level { node: other, key, level, .. } => {
                let told = &mut self.nodes[node].told;
                let key = (place(&other), key);
                if level > 0 {
                    told.insert(key, level)
                } else {
                    told.remove(&key)
                };
            }
            Effect::Gone(other) => {
                let other = place(&other);
                self.nodes[node].told.retain(|(known, _), _| *known != other);
            }
            Effect::Tickets { encrypts, keys } => {
                let keys = keys.into_iter().map(|key| key.0).collect();
                self.nodes[node].tickets = Some((encrypts, keys));
            }
            // No key is made in the end, when all nodes must have the same ones.
            Effect::MakeTicketKey if self.now > self.plan.healed + HEALING - 30 * SECOND => {}
            Effect::MakeTicketKey => {
                let mut key = [0; 80];
                self.random.fill(&mut key);
                self.nodes[node].mirror.as_mut().unwrap().handle_ticket_key(&key);
            }
            _ => {}
        }
    }

    /// The times at which something becomes durable and is done, after all that came before.
    fn disk_times(&mut self, node: usize) -> (Millis, Millis) {
        let durable = self.nodes[node].busy.max(self.now) + self.random.u64(1..200);
        let done = durable + self.random.u64(..100);
        self.nodes[node].busy = done;
        (durable, done)
    }
}

//! The news that come to the guard, and those that it passes on: to the log, to workers and to
//! those who ask.

use serde_json::json;
use weir_engine::Level;

use super::Guard;
use super::files::tell;
use super::states::Own;
use crate::plan::Plan;
use crate::readiness::said::Said;

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The limit of addresses that a message names.
const MOST_NAMED: usize = 4;

impl Guard {
    /// Reads what keepalived and the other nodes say.
    pub(super) fn hear(&mut self, now: u64) {
        let Some(plan) = &self.plan else { return };
        let mut messages = Vec::new();
        for (from, advert) in self.adverts.read() {
            let Some(node) = plan.node_of(from).filter(|node| *node != plan.name()) else {
                continue;
            };
            let mut groups = plan.groups.iter();
            if let Some(number) = groups.position(|group| group.router_id == advert.router_id) {
                messages.extend(self.states.advert(number, node, advert.priority, now));
            }
        }
        if let Some(log) = self.keepalived.log() {
            for line in self.said.read(log) {
                tell(&self.log, &line);
            }
        }
        for line in self.event_lines.read(&mut self.events) {
            let own = Own { unfit: self.reason.as_deref(), urgent: self.urgent };
            messages.extend(self.states.event(&line, now, own));
        }
        let advert = u64::try_from(plan.advert.as_millis()).unwrap_or(u64::MAX);
        messages.extend(self.states.settle(advert, now));
        self.announce(&messages);
    }

    pub(super) fn announce(&self, messages: &[(usize, String)]) {
        let Some(plan) = &self.plan else { return };
        for (number, message) in messages {
            let Some(group) = plan.groups.get(*number) else { continue };
            let mut addresses: Vec<_> =
                group.addresses.iter().map(|(address, ..)| address.to_string()).collect();
            if addresses.len() > MOST_NAMED {
                let others = addresses.len() - MOST_NAMED;
                addresses.truncate(MOST_NAMED);
                addresses.push(format!("{others} others"));
            }
            let addresses = addresses.join(", ");
            self.log.log(Level::Warn, 0, format_args!("ha: {addresses} {message}"));
        }
    }

    /// Tells workers what this node's partners are to know.
    pub(super) fn say(&self) {
        if self.plan.is_some() {
            let said = Said { unfit: self.reason.clone(), groups: self.states.said() };
            self.clients.beats().chain(&self.orphaned).for_each(|beats| beats.say(&said));
        }
    }

    /// Answers those who ask.
    pub(super) fn answer(&mut self, now: u64) {
        let (states, plan, unfit) = (&self.states, &self.plan, &self.reason);
        let (runs, left) = (!self.keepalived.is_away(), self.left);
        self.clients.answer(states, &|| {
            let groups = plan.as_ref().map(|plan| states.to_json(plan, now));
            json!({
                "node": plan.as_ref().map(Plan::name),
                "weir": VERSION,
                "unfit": unfit,
                "left": left,
                "keepalived": runs,
                "groups": groups,
            })
        });
    }
}

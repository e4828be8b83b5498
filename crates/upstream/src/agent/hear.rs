//! The effect of what an agent says on its peer.

use weir_engine::Level;
use weir_wire::agent::{Admin, AgentLine, AgentWeight};

use crate::{
    agent::said::{AgentView, Words},
    clock::Now,
    health::{Health, Source},
    peer::{Peer, PeerState},
};

/// A line for the log, about a change.
type News = (Level, String);

impl Peer {
    /// The agent of this peer has answered. Returns what has changed.
    pub(crate) fn hear(&self, line: &AgentLine, now: Now) -> Vec<News> {
        let before = self.agent_view();
        let after = self.reword(|state| state.apply(line), now);
        let mut news = changes(&before, &after);
        if before.reached == Some(false) {
            news.insert(0, (Level::Notice, "answers again".to_owned()));
        }
        news
    }

    /// Another node has heard these words, which count until this one hears the agent.
    pub(crate) fn hear_of(&self, words: Words, now: Now) {
        if self.heeded.has(Source::Agent) && !self.state.said.is_heard() {
            self.reword(|state| state.take_over(words), now);
        }
    }

    /// Changes the words of the agent. Returns those that are in force now.
    fn reword(&self, change: impl FnOnce(&PeerState), now: Now) -> AgentView {
        let before = self.agent_view();
        let was_shut = !self.is_healthy();
        // A server that drains is warm, in contrast to one that comes back.
        let was_off = before.admin == Admin::Maint || self.health() != Health::Good;
        change(&self.state);
        let after = self.agent_view();
        if (before.admin, before.up, before.weight, before.max_conns)
            == (after.admin, after.up, after.weight, after.max_conns)
        {
            return after;
        }
        self.state.downtime.set_ill(self.health() != Health::Good, now.millis);
        self.tell_change();
        if was_shut && was_off && self.is_healthy() {
            self.recovers(now);
        }
        self.call_waiting(now);
        after
    }

    /// The agent of this peer cannot be asked, which changes nothing. Returns whether it could the
    /// last time.
    pub(super) fn lose_agent(&self) -> bool {
        self.state.said.lose()
    }

    /// The words of its agent.
    pub(crate) fn agent_view(&self) -> AgentView {
        let PeerState { said, verdicts, .. } = &*self.state;
        let is = |source| verdicts.of(source) != Health::Good;
        AgentView {
            reached: said.is_reached(),
            admin: match (is(Source::AgentMaint), is(Source::AgentDrain)) {
                (true, _) => Admin::Maint,
                (_, true) => Admin::Drain,
                _ => Admin::Ready,
            },
            up: !is(Source::Agent),
            weight: said.weight(),
            max_conns: said.max_conns(),
        }
    }
}

impl PeerState {
    /// Takes over the words of a line, in HAProxy's order.
    fn apply(&self, line: &AgentLine) {
        let Self { said, verdicts, .. } = self;
        let set = |source, bad| {
            verdicts.set(source, if bad { Health::Unhealthy } else { Health::Good });
        };
        if let Some(admin) = line.admin {
            set(Source::AgentMaint, admin == Admin::Maint);
            set(Source::AgentDrain, admin == Admin::Drain);
        }
        if let Some(weight) = line.weight {
            let none = [AgentWeight::Percent(0), AgentWeight::Absolute(0)];
            set(Source::AgentWeight, none.contains(&weight));
        }
        if let Some(up) = line.up {
            set(Source::Agent, !up);
        }
        said.apply(line);
    }

    /// What the agent has said to this node, if it was heard.
    pub(crate) fn words(&self) -> Option<Words> {
        let is_bad = |source: &Source| self.verdicts.of(*source) != Health::Good;
        let numbered = (0..).zip(Source::AGENTS).filter(|(_, source)| is_bad(source));
        let verdicts = numbered.fold(0, |all, (at, _)| all | 1 << at);
        self.said.is_heard().then(|| Words { verdicts, said: self.said.noted() })
    }

    /// Takes over what an agent has said to another node.
    fn take_over(&self, words: Words) {
        for (at, source) in Source::AGENTS.into_iter().enumerate() {
            let is_bad = words.verdicts >> at & 1 != 0;
            self.verdicts.set(source, if is_bad { Health::Unhealthy } else { Health::Good });
        }
        self.said.restore(words.said);
    }

    /// Forgets what the agent has said.
    pub(crate) fn forget_agent(&self) {
        let Self { said, verdicts, .. } = self;
        Source::AGENTS.into_iter().for_each(|source| verdicts.set(source, Health::Good));
        said.forget();
    }
}

fn changes(before: &AgentView, after: &AgentView) -> Vec<News> {
    let mut news = Vec::new();
    if before.admin != after.admin {
        let text = match after.admin {
            Admin::Ready => "peer is ready",
            Admin::Drain => "peer is draining",
            Admin::Maint => "peer is in maintenance",
        };
        news.push((Level::Notice, text.to_owned()));
    }
    if before.weight != after.weight {
        let text = match after.weight {
            AgentWeight::Percent(percent) => format!("weight is {percent}%"),
            AgentWeight::Absolute(weight) => format!("weight is {weight}"),
        };
        news.push((Level::Info, text));
    }
    if before.max_conns != after.max_conns {
        let max = after.max_conns.unwrap_or_default();
        news.push((Level::Info, format!("maxconn is {max}")));
    }
    match (before.up, after.up) {
        (true, false) => news.push((Level::Warn, "peer is down".to_owned())),
        (false, true) => news.push((Level::Notice, "peer is up".to_owned())),
        _ => {}
    }
    news
}

#[cfg(test)]
mod tests;

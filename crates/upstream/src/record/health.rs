//! The health of a group's servers in the journal, so that the successor of a killed worker sends
//! no requests to those that were out.
//!
//! ```text
//!  checks of the configuration, as a hash
//!  verdicts │ checks with results │ end of ejection │ its agent's weight │ and maxconn │ address
//!  …
//! ```

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, PoisonError},
};

use weir_engine::{Level, duty::Duty, error_log::process_log, journal, os_error::Failed};

use crate::{
    check::judge::Judgement,
    clock::Now,
    config::GroupConfig,
    group::Group,
    health::Health,
    left_health::{Left, Noted},
    peer::{Peer, hex_md5},
    registry::Registry,
    set::Lines,
    shared_records::{self, Theme},
};

/// The checks, whose numbers the verdicts have.
fn as_checked(config: &GroupConfig) -> String {
    hex_md5(format!("{:?}", config.checks).as_bytes())
}

/// The record of these servers.
fn health_text(config: &GroupConfig, peers: &[Arc<Peer>], left: &Left) -> String {
    let of_peers = peers.iter().map(|peer| (&peer.name, Noted::of(peer)));
    let others = left.iter().map(|(name, noted)| (name, *noted));
    let mut text = as_checked(config) + "\n";
    for (name, noted) in of_peers.chain(others) {
        let Noted { judged: Judgement { verdicts, proved }, until, said } = noted;
        let _ = writeln!(text, "{verdicts} {proved} {until} {} {} {name}", said.0, said.1);
    }
    text
}

/// The health of servers by their addresses. `None` if the record is of other checks.
fn read_health<'a>(text: &'a str, config: &GroupConfig) -> Option<HashMap<&'a str, Noted>> {
    let mut lines = text.lines();
    if lines.next()? != as_checked(config) {
        return None;
    }
    let noted = lines.filter_map(|line| {
        let mut words = line.splitn(6, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (verdicts, proved) = (number()?, number()?.try_into().ok()?);
        let (until, said) = (number()?, (number()?, number()?));
        Some((words.next()?, Noted { judged: Judgement { verdicts, proved }, until, said }))
    });
    Some(noted.collect())
}

impl Peer {
    fn restore_health(&self, noted: Noted, now: Now) {
        self.state.verdicts.restore(noted.judged.verdicts);
        self.state.checks.results().proved = noted.judged.proved;
        self.restore_ejection(noted.until);
        self.state.said.restore(noted.said);
        self.state.downtime.set_ill(self.health() != Health::Good, now.millis);
    }
}

impl Group {
    fn health_key(&self) -> String {
        // Below the group's record, so that it goes with it.
        self.config.journal_key() + "\0health"
    }

    /// The duty to note the health of the servers of this group and its heirs; `None` if nothing
    /// judges it. Requests and probes only tell that there is news.
    pub fn health_duty(&self, registry: &Arc<Registry>) -> Option<Duty> {
        self.health_change.as_ref()?;
        let (registry, key) = (Arc::clone(registry), self.config.key.clone());
        let begin = move || keep_noted(Arc::clone(&registry), key.clone());
        Some(Duty::new(format!("note the health of {}", self.config.key), begin))
    }

    /// The health of a server has changed, or the servers have.
    pub(crate) fn tell_health_change(&self) {
        if let Some(change) = &self.health_change {
            change.notify_one();
        }
    }

    fn put_health(&self) {
        let text = self.health_record();
        if let Err(error) = journal::put(&self.health_key(), text.as_bytes()) {
            let what = format!("noting the health of upstream \"{}\" failed", self.config.name);
            process_log().log(Level::Alert, 0, Failed(&what, &error));
        }
    }

    /// Notes the health, for the successor of a killed worker and for other nodes.
    fn note_health(&self) {
        self.put_health();
        self.tell_findings();
    }

    /// Restores the health that a killed worker knew of its servers.
    pub(super) fn restore_health(&self, now: Now) {
        let Some(record) = journal::take(&self.health_key()) else { return };
        self.apply_health(&record, now);
        if self.health_change.is_some() {
            self.put_health();
        }
    }

    pub(crate) fn health_record(&self) -> String {
        let peers = self.peers();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_over(Now::current()) {
            *left = Left::default();
        }
        health_text(&self.config, &peers, &left)
    }

    pub(crate) fn apply_health(&self, record: &[u8], now: Now) {
        let text = String::from_utf8_lossy(record);
        let Some(noted) = read_health(&text, &self.config) else { return };
        let mut left = noted.clone();
        for peer in self.peers() {
            if let Some(noted) = noted.get(peer.name.as_str()) {
                peer.restore_health(*noted, now);
                left.remove(peer.name.as_str());
            }
        }
        if self.config.resolver.is_some() {
            let left = left.into_iter().map(|(name, noted)| (name.to_owned(), noted)).collect();
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Left::new(left, now);
        }
        if let Some(watch) = &self.outliers {
            let ends = noted.values().map(|noted| noted.until).filter(|until| *until != 0);
            ends.for_each(|until| watch.expect(until));
        }
    }

    /// Restores what a killed worker knew of addresses that a name has again.
    pub(crate) fn restore_resolved(&self, lines: &Lines, now: Now) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_empty() {
            return;
        }
        for peer in lines.iter() {
            if let Some(noted) = left.take(peer, now) {
                peer.restore_health(noted, now);
            }
        }
    }
}

async fn keep_noted(registry: Arc<Registry>, key: String) {
    let _end = Untold(key.clone());
    // The duty must not keep the group alive, so it looks it up again each time.
    while let Some(group) = registry.of_key(&key).pop() {
        let Some(change) = group.health_change.clone() else { return };
        group.note_health();
        drop(group);
        change.notified().await;
    }
}

/// Tells the other nodes nothing about a group any longer when it is dropped, with the duty.
struct Untold(String);

impl Drop for Untold {
    fn drop(&mut self) {
        if shared_records::has_mirror() {
            shared_records::note(Theme::Health, self.0.as_bytes(), None);
        }
    }
}

/// Reads bytes as a record of any checks.
pub(super) fn fuzz(bytes: &[u8], config: &GroupConfig) {
    let text = as_checked(config) + "\n" + &String::from_utf8_lossy(bytes);
    let _ = read_health(&text, config);
}

#[cfg(test)]
mod tests {
    use weir_engine::Addr;
    use weir_wire::agent::{AgentWeight, parse};

    use super::*;
    use crate::{
        agent::config::AgentConfig, check::config::CheckConfig, health::Source,
        outlier::config::OutlierConfig, upstreams::Side, view::PeerStatus,
    };

    const NOW: Now = Now { seconds: 1000, millis: 1_000_000 };

    fn config() -> GroupConfig {
        let addresses = (1..=4).map(|port| Addr::Inet(([127, 0, 0, 1], port).into())).collect();
        let checks =
            [false, true].map(|mandatory| CheckConfig { mandatory, ..CheckConfig::every(5000) });
        GroupConfig {
            zone: Some("u".into()),
            checks: checks.to_vec(),
            outliers: Some(OutlierConfig::default()),
            ..GroupConfig::implicit(Side::Http.key("u"), "u", addresses)
        }
    }

    fn healths(group: &Group) -> Vec<Health> {
        group.peers().iter().map(|peer| peer.health()).collect()
    }

    #[test]
    fn the_successor_knows_who_is_out() {
        let group = Group::new(config(), None);
        let peers = group.peers();
        peers[..3].iter().for_each(|peer| peer.set_health(Source::Check(1), Health::Good, NOW));
        peers[0].set_health(Source::Check(0), Health::Unhealthy, NOW);
        peers[1].restore_ejection(NOW.millis + 500);
        peers[1].set_health(Source::Outlier, Health::Unhealthy, NOW);
        let expected = [Health::Unhealthy, Health::Unhealthy, Health::Good, Health::Checking];
        assert_eq!(healths(&group), expected);

        let text = group.health_record();
        let after = Group::new(config(), None);
        assert_eq!(healths(&after), [Health::Checking; 4]);
        after.apply_health(text.as_bytes(), NOW);
        assert_eq!(healths(&after), expected);
        // The ejection ends when it would have.
        after.review(NOW.plus_millis(499));
        assert!(after.peers()[1].is_ejected());
        after.review(NOW.plus_millis(500));
        assert_eq!(after.peers()[1].health(), Health::Good);
        assert!(!after.peers()[1].is_ejected());
    }

    #[test]
    fn the_successor_knows_what_agents_have_said() {
        let agent = AgentConfig { port: Some(9), interval: 1, timeout: 1, send: Vec::new() };
        let config = || GroupConfig { agent: Some(agent.clone()), checks: vec![], ..config() };
        let say = |peer: &Peer, line: &str| {
            peer.hear(&parse(line.as_bytes(), |_| panic!("unknown word")), NOW);
        };
        let group = Group::new(config(), None);
        let peers = group.peers();
        say(&peers[0], "weight:7 maxconn:9");
        say(&peers[1], "drain");
        say(&peers[2], "0%");
        say(&peers[3], "down 50%");
        let after = Group::new(config(), None);
        after.apply_health(group.health_record().as_bytes(), NOW);
        let states = after.view(NOW).peers.into_iter().map(|peer| (peer.state, peer.agent));
        let states: Vec<_> = states.map(|(state, agent)| (state, agent.unwrap())).collect();
        let expected =
            [PeerStatus::Up, PeerStatus::Draining, PeerStatus::Draining, PeerStatus::Unhealthy];
        assert!(states.iter().map(|(state, _)| *state).eq(expected), "{states:?}");
        assert_eq!(states[0].1.max_conns, Some(9));
        let weights = states.iter().map(|(_, agent)| agent.weight);
        let of = [AgentWeight::Absolute(7), AgentWeight::Percent(100), AgentWeight::Percent(0)];
        assert!(weights.eq(of.into_iter().chain([AgentWeight::Percent(50)])), "{states:?}");
        // They are not reached yet.
        assert!(states.iter().all(|(_, agent)| agent.reached.is_none()));
    }

    #[test]
    fn records_of_other_checks_and_broken_ones_say_nothing() {
        let group = Group::new(config(), None);
        group.peers()[0].set_health(Source::Check(0), Health::Unhealthy, NOW);
        let text = group.health_record();
        let one = GroupConfig { checks: config().checks[..1].to_vec(), ..config() };
        let other = Group::new(one, None);
        other.apply_health(text.as_bytes(), NOW);
        assert_eq!(healths(&other), [Health::Good; 4]);
        let head = as_checked(&group.config);
        let broken = ["", "\n", "x", "1", "1 2", "1 2 ", "x 0 0 100 0 127.0.0.1:1"];
        for broken in broken.into_iter().chain(["-1 0 0 100 0 127.0.0.1:1", "1 0 127.0.0.1:1"]) {
            let group = Group::new(config(), None);
            group.apply_health(format!("{head}\n{broken}\n").as_bytes(), NOW);
            assert_eq!(healths(&group), [Health::Checking; 4], "{broken}");
        }
        // No verdict keeps a server out for ever: ejections have an end, and checks go on.
        let group = Group::new(config(), None);
        let all = format!("{head}\n{0} {1} 0 {0} {0} 127.0.0.1:1\n", u64::MAX, u32::MAX);
        group.apply_health(all.as_bytes(), NOW);
        for check in [0, 1] {
            group.peers()[0].set_health(Source::Check(check), Health::Good, NOW);
        }
        assert_eq!(group.peers()[0].health(), Health::Good);
    }
}

//! Which node holds which addresses, since when and why: from keepalived's changes of state, from
//! the adverts of other nodes, and from the guard's own decisions. Times are arguments, in
//! milliseconds of the monotonic clock.

use serde_json::{Value, json};

use crate::keepalived;
use crate::plan::Plan;
use crate::readiness::said::Holding;

/// How long an advert names the holder: some lost adverts do not change it.
const HOLDS_ADVERTS: u64 = 5;

/// How long an advert explains a change.
const EXPLAINS: u64 = 10_000;

/// A transition in which two nodes send adverts for a moment is none to tell.
const TRANSITION: u64 = 500;

/// The state of this node for a group of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// keepalived has not said anything yet.
    Starting,
    /// This node holds the addresses.
    Master,
    /// It waits.
    Backup,
    /// It may not hold them.
    Fault,
    /// keepalived does not run.
    Stopped,
}

impl State {
    const ALL: [Self; 5] = [Self::Starting, Self::Master, Self::Backup, Self::Fault, Self::Stopped];

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "MASTER" => Some(Self::Master),
            "BACKUP" => Some(Self::Backup),
            "FAULT" => Some(Self::Fault),
            "STOP" => Some(Self::Stopped),
            _ => None,
        }
    }

    /// The name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Master => "holds",
            Self::Backup => "waits",
            Self::Fault => "unfit",
            Self::Stopped => "stopped",
        }
    }
}

/// What this node knows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own<'a> {
    /// Why it is unfit.
    pub unfit: Option<&'a str>,
    /// The group that it takes back.
    pub urgent: Option<usize>,
}

/// The last advert of another node.
#[derive(Debug, Clone)]
struct Heard {
    node: String,
    at: u64,
    priority: u8,
}

#[derive(Debug, Clone)]
struct Group {
    state: State,
    /// When the state began.
    since: u64,
    why: String,
    heard: Option<Heard>,
    /// The holder named in the log last, with the time of the change.
    holder: Option<String>,
    holder_since: u64,
    /// Another node has held the addresses at the same time since then.
    both_since: Option<u64>,
    /// It has been told.
    both_told: bool,
}

impl Group {
    fn new(now: u64) -> Self {
        Self {
            state: State::Starting,
            since: now,
            why: "keepalived is starting".to_owned(),
            heard: None,
            holder: None,
            holder_since: now,
            both_since: None,
            both_told: false,
        }
    }
}

impl Group {
    fn load(saved: &Value) -> Option<Self> {
        let name = saved["state"].as_str()?;
        let heard = |heard: &Value| {
            let (node, at) = (heard[0].as_str()?.to_owned(), heard[1].as_u64()?);
            Some(Heard { node, at, priority: u8::try_from(heard[2].as_u64()?).ok()? })
        };
        Some(Self {
            state: State::ALL.into_iter().find(|state| state.name() == name)?,
            since: saved["since"].as_u64()?,
            why: saved["why"].as_str()?.to_owned(),
            heard: heard(&saved["heard"]),
            holder: saved["holder"].as_str().map(str::to_owned),
            holder_since: saved["holder_since"].as_u64()?,
            both_since: saved["both_since"].as_u64(),
            both_told: saved["both_told"] == true,
        })
    }
}

/// The states of all groups.
#[derive(Debug, Default)]
pub struct States(Vec<Group>);

impl States {
    /// Adapts to a plan: known groups keep their states.
    pub fn fit(&mut self, plan: &Plan, now: u64) {
        self.0.resize_with(plan.groups.len(), || Group::new(now));
    }

    /// The state of a group.
    pub fn of(&self, group: usize) -> State {
        self.0.get(group).map_or(State::Stopped, |group| group.state)
    }

    /// Whether this node holds a group.
    pub fn holds_any(&self) -> bool {
        self.0.iter().any(|group| group.state == State::Master)
    }

    /// Takes a line of keepalived's pipe, `INSTANCE "weir_1" MASTER 250`. Returns the message to
    /// log.
    pub fn event(&mut self, line: &str, now: u64, own: Own<'_>) -> Option<(usize, String)> {
        let mut words = line.split_whitespace();
        if words.next() != Some("INSTANCE") {
            return None;
        }
        let name = words.next()?.trim_matches('"');
        let state = State::from_word(words.next()?)?;
        let number = (0..self.0.len()).find(|&number| keepalived::instance(number) == name)?;
        let why = self.explain(number, state, now, own);
        self.change(number, state, why, now)
    }

    /// Why a group changes to a state.
    fn explain(&self, number: usize, to: State, now: u64, own: Own<'_>) -> String {
        let group = &self.0[number];
        let heard = group.heard.as_ref().filter(|heard| now.saturating_sub(heard.at) < EXPLAINS);
        match (to, heard) {
            (State::Master, _) if own.urgent == Some(number) => "they were taken back".to_owned(),
            (State::Master, Some(Heard { node, priority: 0, .. })) => {
                format!("node \"{node}\" gave them up")
            }
            (State::Master, Some(Heard { node, .. })) if group.state == State::Backup => {
                format!("no advert came from node \"{node}\" any more")
            }
            (State::Master, _) => "no other node held them".to_owned(),
            (State::Backup, Some(Heard { node, priority: 1.., .. })) => {
                format!("node \"{node}\" holds them")
            }
            (State::Backup, _) => "it waits for adverts of other nodes".to_owned(),
            (State::Fault, _) => {
                own.unfit.unwrap_or("an interface is down or has no address").to_owned()
            }
            (State::Stopped, _) => "keepalived has ended".to_owned(),
            (State::Starting, _) => "keepalived is starting".to_owned(),
        }
    }

    /// Changes the state of a group. Returns the message to log.
    fn change(
        &mut self,
        number: usize,
        to: State,
        why: String,
        now: u64,
    ) -> Option<(usize, String)> {
        let group = self.0.get_mut(number)?;
        let from = std::mem::replace(&mut group.state, to);
        let message = match (from, to) {
            (from, to) if from == to => return None,
            (_, State::Master) => format!("are held here now: {why}"),
            (State::Master, _) => format!("are no longer held here: {why}"),
            (_, State::Fault) => format!("cannot be held here: {why}"),
            _ => String::new(),
        };
        group.since = now;
        group.why = why;
        group.both_since = None;
        group.both_told = false;
        if to == State::Master {
            group.holder = None;
        }
        (!message.is_empty()).then_some((number, message))
    }

    /// keepalived has ended, for this reason. Returns the messages to log.
    pub fn stop(&mut self, why: &str, now: u64) -> Vec<(usize, String)> {
        let numbers = 0..self.0.len();
        let all =
            numbers.filter_map(|number| self.change(number, State::Stopped, why.to_owned(), now));
        all.collect()
    }

    /// Takes an advert of another node. Returns a message if both nodes hold a group.
    pub fn advert(
        &mut self,
        number: usize,
        node: &str,
        priority: u8,
        now: u64,
    ) -> Option<(usize, String)> {
        let group = self.0.get_mut(number)?;
        group.heard = Some(Heard { node: node.to_owned(), at: now, priority });
        if priority == 0 {
            return None;
        }
        if group.holder.as_deref() != Some(node) && group.state != State::Master {
            group.holder = Some(node.to_owned());
            group.holder_since = now;
        }
        let held_for = now.saturating_sub(group.since);
        if group.state != State::Master || held_for < TRANSITION {
            return None;
        }
        let since = *group.both_since.get_or_insert(now);
        if now.saturating_sub(since) < TRANSITION || std::mem::replace(&mut group.both_told, true) {
            return None;
        }
        Some((
            number,
            format!("are held here and by node \"{node}\" at once: it does not hear this node"),
        ))
    }

    /// Forgets a double holder that is no longer heard. Returns the messages to log.
    pub fn settle(&mut self, advert: u64, now: u64) -> Vec<(usize, String)> {
        let mut messages = Vec::new();
        for (number, group) in self.0.iter_mut().enumerate() {
            let is_heard = group.heard.as_ref().is_some_and(|heard| {
                heard.priority > 0 && now.saturating_sub(heard.at) < HOLDS_ADVERTS * advert
            });
            if group.both_since.is_some() && !is_heard {
                group.both_since = None;
                let node = group.heard.as_ref().map_or("?", |heard| &heard.node);
                messages.push((
                    number,
                    match std::mem::take(&mut group.both_told) {
                        true => "are held by one node again".to_owned(),
                        false => format!(
                            "were held by node \"{node}\" as well for a time in which the nodes \
                             did not hear each other"
                        ),
                    },
                ));
            }
        }
        messages
    }

    /// What a worker tells other nodes of the groups.
    pub fn said(&self) -> Vec<Holding> {
        let of = |group: &Group| Holding {
            holds: group.state == State::Master,
            time: group.since,
            why: group.why.clone(),
        };
        self.0.iter().map(of).collect()
    }

    /// All states, for another program of the same process.
    pub(super) fn save(&self) -> Value {
        let of = |group: &Group| {
            let heard = group.heard.as_ref();
            json!({
                "state": group.state.name(),
                "since": group.since,
                "why": group.why,
                "heard": heard.map(|heard| json!([heard.node, heard.at, heard.priority])),
                "holder": group.holder,
                "holder_since": group.holder_since,
                "both_since": group.both_since,
                "both_told": group.both_told,
            })
        };
        self.0.iter().map(of).collect()
    }

    /// The states that an earlier program has saved, for so many groups. What is missing is new.
    pub(super) fn load(saved: &Value, groups: usize, now: u64) -> Self {
        let of = |number| Group::load(&saved[number]).unwrap_or_else(|| Group::new(now));
        Self((0..groups).map(of).collect())
    }

    /// The status of all groups, for `weir ha status`.
    pub fn to_json(&self, plan: &Plan, now: u64) -> Value {
        let advert = u64::try_from(plan.advert.as_millis()).unwrap_or(u64::MAX);
        let groups = self.0.iter().zip(&plan.groups).map(|(group, planned)| {
            let heard = group.heard.as_ref().filter(|heard| {
                heard.priority > 0 && now.saturating_sub(heard.at) < HOLDS_ADVERTS * advert
            });
            let other = heard.map(|heard| heard.node.as_str());
            let here = group.state == State::Master;
            let (holder, since) = match (here, other) {
                (true, _) => (Some(plan.name()), group.since),
                (false, Some(node)) => (Some(node), group.holder_since),
                (false, None) => (None, group.since),
            };
            let why = match (group.state, other) {
                (State::Backup, Some(node)) => format!("node \"{node}\" holds them"),
                _ => group.why.clone(),
            };
            let addresses = planned.addresses.iter();
            json!({
                "addresses": addresses.map(|(a, prefix, _)| format!("{a}/{prefix}")).collect::<Vec<_>>(),
                "holder": holder,
                "holder_for_ms": now.saturating_sub(since),
                "here": group.state.name(),
                "here_for_ms": now.saturating_sub(group.since),
                "why": why,
                "also_held_by": other.filter(|_| here && group.both_since.is_some()),
            })
        });
        Value::Array(groups.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> States {
        let mut states = States::default();
        states.fit(&Plan::example(), 0);
        states
    }

    const MASTER: &str = "INSTANCE \"weir_1\" MASTER 230";
    const FAULT: &str = "INSTANCE \"weir_1\" FAULT 230";
    const BACKUP: &str = "INSTANCE \"weir_1\" BACKUP 230";

    fn said(message: Option<(usize, String)>) -> String {
        message.map_or_else(String::new, |(number, text)| format!("{number} {text}"))
    }

    #[test]
    fn a_takeover_names_its_cause() {
        let mut states = states();
        assert_eq!(said(states.event(BACKUP, 10, Own::default())), "");
        states.advert(0, "a", 250, 50);
        let message = said(states.event(MASTER, 400, Own::default()));
        assert_eq!(message, "0 are held here now: no advert came from node \"a\" any more");
        assert_eq!(states.of(0), State::Master);
        let message = said(states.event(FAULT, 900, Own { unfit: Some("it rains"), urgent: None }));
        assert_eq!(message, "0 are no longer held here: it rains");
        states.event(BACKUP, 1000, Own::default());
        states.advert(0, "a", 250, 1010);
        states.advert(0, "a", 0, 2000);
        let message = said(states.event(MASTER, 2030, Own::default()));
        assert_eq!(message, "0 are held here now: node \"a\" gave them up");
        states.advert(0, "a", 250, 3000);
        let message = said(states.event(BACKUP, 3001, Own::default()));
        assert_eq!(message, "0 are no longer held here: node \"a\" holds them");
    }

    #[test]
    fn a_group_that_is_taken_back_says_so() {
        let mut states = states();
        states.advert(0, "a", 250, 50);
        let own = Own { unfit: None, urgent: Some(0) };
        let message = said(states.event(MASTER, 400, own));
        assert_eq!(message, "0 are held here now: they were taken back");
    }

    #[test]
    fn the_status_tells_the_holder_and_the_time() {
        let mut states = states();
        states.event(BACKUP, 10, Own::default());
        states.advert(0, "a", 250, 1000);
        states.advert(0, "a", 250, 1100);
        let shown = states.to_json(&Plan::example(), 1200);
        assert_eq!(shown[0]["holder"], "a");
        assert_eq!(shown[0]["holder_for_ms"], 200);
        assert_eq!(shown[0]["why"], "node \"a\" holds them");
        assert_eq!(shown[0]["addresses"][0], "192.0.2.1/24");
        assert_eq!(shown[1]["holder"], Value::Null);
        assert_eq!(
            states.to_json(&Plan::example(), 2000)[0]["holder"],
            Value::Null,
            "it fell silent"
        );
        states.event(MASTER, 2100, Own::default());
        let shown = states.to_json(&Plan::example(), 2600);
        assert_eq!((&shown[0]["holder"], &shown[0]["here"]), (&json!("b"), &json!("holds")));
        assert_eq!(shown[0]["holder_for_ms"], 500);
    }

    #[test]
    fn a_holder_that_comes_back_holds_since_then() {
        let mut states = states();
        states.event(BACKUP, 10, Own::default());
        states.advert(0, "a", 250, 1000);
        states.event(MASTER, 2000, Own::default());
        states.event(BACKUP, 5000, Own::default());
        states.advert(0, "a", 250, 5010);
        assert_eq!(states.to_json(&Plan::example(), 5030)[0]["holder_for_ms"], 20);
    }

    #[test]
    fn two_holders_are_told_once_and_when_it_ends() {
        let mut states = states();
        states.event(MASTER, 0, Own::default());
        let mut told = Vec::new();
        for at in (0..2000).step_by(100) {
            told.extend(states.advert(0, "a", 200, at));
        }
        let [(0, message)] = &told[..] else { panic!("{told:?}") };
        assert!(message.contains("by node \"a\" at once"), "{message}");
        assert_eq!(states.to_json(&Plan::example(), 2000)[0]["also_held_by"], "a");
        assert!(states.settle(100, 2000).is_empty());
        assert_eq!(states.settle(100, 3000).len(), 1);
        assert!(states.settle(100, 3100).is_empty());
    }

    #[test]
    fn a_split_that_has_healed_is_told() {
        let mut states = states();
        states.event(MASTER, 0, Own::default());
        assert_eq!(states.advert(0, "a", 200, 100), None, "a moment after the takeover");
        assert!(states.settle(100, 400).is_empty());
        assert_eq!(states.advert(0, "a", 200, 5000), None);
        assert!(states.settle(100, 5100).is_empty());
        let told = states.settle(100, 6000);
        assert!(told[0].1.starts_with("were held by node \"a\" as well"), "{told:?}");
    }

    #[test]
    fn an_end_of_keepalived_stops_all_groups() {
        let mut states = states();
        states.event(MASTER, 0, Own::default());
        let messages = states.stop("keepalived was killed", 5);
        assert_eq!(messages, [(0, "are no longer held here: keepalived was killed".to_owned())]);
        assert!(!states.holds_any());
    }

    #[test]
    fn another_program_goes_on_with_the_same_states() {
        let mut states = states();
        states.event(BACKUP, 10, Own::default());
        states.advert(0, "a", 250, 1000);
        states.event(MASTER, 2000, Own::default());
        (2000..3000).step_by(100).for_each(|at| drop(states.advert(0, "a", 250, at)));
        let loaded = States::load(&states.save(), 2, 9000);
        assert_eq!(loaded.save(), states.save());
        let shown = |states: &States| states.to_json(&Plan::example(), 3000);
        assert_eq!(shown(&loaded), shown(&states));
        assert_eq!(shown(&loaded)[0]["also_held_by"], "a");
        // What is missing or damaged begins anew.
        let partly = States::load(&json!([{"state": "holds"}]), 2, 9000);
        assert_eq!((partly.of(0), partly.of(1)), (State::Starting, State::Starting));
    }

    #[test]
    fn other_lines_change_nothing() {
        let mut states = states();
        for line in [
            "",
            "GROUP \"g\" MASTER 1",
            "INSTANCE \"x\" MASTER 1",
            "INSTANCE",
            "INSTANCE \"weir_1\" NEW 1",
        ] {
            assert_eq!(states.event(line, 0, Own::default()), None, "{line}");
        }
        assert_eq!(states.advert(7, "a", 1, 0), None);
    }
}

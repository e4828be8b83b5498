//! The configuration: one version on all nodes.
//!
//! ```text
//!            propose                    all that were asked agree
//!  Settled ───────────▶ Proposing ─────────────────────────────────▶ Applying ──▶ Settled
//!     │ ▲                   │ a refusal, a better proposal,             ▲  │ failed: the earlier
//!     │ │                   │ a node that goes away, no answer in time  │  ▼ version stays
//!     │ └───────────────────┘                                           │
//!     │ a proposal arrives, or a version that replaces the own one      │
//!     └───────────▶ Following: Fetching ──▶ (Waiting) ──▶ Checking ──┬──┘ it is in force elsewhere
//!                      │ withdrawn, proposer gone, stalled           └──▶ Agreed ──▶ decided
//!                      └──▶ Settled
//! ```
//!
//! A decision is the proposer's own durable version: the other nodes see it in its status, which is
//! also what a node sees that was away. There is no other message of commitment, so a proposer that
//! dies has either decided, and its version spreads when it returns, or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::codec::Malformed;
use super::durable::Durable;
use super::effect::{Effect, Outcome, Proposal, Set, Weight};
use super::limits;
use super::message::{Message, SetInfo, Status, Verdict};
use super::name::Name;
use super::version::{Digest, Relation, Standing, Version, relate};
use super::view::Step;

mod confirm;
mod follow;
mod link;
mod propose;

use confirm::Confirming;
use follow::{Following, Trouble};
use link::Link;
use propose::Proposing;

/// The effects that nobody has taken.
pub(super) type Effects = VecDeque<Effect>;

/// A set with its history.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) standing: Standing,
    pub(super) info: SetInfo,
    pub(super) bytes: Arc<[u8]>,
}

/// A set that a proposer hands in.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// The signature by the proposing master.
    pub signature: Vec<u8>,
    /// The set.
    pub bytes: Arc<[u8]>,
}

/// A set that is being put in force.
#[derive(Debug)]
struct Applying {
    held: Held,
    /// The proposal, if it was made here, and the nodes that were asked.
    own: Option<(Proposal, BTreeSet<Name>)>,
    from: Name,
}

#[derive(Debug)]
enum State {
    Settled,
    Proposing(Proposing),
    Following(Following),
    Applying(Applying),
}

/// The state machine of the configuration.
#[derive(Debug)]
pub(super) struct Config {
    me: Name,
    /// All nodes, this one included.
    members: BTreeSet<Name>,
    /// What is durable and in force here.
    current: Option<Held>,
    /// The largest counter of any version that this node has heard of.
    highest: u64,
    state: State,
    confirming: Option<Confirming>,
    trouble: Option<Trouble>,
    /// The version whose check is under way, whether anybody still waits for it or not.
    checking: Option<Version>,
    /// The state that is being stored, to say that all nodes have this version.
    sealing: Option<(u64, Version)>,
    serial: u64,
    /// The connected nodes.
    links: BTreeMap<Name, Link>,
}

impl Held {
    pub(super) fn set(&self) -> Set {
        let (version, info) = (self.standing.version.clone(), self.info.clone());
        Set { version, info, bytes: Arc::clone(&self.bytes) }
    }

    fn state(&self) -> Vec<u8> {
        Durable { standing: self.standing.clone(), info: self.info.clone() }.encode()
    }
}

impl Config {
    pub(super) fn new(me: Name, members: BTreeSet<Name>, current: Option<Held>) -> Self {
        let highest = current.as_ref().map_or(0, |held| held.standing.version.counter);
        Self {
            me,
            members,
            current,
            highest,
            state: State::Settled,
            confirming: None,
            trouble: None,
            checking: None,
            sealing: None,
            serial: 0,
            links: BTreeMap::new(),
        }
    }

    pub(super) fn set_members(
        &mut self,
        members: BTreeSet<Name>,
        now: Duration,
        out: &mut Effects,
    ) {
        self.members = members;
        self.seal(out);
        self.confirm(now, out);
    }

    pub(super) fn standing(&self) -> Option<&Standing> {
        self.current.as_ref().map(|held| &held.standing)
    }

    /// The version that could not be put in force, and why.
    pub(super) fn trouble(&self) -> Option<(&Version, &str)> {
        self.trouble.as_ref().map(|trouble| (&trouble.version, &*trouble.reason))
    }

    /// The change that is under way.
    pub(super) fn under_way(&self) -> Option<(&Version, Step)> {
        match &self.state {
            State::Settled => None,
            State::Proposing(proposing) => Some((proposing.version(), Step::Proposed)),
            State::Following(following) => Some((&following.standing.version, Step::Followed)),
            State::Applying(applying) => Some((&applying.held.standing.version, Step::Applied)),
        }
    }

    /// The status of a connected node, once it has told it.
    pub(super) fn status_of(&self, node: &Name) -> Option<&Status> {
        self.links.get(node)?.status.as_ref()
    }

    pub(super) fn handle_connected(&mut self, node: Name) {
        let mut link = Link::new();
        if let State::Proposing(proposing) = &mut self.state {
            proposing.ask(&node, &mut link);
        }
        self.links.insert(node, link);
    }

    /// Another connection has taken the place of a node's, as when both have dialled: it is asked
    /// again, or followed again, and nobody is told that it was away.
    pub(super) fn handle_replaced(&mut self, now: Duration, node: &Name, out: &mut Effects) {
        self.links.remove(node);
        if matches!(&self.state, State::Following(following) if following.from == *node) {
            self.settle(now, out);
        }
    }

    pub(super) fn handle_disconnected(&mut self, now: Duration, node: &Name, out: &mut Effects) {
        self.links.remove(node);
        match &self.state {
            State::Proposing(proposing) if proposing.waits_for(node) => {
                self.give_up(Outcome::WentAway(node.clone()), now, out);
            }
            State::Following(following) if following.from == *node => self.settle(now, out),
            _ => {}
        }
        self.confirm(now, out);
    }

    pub(super) fn handle_message(
        &mut self,
        now: Duration,
        node: &Name,
        message: Message,
        out: &mut Effects,
    ) {
        if !self.links.contains_key(node) {
            return;
        }
        match message {
            Message::Status(status) => self.handle_status(now, node, status, out),
            Message::Propose(standing, info) => self.handle_propose(now, node, standing, info, out),
            Message::Verdict(version, verdict) => {
                self.handle_verdict(now, node, &version, verdict, out);
            }
            Message::Withdraw(version) => self.handle_withdraw(now, node, &version, out),
            Message::Piece { version, offset, bytes } => {
                self.handle_piece(now, node, &version, offset, &bytes, out);
            }
            Message::Want { version, offset } => {
                if let Some(link) = self.links.get_mut(node) {
                    link.wanted = Some((version, offset));
                }
            }
            _ => {}
        }
    }

    /// What no node says that keeps to the protocol.
    pub(super) fn fault_of(&self, node: &Name, message: &Message) -> Option<Malformed> {
        let version = match message {
            Message::Status(status) => &status.set.as_ref()?.0.version,
            Message::Propose(standing, _) if standing.version.proposer != *node => {
                return Some(Malformed("proposal: it is another node's"));
            }
            Message::Propose(standing, _) => &standing.version,
            _ => return None,
        };
        let is_far = version.counter > self.highest.saturating_add(limits::COUNTER_LEAP);
        is_far.then_some(Malformed("version: its counter is too far ahead"))
    }

    /// Whether a node has asked more than it has taken answers.
    pub(super) fn is_flooded(&self, node: &Name) -> bool {
        self.links.get(node).is_some_and(Link::is_flooded)
    }

    fn handle_status(&mut self, now: Duration, node: &Name, status: Status, out: &mut Effects) {
        let theirs = status.set.as_ref().map(|(standing, _)| standing.clone());
        let before = self.links.get_mut(node).and_then(|link| link.status.replace(status));
        if let Some(theirs) = theirs {
            self.highest = self.highest.max(theirs.version.counter);
            let before = before.and_then(|status| status.set);
            let is_news = before.is_none_or(|(before, _)| before.version != theirs.version);
            if is_news && relate(self.standing(), Some(&theirs)) == Relation::Loses {
                let version = &theirs.version;
                let text = format!("version {version} on {node} was made apart and gives way");
                out.push_back(Effect::Log(Weight::Warning, text));
            }
            self.heed(now, node, &theirs, out);
        }
        self.seal(out);
        self.confirm(now, out);
    }

    /// Draws the conclusions of what another node has in force.
    fn heed(&mut self, now: Duration, node: &Name, theirs: &Standing, out: &mut Effects) {
        let relation = relate(self.standing(), Some(theirs));
        match &mut self.state {
            State::Settled => self.follow_up(now, out),
            State::Proposing(_) if relation.replaces() => {
                let outcome = Outcome::Behind(node.clone(), Some(theirs.version.clone()));
                self.give_up(outcome, now, out);
            }
            State::Following(following) if following.standing.version == theirs.version => {
                following.is_proposal = false;
                self.apply_if_agreed(now, out);
            }
            State::Following(following) => {
                if relation.replaces() && following.standing.relate(theirs).replaces() {
                    self.say_no(Verdict::Stale);
                    self.settle(now, out);
                }
            }
            State::Proposing(_) | State::Applying(_) => {}
        }
    }

    /// Gives up what is under way, and looks for a version to take over.
    fn settle(&mut self, now: Duration, out: &mut Effects) {
        self.state = State::Settled;
        self.follow_up(now, out);
    }

    /// Puts a set in force that nobody can refuse any more.
    fn apply(
        &mut self,
        mut held: Held,
        own: Option<(Proposal, BTreeSet<Name>)>,
        from: Name,
        out: &mut Effects,
    ) {
        if let Some(current) = &self.current {
            if current.standing.relate(&held.standing) == Relation::Wins {
                let (loser, winner) = (current.set(), held.standing.version.clone());
                let text = format!(
                    "version {} here was made apart from version {winner} of {from}, which wins; the \
                     former is kept aside",
                    loser.version
                );
                out.push_back(Effect::Log(Weight::Warning, text));
                out.push_back(Effect::KeepAside { loser, winner });
            }
            held.standing.learn(current.standing.sealed.as_ref());
        }
        out.push_back(Effect::Apply { set: held.set(), state: held.state() });
        self.state = State::Applying(Applying { held, own, from });
    }

    pub(super) fn handle_applied(
        &mut self,
        now: Duration,
        version: &Version,
        result: Result<(), String>,
        out: &mut Effects,
    ) {
        let is_awaited = |applying: &Applying| applying.held.standing.version == *version;
        let State::Applying(applying) = &self.state else { return };
        if !is_awaited(applying) {
            return;
        }
        let State::Applying(applying) = std::mem::replace(&mut self.state, State::Settled) else {
            return;
        };
        match (result, applying.own) {
            (Ok(()), own) => {
                let text = format!("version {version} of the configuration is in force");
                out.push_back(Effect::Log(Weight::Notice, text));
                self.take_over(applying.held);
                if let Some((proposal, _)) = own {
                    self.confirming = Some(Confirming::new(proposal, version.clone(), now));
                }
            }
            (Err(reason), Some((proposal, asked))) => {
                self.withdraw(version, &asked);
                out.push_back(Effect::Answer(proposal, Outcome::Failed(reason)));
            }
            (Err(reason), None) => self.note_trouble(now, version.clone(), reason, out),
        }
        self.tell_all();
        self.settle(now, out);
        self.seal(out);
        self.confirm(now, out);
    }

    fn take_over(&mut self, mut held: Held) {
        let sealed = self.current.take().and_then(|before| before.standing.sealed);
        held.standing.learn(sealed.as_ref());
        self.highest = self.highest.max(held.standing.version.counter);
        self.current = Some(held);
        self.trouble = None;
    }

    fn tell_all(&mut self) {
        self.links.values_mut().for_each(|link| link.status_due = true);
    }

    /// Notes durably what is known about the current version: that every node has it, or what
    /// another node knows so.
    fn seal(&mut self, out: &mut Effects) {
        let is_applying = matches!(self.state, State::Applying(_));
        let (Some(current), None, false) = (&self.current, &self.sealing, is_applying) else {
            return;
        };
        let own = &current.standing;
        let has_it = |node: &Name| {
            let link = self.links.get(node).and_then(Link::standing);
            *node == self.me || link.is_some_and(|theirs| theirs.version == own.version)
        };
        let mut known = own.clone();
        for theirs in self.links.values().filter_map(Link::standing) {
            known.learn(theirs.sealed.as_ref());
        }
        if self.members.iter().all(has_it) {
            known.learn(Some(&own.version));
        }
        let Some(sealed) = known.sealed.clone().filter(|_| known.sealed != own.sealed) else {
            return;
        };
        self.serial += 1;
        self.sealing = Some((self.serial, sealed));
        let durable = Durable { standing: known, info: current.info.clone() };
        out.push_back(Effect::Store { serial: self.serial, state: durable.encode() });
    }

    pub(super) fn handle_stored(&mut self, now: Duration, serial: u64, out: &mut Effects) {
        let is_awaited = self.sealing.as_ref().is_some_and(|(known, _)| *known == serial);
        if !is_awaited {
            return;
        }
        if let (Some((_, version)), Some(current)) = (self.sealing.take(), &mut self.current) {
            current.standing.learn(Some(&version));
        }
        self.tell_all();
        self.seal(out);
        self.confirm(now, out);
    }

    pub(super) fn handle_tick(&mut self, now: Duration, out: &mut Effects) {
        match &self.state {
            State::Settled => self.follow_up(now, out),
            State::Proposing(proposing) => {
                if let Some(silent) = proposing.late(now) {
                    self.give_up(Outcome::Unanswered(silent), now, out);
                }
            }
            State::Following(_) => self.watch_following(now, out),
            State::Applying(_) => {}
        }
        self.confirm(now, out);
    }

    /// The bytes of sets in memory, and the messages that wait.
    pub(super) fn usage(&self) -> (u64, usize) {
        let of = |held: &Held| held.bytes.len() as u64;
        let state = match &self.state {
            State::Settled => 0,
            State::Proposing(proposing) => of(&proposing.candidate),
            State::Following(following) => following.size(),
            State::Applying(applying) => of(&applying.held),
        };
        let waiting = self.links.values().map(Link::waiting).max().unwrap_or(0);
        (state + self.current.as_ref().map_or(0, of), waiting)
    }
}

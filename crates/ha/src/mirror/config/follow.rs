//! The side of a node that gets a set from another: a proposal, or what is in force there.

use std::sync::Arc;
use std::time::Duration;

use crate::mirror::codec::cut;
use crate::mirror::effect::{Effect, Weight};
use crate::mirror::limits;
use crate::mirror::message::{SetInfo, Verdict};
use crate::mirror::name::Name;
use crate::mirror::version::{Standing, Version, relate};

use super::{Config, Effects, Held, State};

/// A set that comes from another node.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) from: Name,
    pub(super) standing: Standing,
    info: SetInfo,
    /// Whether it waits for a decision, and is in force nowhere.
    pub(super) is_proposal: bool,
    stage: Stage,
    /// The time of the last progress.
    since: Duration,
}

#[derive(Debug)]
enum Stage {
    /// The bytes by now.
    Fetching(Vec<u8>),
    /// All bytes are there, but an earlier check has not ended.
    Waiting(Arc<[u8]>),
    Checking(Arc<[u8]>),
    Agreed(Arc<[u8]>),
}

/// A version that could not be put in force here.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) version: Version,
    pub(super) reason: String,
    /// The time of the next attempt, and the pause before it.
    again: Duration,
    pause: Duration,
}

impl Trouble {
    /// A clock that jumps back does not prolong the pause.
    fn waits(&self, now: Duration) -> bool {
        now < self.again && self.again - now <= self.pause
    }
}

impl Following {
    fn held(&self, bytes: &Arc<[u8]>) -> Held {
        let (standing, info) = (self.standing.clone(), self.info.clone());
        Held { standing, info, bytes: Arc::clone(bytes) }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.stage {
            Stage::Fetching(bytes) => bytes.len() as u64,
            Stage::Waiting(bytes) | Stage::Checking(bytes) | Stage::Agreed(bytes) => {
                bytes.len() as u64
            }
        }
    }
}

impl Config {
    /// Takes over the best version of any connected node, if it replaces the own one.
    pub(super) fn follow_up(&mut self, now: Duration, out: &mut Effects) {
        if !matches!(self.state, State::Settled) {
            return;
        }
        let in_trouble = |version: &Version| {
            let trouble = self.trouble.as_ref();
            trouble.is_some_and(|trouble| trouble.version == *version && trouble.waits(now))
        };
        let mut best: Option<(&Name, &Standing, &SetInfo)> = None;
        for (node, link) in &self.links {
            let set = link.status.as_ref().and_then(|status| status.set.as_ref());
            let Some((theirs, info)) = set else { continue };
            let own = best.map(|(_, standing, _)| standing).or(self.standing());
            if relate(own, Some(theirs)).replaces() {
                best = Some((node, theirs, info));
            }
        }
        let Some((node, standing, info)) = best else { return };
        if !in_trouble(&standing.version) {
            let (node, standing, info) = (node.clone(), standing.clone(), info.clone());
            self.follow(now, node, standing, info, false, out);
        }
    }

    fn follow(
        &mut self,
        now: Duration,
        from: Name,
        standing: Standing,
        info: SetInfo,
        is_proposal: bool,
        out: &mut Effects,
    ) {
        let stage = Stage::Fetching(Vec::new());
        let following = Following { from, standing, info, is_proposal, stage, since: now };
        self.state = State::Following(following);
        self.go_on(out);
    }

    pub(super) fn handle_propose(
        &mut self,
        now: Duration,
        node: &Name,
        standing: Standing,
        info: SetInfo,
        out: &mut Effects,
    ) {
        let version = standing.version.clone();
        self.highest = self.highest.max(version.counter);
        if !relate(self.standing(), Some(&standing)).replaces() {
            return self.answer(node, &version, Verdict::Stale);
        }
        if !self.yields_to(now, node, &version, out) {
            return;
        }
        match &self.state {
            State::Following(other) if other.from != *node => {
                let goes_on = !other.is_proposal || other.standing.version > version;
                if goes_on {
                    let busy = Verdict::Busy(other.from.clone());
                    return self.answer(node, &version, busy);
                }
                self.say_no(Verdict::Busy(node.clone()));
            }
            State::Following(_) | State::Settled => {}
            State::Proposing(_) | State::Applying(_) => {
                let busy = Verdict::Busy(self.busy_with());
                return self.answer(node, &version, busy);
            }
        }
        self.follow(now, node.clone(), standing, info, true, out);
    }

    fn busy_with(&self) -> Name {
        match &self.state {
            State::Applying(applying) => applying.from.clone(),
            _ => self.me.clone(),
        }
    }

    /// Answers the followed proposal, if it is one.
    pub(super) fn say_no(&mut self, verdict: Verdict) {
        let State::Following(following) = &self.state else { return };
        if following.is_proposal {
            let (node, version) = (following.from.clone(), following.standing.version.clone());
            self.answer(&node, &version, verdict);
        }
    }

    pub(super) fn handle_withdraw(
        &mut self,
        now: Duration,
        node: &Name,
        version: &Version,
        out: &mut Effects,
    ) {
        let State::Following(following) = &self.state else { return };
        let is_it = following.from == *node && following.standing.version == *version;
        if is_it && following.is_proposal {
            self.settle(now, out);
        }
    }

    pub(super) fn handle_piece(
        &mut self,
        now: Duration,
        node: &Name,
        version: &Version,
        offset: u64,
        piece: &[u8],
        out: &mut Effects,
    ) {
        let State::Following(following) = &mut self.state else { return };
        if following.from != *node || following.standing.version != *version {
            return;
        }
        let Stage::Fetching(bytes) = &mut following.stage else { return };
        let fits = (bytes.len() + piece.len()) as u64 <= following.info.size;
        if offset != bytes.len() as u64 || piece.is_empty() || !fits {
            return;
        }
        bytes.extend_from_slice(piece);
        following.since = now;
        self.go_on(out);
    }

    /// Asks for the next piece, or has the set checked.
    fn go_on(&mut self, out: &mut Effects) {
        let State::Following(following) = &mut self.state else { return };
        if let Stage::Fetching(bytes) = &mut following.stage {
            if (bytes.len() as u64) < following.info.size {
                let want = (following.standing.version.clone(), bytes.len() as u64);
                if let Some(link) = self.links.get_mut(&following.from) {
                    link.want = Some(want);
                }
                return;
            }
            following.stage = Stage::Waiting(std::mem::take(bytes).into());
        }
        if let (Stage::Waiting(bytes), None) = (&following.stage, &self.checking) {
            let (set, is_proposal) = (following.held(bytes).set(), following.is_proposal);
            following.stage = Stage::Checking(Arc::clone(bytes));
            self.checking = Some(set.version.clone());
            out.push_back(Effect::Check { set, is_proposal });
        }
    }

    pub(in crate::mirror) fn handle_checked(
        &mut self,
        now: Duration,
        version: &Version,
        result: Result<(), String>,
        out: &mut Effects,
    ) {
        if self.checking.as_ref() != Some(version) {
            return;
        }
        self.checking = None;
        let State::Following(following) = &mut self.state else { return };
        let is_it = following.standing.version == *version;
        let (Stage::Checking(bytes), true) = (&following.stage, is_it) else {
            return self.go_on(out);
        };
        following.since = now;
        match result {
            Ok(()) => {
                following.stage = Stage::Agreed(Arc::clone(bytes));
                self.say_no(Verdict::Agrees);
                self.apply_if_agreed(now, out);
            }
            Err(reason) => {
                let reason = cut(reason);
                if following.is_proposal {
                    self.say_no(Verdict::Refuses(reason));
                } else {
                    self.note_trouble(now, version.clone(), reason, out);
                }
                self.settle(now, out);
            }
        }
    }

    /// Puts the followed set in force if it has been checked here and is in force elsewhere.
    pub(super) fn apply_if_agreed(&mut self, now: Duration, out: &mut Effects) {
        let State::Following(following) = &self.state else { return };
        let (Stage::Agreed(bytes), false) = (&following.stage, following.is_proposal) else {
            return;
        };
        let (held, from) = (following.held(bytes), following.from.clone());
        if relate(self.standing(), Some(&held.standing)).replaces() {
            self.apply(held, None, from, out);
        } else {
            self.settle(now, out);
        }
    }

    pub(super) fn note_trouble(
        &mut self,
        now: Duration,
        version: Version,
        reason: String,
        out: &mut Effects,
    ) {
        let [first, longest] = limits::RETRY;
        let known = self.trouble.as_ref().filter(|known| known.version == version);
        let pause = known.map_or(first, |known| (known.pause * 2).min(longest));
        let reason = cut(reason);
        let text = format!("version {version} of the configuration is not in force here: {reason}");
        out.push_back(Effect::Log(Weight::Warning, text));
        self.trouble = Some(Trouble { version, reason, again: now + pause, pause });
        self.tell_all();
    }

    /// Gives up what makes no progress.
    pub(super) fn watch_following(&mut self, now: Duration, out: &mut Effects) {
        let State::Following(following) = &self.state else { return };
        let idle = now.saturating_sub(following.since);
        match &following.stage {
            Stage::Fetching(_) if idle > limits::STALL => {
                self.say_no(Verdict::Refuses("the configuration stopped coming".to_owned()));
                self.settle(now, out);
            }
            Stage::Agreed(_) if idle > limits::HOLD => self.settle(now, out),
            _ => {}
        }
    }
}

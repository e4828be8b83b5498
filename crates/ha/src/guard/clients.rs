//! The connections to the guard: of masters, and of `weir ha`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde_json::Value;
use weir_sys::pass_fd::{self, Message};

use super::control::{self, accept};
use super::states::{State, States};
use super::{Asked, plan_in};
use crate::plan::Plan;
use crate::readiness::Beats;

/// The limit of connections.
const MOST: usize = 64;

/// The limit of messages of a connection in one step.
const AT_ONCE: usize = 16;

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// This node to hold nothing; with the answer to send then.
    Free(u8),
    /// This node to hold the connection's groups again.
    Back,
    /// Nothing: the status.
    Status,
}

#[derive(Debug)]
struct Client {
    fd: OwnedFd,
    /// Those of a master.
    beats: Option<Beats>,
    /// The number of its plan, which grows, and the plan.
    plan: Option<(u64, Plan)>,
    gave_up: bool,
    /// It took its leave.
    bye: bool,
    waits: Option<Waits>,
    /// A drill is under way.
    drill: bool,
    /// The groups that this node held before it.
    held: Vec<usize>,
    closed: bool,
}

impl Client {
    fn new(fd: OwnedFd) -> Self {
        let (beats, plan, waits, held) = (None, None, None, Vec::new());
        let (gave_up, bye, drill, closed) = (false, false, false, false);
        Self { fd, beats, plan, gave_up, bye, waits, drill, held, closed }
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Clients {
    listener: OwnedFd,
    all: Vec<Client>,
    /// The plan that counts from now on.
    plan: Option<Plan>,
    /// The number of the newest plan.
    plans: u64,
    /// The beats of masters that have gone without a farewell.
    orphaned: Vec<Beats>,
    /// The last master took its leave.
    dismissed: bool,
}

impl Clients {
    pub(super) fn new(listener: OwnedFd) -> Self {
        let (plan, plans, dismissed) = (None, 0, false);
        Self { listener, all: Vec::new(), plan, plans, orphaned: Vec::new(), dismissed }
    }

    /// The connection of a master that an earlier program of this process had.
    pub(super) fn add_master(&mut self, fd: OwnedFd, beats: Beats, plan: Plan) {
        self.plans += 1;
        let master =
            Client { beats: Some(beats), plan: Some((self.plans, plan)), ..Client::new(fd) };
        self.all.push(master);
    }

    /// The only connection, if it is one of a master that wants nothing at present.
    pub(super) fn only_master(&self) -> Option<(&OwnedFd, &Beats)> {
        let [Client { fd, beats: Some(beats), waits: None, drill: false, .. }] = &self.all[..]
        else {
            return None;
        };
        let is_quiet = self.plan.is_none() && self.orphaned.is_empty() && !self.all[0].gave_up;
        is_quiet.then_some((fd, beats))
    }

    pub(super) fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let own = std::iter::once(self.listener.as_fd());
        own.chain(self.all.iter().map(|client| client.fd.as_fd()))
    }

    /// Reads what has come. Returns whether the logs are to be opened again.
    pub(super) fn read(&mut self, states: &States, groups: usize) -> bool {
        while self.all.len() < MOST
            && let Some(fd) = accept(&self.listener)
        {
            self.all.push(Client::new(fd));
        }
        let mut reopen = false;
        for client in &mut self.all {
            for _ in 0..AT_ONCE {
                match pass_fd::receive(&client.fd, false) {
                    Ok(message) if !message.bytes.is_empty() => {
                        reopen |= message.bytes == [control::REOPEN];
                        if let Some(plan) = client.take(message, states, groups) {
                            self.plans += 1;
                            client.plan = Some((self.plans, plan.clone()));
                            self.plan = Some(plan);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    _ => {
                        client.closed = true;
                        break;
                    }
                }
            }
        }
        let gone: Vec<Client> = self.all.extract_if(.., |client| client.closed).collect();
        for client in gone {
            let Some(beats) = client.beats else { continue };
            self.dismissed = client.bye || client.gave_up;
            if !self.dismissed {
                self.orphaned.push(beats);
            }
            // After an upgrade that was taken back, the earlier plan counts again.
            let plans = self.all.iter().filter_map(|client| client.plan.as_ref());
            self.plan = plans.max_by_key(|(number, _)| *number).map(|(_, plan)| plan.clone());
        }
        reopen
    }

    /// The newest plan that has come since the last call.
    pub(super) fn new_plan(&mut self) -> Option<Plan> {
        self.plan.take()
    }

    /// The beats of masters that were killed since the last call.
    pub(super) fn orphaned(&mut self) -> Vec<Beats> {
        std::mem::take(&mut self.orphaned)
    }

    fn masters(&self) -> impl Iterator<Item = &Client> {
        self.all.iter().filter(|client| client.beats.is_some())
    }

    pub(super) fn has_masters(&self) -> bool {
        self.masters().next().is_some()
    }

    /// Whether the last master ended in peace.
    pub(super) fn dismissed(&self) -> bool {
        self.dismissed
    }

    /// The beats of all masters.
    pub(super) fn beats(&self) -> impl Iterator<Item = &Beats> {
        self.all.iter().filter_map(|client| client.beats.as_ref())
    }

    /// What the clients want.
    pub(super) fn asked(&self) -> Asked {
        let give_up = self.has_masters() && self.masters().all(|client| client.gave_up);
        Asked { give_up, drill: self.all.iter().any(|client| client.drill) }
    }

    /// The first group that is to be taken back and is not held.
    pub(super) fn wants_back(&self, states: &States) -> Option<usize> {
        let wanting = self.all.iter().filter(|client| client.waits == Some(Waits::Back));
        let mut groups = wanting.flat_map(|client| &client.held).copied();
        groups.find(|&group| states.of(group) != State::Master)
    }

    /// Sends the answers that are due.
    pub(super) fn answer(&mut self, states: &States, status: &dyn Fn() -> Value) {
        for client in &mut self.all {
            let held = &client.held;
            let sent = match client.waits {
                Some(Waits::Free(answer)) if !states.holds_any() => {
                    pass_fd::send(&client.fd, &[answer], &[])
                }
                Some(Waits::Back) if held.iter().all(|&one| states.of(one) == State::Master) => {
                    pass_fd::send(&client.fd, &[control::TAKEN_BACK], &[])
                }
                Some(Waits::Status) => {
                    let text = status().to_string();
                    control::send_text(&client.fd, control::STATUS_IS, text.as_bytes())
                }
                _ => continue,
            };
            client.waits = None;
            // Without an answer, the client sees the end.
            client.closed |= sent.is_err();
        }
    }
}

impl Client {
    /// Takes a message. Returns the plan that it brings.
    fn take(&mut self, message: Message, states: &States, groups: usize) -> Option<Plan> {
        let Message { bytes, descriptors, .. } = message;
        match bytes[0] {
            control::PLAN => return self.take_plan(descriptors),
            control::GIVE_UP => {
                self.gave_up = true;
                self.waits = Some(Waits::Free(control::GIVEN_UP));
            }
            control::BYE => self.bye = true,
            control::STATUS => self.waits = Some(Waits::Status),
            control::DRILL => {
                self.drill = true;
                self.held = (0..groups).filter(|&one| states.of(one) == State::Master).collect();
                self.waits = Some(Waits::Free(control::DRILLING));
            }
            control::TAKE_BACK => {
                self.drill = false;
                self.waits = Some(Waits::Back);
            }
            control::REOPEN => {}
            _ => self.closed = true,
        }
        None
    }

    fn take_plan(&mut self, descriptors: Vec<OwnedFd>) -> Option<Plan> {
        let Ok([plan, beats]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            self.closed = true;
            return None;
        };
        let (plan, beats) = (plan_in(plan), Beats::open(beats));
        let (Some(plan), Ok(beats)) = (plan, beats) else {
            let _ = pass_fd::send(&self.fd, &[control::OTHER_VERSION], &[]);
            return None;
        };
        self.beats = Some(beats);
        self.gave_up = false;
        Some(plan)
    }
}

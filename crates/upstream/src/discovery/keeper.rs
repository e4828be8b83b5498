//! What is believed of a source. A list without servers, or none at all, is no reason to stop
//! serving: the last known servers stay, and the log says so once.
//!
//! ```text
//!            list                        no list, or an empty one
//!   ┌────┐ ────────▶ ┌──────────┐ ─────────────────────────────▶ ┌──────────┐
//!   │ new│           │ believed │                                │ doubted  │ (last list serves)
//!   └────┘           └──────────┘ ◀───────────────────────────── └──────────┘
//!                         ▲                    list                    │ list of a source that
//!                         │           ┌────────────────┐               │ began anew
//!                         └────────── │ adds, but does │ ◀─────────────┘
//!                            GRACE    │ not remove     │
//!                                     └────────────────┘
//! ```
//!
//! The last state is for sources to which servers register one by one: what has lost its memory
//! knows the first of them before the last.

use std::collections::HashSet;

use weir_engine::Level;

use super::{Listing, Report};
use crate::server::Server;

/// How long a source that began anew removes no servers, in milliseconds.
const GRACE: u64 = 30_000;

/// The number of faults of one list that are logged.
const MAX_TOLD: usize = 20;

/// Why the last list is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Lost,
    Empty,
}

/// The state of a source.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// The servers of the group that come from the source.
    known: Vec<Server>,
    doubt: Option<Doubt>,
    /// The faults of the last list.
    told: HashSet<String>,
    /// The list to believe from a moment on, in milliseconds.
    held: Option<(u64, Vec<Server>)>,
    /// Whether the source may have lost its memory since the servers became known.
    is_unsure: bool,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// The servers that the group is to have.
    pub(super) list: Option<Vec<Server>>,
    /// Lines for the error log.
    pub(super) lines: Vec<(Level, String)>,
}

impl Orders {
    fn say(&mut self, level: Level, line: impl Into<String>) {
        self.lines.push((level, line.into()));
    }
}

impl Keeper {
    /// A keeper that knows the servers of an earlier one, of this process or, if it `is_unsure`,
    /// of one before it.
    pub(super) fn new(known: Vec<Server>, is_unsure: bool) -> Self {
        Self { known, is_unsure, ..Self::default() }
    }

    /// Takes what a source tells.
    pub(super) fn hear(&mut self, report: Report, now: u64) -> Orders {
        let mut orders = Orders::default();
        match report {
            Report::Lost(reason) => self.begin_doubt(Doubt::Lost, &reason.to_string(), &mut orders),
            Report::List(listing) => self.take(listing, now, &mut orders),
        }
        orders
    }

    fn begin_doubt(&mut self, doubt: Doubt, reason: &str, orders: &mut Orders) {
        if self.doubt.replace(doubt) == Some(doubt) {
            return;
        }
        let after = match self.known.len() {
            0 => "no servers are known".to_owned(),
            1 => "the last known server goes on serving".to_owned(),
            known => format!("the last known {known} servers go on serving"),
        };
        orders.say(Level::Error, format!("{reason}, {after}"));
    }

    fn take(&mut self, listing: Listing, now: u64, orders: &mut Orders) {
        let Listing { servers, may_be_empty, is_new, note, faults } = listing;
        orders.lines.extend(note.map(|note| (Level::Info, note)));
        self.tell_faults(faults, orders);
        let was_empty = self.doubt == Some(Doubt::Empty);
        if servers.is_empty() && !may_be_empty {
            return self.begin_doubt(Doubt::Empty, "lists no servers", orders);
        }
        if self.doubt.take().is_some() {
            orders.say(Level::Notice, "lists servers again");
        }
        let listed: HashSet<String> = servers.iter().map(Server::place).collect();
        let misses_some = self.known.iter().any(|known| !listed.contains(&known.place()));
        let may_be_new = was_empty || std::mem::take(&mut self.is_unsure);
        let began_anew = misses_some && is_new.is_some_and(|is_new| is_new || may_be_new);
        let until = match &self.held {
            Some((until, _)) => Some(*until),
            None if began_anew => {
                let seconds = GRACE / 1000;
                let line = format!("began anew, servers are removed only in {seconds} seconds");
                orders.say(Level::Notice, line);
                Some(now + GRACE)
            }
            None => None,
        };
        match until.filter(|_| !may_be_empty) {
            Some(until) if now < until => {
                let mut all = servers.clone();
                let missing = self.known.iter().filter(|it| !listed.contains(&it.place()));
                all.extend(missing.cloned());
                self.held = Some((until, servers));
                self.believe(all, orders);
            }
            _ => {
                self.held = None;
                self.believe(servers, orders);
            }
        }
    }

    fn believe(&mut self, servers: Vec<Server>, orders: &mut Orders) {
        self.known.clone_from(&servers);
        orders.list = Some(servers);
    }

    fn tell_faults(&mut self, faults: Vec<String>, orders: &mut Orders) {
        let mut left = 0;
        for fault in faults.iter().filter(|fault| !self.told.contains(*fault)) {
            match orders.lines.len() < MAX_TOLD {
                true => orders.say(Level::Error, format!("{fault}, which is ignored")),
                false => left += 1,
            }
        }
        if left > 0 {
            orders.say(Level::Error, format!("{left} more entries are ignored"));
        }
        self.told = faults.into_iter().collect();
    }

    /// When [`wake`](Self::wake) has something to do, in milliseconds.
    pub(super) fn wakes(&self) -> Option<u64> {
        self.held.as_ref().filter(|_| self.doubt.is_none()).map(|(until, _)| *until)
    }

    /// Believes what was held back.
    pub(super) fn wake(&mut self, now: u64) -> Orders {
        let mut orders = Orders::default();
        if self.wakes().is_some_and(|at| at <= now)
            && let Some((_, servers)) = self.held.take()
        {
            self.believe(servers, &mut orders);
        }
        orders
    }
}

#[cfg(test)]
mod tests;

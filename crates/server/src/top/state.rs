//! What is shown: two samples, a page, and what was selected and asked for on it.

use std::time::Instant;

use serde_json::Value;

use super::change::Change;
use super::edit::Prompt;
use super::reason::Reason;
use super::requests;
use super::sample::{Question, Sample, text};
use super::servers::{self, Kinds, Row};

/// The number of servers that are asked for.
const SERVERS: usize = 200;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Servers,
    Zones,
    Caches,
    Limits,
    Requests,
    Errors,
    Other,
    Wrong,
}

impl Page {
    pub(super) const ALL: [(Self, &'static str); 8] = [
        (Self::Servers, "1 servers"),
        (Self::Zones, "2 zones"),
        (Self::Caches, "3 caches"),
        (Self::Limits, "4 limits"),
        (Self::Requests, "5 requests"),
        (Self::Errors, "6 errors"),
        (Self::Other, "7 process"),
        (Self::Wrong, "0 wrong"),
    ];

    /// The page of a digit.
    pub(super) fn of(digit: char) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| name.starts_with(digit)).map(|(page, _)| *page)
    }

    /// The page so many places further, around the ends.
    pub(super) fn further(self, places: usize) -> Self {
        let at = Self::ALL.iter().position(|(page, _)| *page == self).unwrap_or_default();
        Self::ALL[(at + places) % Self::ALL.len()].0
    }
}

/// What is shown as a whole, in place of a list.
pub(super) enum Found {
    /// A request that was found.
    Request(Value),
    /// A server of a group.
    Server(String, Value),
    /// What the keys do.
    Keys,
}

/// What is shown.
pub(super) struct State {
    /// The name of the API.
    pub(super) api: String,
    pub(super) now: Sample,
    pub(super) before: Option<Sample>,
    pub(super) page: Page,
    /// The selected row of servers or requests; the first line that is shown of other pages.
    pub(super) selected: usize,
    /// What is selected, wherever its row moves to.
    held: Option<String>,
    pub(super) question: Question,
    /// What is shown as a whole.
    pub(super) found: Option<Found>,
    /// What the keys typed go to.
    pub(super) prompt: Option<Prompt>,
    /// The ways back from the last changes.
    pub(super) done: Vec<Change>,
    /// Whether a change was made after the last look.
    pub(super) is_old: bool,
    /// The last change in words, or why it failed.
    pub(super) told: String,
    /// Why there is no newer sample, and since when.
    pub(super) fault: Option<(Reason, Instant)>,
}

impl State {
    pub(super) fn new(api: String, now: Sample) -> Self {
        let mut state = Self {
            api,
            now,
            before: None,
            page: Page::Servers,
            selected: 0,
            held: None,
            question: Self::question(),
            found: None,
            prompt: None,
            done: Vec::new(),
            is_old: false,
            told: String::new(),
            fault: None,
        };
        state.turn(Page::Servers);
        state
    }

    /// The question that is asked first.
    pub(super) fn question() -> Question {
        Question { limit: SERVERS, ..Question::default() }
    }

    /// Shows a page from its beginning.
    pub(super) fn turn(&mut self, page: Page) {
        (self.page, self.selected, self.held, self.found) = (page, 0, None, None);
        if page == Page::Servers {
            self.selected = self.first();
        }
    }

    /// The row of the first server.
    fn first(&self) -> usize {
        let rows = servers::rows(self);
        rows.iter().position(|row| matches!(row, Row::Server { .. })).unwrap_or_default()
    }

    /// Takes a newer sample.
    pub(super) fn look(&mut self, sample: Sample) {
        self.before = Some(std::mem::replace(&mut self.now, sample));
        self.fault = None;
        if let Some(Found::Server(upstream, peer)) = &mut self.found
            && let Some(newer) = self.now.same_server(upstream, peer)
        {
            *peer = newer.clone();
        }
        self.settle();
    }

    /// Notes that there is no newer sample.
    pub(super) fn fail(&mut self, reason: Reason) {
        let since = self.fault.take().map_or_else(|| self.now.at(), |(_, since)| since);
        self.fault = Some((reason, since));
    }

    /// Shows something as a whole, from its beginning.
    pub(super) fn show(&mut self, found: Found) {
        self.select(self.selected);
        (self.found, self.selected) = (Some(found), 0);
    }

    /// Selects what was selected at its new place.
    pub(super) fn settle(&mut self) {
        if self.found.is_some() {
            return;
        }
        let identities = self.identities();
        let at = |held: &String| identities.iter().position(|identity| identity == held);
        match self.held.as_ref().map(at) {
            Some(Some(at)) => self.selected = at,
            Some(None) => {
                // A list that became shorter, or another part of it.
                self.selected = self.selected.min(identities.len().saturating_sub(1));
                self.held = None;
            }
            // Pages without such rows scroll.
            None if identities.is_empty() => {}
            None => self.selected = self.selected.min(identities.len() - 1),
        }
    }

    /// Selects a row.
    pub(super) fn select(&mut self, row: usize) {
        self.selected = row;
        if self.found.is_none() {
            self.held = self.identities().get(row).cloned();
        }
    }

    /// What the rows of the page are, if they can be selected.
    fn identities(&self) -> Vec<String> {
        match self.page {
            Page::Servers => servers::rows(self).iter().map(Row::identity).collect(),
            Page::Requests => {
                requests::rows(self).iter().map(|row| text(row, "/id").to_owned()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The answers of a path, now and before, and the seconds between.
    pub(super) fn pair(&self, path: &str) -> (&Value, &Value, f64) {
        let now = self.now.get(path);
        match &self.before {
            Some(before) => (now, before.get(path), self.now.seconds_since(before)),
            None => (now, now, 1.0),
        }
    }

    /// A server as it was before; `None` if it was not asked for then.
    pub(super) fn server_before<'a>(&'a self, group: &str, peer: &'a Value) -> Option<&'a Value> {
        match &self.before {
            Some(before) => before.same_server(group, peer),
            None => Some(peer),
        }
    }

    /// What leaves rows out, in words.
    pub(super) fn left_out(&self) -> String {
        let Question { group, start, kinds, find, records, .. } = &self.question;
        let mut words = Vec::new();
        if self.page == Page::Servers {
            words.extend(group.as_ref().map(|name| format!("only {name}")));
            words.extend((*kinds != Kinds::All).then(|| kinds.name().to_owned()));
            words.extend((*start > 0).then(|| format!("from {} on", start + 1)));
        }
        if self.page == Page::Requests && !records.is_empty() {
            words.push(format!("only {records}"));
        }
        words.extend((!find.is_empty()).then(|| format!("only with \"{find}\"")));
        words.join(", ")
    }

    /// Whether a row is shown: it has the wanted text, whatever the case of ASCII letters.
    pub(super) fn shows(&self, name: &str) -> bool {
        let (name, part) = (name.as_bytes(), self.question.find.as_bytes());
        part.is_empty() || name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
    }
}

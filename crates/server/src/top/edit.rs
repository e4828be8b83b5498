//! Keys: what they select, and what they ask the API for.

use std::ops::ControlFlow;

use serde_json::Value;

use super::api::{Api, segment};
use super::change::{self, Change};
use super::keyboard::Key;
use super::sample::{UPSTREAMS, peers, text};
use super::servers::{self, Row, Sums};
use super::state::{Found, Page, State};
use super::{requests, view};

/// The rows of a leap.
const LEAP: usize = 10;

/// What is being typed at the foot of the page.
pub(super) enum Prompt {
    /// A text that rows have, and the one before it.
    Filter(String, String),
    /// A weight for a server.
    Weight(Change, String),
    /// A change that waits for a yes.
    Sure(Change),
    /// The id of a request.
    Id(String),
}

impl Prompt {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Filter(text, _) => format!("only rows with: {text}_"),
            Self::Id(text) => format!("id of a request or of its trace: {text}_"),
            Self::Weight(change, text) => {
                format!("weight of {}, now {}: {text}_", change.server(), change.before("weight"))
            }
            Self::Sure(change) => format!("{} {}? y or n", change.what, change.server()),
        }
    }
}

/// Heeds a key; a break ends the program.
pub(super) fn key(state: &mut State, api: &Api, key: Key) -> ControlFlow<()> {
    if state.prompt.is_some() {
        prompted(state, api, key);
        return ControlFlow::Continue(());
    }
    match key {
        Key::Char('q') => return ControlFlow::Break(()),
        Key::Escape => back(state),
        Key::Right => turn(state, state.page.further(1)),
        Key::Left => turn(state, state.page.further(Page::ALL.len() - 1)),
        Key::Char('/') => {
            let before = state.question.find.clone();
            state.prompt = Some(Prompt::Filter(String::new(), before));
        }
        Key::Char('u') => change::undo(state, api),
        Key::Char(letter @ ('d' | 'x' | 'w')) if state.page == Page::Servers => {
            ask(state, api, letter);
        }
        Key::Char('s') if state.page == Page::Servers => {
            let order = state.question.order.next();
            (state.question.order, state.question.start) = (order, 0);
            state.told = format!("servers: {}", order.name());
            state.settle();
        }
        Key::Char('t') if state.page == Page::Servers => {
            let kinds = state.question.kinds.next();
            (state.question.kinds, state.question.start) = (kinds, 0);
            state.told = match kinds {
                servers::Kinds::All => kinds.name().to_owned(),
                _ => "Escape goes back".to_owned(),
            };
            state.settle();
        }
        Key::Char('t') if state.page == Page::Requests => {
            let (kind, name) = requests::next_kind(state.question.records);
            state.question.records = kind;
            state.told = name.to_owned();
            state.settle();
        }
        Key::Char('f') => state.prompt = Some(Prompt::Id(String::new())),
        Key::Char('?') => state.show(Found::Keys),
        Key::Char(digit) if Page::of(digit).is_some() => {
            turn(state, Page::of(digit).unwrap_or(state.page));
        }
        Key::Enter => open(state, api),
        other => moved(state, other),
    }
    ControlFlow::Continue(())
}

/// Shows a page. What is to be found on one page need not be on another.
fn turn(state: &mut State, page: Page) {
    state.told.clear();
    state.turn(page);
    (state.question.find, state.question.start) = (String::new(), 0);
}

/// Goes back by one step: from what is shown as a whole, from a part of the list.
fn back(state: &mut State) {
    state.told.clear();
    if state.found.take().is_some() {
        state.settle();
        return;
    }
    let question = &mut state.question;
    question.start = 0;
    if question.find.is_empty() {
        question.group = None;
        question.kinds = servers::Kinds::All;
        question.records = "";
    } else {
        question.find.clear();
    }
    state.settle();
}

/// Moves the selection, or the lines of a page without one. At the ends of what was asked for, the
/// servers beyond them are.
fn moved(state: &mut State, key: Key) {
    let key = match key {
        Key::Char('k') => Key::Up,
        Key::Char('j') => Key::Down,
        Key::Char('g') => Key::Home,
        Key::Char('G') => Key::End,
        other => other,
    };
    let last = length(state).saturating_sub(1);
    let from = state.selected.min(last);
    let to = match key {
        Key::Up => from.saturating_sub(1),
        Key::Down => (from + 1).min(last),
        Key::PageUp => from.saturating_sub(LEAP),
        Key::PageDown => (from + LEAP).min(last),
        Key::Home => 0,
        Key::End => last,
        _ => return,
    };
    let is_list = state.page == Page::Servers && state.found.is_none();
    if is_list && from == to && leaf(state, matches!(key, Key::Down | Key::PageDown)) {
        return;
    }
    state.select(to);
}

/// Asks for the servers behind or before those that are shown; false if there are none.
fn leaf(state: &mut State, is_forth: bool) -> bool {
    let groups = || state.now.entries(UPSTREAMS).map(|(_, group)| group);
    let shown: usize = groups().map(|group| peers(group).len()).sum();
    let all: f64 = groups().map(|group| Sums::of(group).matching).sum();
    let question = &mut state.question;
    let start = match is_forth {
        true if shown > 0 && ((question.start + shown) as f64) < all => {
            question.start + question.limit
        }
        false if question.start > 0 => question.start.saturating_sub(question.limit),
        _ => return false,
    };
    question.start = start;
    state.told = format!("of {all}: page up at the top goes back");
    state.select(0);
    true
}

/// The number of rows or lines that can be moved through.
fn length(state: &State) -> usize {
    match state.page {
        _ if state.found.is_some() => view::length(state),
        Page::Servers => servers::rows(state).len(),
        Page::Requests => requests::rows(state).len(),
        _ => view::length(state),
    }
}

/// Shows all about the selected row.
fn open(state: &mut State, api: &Api) {
    if state.found.is_some() {
        return;
    }
    match state.page {
        Page::Servers => match servers::rows(state).into_iter().nth(state.selected) {
            Some(Row::Group { name, .. }) => {
                let name = name.to_owned();
                state.told = "Escape goes back".to_owned();
                (state.question.group, state.question.start) = (Some(name), 0);
            }
            Some(Row::Server { upstream, peer }) => {
                let found = Found::Server(upstream.to_owned(), peer.clone());
                state.show(found);
            }
            None => {}
        },
        Page::Requests => {
            let id =
                requests::rows(state).get(state.selected).map(|row| text(row, "/id").to_owned());
            if let Some(id) = id {
                find(state, api, &id);
            }
        }
        _ => {}
    }
}

/// Asks for what a change of the selected server needs.
fn ask(state: &mut State, api: &Api, letter: char) {
    let server: Option<(String, Value)> = match &state.found {
        Some(Found::Server(upstream, peer)) => Some((upstream.clone(), peer.clone())),
        Some(_) => None,
        None => match servers::rows(state).into_iter().nth(state.selected) {
            Some(Row::Server { upstream, peer }) => Some((upstream.to_owned(), peer.clone())),
            _ => None,
        },
    };
    let Some((upstream, peer)) = server else {
        state.told = "select a server first".to_owned();
        return;
    };
    match change::wanted(api, (&upstream, &peer), letter) {
        Ok(change) if letter == 'w' => state.prompt = Some(Prompt::Weight(change, String::new())),
        Ok(change) => state.prompt = Some(Prompt::Sure(change)),
        Err(why) => state.told = why.to_string(),
    }
}

fn prompted(state: &mut State, api: &Api, key: Key) {
    let Some(prompt) = state.prompt.take() else { return };
    match (prompt, key) {
        (Prompt::Filter(_, before), Key::Escape) => {
            state.question.find = before;
            state.settle();
        }
        (Prompt::Filter(text, _), Key::Enter) => filter(state, text),
        (Prompt::Filter(text, before), key) => {
            let text = typed(text, key);
            // Rows are left out while one types.
            filter(state, text.clone());
            state.prompt = Some(Prompt::Filter(text, before));
        }
        (_, Key::Escape) => {}
        (Prompt::Weight(change, text), Key::Enter) => match text.trim().parse::<u32>() {
            Ok(weight) => change::make(state, api, change.with_weight(weight)),
            Err(_) => state.told = format!("\"{text}\" is no weight"),
        },
        (Prompt::Sure(change), Key::Char('y')) => change::make(state, api, change),
        (Prompt::Sure(_), _) => state.told = "nothing was changed".to_owned(),
        (Prompt::Id(text), Key::Enter) => find(state, api, text.trim()),
        (Prompt::Id(text), key) => state.prompt = Some(Prompt::Id(typed(text, key))),
        (Prompt::Weight(change, text), key) => {
            state.prompt = Some(Prompt::Weight(change, typed(text, key)));
        }
    }
}

fn filter(state: &mut State, text: String) {
    (state.question.find, state.question.start) = (text, 0);
    state.settle();
}

/// A text with one more key typed.
fn typed(mut text: String, key: Key) -> String {
    match key {
        Key::Char(letter) if !letter.is_control() => text.push(letter),
        Key::Backspace => drop(text.pop()),
        _ => {}
    }
    text
}

/// Shows the request with an id, ended or under way.
fn find(state: &mut State, api: &Api, id: &str) {
    if id.is_empty() {
        return;
    }
    for path in ["http/request_records", "http/requests_under_way"] {
        match api.get(&format!("{path}/{}", segment(id))) {
            Ok(Some(request)) => {
                if state.page != Page::Requests {
                    turn(state, Page::Requests);
                }
                state.show(Found::Request(request));
                return;
            }
            Ok(None) => {}
            Err(reason) => {
                state.told = reason.to_string();
                return;
            }
        }
    }
    state.told = format!("there is no record of a request \"{id}\", and none is under way");
}

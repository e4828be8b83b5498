//! Keys: what they select, and the changes that they make by the API.

use std::ops::ControlFlow;

use super::api::{Api, segment};
use super::change::{self, Change};
use super::sample::text;
use super::screen::Key;
use super::view::{self, Page, State};
use super::{requests, servers};

/// The rows of a leap.
const LEAP: usize = 10;

/// What is being typed at the foot of the page.
pub(super) enum Prompt {
    /// A text that rows have.
    Filter(String),
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
            Self::Filter(text) => format!("only rows with: {text}_"),
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
    let last = match state.page {
        Page::Servers => servers::rows(state).len(),
        Page::Requests if state.found.is_none() => requests::rows(state).len(),
        _ => view::length(state),
    };
    let last = last.saturating_sub(1);
    state.selected = state.selected.min(last);
    match key {
        Key::Char('q') => return ControlFlow::Break(()),
        Key::Escape if state.found.take().is_some() => state.selected = 0,
        Key::Escape => state.filter.clear(),
        Key::Up => state.selected = state.selected.saturating_sub(1),
        Key::Down => state.selected = (state.selected + 1).min(last),
        Key::PageUp => state.selected = state.selected.saturating_sub(LEAP),
        Key::PageDown => state.selected = (state.selected + LEAP).min(last),
        Key::Right => state.turn(state.page.further(1)),
        Key::Left => state.turn(state.page.further(Page::ALL.len() - 1)),
        Key::Char('/') => state.prompt = Some(Prompt::Filter(String::new())),
        Key::Char('u') => change::undo(state, api),
        Key::Char(letter @ ('d' | 'x' | 'w')) if state.page == Page::Servers => {
            ask(state, api, letter)
        }
        Key::Char('s') if state.page == Page::Servers => {
            state.order = state.order.next();
            state.told = format!("servers of a group {}", state.order.name());
        }
        Key::Char('f') => state.prompt = Some(Prompt::Id(String::new())),
        Key::Char(digit) => {
            if let Some(page) = Page::of(digit) {
                state.turn(page);
            }
        }
        Key::Enter if state.page == Page::Requests && state.found.is_none() => {
            let id =
                requests::rows(state).get(state.selected).map(|row| text(row, "/id").to_owned());
            if let Some(id) = id {
                find(state, api, &id);
            }
        }
        Key::Enter | Key::Backspace => {}
    }
    ControlFlow::Continue(())
}

/// Asks for what a change of the selected server needs.
fn ask(state: &mut State, api: &Api, letter: char) {
    let rows = servers::rows(state);
    let Some(row) = rows.get(state.selected) else { return };
    match change::wanted(api, row, letter) {
        Ok(change) if letter == 'w' => state.prompt = Some(Prompt::Weight(change, String::new())),
        Ok(change) => state.prompt = Some(Prompt::Sure(change)),
        Err(why) => state.told = why.to_string(),
    }
}

fn prompted(state: &mut State, api: &Api, key: Key) {
    let Some(prompt) = state.prompt.take() else { return };
    match (prompt, key) {
        (_, Key::Escape) => {}
        (Prompt::Filter(text), Key::Enter) => (state.filter, state.selected) = (text, 0),
        (Prompt::Weight(change, text), Key::Enter) => match text.parse::<u32>() {
            Ok(weight) => change::make(state, api, change.with_weight(weight)),
            Err(_) => state.told = format!("\"{text}\" is no weight"),
        },
        (Prompt::Sure(change), Key::Char('y')) => change::make(state, api, change),
        (Prompt::Sure(_), _) => state.told = "nothing was changed".to_owned(),
        (Prompt::Id(text), Key::Enter) => find(state, api, text.trim()),
        (Prompt::Id(text), key) => state.prompt = Some(Prompt::Id(typed(text, key))),
        (Prompt::Filter(text), key) => state.prompt = Some(Prompt::Filter(typed(text, key))),
        (Prompt::Weight(change, text), key) => {
            state.prompt = Some(Prompt::Weight(change, typed(text, key)));
        }
    }
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
    for path in ["http/request_records", "http/requests_under_way"] {
        match api.get(&format!("{path}/{}", segment(id))) {
            Ok(Some(request)) => {
                state.turn(Page::Requests);
                state.found = Some(request);
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

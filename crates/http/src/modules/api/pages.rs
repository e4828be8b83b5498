//! The arguments that ask for a page of the servers of large groups.

use weir_upstream::{PageOrder, PageWanted, PeerStatus, STATES};

use super::call::Call;
use super::failure::Failure;

/// The number of servers on a page without `limit`.
const USUAL: usize = 100;

/// The maximum number of servers on a page.
const MOST: usize = 1000;

/// The arguments, each of which asks for a page.
const ARGUMENTS: [&str; 5] = ["limit", "start", "order", "state", "find"];

/// The page that a call asks for; `None` if it asks for everything.
///
/// # Errors
/// A value is wrong.
pub(super) fn wanted(call: &Call) -> Result<Option<PageWanted>, Failure> {
    if !ARGUMENTS.iter().any(|name| call.has_arg(name)) {
        return Ok(None);
    }
    let number = |name: &str, usual: usize| match call.arg(name) {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|_| Failure::argument(name, &text)),
    };
    let order = match call.arg("order") {
        None => PageOrder::default(),
        Some(text) => {
            let named = PageOrder::NAMES.iter().find(|(name, _)| *name == text);
            named.map(|(_, order)| *order).ok_or_else(|| Failure::argument("order", &text))?
        }
    };
    Ok(Some(PageWanted {
        states: call.arg("state").map(|text| states(&text)).transpose()?,
        find: call.arg("find").unwrap_or_default(),
        by_group: false,
        order,
        start: number("start", 0)?,
        limit: number("limit", USUAL)?.min(MOST),
    }))
}

/// States by their names, separated by commas.
fn states(text: &str) -> Result<Vec<PeerStatus>, Failure> {
    let known = |name: &str| STATES.into_iter().find(|state| state.text() == name);
    let mut states = Vec::new();
    for name in text.split(',') {
        let state = known(name).ok_or_else(|| Failure::argument("state", text))?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

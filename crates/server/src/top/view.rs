//! The pages: lines of text from two samples, as many as a terminal has rows.

use std::time::Instant;

use super::line::{Line, Style, cells, short};
use super::sample::{Sample, number, rate, text};
use super::state::{Found, Page, State};
use super::{peer, requests, servers, vitals, wrong, zones};

/// The columns in which the names of all pages fit.
const WIDE: usize = 85;

/// The rows from which on a page has a line of keys, and one about the server.
const HIGH: usize = 10;
const HIGHER: usize = 14;

/// The lines of the page, at most `rows`.
pub(super) fn lines(state: &State, columns: usize, rows: usize) -> Vec<Line> {
    let mut lines = match rows {
        HIGHER.. => vec![server(state), figures(state), names(state, columns)],
        HIGH.. => vec![figures(state), names(state, columns)],
        _ => vec![names(state, columns)],
    };
    let foot = match rows {
        HIGH.. => vec![foot(state), Line::new(Style::Dim, keys(state))],
        _ => vec![foot(state)],
    };
    let mut body = body(state, columns).into_iter();
    let room = rows.saturating_sub(lines.len() + foot.len());
    // The names of the columns stay.
    lines.extend(body.next().filter(|_| room > 0));
    let room = room.saturating_sub(1);
    let selected = body.as_slice().iter().position(|line| line.style == Style::Selected);
    // The selected row stays in sight; pages without one begin with it.
    let skipped = match selected {
        Some(selected) => selected.saturating_sub(room.saturating_sub(1)),
        None => state.selected.min(body.len().saturating_sub(room)),
    };
    lines.extend(body.skip(skipped).take(room));
    lines.resize(rows.saturating_sub(foot.len()).max(lines.len()), Line::new(Style::Plain, ""));
    lines.extend(foot);
    // What a terminal without room has is the answer to the last key.
    lines.drain(..lines.len().saturating_sub(rows));
    lines
}

/// The number of lines that a page has below its head.
pub(super) fn length(state: &State) -> usize {
    body(state, WIDE).len().saturating_sub(1)
}

/// All pages one below the other, for a file or a pipe.
pub(super) fn all(state: &mut State, columns: usize) -> Vec<Line> {
    let mut lines = vec![server(state), figures(state)];
    for (page, _) in Page::ALL {
        state.turn(page);
        lines.push(Line::new(Style::Plain, ""));
        lines.extend(body(state, columns));
    }
    lines
}

fn body(state: &State, columns: usize) -> Vec<Line> {
    match &state.found {
        Some(Found::Request(request)) => return requests::story(request),
        Some(Found::Server(upstream, peer)) => return peer::lines(state, upstream, peer),
        Some(Found::Keys) => return help(),
        None => {}
    }
    match state.page {
        Page::Servers => servers::lines(state, columns),
        Page::Zones => zones::zones(state, columns),
        Page::Caches => zones::caches(state, columns),
        Page::Limits => zones::limits(state, columns),
        Page::Requests => requests::lines(state, columns),
        Page::Errors => vitals::errors(state),
        Page::Other => vitals::lines(state),
        Page::Wrong => wrong::lines(state),
    }
}

/// The server and its configuration.
fn server(state: &State) -> Line {
    let nginx = state.now.get("nginx");
    let text = format!(
        "weir {}  {}  generation {}  loaded {}",
        text(nginx, "/build").rsplit(['/', '-']).next().unwrap_or_default(),
        state.api,
        number(nginx, "/generation"),
        text(nginx, "/load_timestamp")
    );
    Line::new(Style::Head, text)
}

/// The traffic.
fn figures(state: &State) -> Line {
    let (connections, before, seconds) = state.pair("connections");
    let (requests, earlier, _) = state.pair("http/requests");
    // The questions of this program are no news.
    let own = Sample::QUESTIONS as f64 / seconds;
    let text = format!(
        "requests {}/s  under way {}  connections {} active, {} idle, {}/s accepted, {} dropped",
        short((rate(requests, earlier, "/total", seconds) - own).max(0.0)),
        number(requests, "/current"),
        number(connections, "/active"),
        number(connections, "/idle"),
        short((rate(connections, before, "/accepted", seconds) - own).max(0.0)),
        number(connections, "/dropped"),
    );
    Line::new(Style::Plain, text)
}

/// The names of the pages, shorter if they do not fit, and how much is wrong.
fn names(state: &State, columns: usize) -> Line {
    let wrong = match wrong::count(state) {
        0 => String::new(),
        count => format!(" {count} wrong"),
    };
    let line = |is_wide: bool| {
        let name = |(page, name): &(Page, &str)| match *page == state.page {
            true => format!("[{name}]"),
            false if is_wide => format!(" {name} "),
            false => name[..1].to_owned(),
        };
        let names: Vec<_> = Page::ALL.iter().map(name).collect();
        format!("{}{wrong}", names.join(" "))
    };
    let text = [line(true), line(false)].into_iter().find(|text| cells(text) <= columns);
    let current = Page::ALL.iter().find(|(page, _)| *page == state.page);
    let text = text.unwrap_or_else(|| format!("[{}]", current.map_or("", |(_, name)| name)));
    let style = if wrong.is_empty() { Style::Head } else { Style::Bad };
    Line::new(style, text)
}

fn foot(state: &State) -> Line {
    if let Some(prompt) = &state.prompt {
        return Line::new(Style::Head, prompt.shown());
    }
    match &state.fault {
        Some((fault, since)) => {
            let old = Instant::now().saturating_duration_since(*since).as_secs();
            Line::new(Style::Bad, format!("old for {old} s: {fault}; trying again"))
        }
        None => match state.left_out().as_str() {
            "" => Line::new(Style::Warn, state.told.clone()),
            left_out => Line::new(Style::Warn, format!("[{left_out}] {}", state.told)),
        },
    }
}

/// What the keys do.
fn help() -> Vec<Line> {
    const KEYS: [(&str, &str); 19] = [
        ("0 to 7, left, right", "the page; 0 is what is wrong"),
        ("up, down, j, k", "select a row, or scroll"),
        ("page up, page down", "ten rows; at the ends of a long list, its next servers"),
        ("Home, End, g, G", "the first row, the last row"),
        ("/", "only rows with a text, in addresses and names"),
        ("Enter", "all about a server or a request; of an upstream, only its servers"),
        ("Escape", "one step back: from a server or request, a text, an upstream"),
        ("t", "servers: all, failing, taken out; requests: all, errors, slow"),
        ("s", "the order of servers"),
        ("d", "drains the selected server, or ends that"),
        ("x", "takes it down, or brings it up"),
        ("w", "changes its weight"),
        ("u", "takes the last change back, then the one before"),
        ("f", "finds a request by its id or that of its trace"),
        ("Ctrl-Z", "stops this program until fg"),
        ("q, Ctrl-C", "ends"),
        ("", ""),
        ("header, whole", "the average times to the head and the end of an answer"),
        ("p50, p99", "half and 99 % of the requests took less"),
    ];
    let lines = KEYS.map(|(key, what)| Line::new(Style::Plain, format!("{key:<22} {what}")));
    let head = Line::new(Style::Head, format!("{:<22} WHAT IT DOES", "KEY"));
    std::iter::once(head).chain(lines).collect()
}

fn keys(state: &State) -> &'static str {
    match (state.page, &state.found) {
        (_, Some(Found::Request(_) | Found::Keys)) => "q quit  Escape back  arrows scroll  f find",
        (_, Some(Found::Server(..))) => "q quit  Escape back  d drain  x down  w weight  u undo",
        (Page::Servers, None) => {
            "q quit  ? keys  / find  t which  s sort  Enter all  d drain  x down  w weight  u undo"
        }
        (Page::Requests, None) => "q quit  ? keys  Enter all  t which  f find by id  / filter",
        _ => "q quit  ? keys  0-7 pages  arrows scroll  / filter  f find a request",
    }
}

#[cfg(test)]
mod tests;

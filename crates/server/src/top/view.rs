//! The pages: lines of text from two samples.

use serde_json::Value;

use super::Reason;
use super::sample::{Sample, number, rate, text};
use super::{requests, servers, vitals};

/// The columns in which the names of all pages fit.
const WIDE: usize = 79;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Head,
    Bad,
    Warn,
    Dim,
    Selected,
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

impl Line {
    /// A line without control characters: what a server says must not command the terminal.
    pub(super) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into().replace(is_command, "?"), style }
    }
}

/// Whether a character moves others, or is not seen: controls, and Unicode's marks of direction,
/// joiners and the like.
fn is_command(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(char, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

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
}

impl Page {
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::Servers, "1 servers"),
        (Self::Zones, "2 zones"),
        (Self::Caches, "3 caches"),
        (Self::Limits, "4 limits"),
        (Self::Requests, "5 requests"),
        (Self::Errors, "6 errors"),
        (Self::Other, "7 process"),
    ];

    /// The page of a digit.
    pub(super) fn of(digit: char) -> Option<Self> {
        let at = usize::try_from(digit.to_digit(10)?).ok()?.checked_sub(1)?;
        Self::ALL.get(at).map(|(page, _)| *page)
    }

    /// The page so many places further, around the ends.
    pub(super) fn further(self, places: usize) -> Self {
        let at = Self::ALL.iter().position(|(page, _)| *page == self).unwrap_or_default();
        Self::ALL[(at + places) % Self::ALL.len()].0
    }
}

/// What is shown.
pub(super) struct State {
    /// The name of the API.
    api: String,
    pub(super) now: Sample,
    pub(super) before: Option<Sample>,
    pub(super) page: Page,
    /// The selected row of servers or requests; the first line that is shown of other pages.
    pub(super) selected: usize,
    /// The order of servers.
    pub(super) order: servers::Order,
    /// The request that is shown on its page.
    pub(super) found: Option<Value>,
    /// Only rows with this text.
    pub(super) filter: String,
    /// What the keys typed go to.
    pub(super) prompt: Option<super::edit::Prompt>,
    /// The ways back from the last changes.
    pub(super) done: Vec<super::change::Change>,
    /// The last change in words, or why it failed.
    pub(super) told: String,
    /// Why there is no newer sample.
    pub(super) fault: Option<Reason>,
}

impl State {
    pub(super) fn new(api: String, now: Sample) -> Self {
        Self {
            api,
            now,
            before: None,
            page: Page::Servers,
            selected: 0,
            order: servers::Order::default(),
            found: None,
            filter: String::new(),
            prompt: None,
            done: Vec::new(),
            told: String::new(),
            fault: None,
        }
    }

    /// Shows a page from its beginning.
    pub(super) fn turn(&mut self, page: Page) {
        (self.page, self.selected, self.found) = (page, 0, None);
    }

    /// Takes a newer sample.
    pub(super) fn look(&mut self, sample: Sample) {
        self.before = Some(std::mem::replace(&mut self.now, sample));
        self.fault = None;
    }

    /// The answers of a path, now and before, and the seconds between.
    pub(super) fn pair(&self, path: &str) -> (&Value, &Value, f64) {
        let now = self.now.get(path);
        match &self.before {
            Some(before) => (now, before.get(path), self.now.seconds_since(before)),
            None => (now, now, 1.0),
        }
    }

    /// Whether a row is shown.
    pub(super) fn shows(&self, name: &str) -> bool {
        self.filter.is_empty() || name.contains(&self.filter)
    }
}

/// The lines of the page, at most `rows`.
pub(super) fn lines(state: &State, columns: usize, rows: usize) -> Vec<Line> {
    let mut lines = head(state, columns);
    let mut body = body(state, columns).into_iter();
    let room = rows.saturating_sub(lines.len() + 2);
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
    lines.resize(rows.saturating_sub(2).max(lines.len()), Line::new(Style::Plain, ""));
    lines.push(foot(state));
    lines.push(Line::new(Style::Dim, keys(state)));
    lines
}

/// The number of lines that a page has.
pub(super) fn length(state: &State) -> usize {
    body(state, 0).len()
}

/// All pages one below the other, for a file or a pipe.
pub(super) fn all(state: &mut State, columns: usize) -> Vec<Line> {
    let mut lines: Vec<_> = head(state, columns).into_iter().take(2).collect();
    for (page, _) in Page::ALL {
        state.turn(page);
        lines.push(Line::new(Style::Plain, ""));
        lines.extend(body(state, columns));
    }
    lines
}

fn body(state: &State, columns: usize) -> Vec<Line> {
    match state.page {
        Page::Servers => servers::lines(state, columns),
        Page::Zones => zones(state),
        Page::Caches => caches(state),
        Page::Limits => limits(state),
        Page::Requests => requests::lines(state),
        Page::Errors => vitals::errors(state),
        Page::Other => vitals::lines(state),
    }
}

fn head(state: &State, columns: usize) -> Vec<Line> {
    let nginx = state.now.get("nginx");
    let (connections, before, seconds) = state.pair("connections");
    let (requests, earlier, _) = state.pair("http/requests");
    // The questions of this program are no news.
    let own = Sample::QUESTIONS as f64 / seconds;
    let pages: Vec<String> = Page::ALL
        .iter()
        .map(|(page, name)| match *page == state.page {
            true => format!("[{name}]"),
            false if columns < WIDE => name[..1].to_owned(),
            false => format!(" {name} "),
        })
        .collect();
    vec![
        Line::new(
            Style::Head,
            format!(
                "weir {}  {}  generation {}  loaded {}",
                text(nginx, "/build").rsplit(['/', '-']).next().unwrap_or_default(),
                state.api,
                number(nginx, "/generation"),
                text(nginx, "/load_timestamp")
            ),
        ),
        Line::new(
            Style::Plain,
            format!(
                "requests {}/s  under way {}  connections {} active, {} idle, {}/s accepted, \
                 {} dropped",
                short((rate(requests, earlier, "/total", seconds) - own).max(0.0)),
                number(requests, "/current"),
                number(connections, "/active"),
                number(connections, "/idle"),
                short((rate(connections, before, "/accepted", seconds) - own).max(0.0)),
                number(connections, "/dropped"),
            ),
        ),
        Line::new(Style::Head, pages.join(" ")),
    ]
}

fn foot(state: &State) -> Line {
    if let Some(prompt) = &state.prompt {
        return Line::new(Style::Head, prompt.shown());
    }
    match &state.fault {
        Some(fault) => Line::new(Style::Bad, format!("{fault}; trying again")),
        None => Line::new(Style::Warn, state.told.clone()),
    }
}

fn keys(state: &State) -> &'static str {
    match state.page {
        Page::Servers => {
            "q quit  arrows select  / filter  s sort  d drain  x down  w weight  u undo  f find"
        }
        Page::Requests if state.found.is_some() => "q quit  Escape back  arrows scroll  f find",
        Page::Requests => "q quit  arrows select  Enter shows one  f find by id  / filter",
        _ => "q quit  1-7 pages  arrows scroll  / filter  f find a request",
    }
}

/// Server zones and location zones.
fn zones(state: &State) -> Vec<Line> {
    let mut lines = vec![Line::new(
        Style::Head,
        format!(
            "{:<32} {:>9} {:>8} {:>8} {:>8} {:>10} {:>10}",
            "ZONE", "req/s", "2xx/s", "4xx/s", "5xx/s", "in/s", "out/s"
        ),
    )];
    for path in ["http/server_zones", "http/location_zones"] {
        let (_, all_before, seconds) = state.pair(path);
        for (name, now) in state.now.entries(path).filter(|(name, _)| state.shows(name)) {
            let before = all_before.get(name).unwrap_or(now);
            let of = |pointer: &str| rate(now, before, pointer, seconds);
            let bad = of("/responses/5xx");
            let style = if bad > 0.0 { Style::Bad } else { Style::Plain };
            lines.push(Line::new(
                style,
                format!(
                    "{name:<32} {:>9} {:>8} {:>8} {:>8} {:>10} {:>10}",
                    short(of("/requests")),
                    short(of("/responses/2xx")),
                    short(of("/responses/4xx")),
                    short(bad),
                    short(of("/received")),
                    short(of("/sent")),
                ),
            ));
        }
    }
    or_none(lines, "no zones: \"status_zone NAME;\" in a server or location makes one")
}

fn caches(state: &State) -> Vec<Line> {
    let mut lines = vec![Line::new(
        Style::Head,
        format!(
            "{:<24} {:>10} {:>10} {:>7} {:>9} {:>9} {:>9}",
            "CACHE", "size", "max", "hits", "hit/s", "miss/s", "stale/s"
        ),
    )];
    let (_, all_before, seconds) = state.pair("http/caches");
    for (name, now) in state.now.entries("http/caches").filter(|(name, _)| state.shows(name)) {
        let before = all_before.get(name).unwrap_or(now);
        let of = |pointer: &str| rate(now, before, pointer, seconds);
        let total = |pointer: &str| number(now, pointer);
        let hits = total("/hit/responses") + total("/revalidated/responses");
        let all = hits + total("/miss/responses") + total("/expired/responses");
        let share = if all > 0.0 { format!("{:.0} %", 100.0 * hits / all) } else { "-".to_owned() };
        lines.push(Line::new(
            Style::Plain,
            format!(
                "{name:<24} {:>10} {:>10} {share:>7} {:>9} {:>9} {:>9}",
                short(total("/size")),
                short(total("/max_size")),
                short(of("/hit/responses")),
                short(of("/miss/responses")),
                short(of("/stale/responses")),
            ),
        ));
    }
    or_none(lines, "no caches")
}

fn limits(state: &State) -> Vec<Line> {
    let mut lines = vec![Line::new(
        Style::Head,
        format!("{:<32} {:>10} {:>10} {:>10}", "LIMIT", "passed/s", "delayed/s", "rejected/s"),
    )];
    for path in ["http/limit_reqs", "http/limit_conns"] {
        let (_, all_before, seconds) = state.pair(path);
        for (name, now) in state.now.entries(path).filter(|(name, _)| state.shows(name)) {
            let before = all_before.get(name).unwrap_or(now);
            let of = |pointer: &str| rate(now, before, pointer, seconds);
            let style = if of("/rejected") > 0.0 { Style::Warn } else { Style::Plain };
            lines.push(Line::new(
                style,
                format!(
                    "{name:<32} {:>10} {:>10} {:>10}",
                    short(of("/passed")),
                    short(of("/delayed")),
                    short(of("/rejected")),
                ),
            ));
        }
    }
    or_none(lines, "no limits")
}

/// The lines, or a word about why there is none below the head.
pub(super) fn or_none(mut lines: Vec<Line>, why: &str) -> Vec<Line> {
    if lines.len() == 1 {
        lines.push(Line::new(Style::Dim, why));
    }
    lines
}

/// A number in five characters or so: `12`, `1.2k`, `34M`.
pub(super) fn short(value: f64) -> String {
    let mut value = value;
    for unit in ["", "k", "M", "G"] {
        if value < 10.0 && (value.fract() > 0.05 || !unit.is_empty()) {
            return format!("{value:.1}{unit}");
        }
        if value < 999.5 {
            return format!("{value:.0}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1}T")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::*;

    fn said(requests: u64, state: &str) -> Value {
        let peer = json!({
            "id": 0, "server": "10.0.0.1:80", "state": state, "weight": 2, "requests": requests,
            "active": 3, "responses": {"5xx": requests / 10}, "header_time": 12, "fails": 1,
            "health_checks": {"fails": 4}, "backup": false,
        });
        json!({
            "nginx": {"build": "weir-0.1.0", "generation": 2},
            "connections": {"active": 5, "idle": 6, "accepted": requests, "dropped": 0},
            "http/requests": {"total": requests, "current": 1},
            "http/upstreams": {"app": {"peers": [peer], "keepalive": 7}},
            "http/server_zones": {"site": {"requests": requests, "responses": {"2xx": requests}}},
        })
    }

    fn state(state: &str) -> State {
        let start = Instant::now();
        let mut shown = State::new("a:1/api".to_owned(), Sample::of(start, said(100, "up")));
        shown.look(Sample::of(start + Duration::from_secs(2), said(300, state)));
        shown
    }

    fn texts(state: &State) -> Vec<String> {
        lines(state, 100, 20).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn rates_are_between_two_samples() {
        let texts = texts(&state("up"));
        assert!(texts[0].contains("weir 0.1.0  a:1/api  generation 2"), "{texts:?}");
        assert!(texts[1].contains("requests 90/s") && texts[1].contains("5 active, 6 idle"));
        assert_eq!(texts[4], "app: 1 of 1 up, 100 requests/s, 7 kept connections");
        let words: Vec<_> = texts[5].split_whitespace().collect();
        assert_eq!(words, ["10.0.0.1:80", "up", "2", "100", "10", "3", "12", "ms", "-", "1"]);
    }

    #[test]
    fn a_server_that_takes_nothing_says_why() {
        let mut state = state("unhealthy");
        state.selected = 1;
        let lines = lines(&state, 100, 20);
        assert!(lines[5].text.ends_with("4 failed checks"), "{lines:?}");
        assert_eq!((lines[4].style, lines[5].style), (Style::Bad, Style::Bad));
    }

    #[test]
    fn pages_have_zones_and_fit() {
        let mut state = state("up");
        state.page = Page::Zones;
        let words = texts(&state);
        let words: Vec<_> = words[4].split_whitespace().collect();
        assert_eq!(words, ["site", "100", "100", "0", "0", "0", "0"]);
        state.filter = "other".to_owned();
        assert!(texts(&state)[4].starts_with("no zones"));
        for rows in 0..30 {
            assert!(lines(&state, 80, rows).len() <= rows.max(5));
        }
    }

    #[test]
    fn small_terminals_have_what_matters() {
        let mut state = state("up");
        for (columns, rows) in [(80, 24), (40, 10)] {
            for (page, name) in Page::ALL {
                state.turn(page);
                let lines = lines(&state, columns, rows);
                assert_eq!(lines.len(), rows, "{name}");
                assert!(lines[2].text.contains(name) && lines[2].text.chars().count() <= columns);
            }
        }
    }

    #[test]
    fn long_pages_scroll_below_their_head() {
        let mut state = state("up");
        let zones: serde_json::Map<_, _> =
            (0..100).map(|at| (format!("zone{at:03}"), json!({"requests": at}))).collect();
        state.look(Sample::of(Instant::now(), json!({ "http/server_zones": zones })));
        state.turn(Page::Zones);
        state.selected = 50;
        let shown = texts(&state);
        assert!(shown[3].starts_with("ZONE") && shown[4].starts_with("zone050"), "{shown:?}");
        state.selected = 1000;
        let shown = texts(&state);
        assert!(shown[17].starts_with("zone099"), "{shown:?}");
    }

    #[test]
    fn a_server_cannot_command_the_terminal() {
        assert_eq!(Line::new(Style::Plain, "a\u{202e}b\u{9b}c").text, "a?b?c");
        assert_eq!(Line::new(Style::Plain, "a\x1b[2Jb\n").text, "a?[2Jb?");
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.25, 3.0, 12.4, 999.0, 1234.0, 56_789.0, 1.5e6, 2e9, 7e12];
        let shown = ["0", "0.2", "3", "12", "999", "1.2k", "57k", "1.5M", "2.0G", "7.0T"];
        assert_eq!(numbers.map(short), shown);
    }
}

//! The page of upstreams: groups with those of their servers that the API was asked for, what each
//! takes, and why one takes nothing.

use serde_json::Value;

use super::line::{Line, Style, short};
use super::sample::{UPSTREAMS, number, peers, rate, text};
use super::state::State;
use super::table::{Column, Table};

/// A row that can be selected.
pub(super) enum Row<'a> {
    Group { name: &'a str, group: &'a Value },
    Server { upstream: &'a str, peer: &'a Value },
}

impl Row<'_> {
    /// What it has in every look: a group's name, a server's number and address.
    pub(super) fn identity(&self) -> String {
        match self {
            Row::Group { name, .. } => (*name).to_owned(),
            Row::Server { upstream, peer } => {
                format!("{upstream}\0{}\0{}", peer["id"], text(peer, "/server"))
            }
        }
    }
}

/// The groups, those in trouble first, each with the servers that the page shows.
pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let groups = state.now.entries(UPSTREAMS);
    let mut groups: Vec<_> = groups.map(|(name, group)| (Sums::of(group), name, group)).collect();
    if state.question.order == Order::Failing {
        groups.sort_by_key(|(sums, ..)| sums.trouble());
    }
    let mut rows = Vec::new();
    for (_, upstream, group) in groups {
        let is_named = state.shows(upstream);
        let shown = peers(group).iter().filter(|peer| {
            let words = ["/server", "/name"].map(|word| text(peer, word));
            let is_found = is_named || words.into_iter().any(|word| state.shows(word));
            is_found && state.question.kinds.has(text(peer, "/state"))
        });
        let servers = shown.map(|peer| Row::Server { upstream, peer });
        let mut servers: Vec<_> = servers.collect();
        if servers.is_empty() && (!is_named || state.question.kinds != Kinds::All) {
            continue;
        }
        if state.question.order != Order::Listed {
            servers.sort_by_cached_key(|row| state.question.order.key(state, row));
        }
        rows.push(Row::Group { name: upstream, group });
        rows.extend(servers);
    }
    rows
}

/// The order of servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Those that fail, then those that were taken out, then the others.
    #[default]
    Failing,
    /// That of the group.
    Listed,
    /// Those with the most requests a second first.
    Requests,
    /// Those with the most answers of 500 and above a second first.
    Errors,
    /// Those with the most requests under way first.
    Active,
    /// The slowest first.
    Slow,
}

impl Order {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Failing, "failing", "what fails first"),
        (Self::Listed, "listed", "in the order of the group"),
        (Self::Requests, "requests", "by requests a second"),
        (Self::Errors, "fails", "by errors a second"),
        (Self::Active, "active", "by requests under way"),
        (Self::Slow, "response_time", "the slowest first"),
    ];

    fn place(self) -> usize {
        Self::ALL.iter().position(|(order, ..)| *order == self).unwrap_or_default()
    }

    pub(super) fn next(self) -> Self {
        Self::ALL[(self.place() + 1) % Self::ALL.len()].0
    }

    /// The order that the API is asked for: that of counts, where this one is by rates.
    pub(super) fn argument(self) -> &'static str {
        Self::ALL[self.place()].1
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL[self.place()].2
    }

    /// The place of a row: small ones come first.
    fn key(self, state: &State, row: &Row<'_>) -> i64 {
        let Row::Server { upstream, peer } = row else { return 0 };
        let (_, _, seconds) = state.pair(UPSTREAMS);
        let before = || state.server_before(upstream, peer).unwrap_or(peer);
        // Rates of a thousandth of a request a second are told apart.
        let largest_first = |figure: f64| -(figure * 1000.0) as i64;
        match self {
            Self::Listed => 0,
            Self::Failing => match text(peer, "/state") {
                "unhealthy" | "unavail" => 0,
                "checking" => 1,
                "draining" => 2,
                "down" => 3,
                _ => 4,
            },
            Self::Requests => largest_first(rate(peer, before(), "/requests", seconds)),
            Self::Errors => largest_first(rate(peer, before(), "/responses/5xx", seconds)),
            Self::Active => largest_first(number(peer, "/active")),
            Self::Slow => largest_first(number(peer, "/response_time")),
        }
    }
}

/// Which servers are shown, by their states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kinds {
    #[default]
    All,
    /// Those that fail.
    Failing,
    /// Those that somebody has taken out.
    Out,
}

impl Kinds {
    pub(super) fn next(self) -> Self {
        match self {
            Self::All => Self::Failing,
            Self::Failing => Self::Out,
            Self::Out => Self::All,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::All => "all servers",
            Self::Failing => "only servers that fail",
            Self::Out => "only servers that are drained or down",
        }
    }

    fn states(self) -> &'static [&'static str] {
        match self {
            Self::All => &[],
            Self::Failing => &["unhealthy", "unavail", "checking"],
            Self::Out => &["draining", "down"],
        }
    }

    fn has(self, state: &str) -> bool {
        self.states().is_empty() || self.states().contains(&state)
    }

    /// The argument of the API, with the `&` before it.
    pub(super) fn argument(self) -> String {
        match self.states() {
            [] => String::new(),
            states => format!("&state={}", states.join(",")),
        }
    }
}

/// Sums over the servers of a group: the API's, or those of all servers, as releases without pages
/// show them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) servers: f64,
    pub(super) up: f64,
    pub(super) failing: f64,
    pub(super) active: f64,
    requests: f64,
    fails: f64,
    /// The servers that could be on a page.
    pub(super) matching: f64,
}

impl Sums {
    pub(super) fn of(group: &Value) -> Self {
        let peers = peers(group);
        let failing = ["unhealthy", "unavail", "checking"];
        if let Some(summary) = group.get("summary") {
            let states =
                failing.iter().map(|state| number(&summary["states"], &format!("/{state}")));
            return Self {
                servers: number(summary, "/servers"),
                up: number(summary, "/states/up"),
                failing: states.sum(),
                active: number(summary, "/active"),
                requests: number(summary, "/requests"),
                fails: number(summary, "/fails"),
                matching: number(group, "/matching"),
            };
        }
        let sum = |pointer: &str| peers.iter().map(|peer| number(peer, pointer)).sum();
        let in_state = |states: &[&str]| {
            peers.iter().filter(|peer| states.contains(&text(peer, "/state"))).count() as f64
        };
        Self {
            servers: peers.len() as f64,
            up: in_state(&["up"]),
            failing: in_state(&failing),
            active: sum("/active"),
            requests: sum("/requests"),
            fails: sum("/fails"),
            matching: peers.len() as f64,
        }
    }

    /// How little trouble there is: groups without a server, with failing ones, with others that
    /// are not up, and the rest.
    fn trouble(&self) -> u8 {
        match self {
            Self { up: 0.0, .. } => 0,
            Self { failing, .. } if *failing > 0.0 => 1,
            Self { up, servers, .. } if up < servers => 2,
            _ => 3,
        }
    }

    /// The requests and failed attempts a second since another look.
    pub(super) fn rates(&self, before: &Self, seconds: f64) -> (f64, f64) {
        let rate = |now: f64, before: f64| ((now - before) / seconds).max(0.0);
        (rate(self.requests, before.requests), rate(self.fails, before.fails))
    }
}

static COLUMNS: [Column; 10] = [
    Column::text("UPSTREAM, SERVER", 48, 0),
    Column::text("state", 9, 1),
    Column::number("weight", 6, 6),
    Column::number("req/s", 6, 2),
    Column::number("5xx/s", 6, 3),
    Column::number("active", 6, 4),
    Column::number("header", 8, 7),
    Column::number("whole", 8, 5),
    Column::number("fails", 6, 8),
    Column::rest("why", 16, 9),
];

/// The lines of the page, one for each row below its head.
pub(super) fn lines(state: &State, columns: usize) -> Vec<Line> {
    let table = Table::fitting(&COLUMNS, columns);
    let mut lines = vec![table.head()];
    let rows = rows(state);
    for (at, row) in rows.iter().enumerate() {
        let line = match row {
            Row::Group { name, group } => group_line(state, name, group),
            Row::Server { upstream, peer } => server_line(state, upstream, peer, &table),
        };
        let style = if at == state.selected { Style::Selected } else { line.style };
        lines.push(Line { style, ..line });
    }
    if rows.is_empty() {
        let why = match &state.question {
            question if !question.find.is_empty() => "no upstream or server has this text",
            question if question.kinds != Kinds::All => "no server is like that",
            question if question.group.is_some() => "there is no such upstream any more",
            _ => "no servers: an upstream needs a \"zone\" to be seen",
        };
        lines.push(Line::new(Style::Dim, why));
    }
    lines
}

/// The line of a group.
fn group_line(state: &State, name: &str, group: &Value) -> Line {
    let (_, all_before, seconds) = state.pair(UPSTREAMS);
    let sums = Sums::of(group);
    let before = all_before.get(name).map_or_else(|| sums.clone(), Sums::of);
    let (requests, _) = sums.rates(&before, seconds);
    let mut text = format!("{name}: {} of {} up", sums.up, sums.servers);
    if sums.failing > 0.0 {
        text += &format!(", {} failing", sums.failing);
    }
    text += &format!(", {} requests/s", short(requests));
    if let Some(queue) = group.get("queue") {
        let (size, most) = (number(queue, "/size"), number(queue, "/max_size"));
        text += &format!(", {size} of {most} in the queue");
    }
    let left_out = sums.matching - peers(group).len() as f64;
    if left_out > 0.0 {
        text += &format!(", {left_out} more");
    }
    text += &format!(", {} kept connections", number(group, "/keepalive"));
    let style = match sums.trouble() {
        0 => Style::Bad,
        3 => Style::Head,
        _ => Style::Warn,
    };
    Line::new(style, text)
}

fn server_line(state: &State, upstream: &str, peer: &Value, table: &Table) -> Line {
    let (_, _, seconds) = state.pair(UPSTREAMS);
    let before = state.server_before(upstream, peer);
    let of = |pointer: &str| match before {
        Some(before) => short(rate(peer, before, pointer, seconds)),
        None => "-".to_owned(),
    };
    let time = |pointer: &str| match number(peer, pointer) {
        0.0 => "-".to_owned(),
        millis => format!("{millis} ms"),
    };
    let word = text(peer, "/state");
    let style = match word {
        "up" => Style::Plain,
        "draining" | "checking" => Style::Warn,
        _ => Style::Bad,
    };
    let backup = if peer["backup"] == true { " backup" } else { "" };
    let row = table.row(&[
        format!("  {}{backup}", text(peer, "/server")),
        word.to_owned(),
        number(peer, "/weight").to_string(),
        of("/requests"),
        of("/responses/5xx"),
        number(peer, "/active").to_string(),
        time("/header_time"),
        time("/response_time"),
        short(number(peer, "/fails")),
        reason(peer),
    ]);
    Line::new(style, row)
}

/// Why a server takes no requests, as far as the API says.
pub(super) fn reason(peer: &Value) -> String {
    let reasons = peer["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words = reasons.filter_map(|reason| match reason {
        // The state says as much.
        "down" | "draining" => None,
        "fails" => Some("too many failed requests".to_owned()),
        "health_check" => Some(match number(peer, "/health_checks/fails") {
            0.0 => "fails its health check".to_owned(),
            fails => format!("{fails} failed checks"),
        }),
        "outlier" => Some("ejected as an outlier".to_owned()),
        "agent" => Some("its agent says so".to_owned()),
        "other_nodes" => Some("found unhealthy by another node".to_owned()),
        other => Some(other.replace('_', " ")),
    });
    words.collect::<Vec<_>>().join(", ")
}

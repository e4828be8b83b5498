//! The page of upstream servers: what each takes, and why one takes nothing.

use serde_json::Value;

use super::sample::{number, rate, text};
use super::view::{Line, State, Style, short};

/// A server in the order of the page.
pub(super) struct Row<'a> {
    pub(super) upstream: &'a str,
    pub(super) peer: &'a Value,
}

/// The servers that the page shows.
pub(super) fn rows(state: &State) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (upstream, group) in state.now.entries("http/upstreams") {
        let peers = group.get("peers").and_then(Value::as_array).into_iter().flatten();
        let shown =
            peers.filter(|peer| state.shows(upstream) || state.shows(text(peer, "/server")));
        let from = rows.len();
        rows.extend(shown.map(|peer| Row { upstream, peer }));
        if state.order != Order::Listed {
            rows[from..].sort_by(|a, b| {
                state.order.figure(state, b).total_cmp(&state.order.figure(state, a))
            });
        }
    }
    rows
}

/// The order of the servers in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// That of the group.
    #[default]
    Listed,
    /// Those with the most requests a second first.
    Requests,
    /// Those with the most answers of 500 and above a second first.
    Errors,
    /// Those with the most requests under way first.
    Active,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Listed => Self::Requests,
            Self::Requests => Self::Errors,
            Self::Errors => Self::Active,
            Self::Active => Self::Listed,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Listed => "in the order of the group",
            Self::Requests => "by requests a second",
            Self::Errors => "by errors a second",
            Self::Active => "by requests under way",
        }
    }

    fn figure(self, state: &State, row: &Row<'_>) -> f64 {
        let (_, all_before, seconds) = state.pair("http/upstreams");
        let of = |pointer| {
            rate(row.peer, earlier(&all_before[row.upstream], row.peer), pointer, seconds)
        };
        match self {
            Self::Listed => 0.0,
            Self::Requests => of("/requests"),
            Self::Errors => of("/responses/5xx"),
            Self::Active => number(row.peer, "/active"),
        }
    }
}

/// The lines of the page.
pub(super) fn lines(state: &State, columns: usize) -> Vec<Line> {
    let name = columns.saturating_sub(76).clamp(24, 48);
    let mut lines = vec![Line::new(
        Style::Head,
        format!(
            "{:<name$} {:<18} {:>6} {:>8} {:>7} {:>7} {:>8} {:>8} {:>6}",
            "UPSTREAM, SERVER",
            "state",
            "weight",
            "req/s",
            "5xx/s",
            "active",
            "header",
            "whole",
            "fails"
        ),
    )];
    let rows = rows(state);
    let mut upstream = "";
    for (at, row) in rows.iter().enumerate() {
        if row.upstream != upstream {
            upstream = row.upstream;
            lines.push(group(state, upstream));
        }
        lines.push(server(state, row, at == state.selected, name));
    }
    if rows.is_empty() {
        lines.push(Line::new(Style::Dim, "no servers: an upstream needs a \"zone\" to be seen"));
    }
    lines
}

/// The line of a group.
fn group(state: &State, name: &str) -> Line {
    let (all, all_before, seconds) = state.pair("http/upstreams");
    let group = &all[name];
    let peers = group.get("peers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let up = peers.iter().filter(|peer| text(peer, "/state") == "up").count();
    let before = &all_before[name];
    let requests: f64 =
        peers.iter().map(|peer| rate(peer, earlier(before, peer), "/requests", seconds)).sum();
    let queue = group.get("queue").map(|queue| {
        format!(", {} of {} in the queue", number(queue, "/size"), number(queue, "/max_size"))
    });
    let style = match up {
        0 => Style::Bad,
        _ if up < peers.len() => Style::Warn,
        _ => Style::Head,
    };
    let text = format!(
        "{name}: {up} of {} up, {} requests/s, {} kept connections{}",
        peers.len(),
        short(requests),
        number(group, "/keepalive"),
        queue.unwrap_or_default()
    );
    Line::new(style, text)
}

/// The same server in an earlier answer.
fn earlier<'a>(before: &'a Value, peer: &'a Value) -> &'a Value {
    let peers =
        before.get("peers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let same = |other: &&Value| other["id"] == peer["id"] && other["server"] == peer["server"];
    peers.iter().find(same).unwrap_or(peer)
}

fn server(state: &State, row: &Row<'_>, is_selected: bool, name: usize) -> Line {
    let peer = row.peer;
    let (_, all_before, seconds) = state.pair("http/upstreams");
    let before = earlier(&all_before[row.upstream], peer);
    let of = |pointer: &str| short(rate(peer, before, pointer, seconds));
    let time = |pointer: &str| match number(peer, pointer) {
        0.0 => "-".to_owned(),
        millis => format!("{millis} ms"),
    };
    let (word, reason) = (text(peer, "/state"), reason(peer));
    let style = match word {
        _ if is_selected => Style::Selected,
        "up" => Style::Plain,
        "draining" | "checking" => Style::Warn,
        _ => Style::Bad,
    };
    let backup = if peer["backup"] == true { " backup" } else { "" };
    Line::new(
        style,
        format!(
            "  {:<width$} {:<18} {:>6} {:>8} {:>7} {:>7} {:>8} {:>8} {:>6}  {reason}",
            format!("{}{backup}", text(peer, "/server")),
            word,
            number(peer, "/weight"),
            of("/requests"),
            of("/responses/5xx"),
            number(peer, "/active"),
            time("/header_time"),
            time("/response_time"),
            number(peer, "/fails"),
            width = name - 2,
        ),
    )
}

/// Why a server takes no requests, as far as the API says.
fn reason(peer: &Value) -> String {
    if let Some(reason) = peer.get("reason").and_then(Value::as_str) {
        return reason.to_owned();
    }
    match text(peer, "/state") {
        "unhealthy" => format!("{} failed checks", number(peer, "/health_checks/fails")),
        "unavail" => format!("{} failed requests", number(peer, "/fails")),
        _ => String::new(),
    }
}

//! The page of requests: those under way, the last slow and failed ones, and all that is known of
//! one (`request_records`).

use serde_json::Value;

use super::line::{Line, Style};
use super::sample::{RECORDS, number, text};
use super::state::State;
use super::table::{Column, Table};

/// The kinds of requests that the page lists, by the argument of the API for those that have ended.
const KINDS: [(&str, &str); 3] = [
    ("", "requests under way, the last slow ones and errors"),
    ("errors", "only the last errors"),
    ("slow", "only the last slow ones"),
];

/// The kind behind another one, and its name.
pub(super) fn next_kind(kind: &str) -> (&'static str, &'static str) {
    let at = KINDS.iter().position(|(argument, _)| *argument == kind).unwrap_or_default();
    KINDS[(at + 1) % KINDS.len()]
}

/// The requests that the page lists: those under way, the oldest first, then those that ended, the
/// newest first.
pub(super) fn rows(state: &State) -> Vec<&Value> {
    let kind = state.question.records;
    let under_way = kind.is_empty().then_some("http/requests_under_way");
    let paths = under_way.into_iter().chain([RECORDS]);
    let all = paths.filter_map(|path| state.now.get(path).as_array()).flatten();
    let shown = |row: &&Value| {
        let fields = ["/request", "/id", "/client", "/host", "/upstream_server", "/upstream"];
        fields.iter().any(|field| state.shows(text(row, field)))
    };
    all.filter(shown).collect()
}

static COLUMNS: [Column; 4] = [
    Column::number("TOOK", 9, 0),
    Column::text("NOW, OR ITS END", 30, 2),
    Column::text("server", 22, 3),
    Column::rest("request", 20, 1),
];

/// The lines of the page.
pub(super) fn lines(state: &State, columns: usize) -> Vec<Line> {
    let table = Table::fitting(&COLUMNS, columns);
    let mut lines = vec![table.head()];
    for (at, row) in rows(state).into_iter().enumerate() {
        let style = match () {
            () if at == state.selected => Style::Selected,
            () if number(row, "/status") >= 500.0 => Style::Bad,
            () if row.get("doing").is_some() || row["slow"] == true => Style::Warn,
            () => Style::Plain,
        };
        let took = number(row, "/age") + number(row, "/took");
        let row = table.row(&[
            time(took),
            state_of(row),
            text(row, "/upstream_server").to_owned(),
            text(row, "/request").to_owned(),
        ]);
        lines.push(Line::new(style, row));
    }
    if lines.len() == 1 {
        let why = match state.now.get(RECORDS).as_array() {
            Some(_) if !state.question.find.is_empty() => "no request has this text",
            _ => "none: \"request_records on;\" shows those under way, slow ones and errors",
        };
        lines.push(Line::new(Style::Dim, why));
    }
    lines
}

/// What a request does, or how it has ended.
fn state_of(row: &Value) -> String {
    match text(row, "/doing") {
        "" => format!("{} {}", number(row, "/status"), text(row, "/end").replace('_', " ")),
        doing => {
            let what = if text(row, "/what").is_empty() { doing } else { text(row, "/what") };
            format!("{} for {}", what.replace('_', " "), time(number(row, "/doing_for")))
        }
    }
}

/// All that is known of a request.
pub(super) fn story(request: &Value) -> Vec<Line> {
    let plain = |text: String| Line::new(Style::Plain, text);
    let list = |name: &str| request[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let took = time(number(request, "/age") + number(request, "/took"));
    let server = match request["server"].as_str() {
        Some(name) => name,
        None => text(request, "/server/name"),
    };
    let mut lines = vec![
        Line::new(Style::Head, text(request, "/request")),
        plain(format!("id {}  client {}", text(request, "/id"), text(request, "/client"))),
        plain(format!(
            "{}  {took}  since {}{}",
            state_of(request),
            text(request, "/began"),
            text(request, "/ended"),
        )),
        plain(format!(
            "host {}  server {server}  location {} {}",
            text(request, "/host"),
            text(request, "/location/name"),
            text(request, "/location/place"),
        )),
        Line::new(Style::Head, format!("{:>9} {:>9}  STEP", "AT", "TOOK")),
    ];
    lines.extend(list("steps").iter().map(|it| plain(step(it))));
    for it in list("attempts") {
        let style = if it.get("error").is_some() { Style::Bad } else { Style::Head };
        lines.push(Line::new(style, attempt(it)));
        let rivals = it.pointer("/choice/rivals").and_then(Value::as_array);
        lines.extend(rivals.into_iter().flatten().map(|it| plain(rival(it))));
    }
    lines
}

fn step(it: &Value) -> String {
    let took = it.get("took").map(|_| time(number(it, "/took"))).unwrap_or_default();
    let mut line = format!("{:>9} {took:>9}  {}", time(number(it, "/at")), text(it, "/step"));
    if let Some(of) = it["subrequest"].as_u64() {
        line += &format!(" of subrequest {of}");
    }
    let parts = [text(it, "/name"), text(it, "/from"), text(it, "/to")];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        line += &format!("  {part}");
    }
    if it.get("status").is_some() {
        line += &format!("  {}", number(it, "/status"));
    }
    match text(it, "/place") {
        "" => line,
        place => format!("{line}  ({place})"),
    }
}

fn attempt(it: &Value) -> String {
    let mut line = format!(
        "{:>9} attempt at {} of {}",
        time(number(it, "/at")),
        text(it, "/server"),
        text(it, "/upstream")
    );
    for (name, word) in [("connected", "connected"), ("header", "head"), ("ended", "ended")] {
        if let Some(micros) = it[name].as_f64() {
            line += &format!("  {word} at {}", time(micros));
        }
    }
    if it.get("status").is_some() {
        line += &format!("  status {}", number(it, "/status"));
    }
    for part in [text(it, "/error"), text(it, "/next")].into_iter().filter(|it| !it.is_empty()) {
        line += &format!("  {part}");
    }
    line
}

fn rival(it: &Value) -> String {
    let score = it["score"].as_f64().map(|score| format!("  score {score:.3}"));
    let why = if it["chosen"] == true { "chosen" } else { text(it, "/excluded") };
    format!(
        "{:>22}{}  weight {}  active {}{}  {why}",
        "",
        text(it, "/server"),
        number(it, "/weight"),
        number(it, "/active"),
        score.unwrap_or_default(),
    )
}

/// Microseconds for people.
fn time(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{micros:.0} us"),
        ..1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = ["0 us", "999 us", "1.5 ms", "2.0 s", "3600.0 s"];
        assert_eq!([0.0, 999.0, 1500.0, 2e6, 3.6e9].map(time), shown);
    }
}

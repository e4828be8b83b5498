//! The page of requests: those under way, the last slow and failed ones, and all that is known of
//! one (`request_records`).

use serde_json::Value;

use super::sample::{number, text};
use super::view::{Line, State, Style};

/// The requests that the page lists: those under way, the oldest first, then those that ended, the
/// newest first.
pub(super) fn rows(state: &State) -> Vec<&Value> {
    let paths = ["http/requests_under_way", "http/request_records"];
    let all = paths.into_iter().filter_map(|path| state.now.get(path).as_array()).flatten();
    let shown = |row: &&Value| {
        ["/request", "/id", "/client", "/host"].iter().any(|field| state.shows(text(row, field)))
    };
    all.filter(shown).collect()
}

/// The lines of the page.
pub(super) fn lines(state: &State) -> Vec<Line> {
    if let Some(found) = &state.found {
        return story(found);
    }
    let mut lines = vec![Line::new(
        Style::Head,
        format!("{:>9} {:<30} {:<22} {}", "TOOK", "NOW, OR ITS END", "server", "request"),
    )];
    for (at, row) in rows(state).into_iter().enumerate() {
        let style = match () {
            () if at == state.selected => Style::Selected,
            () if number(row, "/status") >= 500.0 => Style::Bad,
            () if row.get("doing").is_some() || row["slow"] == true => Style::Warn,
            () => Style::Plain,
        };
        let took = number(row, "/age") + number(row, "/took");
        lines.push(Line::new(
            style,
            format!(
                "{:>9} {:<30} {:<22} {}",
                time(took),
                state_of(row),
                text(row, "/upstream_server"),
                text(row, "/request")
            ),
        ));
    }
    if lines.len() == 1 {
        let why = "none: \"request_records on;\" shows those under way, slow ones and errors";
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
fn story(request: &Value) -> Vec<Line> {
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

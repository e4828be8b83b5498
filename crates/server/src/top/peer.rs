//! All that is known of a server of a group.

use serde_json::Value;

use super::line::short;
use super::line::{Line, Style};
use super::sample::{UPSTREAMS, number, rate, text};
use super::servers::reason;
use super::state::State;
use super::zones::quantile;

/// What is told of by other lines, or is of no use to people.
const TOLD: [&str; 8] =
    ["id", "server", "name", "backup", "state", "reasons", "responses", "header_time"];

/// The lines of a server.
pub(super) fn lines(state: &State, upstream: &str, peer: &Value) -> Vec<Line> {
    let (_, _, seconds) = state.pair(UPSTREAMS);
    let before = state.server_before(upstream, peer).unwrap_or(peer);
    let is_there = state.now.same_server(upstream, peer).is_some();
    let backup = if peer["backup"] == true { ", backup" } else { "" };
    let mut lines = vec![Line::new(
        Style::Head,
        format!("{} of {upstream}{backup}, number {}", text(peer, "/server"), peer["id"]),
    )];
    if !is_there {
        let gone = "it is not on the page any more: this is the last that was seen";
        lines.push(Line::new(Style::Warn, gone));
    }
    let word = text(peer, "/state");
    let style = if word == "up" { Style::Plain } else { Style::Bad };
    lines.push(Line::new(style, format!("state {word}  {}", reason(peer))));
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| {
        let pointer = format!("/responses/{class}");
        let per_second = rate(peer, before, &pointer, seconds);
        format!("{class} {} ({}/s)", number(peer, &pointer), short(per_second))
    });
    lines.push(Line::new(Style::Plain, format!("responses  {}", classes.join("  "))));
    for (name, value) in peer.as_object().into_iter().flatten() {
        if !TOLD.contains(&name.as_str()) {
            lines.extend(fact(name, value));
        }
    }
    lines
}

/// A field of a server, if it says anything.
fn fact(name: &str, value: &Value) -> Option<Line> {
    let words = name.replace('_', " ");
    let said = match value {
        Value::Object(_) if name.ends_with("_hist") => {
            let part = |part| quantile(value, part);
            let (half, most) = (part(0.5)?, part(0.99)?);
            format!("half of {} {half} ms, 99 % {most} ms", value["count"])
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| **value != 0 && !value.is_object());
            let fields: Vec<_> = fields
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), plain(value)))
                .collect();
            Some(fields.join(", ")).filter(|said| !said.is_empty())?
        }
        Value::Array(_) | Value::Null => return None,
        value => plain(value),
    };
    Some(Line::new(Style::Plain, format!("{words}  {said}")))
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

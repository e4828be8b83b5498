//! The pages of errors and of the process: reloads, loops, memory, certificates, the pair, TLS.

use serde_json::Value;

use super::line::{Line, Style, short};
use super::sample::{number, rate, text};
use super::state::State;
use super::zones::or_none;

/// The seconds before its end from which a certificate is worth a warning: two weeks.
const SOON: f64 = 14.0 * 86_400.0;

/// Why requests failed.
pub(super) fn errors(state: &State) -> Vec<Line> {
    let head = format!("{:<28} {:<9} {:>10} {:>9}  last", "CAUSE", "side", "total", "per s");
    let mut lines = vec![Line::new(Style::Head, head)];
    let (now, before, seconds) = state.pair("errors");
    let causes = now["causes"].as_object().into_iter().flatten();
    let mut causes: Vec<_> = causes.filter(|(name, _)| state.shows(name)).collect();
    causes.sort_by(|(_, a), (_, b)| number(b, "/total").total_cmp(&number(a, "/total")));
    for (name, cause) in causes {
        let per_second = rate(cause, &before["causes"][name], "/total", seconds);
        let style = match (text(cause, "/side"), per_second > 0.0) {
            ("client", _) | (_, false) => Style::Plain,
            ("upstream", true) => Style::Warn,
            (_, true) => Style::Bad,
        };
        lines.push(Line::new(
            style,
            format!(
                "{:<28} {:<9} {:>10} {:>9}  {}",
                name.replace('_', " "),
                text(cause, "/side"),
                number(cause, "/total"),
                short(per_second),
                text(cause, "/last"),
            ),
        ));
    }
    or_none(lines, "no errors")
}

/// The process.
pub(super) fn lines(state: &State) -> Vec<Line> {
    let mut lines = reloads(state);
    lines.extend(memory(state));
    lines.extend(loops(state));
    lines.extend(certificates(state));
    lines.extend(pair(state));
    lines.extend(resolvers(state));
    lines.extend(tls(state));
    lines
}

/// What has come of questions for names.
fn resolvers(state: &State) -> Vec<Line> {
    let (_, all_before, seconds) = state.pair("resolvers");
    let mut lines = Vec::new();
    for (name, now) in state.now.entries("resolvers").filter(|(name, _)| state.shows(name)) {
        let before = all_before.get(name).unwrap_or(now);
        let answers = now["responses"].as_object().into_iter().flatten();
        let counted = answers.filter(|(_, count)| number(count, "") > 0.0);
        let counted: Vec<_> = counted.map(|(answer, count)| format!("{answer} {count}")).collect();
        let asked = ["name", "srv", "addr"]
            .map(|kind| rate(now, before, &format!("/requests/{kind}"), seconds));
        let asked = short(asked.iter().sum());
        let text = format!("RESOLVER {name}  {asked} questions/s  {}", counted.join("  "));
        lines.push(Line::new(Style::Head, text));
    }
    lines
}

fn reloads(state: &State) -> Vec<Line> {
    let reloads = state.now.get("reloads");
    let mut lines = vec![Line::new(
        Style::Head,
        format!(
            "worker processes respawned {}  reloads {}, failed {}, last in {} ms at {}",
            number(state.now.get("processes"), "/respawned"),
            number(reloads, "/good"),
            number(reloads, "/failed"),
            number(reloads, "/took"),
            text(reloads, "/last_good"),
        ),
    )];
    if !text(reloads, "/fault").is_empty() {
        let (when, why) = (text(reloads, "/last_failed"), text(reloads, "/fault"));
        // What has failed since the last good one is not in force.
        let is_newer = when > text(reloads, "/last_good");
        let style = if is_newer { Style::Bad } else { Style::Dim };
        lines.push(Line::new(style, format!("reload failed at {when}: {why}")));
    }
    lines
}

fn memory(state: &State) -> Vec<Line> {
    let memory = state.now.get("memory");
    if memory.is_null() {
        return Vec::new();
    }
    let mut lines = vec![Line::new(
        Style::Plain,
        format!(
            "memory {} resident, {} at most",
            short(number(memory, "/resident")),
            short(number(memory, "/peak")),
        ),
    )];
    for (name, zone) in memory["zones"].as_object().into_iter().flatten() {
        let (used, size) = (number(zone, "/used"), number(zone, "/size"));
        if state.shows(name) && used > 0.9 * size {
            let text = format!("zone {name} is full: {} of {}", short(used), short(size));
            lines.push(Line::new(Style::Warn, text));
        }
    }
    lines
}

fn loops(state: &State) -> Vec<Line> {
    let (now, before, seconds) = state.pair("loops");
    let Some(all) = now.as_array() else { return Vec::new() };
    let mut lines = vec![Line::new(
        Style::Head,
        format!(
            "{:<24} {:>7} {:>14} {:>8} {:>8}",
            "LOOP", "busy", "longest turn", "tasks", "timers"
        ),
    )];
    for (at, it) in all.iter().enumerate() {
        let busy = rate(it, &before[at], "/busy", seconds) / 10.0;
        let longest = number(it, "/longest") / 1000.0;
        let style = if busy > 90.0 || longest > 100.0 { Style::Warn } else { Style::Plain };
        lines.push(Line::new(
            style,
            format!(
                "{:<24} {busy:>5.0} % {longest:>11.1} ms {:>8} {:>8}",
                text(it, "/thread"),
                number(it, "/tasks"),
                number(it, "/timers"),
            ),
        ));
    }
    lines
}

/// Certificates, those that end first at the top, and what ACME does with theirs.
fn certificates(state: &State) -> Vec<Line> {
    let mut all: Vec<_> = state.now.get("certificates").as_array().into_iter().flatten().collect();
    all.sort_by(|a, b| number(a, "/expires_in").total_cmp(&number(b, "/expires_in")));
    let head = format!("{:<48} {:>11}  servers", "CERTIFICATE", "expires in");
    let mut lines = vec![Line::new(Style::Head, head)];
    for it in all.into_iter().filter(|it| state.shows(text(it, "/file"))) {
        let left = number(it, "/expires_in");
        let style = match left {
            ..=0.0 => Style::Bad,
            ..SOON => Style::Warn,
            _ => Style::Plain,
        };
        let servers = it["servers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let servers: Vec<_> = servers.collect();
        let days = (left / 86_400.0).floor();
        let file = text(it, "/file");
        let text = format!("{file:<48} {days:>6} days  {}", servers.join(", "));
        lines.push(Line::new(style, text));
    }
    for (name, it) in state.now.entries("http/acme_certificates") {
        let fault = text(it, "/fault");
        let style = if fault.is_empty() { Style::Plain } else { Style::Bad };
        let next = format!("{}{}", text(it, "/renew_at"), text(it, "/next_try"));
        let state = text(it, "/state");
        lines.push(Line::new(style, format!("ACME {name}: {state}, next at {next}  {fault}")));
    }
    if lines.len() > 1 { lines } else { Vec::new() }
}

/// The pair.
fn pair(state: &State) -> Vec<Line> {
    let ha = state.now.get("ha");
    if ha["configured"] != true {
        return Vec::new();
    }
    let (fit, why) = match ha["fit"].as_bool() {
        Some(false) => ("not fit: ", text(ha, "/unfit")),
        Some(true) => ("fit", ""),
        None => ("not known to be fit", ""),
    };
    let style = if ha["fit"] == true { Style::Head } else { Style::Bad };
    let mut lines = vec![Line::new(style, format!("NODE {}  {fit}{why}", text(ha, "/node")))];
    for it in ha["groups"].as_array().into_iter().flatten() {
        let addresses = it["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let addresses: Vec<_> = addresses.collect();
        let holds = if it["holds"] == true { "holds" } else { "does not hold" };
        let text = format!("{holds} {}  {}", addresses.join(", "), text(it, "/why"));
        lines.push(Line::new(Style::Plain, text));
    }
    for it in ha["links"].as_array().into_iter().flatten() {
        let up = it["up"] == true;
        let (style, word) = if up { (Style::Plain, "linked") } else { (Style::Bad, "away") };
        let text = format!("{} {word} since {}", text(it, "/node"), text(it, "/since"));
        lines.push(Line::new(style, format!("{text}  {}", self::text(it, "/reason"))));
    }
    lines
}

fn tls(state: &State) -> Vec<Line> {
    let (ssl, before, seconds) = state.pair("ssl");
    let Some(all) = ssl.as_object() else { return Vec::new() };
    let mut lines =
        vec![Line::new(Style::Head, format!("{:<32} {:>12} {:>10}", "TLS", "total", "per s"))];
    for (name, value) in all.iter().filter(|(_, value)| value.is_number()) {
        let per_second = short(rate(ssl, before, &format!("/{name}"), seconds));
        let total = value.as_f64().unwrap_or_default();
        let text = format!("{:<32} {total:>12} {per_second:>10}", name.replace('_', " "));
        lines.push(Line::new(Style::Plain, text));
    }
    lines
}

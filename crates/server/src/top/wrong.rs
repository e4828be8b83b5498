//! What is wrong, worst first, each with its reason: what to look at first.

use serde_json::Value;

use super::line::{Line, Style, short};
use super::sample::{UPSTREAMS, number, peers, rate, text};
use super::servers::{Sums, reason};
use super::state::State;

/// The part of its time from which on a loop is too busy, in percent.
const BUSY: f64 = 90.0;

/// The seconds before its end at which a certificate is a warning, and an error.
const SOON: f64 = 21.0 * 86_400.0;
const VERY_SOON: f64 = 3.0 * 86_400.0;

/// The servers of a group that are told one by one.
const MOST_SERVERS: usize = 20;

/// The lines of the page.
pub(super) fn lines(state: &State) -> Vec<Line> {
    let mut lines = vec![Line::new(Style::Head, "WHAT IS WRONG")];
    lines.extend(faults(state).into_iter().filter(|fault| state.shows(&fault.text)));
    if lines.len() == 1 {
        lines.push(Line::new(Style::Plain, "nothing"));
    }
    lines
}

/// The number of errors and warnings.
pub(super) fn count(state: &State) -> usize {
    faults(state).iter().filter(|fault| fault.style != Style::Plain).count()
}

/// The faults: errors, warnings, and what somebody may have wanted.
fn faults(state: &State) -> Vec<Line> {
    let mut found = Vec::new();
    for (name, group) in state.now.entries(UPSTREAMS) {
        upstream(state, name, group, &mut found);
    }
    process(state, &mut found);
    certificates(state, &mut found);
    let order = |line: &Line| match line.style {
        Style::Bad => 0,
        Style::Warn => 1,
        _ => 2,
    };
    found.sort_by_key(order);
    found
}

fn upstream(state: &State, name: &str, group: &Value, found: &mut Vec<Line>) {
    let (_, all_before, seconds) = state.pair(UPSTREAMS);
    let sums = Sums::of(group);
    let before = all_before.get(name).map_or_else(|| sums.clone(), Sums::of);
    let (requests, fails) = sums.rates(&before, seconds);
    if sums.servers == 0.0 {
        found.push(Line::new(Style::Bad, format!("upstream {name} has no server")));
    } else if sums.up == 0.0 {
        let text = format!("upstream {name}: none of {} servers takes requests", sums.servers);
        found.push(Line::new(Style::Bad, text));
    }
    if fails > 0.05 {
        let text =
            format!("upstream {name}: {}/s of {}/s attempts fail", short(fails), short(requests));
        found.push(Line::new(Style::Warn, text));
    }
    let queue = &group["queue"];
    if number(queue, "/size") > 0.0 {
        let text = format!("upstream {name}: {} requests wait in the queue", queue["size"]);
        found.push(Line::new(Style::Warn, text));
    }
    let overflows = rate(queue, &all_before[name]["queue"], "/overflows", seconds);
    if state.before.is_some() && overflows > 0.0 {
        let text =
            format!("upstream {name}: the queue is full, {}/s are refused", short(overflows));
        found.push(Line::new(Style::Bad, text));
    }
    let unfit = peers(group).iter().filter(|peer| text(peer, "/state") != "up");
    let mut told = 0;
    for peer in unfit.take(MOST_SERVERS) {
        let word = text(peer, "/state");
        let is_wanted = matches!(word, "down" | "draining" | "checking");
        let style = if is_wanted { Style::Plain } else { Style::Warn };
        let server = text(peer, "/server");
        let why = match reason(peer).as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        found.push(Line::new(style, format!("{server} of {name} is {word}{why}")));
        told += 1;
    }
    let more = sums.servers - sums.up - f64::from(told);
    if more > 0.0 && sums.failing > 0.0 {
        found.push(Line::new(Style::Warn, format!("{more} more servers of {name} are not up")));
    }
}

fn process(state: &State, found: &mut Vec<Line>) {
    let respawned = number(state.now.get("processes"), "/respawned");
    if respawned > 0.0 {
        let text = format!("the worker has died {respawned} times: see the error log");
        found.push(Line::new(Style::Warn, text));
    }
    let reloads = state.now.get("reloads");
    let (failed, good) = (text(reloads, "/last_failed"), text(reloads, "/last_good"));
    if failed > good {
        let why = text(reloads, "/fault");
        let text = format!(
            "the last reload failed at {failed}, the configuration before it serves on: {why}"
        );
        found.push(Line::new(Style::Bad, text));
    }
    let (connections, before, seconds) = state.pair("connections");
    let dropped = rate(connections, before, "/dropped", seconds);
    if dropped > 0.0 {
        let text = format!("{}/s new connections are dropped: worker_connections", short(dropped));
        found.push(Line::new(Style::Bad, text));
    }
    let (errors, before, seconds) = state.pair("errors");
    for (cause, now) in errors["causes"].as_object().into_iter().flatten() {
        let per_second = rate(now, &before["causes"][cause], "/total", seconds);
        let side = text(now, "/side");
        if state.before.is_some() && per_second > 0.0 && side != "client" {
            let text =
                format!("{}/s errors: {} ({side})", short(per_second), cause.replace('_', " "));
            found.push(Line::new(Style::Warn, text));
        }
    }
    for path in ["http/limit_reqs", "http/limit_conns"] {
        let (_, all_before, seconds) = state.pair(path);
        for (name, now) in state.now.entries(path) {
            let of = |pointer| rate(now, all_before.get(name).unwrap_or(now), pointer, seconds);
            let refused = of("/rejected") + of("/exhausted");
            if refused > 0.0 {
                let text = format!("the limit {name} refuses {}/s", short(refused));
                found.push(Line::new(Style::Plain, text));
            }
        }
    }
    let (loops, before, seconds) = state.pair("loops");
    for (at, one) in loops.as_array().into_iter().flatten().enumerate() {
        let busy = rate(one, &before[at], "/busy", seconds) / 10.0;
        if state.before.is_some() && busy > BUSY {
            let thread = text(one, "/thread");
            let text = format!("the thread {thread} is busy for {busy:.0} % of its time");
            found.push(Line::new(Style::Warn, text));
        }
    }
    let ha = state.now.get("ha");
    if ha["configured"] == true && ha["fit"] == false {
        found.push(Line::new(Style::Bad, format!("this node is not fit: {}", text(ha, "/unfit"))));
    }
    for link in ha["links"].as_array().into_iter().flatten().filter(|link| link["up"] == false) {
        let (node, why) = (text(link, "/node"), text(link, "/reason"));
        found.push(Line::new(Style::Warn, format!("the node {node} is away: {why}")));
    }
}

fn certificates(state: &State, found: &mut Vec<Line>) {
    for one in state.now.get("certificates").as_array().into_iter().flatten() {
        let left = number(one, "/expires_in");
        if left > SOON {
            continue;
        }
        let style = if left > VERY_SOON { Style::Warn } else { Style::Bad };
        let days = (left / 86_400.0).floor();
        let text = match left > 0.0 {
            true => format!("the certificate {} expires in {days} days", text(one, "/file")),
            false => format!("the certificate {} has expired", text(one, "/file")),
        };
        found.push(Line::new(style, text));
    }
    for (name, one) in state.now.entries("http/acme_certificates") {
        if text(one, "/state") == "failed" {
            let (fault, next) = (text(one, "/fault"), text(one, "/next_try"));
            let text =
                format!("the certificate {name} could not be ordered, next try {next}: {fault}");
            found.push(Line::new(Style::Bad, text));
        }
    }
}

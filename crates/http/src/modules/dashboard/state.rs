//! The state that the page asks for every few seconds: sums over each group, the servers that are
//! not up, and what the API shows of the rest.
//!
//! It grows with the number of groups, and not with that of their servers: the page asks for the
//! servers of a group only when somebody looks at them.

use serde_json::{Map, Value, json};
use weir_engine::clock;
use weir_upstream::{Group, GroupSummary, Now, PeerStatus, Unfit};

use super::{Source, history};
use crate::recorder::under_way;
use crate::status_tree::Question;

/// What is taken over from the API. Paths that do not exist are left out.
const EMBEDDED: &[&str] = &[
    "nginx",
    "processes",
    "connections",
    "errors",
    "ha",
    "resolvers",
    "http/requests",
    "http/server_zones",
    "http/location_zones",
    "http/caches",
    "http/limit_reqs",
    "http/limit_conns",
    "certificates",
    "http/acme_certificates",
    "ssl",
    "reloads",
    "loops",
    "memory",
];

/// The maximum number of zones and the like that are shown of each kind, those with the most
/// requests first: a page with more is not read.
const MOST_ZONES: usize = 200;

/// The maximum number of servers that are not up in the list of what is wrong. Their number is
/// always shown.
const MOST_UNFIT: usize = 200;

/// The maximum number of requests under way that are shown, the oldest of them. Their number is
/// always shown.
const MOST_UNDER_WAY: usize = 20;

/// The state.
pub(super) fn make(source: &Source) -> Value {
    let mut api = Map::new();
    for path in EMBEDDED {
        let question = Question { path: (*path).to_owned(), ..source.question.clone() };
        let question = Question { args: Vec::new(), groups: Vec::new(), ..question };
        if let Some((200, value)) = source.tree.map(|tree| (tree.read)(&question)) {
            api.insert((*path).to_owned(), bounded(value));
        }
    }
    let now = Now::current();
    let mut unfits = Unfits { now, failing: Vec::new(), chosen: Vec::new(), left_out: 0 };
    let groups = source.question.groups.iter().enumerate();
    let groups: Vec<Value> = groups.map(|(at, group)| unfits.group(at, group)).collect();
    let (unfit, unfit_left_out) = unfits.shown();
    json!({
        "at": clock::msec(),
        "host": source.hostname,
        "point": history::now(),
        "api": api,
        "groups": groups,
        "unfit": unfit,
        "unfit_left_out": unfit_left_out,
        "under_way": requests_under_way(source),
    })
}

/// The requests under way, and how many more there are. These are counted only if there are more:
/// a count looks at each of them.
fn requests_under_way(source: &Source) -> Value {
    let question = Question {
        path: "http/requests_under_way".to_owned(),
        args: format!("limit={MOST_UNDER_WAY}").into_bytes(),
        ..source.question.clone()
    };
    let found = source.tree.map(|tree| (tree.read)(&question));
    let Some((200, Value::Array(shown))) = found else { return Value::Null };
    let left_out = match shown.len() {
        MOST_UNDER_WAY => under_way::number().saturating_sub(MOST_UNDER_WAY),
        _ => 0,
    };
    json!({ "shown": shown, "left_out": left_out })
}

/// An object or a list with at most [`MOST_ZONES`] entries: of certificates, those that expire
/// soonest.
fn bounded(value: Value) -> Value {
    let map = match value {
        Value::Object(map) => map,
        Value::Array(mut list) if list.len() > MOST_ZONES => {
            list.sort_by_key(|one| one["expires_in"].as_i64());
            list.truncate(MOST_ZONES);
            return Value::Array(list);
        }
        other => return other,
    };
    if map.len() <= MOST_ZONES {
        return Value::Object(map);
    }
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_by_key(|(_, value)| std::cmp::Reverse(value["requests"].as_u64()));
    Value::Object(entries.into_iter().take(MOST_ZONES).collect())
}

/// The servers that are not up: those that fail, and those that somebody has taken out, which do
/// not displace the others.
struct Unfits {
    now: Now,
    failing: Vec<Value>,
    chosen: Vec<Value>,
    left_out: usize,
}

impl Unfits {
    /// The row of a group; its servers that are not up are added.
    fn group(&mut self, at: usize, group: &Group) -> Value {
        let now = self.now;
        let summary = group.summary(now, |peer, state, backup| {
            let is_chosen = matches!(state, PeerStatus::Down | PeerStatus::Draining);
            let list = if is_chosen { &mut self.chosen } else { &mut self.failing };
            match list.len() < MOST_UNFIT {
                true => list.push(unfit(at, &Unfit::of(peer, state, backup, now), now)),
                false => self.left_out += 1,
            }
        });
        let GroupSummary { states, full, backups, backups_up, active, requests, fails, queue } =
            summary;
        let queue = queue.map(|queue| [queue.size as u64, queue.max_size as u64, queue.overflows]);
        json!([
            group.name(),
            group.zone().is_some(),
            states,
            [backups, backups_up, full],
            [active, requests, fails, group.kept()],
            queue,
        ])
    }

    /// The list, and the number of servers beyond it.
    fn shown(self) -> (Vec<Value>, usize) {
        let Self { failing: mut shown, chosen, left_out, .. } = self;
        shown.extend(chosen);
        let left_out = left_out + shown.len().saturating_sub(MOST_UNFIT);
        shown.truncate(MOST_UNFIT);
        (shown, left_out)
    }
}

/// The times are the milliseconds since its beginning, and to its end.
fn unfit(group: usize, unfit: &Unfit, now: Now) -> Value {
    let Unfit { id, server, backup, state, reasons, since, until } = unfit;
    json!([
        group,
        id.0,
        server,
        state.text(),
        reasons,
        since.map(|since| now.millis.saturating_sub(since)),
        until.map(|until| until.saturating_sub(now.millis)),
        backup,
    ])
}

//! Groups of upstreams: their peers and counts.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use weir_engine::clock::{self, Wall};
use weir_upstream::{
    AgentView, ByReason, CheckCounts, Group, GroupPage, GroupSummary, GroupView, Now, PageWanted,
    PeerView, QueueView, ReportCounts, STATES, page,
};
use weir_wire::agent::{Admin, AgentWeight};

use super::call::{Answer, Call};
use super::failure::Failure;
use super::latency;
use super::pages;
use super::tls;
use super::zones::by_class;
use crate::instance::timestamp;

/// The name of the upstream in a path.
const NAME: usize = 2;

pub(super) fn all(call: &Call) -> Result<Answer, Failure> {
    let dynamic: Vec<_> = call.groups.iter().filter(|group| group.zone().is_some()).collect();
    let shown = match pages::wanted(call)? {
        None => dynamic.iter().map(|group| show(group, call.version)).collect(),
        Some(wanted) => show_page(&dynamic, &PageWanted { by_group: true, ..wanted }, call.version),
    };
    let names = dynamic.iter().map(|group| group.name().to_owned());
    Ok(Answer::Found(Value::Object(names.zip(shown).collect::<Map<_, _>>())))
}

pub(super) fn one(call: &Call) -> Result<Answer, Failure> {
    let group = named(call)?;
    let shown = match pages::wanted(call)? {
        None => show(group, call.version),
        Some(wanted) => show_page(&[group], &wanted, call.version).swap_remove(0),
    };
    Ok(Answer::Found(shown))
}

pub(super) fn reset(call: &Call) -> Result<Answer, Failure> {
    named(call)?.reset_counts(Now::current());
    Ok(Answer::Done)
}

/// The group that a path names. It has a zone.
pub(super) fn named(call: &Call) -> Result<&Arc<Group>, Failure> {
    let name = call.segment(NAME);
    let group = call.groups.iter().find(|group| group.name() == name);
    let group = group.ok_or_else(|| Failure::new(404, "UpstreamNotFound", "upstream not found"))?;
    match group.zone() {
        Some(_) => Ok(group),
        None if call.within => Ok(group),
        None => Err(Failure::bad("UpstreamStatic", "upstream is static")),
    }
}

fn show(group: &Group, version: u8) -> Value {
    let times = Times::current();
    show_view(&group.view(times.now), group.kept(), times, version)
}

/// Groups with the servers that are on a page, and what is to be known of the others.
fn show_page(groups: &[&Arc<Group>], wanted: &PageWanted, version: u8) -> Vec<Value> {
    let times = Times::current();
    let pages = page(groups, wanted, times.now).into_iter();
    let shown = pages.zip(groups).map(|(GroupPage { view, matching, summary }, group)| {
        let mut shown = show_view(&view, group.kept(), times, version);
        shown["matching"] = json!(matching);
        shown["summary"] = show_summary(&summary);
        shown
    });
    shown.collect()
}

fn show_summary(summary: &GroupSummary) -> Value {
    let states = STATES.iter().zip(summary.states);
    let states = states.map(|(state, number)| (state.text().to_owned(), json!(number)));
    json!({
        "servers": summary.states.iter().sum::<u64>(),
        "states": Value::Object(states.collect()),
        "full": summary.full,
        "backups": summary.backups,
        "backups_up": summary.backups_up,
        "active": summary.active,
        "requests": summary.requests,
        "fails": summary.fails,
    })
}

fn show_view(view: &GroupView, kept: u64, times: Times, version: u8) -> Value {
    let peers: Value = view.peers.iter().map(|peer| show_peer(peer, times, version)).collect();
    let GroupView { zone, zombies, counts, .. } = &view;
    let mut shown = json!({
        "peers": peers,
        "keepalive": kept,
        "zombies": zombies,
        "zone": zone,
        "no_live": counts.no_live,
        "retries_refused": counts.retries_refused,
    });
    if let Some(QueueView { size, max_size, overflows }) = view.queue {
        shown["queue"] = json!({
            "size": size,
            "max_size": max_size,
            "overflows": overflows,
            "timeouts": counts.queue_timeouts,
            "time_hist": latency::show(&counts.queue_time),
        });
    }
    shown
}

/// One moment by both clocks.
#[derive(Clone, Copy)]
struct Times {
    now: Now,
    /// Milliseconds since 1970.
    wall: u64,
}

impl Times {
    fn current() -> Self {
        Self { now: Now::current(), wall: clock::msec() }
    }

    /// The text of a moment, in milliseconds of [`Now`].
    fn text(self, millis: u64) -> String {
        let ago = self.now.millis.saturating_sub(millis);
        let then = self.wall.saturating_sub(ago);
        let millis = u16::try_from(then % 1000).unwrap_or_default();
        timestamp(Wall { secs: (then / 1000).cast_signed(), millis })
    }
}

fn show_peer(peer: &PeerView, now: Times, version: u8) -> Value {
    let counts = &peer.counts;
    let mut shown = json!({
        "id": peer.id.0,
        "server": peer.server,
        "name": peer.name,
        "backup": peer.backup,
        "weight": peer.weight,
        "state": peer.state.text(),
        "active": peer.active,
        "max_conns": peer.max_conns,
        "requests": peer.requests,
        "responses": by_class(&counts.responses, version),
        "sent": counts.sent,
        "received": counts.received,
        "fails": peer.fails,
        "unavail": peer.unavail,
        "health_checks": show_checks(&peer.checks),
        "downtime": peer.downtime,
        "reasons": peer.reasons,
        "failures": by_reason(&counts.failures),
        "retries": by_reason(&counts.retries),
        "ejections": by_reason(&counts.ejections),
    });
    if let Some(service) = &peer.service {
        shown["service"] = json!(service);
    }
    if let Some(agent) = &peer.agent {
        shown["agent"] = show_agent(agent);
    }
    if let Some(ReportCounts { good, bad }) = peer.reports {
        shown["load_reports"] = json!({ "good": good, "bad": bad });
    }
    if let Some(thousandths) = peer.effective_weight {
        shown["effective_weight"] = json!(thousandths as f64 / 1000.0);
    }
    if let Some(thousandths) = peer.slow_start.filter(|&thousandths| thousandths < 1000) {
        shown["slow_start_share"] = json!(thousandths as f64 / 1000.0);
    }
    if let Some(downstart) = peer.downstart {
        shown["downstart"] = json!(now.text(downstart));
    }
    if let Some(selected) = peer.selected {
        shown["selected"] = json!(now.text(selected.unsigned_abs() * 1000));
    }
    for (name, time) in [("header_time", peer.header_time), ("response_time", peer.response_time)] {
        // Averages are known once something has been measured.
        if time > 0 {
            shown[name] = json!(time);
        }
    }
    tls::add(&mut shown, &counts.handshakes, version);
    if version >= 9 {
        shown["response_time_hist"] = latency::with_plus_bounds(&counts.response_time);
        shown["header_time_hist"] = latency::show(&counts.header_time);
        shown["connect_time_hist"] = latency::show(&counts.connect_time);
    }
    shown
}

fn by_reason(counts: &ByReason) -> Value {
    let counts = counts.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count)));
    Value::Object(counts.collect())
}

fn show_checks(counts: &CheckCounts) -> Value {
    let CheckCounts { checks, fails, unhealthy, last_passed } = counts;
    let mut shown = json!({ "checks": checks, "fails": fails, "unhealthy": unhealthy });
    if let Some(passed) = last_passed {
        shown["last_passed"] = json!(passed);
    }
    shown
}

fn show_agent(agent: &AgentView) -> Value {
    let admin = match agent.admin {
        Admin::Ready => "ready",
        Admin::Drain => "drain",
        Admin::Maint => "maint",
    };
    let weight = match agent.weight {
        AgentWeight::Percent(percent) => format!("{percent}%"),
        AgentWeight::Absolute(weight) => weight.to_string(),
    };
    let mut shown = json!({ "state": admin, "up": agent.up, "weight": weight });
    if let Some(reached) = agent.reached {
        shown["reached"] = json!(reached);
    }
    if let Some(max) = agent.max_conns {
        shown["max_conns"] = json!(max);
    }
    shown
}

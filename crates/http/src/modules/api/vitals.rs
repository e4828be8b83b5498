//! The state of the process itself: certificates, reloads, loops, memory.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Map, json};
use weir_edge::zone;
use weir_engine::Memory;
use weir_engine::clock::{self, Wall};
use weir_engine::event_loop::{self, LoopView, TURN_ENDS};

use super::call::{Answer, Call};
use super::failure::Failure;
use crate::certificates::in_force::{self, InForce};
use crate::instance::timestamp;
use crate::instance::{self, Reloads, iso};
use crate::memory::by_subsystem;
use weir_acme::{Status, View};

pub(super) fn certificates(_: &Call) -> Result<Answer, Failure> {
    let now = clock::wall_secs();
    let show = |one: &InForce| {
        let InForce { file, subject, issuer, serial, validity: (from, to), servers } = one;
        json!({
            "file": file,
            "subject": subject,
            "issuer": issuer,
            "serial": serial,
            "not_before": seconds(*from),
            "not_after": seconds(*to),
            "expires_in": to - now,
            "servers": servers,
        })
    };
    Ok(Answer::Found(in_force::all_in_force().iter().map(show).collect()))
}

/// Certificates that are ordered by ACME, by their identifiers.
pub(super) fn acme_certificates(_: &Call) -> Result<Answer, Failure> {
    let all = weir_acme::certificate::views().into_iter();
    Ok(Answer::Found(all.map(|(id, view)| (id, acme_certificate(&view))).collect()))
}

fn acme_certificate(view: &View) -> serde_json::Value {
    let state = match &view.status {
        Status::Failed(_) => "failed",
        Status::Ready => "valid",
        Status::Pending if view.is_elsewhere => "waiting",
        Status::Pending => "ordering",
    };
    let mut shown = json!({
        "state": state,
        "issuer": view.issuer,
        "names": view.names,
        "key": view.key.to_string(),
        "orders_elsewhere": view.is_elsewhere,
        "orders": view.orders,
        "failures": view.failures,
        "tries": view.tries,
    });
    if let Some((from, to)) = view.valid {
        shown["not_before"] = json!(seconds(from));
        shown["not_after"] = json!(seconds(to));
    }
    if let Some(next) = view.next {
        let name = if state == "failed" { "next_try" } else { "renew_at" };
        shown[name] = json!(seconds(next));
    }
    if let Status::Failed(reason) = &view.status {
        shown["fault"] = json!(reason);
        shown["fault_at"] = json!(seconds(view.failed_at));
    }
    shown
}

pub(super) fn reloads(_: &Call) -> Result<Answer, Failure> {
    let instance = instance::current();
    let Reloads { started, good, failed, last_good, last_failed, took, fault } =
        instance::reloads();
    let mut shown = json!({
        "generation": instance.generation,
        "good": good,
        "failed": failed,
        "held": instance::held(),
        "respawned": instance.respawned,
        "started": iso(started),
    });
    if last_good > 0 {
        shown["last_good"] = json!(iso(last_good));
        shown["took"] = json!(took);
    }
    if last_failed > 0 {
        shown["last_failed"] = json!(iso(last_failed));
        shown["fault"] = json!(fault);
    }
    Ok(Answer::Found(shown))
}

/// The pair. Without one, it says so.
pub(super) fn ha(_: &Call) -> Result<Answer, Failure> {
    let mut shown = instance::pair().unwrap_or_else(|| json!({}));
    shown["configured"] = json!(shown.as_object().is_some_and(|state| !state.is_empty()));
    Ok(Answer::Found(shown))
}

pub(super) fn loops(_: &Call) -> Result<Answer, Failure> {
    let show = |one: LoopView| {
        let LoopView { thread, age, turns, busy, longest, tasks, timers } = one;
        let ends = TURN_ENDS.iter().map(u64::to_string).chain(["inf".to_owned()]);
        let buckets: Map<_, _> = ends.zip(turns.iter().map(|count| json!(count))).collect();
        json!({
            "thread": thread,
            "age": whole_millis(age),
            "busy": whole_millis(busy),
            "longest": u64::try_from(longest.as_micros()).unwrap_or(u64::MAX),
            "tasks": tasks,
            "timers": timers,
            "turns": turns.iter().sum::<u64>(),
            "turn_time": { "sum": u64::try_from(busy.as_micros()).unwrap_or(u64::MAX),
                           "buckets": buckets },
        })
    };
    Ok(Answer::Found(event_loop::loops().into_iter().map(show).collect()))
}

pub(super) fn memory(_: &Call) -> Result<Answer, Failure> {
    let Memory { resident, peak, committed } = Memory::now();
    let zones = zone::all_in_use().into_iter().map(|(name, zone)| {
        let memory = zone.memory();
        (name, json!({ "used": memory.used, "size": memory.size }))
    });
    Ok(Answer::Found(json!({
        "resident": resident,
        "peak": peak,
        "allocator": { "committed": committed },
        "zones": zones.collect::<Map<_, _>>(),
        "subsystems": by_subsystem().map(|(name, bytes)| (name.to_owned(), json!(bytes))).into_iter()
            .collect::<Map<_, _>>(),
    })))
}

fn whole_millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(secs: i64) -> String {
    timestamp(Wall { secs, millis: 0 })
}

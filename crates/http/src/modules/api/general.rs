//! The instance, its process, connections and requests.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Value, json};
use weir_engine::clock;
use weir_engine::stats::{self, Resettable};

use super::call::{Answer, Call};
use super::failure::Failure;
use crate::instance::{self, timestamp};
use crate::server_name::NGINX_VERSION;

/// The name of the build, beside the version of nginx that Weir follows.
const BUILD: &str = concat!("weir-", env!("CARGO_PKG_VERSION"));

pub(super) fn nginx(call: &Call) -> Result<Answer, Failure> {
    let instance = instance::current();
    Ok(Answer::Found(json!({
        "version": NGINX_VERSION,
        "build": BUILD,
        "address": call.address,
        "generation": instance.generation,
        "load_timestamp": timestamp(instance.loaded),
        "timestamp": timestamp(clock::wall()),
        "pid": std::process::id(),
        "ppid": instance.master,
    })))
}

pub(super) fn processes(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(json!({ "respawned": instance::current().respawned })))
}

pub(super) fn reset_processes(_: &Call) -> Result<Answer, Failure> {
    instance::reset();
    Ok(Answer::Done)
}

pub(super) fn connections(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(connection_counts()))
}

fn connection_counts() -> Value {
    let totals = stats::since_reset();
    json!({
        "accepted": totals.accepted,
        "dropped": totals.accepted.saturating_sub(totals.handled),
        "active": totals.active.saturating_sub(totals.waiting),
        "idle": totals.waiting,
    })
}

pub(super) fn reset_connections(_: &Call) -> Result<Answer, Failure> {
    stats::reset(Resettable::Connections);
    Ok(Answer::Done)
}

pub(super) fn requests(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(request_counts()))
}

fn request_counts() -> Value {
    let totals = stats::since_reset();
    json!({ "total": totals.requests, "current": totals.reading + totals.writing })
}

pub(super) fn reset_requests(_: &Call) -> Result<Answer, Failure> {
    stats::reset(Resettable::Requests);
    Ok(Answer::Done)
}

/// The worker processes: there is one, whose threads share what they count.
pub(super) fn workers(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(json!([only_worker()])))
}

pub(super) fn worker(call: &Call) -> Result<Answer, Failure> {
    is_worker(call)?;
    Ok(Answer::Found(only_worker()))
}

pub(super) fn reset_workers(_: &Call) -> Result<Answer, Failure> {
    stats::reset(Resettable::Connections);
    stats::reset(Resettable::Requests);
    Ok(Answer::Done)
}

pub(super) fn reset_worker(call: &Call) -> Result<Answer, Failure> {
    is_worker(call)?;
    reset_workers(call)
}

fn is_worker(call: &Call) -> Result<(), Failure> {
    match call.segment(1) {
        "0" => Ok(()),
        _ => Err(Failure::new(404, "WorkerNotFound", "worker not found")),
    }
}

fn only_worker() -> Value {
    json!({
        "id": 0,
        "pid": std::process::id(),
        "connections": connection_counts(),
        "http": { "requests": request_counts() },
    })
}

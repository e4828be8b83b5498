//! Zones that count: `status_zone` of servers and locations, `limit_req`, `limit_conn`, and the
//! memory of zones that have a limit of it.
#![expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]

use serde_json::{Map, Value, json};
use weir_edge::zone::{self, PAGE, Tally};
use weir_engine::tls::counters::Counters as Handshakes;
use weir_wire::status::Responses;

use super::call::{Answer, Call};
use super::failure::Failure;
use super::latency;
use super::tls;
use crate::counters::{
    ZoneCounts, location_zones as of_locations, reset_location_zone as start_location_over,
    reset_server_zone as start_server_over, server_zones as of_servers,
};

/// The name in the last segment of a path.
const NAME: usize = 2;

pub(super) fn server_zones(call: &Call) -> Result<Answer, Failure> {
    let zones = of_servers().into_iter().map(|(name, counts)| {
        let zone = secured(&name, &counts, call.version);
        (name, zone)
    });
    Ok(Answer::Found(Value::Object(zones.collect())))
}

pub(super) fn server_zone(call: &Call) -> Result<Answer, Failure> {
    let name = call.segment(NAME);
    let counts = named(of_servers(), name).ok_or_else(no_server_zone)?;
    Ok(Answer::Found(secured(name, &counts, call.version)))
}

pub(super) fn reset_server_zone(call: &Call) -> Result<Answer, Failure> {
    let reset = start_server_over(call.segment(NAME));
    Handshakes::find_zone(call.segment(NAME)).into_iter().for_each(|zone| zone.reset());
    reset.then_some(Answer::Done).ok_or_else(no_server_zone)
}

pub(super) fn location_zones(call: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(map(of_locations(), |counts| location(&counts, call.version))))
}

pub(super) fn location_zone(call: &Call) -> Result<Answer, Failure> {
    let counts = named(of_locations(), call.segment(NAME)).ok_or_else(no_location_zone)?;
    Ok(Answer::Found(location(&counts, call.version)))
}

pub(super) fn reset_location_zone(call: &Call) -> Result<Answer, Failure> {
    let reset = start_location_over(call.segment(NAME));
    reset.then_some(Answer::Done).ok_or_else(no_location_zone)
}

pub(super) fn limit_reqs(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(map(zone::in_use("limit_req"), |zone| counts(&*zone))))
}

pub(super) fn limit_req(call: &Call) -> Result<Answer, Failure> {
    let zone = named(zone::in_use("limit_req"), call.segment(NAME)).ok_or_else(no_limit_req)?;
    Ok(Answer::Found(counts(&*zone)))
}

pub(super) fn reset_limit_req(call: &Call) -> Result<Answer, Failure> {
    let zone = named(zone::in_use("limit_req"), call.segment(NAME)).ok_or_else(no_limit_req)?;
    zone.reset();
    Ok(Answer::Done)
}

pub(super) fn limit_conns(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(map(zone::in_use("limit_conn"), |zone| counts(&*zone))))
}

pub(super) fn limit_conn(call: &Call) -> Result<Answer, Failure> {
    let zone = named(zone::in_use("limit_conn"), call.segment(NAME)).ok_or_else(no_limit_conn)?;
    Ok(Answer::Found(counts(&*zone)))
}

pub(super) fn reset_limit_conn(call: &Call) -> Result<Answer, Failure> {
    let zone = named(zone::in_use("limit_conn"), call.segment(NAME)).ok_or_else(no_limit_conn)?;
    zone.reset();
    Ok(Answer::Done)
}

pub(super) fn slabs(_: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(map(zone::all_in_use(), |zone| slab_of(&*zone))))
}

pub(super) fn slab(call: &Call) -> Result<Answer, Failure> {
    let zone = named(zone::all_in_use(), call.segment(1)).ok_or_else(no_slab)?;
    Ok(Answer::Found(slab_of(&*zone)))
}

/// Has nothing to reset: there are no slots whose use is counted.
pub(super) fn reset_slab(call: &Call) -> Result<Answer, Failure> {
    named(zone::all_in_use(), call.segment(1)).map(|_| Answer::Done).ok_or_else(no_slab)
}

fn no_server_zone() -> Failure {
    Failure::new(404, "ServerZoneNotFound", "server zone not found")
}

fn no_location_zone() -> Failure {
    Failure::new(404, "LocationZoneNotFound", "location zone not found")
}

fn no_limit_req() -> Failure {
    Failure::new(404, "LimitReqNotFound", "limit_req not found")
}

fn no_limit_conn() -> Failure {
    Failure::new(404, "LimitConnNotFound", "limit_conn not found")
}

fn no_slab() -> Failure {
    Failure::new(404, "SlabNotFound", "slab not found")
}

fn map<T>(zones: Vec<(String, T)>, show: impl Fn(T) -> Value) -> Value {
    let shown = zones.into_iter().map(|(name, zone)| (name, show(zone)));
    Value::Object(shown.collect::<Map<_, _>>())
}

fn named<T>(zones: Vec<(String, T)>, name: &str) -> Option<T> {
    zones.into_iter().find(|(known, _)| known == name).map(|(_, zone)| zone)
}

/// A server zone with its handshakes.
fn secured(name: &str, counts: &ZoneCounts, version: u8) -> Value {
    let mut zone = server(counts, version);
    let handshakes = Handshakes::find_zone(name).map(|zone| zone.read()).unwrap_or_default();
    tls::add(&mut zone, &handshakes, version);
    zone
}

fn server(counts: &ZoneCounts, version: u8) -> Value {
    let ZoneCounts { processing, requests, responses, discarded, received, sent, .. } = counts;
    let mut shown = json!({
        "processing": processing,
        "requests": requests,
        "responses": by_class(responses, version),
        "discarded": discarded,
        "received": received,
        "sent": sent,
    });
    if version >= 9 {
        shown["request_time_hist"] = latency::show(&counts.request_time);
    }
    shown
}

fn location(counts: &ZoneCounts, version: u8) -> Value {
    let mut zone = server(counts, version);
    if let Some(fields) = zone.as_object_mut() {
        fields.shift_remove("processing");
    }
    zone
}

/// Responses by class, and by code since version 7.
pub(super) fn by_class(responses: &Responses, version: u8) -> Value {
    let [informational, successful, redirects, client_errors, server_errors] = responses.classes;
    let mut counts = json!({
        "1xx": informational,
        "2xx": successful,
        "3xx": redirects,
        "4xx": client_errors,
        "5xx": server_errors,
    });
    if version >= 7 {
        let codes = responses.codes.iter().map(|(code, count)| (code.to_string(), json!(count)));
        counts["codes"] = Value::Object(codes.collect());
    }
    counts["total"] = json!(responses.total());
    counts
}

fn counts(zone: &dyn Tally) -> Value {
    let counts = zone.counts().into_iter().map(|(name, count)| (name.to_owned(), json!(count)));
    Value::Object(counts.collect())
}

/// The memory of a zone in pages. Zones have no slots of fixed sizes.
fn slab_of(zone: &dyn Tally) -> Value {
    let memory = zone.memory();
    let used = memory.used.div_ceil(PAGE);
    let free = (memory.size / PAGE).saturating_sub(used);
    json!({ "pages": { "used": used, "free": free }, "slots": {} })
}

//! The endpoints: for each path, the functions of its methods.

use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::fields::Shape;
use super::{
    caches, errors, general, keyvals, records, resolvers, servers, tls, upstreams, vitals, zones,
};

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("", Shape::List, roots),
    Endpoint::new("nginx", Shape::Object, general::nginx),
    Endpoint::new("processes", Shape::Object, general::processes).delete(general::reset_processes),
    Endpoint::new("connections", Shape::Object, general::connections)
        .delete(general::reset_connections),
    Endpoint::new("workers", Shape::List, general::workers).since(9)
        .delete(general::reset_workers),
    Endpoint::new("workers/*", Shape::Object, general::worker).since(9)
        .delete(general::reset_worker),
    Endpoint::new("slabs", Shape::Map, zones::slabs),
    Endpoint::new("slabs/*", Shape::Object, zones::slab).delete(zones::reset_slab),
    Endpoint::new("resolvers", Shape::Map, resolvers::all).since(5),
    Endpoint::new("resolvers/*", Shape::Object, resolvers::one).since(5).delete(resolvers::reset),
    Endpoint::new("certificates", Shape::List, vitals::certificates),
    Endpoint::new("reloads", Shape::Object, vitals::reloads),
    Endpoint::new("loops", Shape::List, vitals::loops),
    Endpoint::new("ha", Shape::Object, vitals::ha),
    Endpoint::new("memory", Shape::Object, vitals::memory),
    Endpoint::new("errors", Shape::Object, errors::all).delete(errors::reset),
    Endpoint::new("ssl", Shape::Object, tls::process).delete(tls::reset),
    Endpoint::new("http", Shape::List, http),
    Endpoint::new("http/requests", Shape::Object, general::requests)
        .delete(general::reset_requests),
    Endpoint::new("http/request_records", Shape::List, records::all).since(9)
        .delete(records::clear),
    Endpoint::new("http/request_records/*", Shape::Object, records::one).since(9),
    Endpoint::new("http/requests_under_way", Shape::List, records::under_way::all).since(9),
    Endpoint::new("http/requests_under_way/*", Shape::Object, records::under_way::one).since(9),
    Endpoint::new("http/server_zones", Shape::Map, zones::server_zones),
    Endpoint::new("http/server_zones/*", Shape::Object, zones::server_zone)
        .delete(zones::reset_server_zone),
    Endpoint::new("http/location_zones", Shape::Map, zones::location_zones).since(5),
    Endpoint::new("http/location_zones/*", Shape::Object, zones::location_zone).since(5)
        .delete(zones::reset_location_zone),
    Endpoint::new("http/limit_reqs", Shape::Map, zones::limit_reqs).since(6),
    Endpoint::new("http/limit_reqs/*", Shape::Object, zones::limit_req).since(6)
        .delete(zones::reset_limit_req),
    Endpoint::new("http/limit_conns", Shape::Map, zones::limit_conns).since(6),
    Endpoint::new("http/limit_conns/*", Shape::Object, zones::limit_conn).since(6)
        .delete(zones::reset_limit_conn),
    Endpoint::new("http/acme_certificates", Shape::Map, vitals::acme_certificates).since(9),
    Endpoint::new("http/caches", Shape::Map, caches::all),
    Endpoint::new("http/caches/*", Shape::Object, caches::one).delete(caches::reset),
    Endpoint::new("http/keyvals", Shape::Map, keyvals::all),
    Endpoint::new("http/keyvals/*", Shape::Object, keyvals::one)
        .post(keyvals::add)
        .patch(keyvals::change)
        .delete(keyvals::clear),
    Endpoint::new("http/upstreams", Shape::Map, upstreams::all),
    Endpoint::new("http/upstreams/*", Shape::Object, upstreams::one).delete(upstreams::reset),
    Endpoint::new("http/upstreams/*/servers", Shape::List, servers::all).post(servers::add),
    Endpoint::new("http/upstreams/*/servers/*", Shape::Object, servers::one)
        .patch(servers::change)
        .delete(servers::remove),
];

/// The endpoint of a path in a version.
///
/// # Errors
/// There is none.
pub(super) fn find(version: u8, path: &[String]) -> Result<&'static Endpoint, Failure> {
    let mut endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.since <= version);
    endpoints.find(|endpoint| endpoint.is_at(path)).ok_or_else(Failure::no_path)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]
fn roots(call: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(below("", call.version)))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all actions")]
fn http(call: &Call) -> Result<Answer, Failure> {
    Ok(Answer::Found(below("http/", call.version)))
}

/// The names of the endpoints directly below a path.
fn below(prefix: &str, version: u8) -> Value {
    let known = ENDPOINTS.iter().filter(|endpoint| endpoint.since <= version);
    let names = known.filter_map(|endpoint| endpoint.path.strip_prefix(prefix));
    json!(names.filter(|name| !name.is_empty() && !name.contains('/')).collect::<Vec<_>>())
}

//! The endpoints: for each path, the functions of its methods.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use weir_wire::h1::Method;

use super::call::{Answer, Call};
use super::failure::Failure;
use super::fields::Shape;
use super::{caches, errors, general, keyvals, records, servers, tls, upstreams, vitals, zones};

/// The versions of the API. Later ones add paths and fields.
pub(super) const VERSIONS: RangeInclusive<u8> = 1..=9;

/// Carries a call out.
pub(super) type Action = fn(&Call) -> Result<Answer, Failure>;

/// What a path offers.
pub(super) struct Endpoint {
    /// The segments behind the version; `*` is a name or number.
    path: &'static str,
    /// The first version that has it.
    since: u8,
    pub(super) shape: Shape,
    get: Action,
    post: Option<Action>,
    patch: Option<Action>,
    delete: Option<Action>,
}

impl Endpoint {
    const fn new(path: &'static str, shape: Shape, get: Action) -> Self {
        Self { path, since: 1, shape, get, post: None, patch: None, delete: None }
    }

    const fn since(self, since: u8) -> Self {
        Self { since, ..self }
    }

    const fn post(self, action: Action) -> Self {
        Self { post: Some(action), ..self }
    }

    const fn patch(self, action: Action) -> Self {
        Self { patch: Some(action), ..self }
    }

    const fn delete(self, action: Action) -> Self {
        Self { delete: Some(action), ..self }
    }
}

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

impl Endpoint {
    /// The function of a method.
    pub(super) fn action(&self, method: Method) -> Option<Action> {
        match method {
            Method::Get | Method::Head => Some(self.get),
            Method::Post => self.post,
            Method::Patch => self.patch,
            Method::Delete => self.delete,
            _ => None,
        }
    }

    /// The names of its methods.
    pub(super) fn methods(&self) -> Vec<&'static str> {
        let more = [("POST", self.post), ("PATCH", self.patch), ("DELETE", self.delete)];
        let more = more.into_iter().filter_map(|(name, action)| action.map(|_| name));
        ["GET", "HEAD"].into_iter().chain(more).collect()
    }

    fn is_at(&self, path: &[String]) -> bool {
        let mut own = self.path.split('/').filter(|segment| !segment.is_empty());
        let mut path = path.iter();
        loop {
            match (own.next(), path.next()) {
                (None, None) => return true,
                (Some("*"), Some(name)) if !name.is_empty() => {}
                (Some(own), Some(name)) if own == name => {}
                _ => return false,
            }
        }
    }
}

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

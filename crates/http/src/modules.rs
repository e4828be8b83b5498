//! Every module, in order. **The order has meaning**: phase handlers, header filters and body
//! filters run in the order of this list.

use weir_conf::{Table, TypeMap};

use crate::module::Module;
use crate::variables::definitions::Definitions;
use crate::variables::{self, VariableRow};

mod access;
mod acme;
mod addition;
mod api;
mod auth_basic;
mod auth_request;
mod autoindex;
mod brotli;
mod brotli_static;
mod browser;
mod charset;
mod dashboard;
mod dav;
mod degradation;
mod echo;
mod empty_gif;
mod fastcgi;
mod flv;
mod geo;
mod grpc;
mod gunzip;
mod gzip;
mod gzip_static;
mod headers;
mod headers_more;
mod index;
mod keyval;
mod limit_conn;
mod limit_req;
mod log;
mod map;
mod memcached;
mod mirror;
mod mp4;
mod not_modified;
mod otel;
mod postpone;
mod prometheus;
mod proxy;
mod random_index;
mod range;
mod realip;
mod referer;
mod request_records;
mod rewrite;
mod scgi;
mod secure_link;
mod slice;
mod split_clients;
mod ssi;
mod ssl;
mod static_files;
mod status_zone;
mod stub_status;
mod sub;
mod try_files;
mod tunnel;
mod upstream;
mod upstream_hc;
mod userid;
mod uwsgi;
mod v2;
mod vhost_traffic_status;
mod zstd;
mod zstd_static;

#[cfg(any(test, fuzzing))]
pub use auth_basic::fuzz::user_file as fuzz_user_file;
#[cfg(any(test, fuzzing))]
pub use range::fuzz_ranges;
#[cfg(any(test, fuzzing))]
pub use slice::fuzz_content_range;

/// All modules.
#[rustfmt::skip]
pub const MODULES: &[&Module] = &[
    &variables::table::MODULE,
    // Before rewrites: the place in a trace.
    &otel::MODULE,
    &rewrite::MODULE,
    &map::MODULE,
    &geo::MODULE,
    &split_clients::MODULE,
    &keyval::MODULE,
    &try_files::MODULE,
    &browser::MODULE,
    &secure_link::MODULE,
    &referer::MODULE,
    &ssl::MODULE,
    &v2::MODULE,
    // Answers to authorities, before all else.
    &acme::MODULE,
    // The client's address.
    &realip::MODULE,
    // Limits.
    &degradation::MODULE,
    &limit_req::MODULE,
    &limit_conn::MODULE,
    // Access: addresses, passwords, subrequests.
    &access::MODULE,
    &auth_basic::MODULE,
    &auth_request::MODULE,
    &mirror::MODULE,
    // Content: exclusive handlers, then those that are tried in turn.
    &proxy::MODULE, &fastcgi::MODULE, &uwsgi::MODULE, &scgi::MODULE, &grpc::MODULE,
    &memcached::MODULE, &tunnel::MODULE, &upstream::MODULE,
    &upstream_hc::MODULE,
    &stub_status::MODULE,
    &api::MODULE,
    &dashboard::MODULE,
    &prometheus::MODULE,
    &empty_gif::MODULE,
    &flv::MODULE, &mp4::MODULE,
    &dav::MODULE,
    &random_index::MODULE,
    &index::MODULE,
    &autoindex::MODULE,
    &brotli_static::MODULE, &zstd_static::MODULE, &gzip_static::MODULE,
    &static_files::MODULE,
    // Filters, in the order in which a response passes them.
    &slice::MODULE,
    &not_modified::MODULE,
    &echo::MODULE,
    &headers_more::MODULE,
    &headers::MODULE,
    &userid::MODULE,
    &gunzip::MODULE,
    &addition::MODULE,
    &sub::MODULE,
    &charset::MODULE,
    &ssi::MODULE,
    &postpone::MODULE,
    &brotli::MODULE, &zstd::MODULE, &gzip::MODULE,
    &range::MODULE,
    // After the response.
    &request_records::MODULE, &status_zone::MODULE, &vhost_traffic_status::MODULE,
    &log::MODULE,
];

/// Every table of the crate.
pub fn tables() -> Vec<&'static Table> {
    let modules = MODULES.iter().flat_map(|module| module.tables.iter().copied());
    crate::core::TABLES
        .iter()
        .copied()
        .chain(modules)
        .chain(weir_upstream::tables())
        .chain(crate::pending::tables())
        .collect()
}

/// Flushes the access log buffers of the calling thread and closes its cached log files.
pub fn flush_logs() {
    log::flush();
}

/// The registries that assembling these tables starts with: the variables of all modules.
pub fn registries() -> TypeMap {
    let mut registries = TypeMap::default();
    let definitions = Definitions::of(MODULES);
    registries.insert(definitions.reserved());
    registries.insert(definitions);
    registries
}

/// Parses bytes as the body of every call of the API.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_api(body: &[u8]) {
    api::fuzz(body);
}

/// Every built-in variable.
pub fn variable_rows() -> impl Iterator<Item = &'static VariableRow> {
    Definitions::of(MODULES).rows()
}

/// Restores what modules have kept in files for another process, before a worker serves.
pub fn restore(configuration: &crate::snapshot::Configuration) {
    acme::restore(configuration);
}

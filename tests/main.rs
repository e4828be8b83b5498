//! End-to-end tests of the real binary: a configuration, a running server, a request, a response.
//!
//! The binary is the `weir` next to this test's build, or the one named in `WEIR_BINARY`. Tests are
//! calibrated by pointing it at nginx: equal behaviour must pass there first.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failure of the harness is a panic")]
#![allow(clippy::print_stdout, reason = "a failing test shows the logs of its server")]

mod harness;

mod access;
mod api;
mod api_caches;
mod api_shape;
mod api_state;
mod applications;
mod cache;
mod cache_applications;
mod cache_damage;
mod cache_disk;
mod cache_files;
mod cache_fire;
mod cache_index;
mod cache_limits;
mod cache_purger;
mod cache_rfc9111;
mod cache_stale;
mod cache_waiting;
mod client_certificates;
mod cluster;
mod command_line;
mod compression;
mod conditions;
mod dav;
mod degradation;
mod demo;
mod discovery;
mod echo;
mod error_pages;
mod fastcgi;
mod faults;
mod file_io;
mod files;
mod filters;
mod graceful;
mod header_fields;
mod headers_more;
mod health_checks;
mod http_core;
mod limits;
mod links;
mod locality;
mod locations;
mod log;
mod log_losses;
mod malformed_heads;
mod memcached;
mod mp4;
mod pair;
mod parameters;
mod paths;
mod process;
mod process_files;
mod process_start;
mod process_worker;
mod proxy;
mod proxy_bodies;
mod proxy_deadlines;
mod proxy_failures;
mod proxy_kept;
mod proxy_requests;
mod proxy_retries;
mod proxy_store;
mod proxy_streams;
mod queue;
mod resolving;
mod rewrite;
mod scgi;
mod server_load;
mod server_names;
mod shortage;
mod slice;
mod sticky;
mod storm;
mod subrequests;
mod tls;
mod tls_conf;
mod tls_early_data;
mod tls_handshakes;
mod tls_names;
mod tls_ocsp;
mod tls_upstream;
mod tutorial;
mod unsupported;
mod upgrade;
mod upstream;
mod uwsgi;
mod variables;

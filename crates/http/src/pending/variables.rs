//! Variables of nginx's modules that are not here yet.

/// Names that are accepted with a warning and stand for nothing. As with directives, what a
/// configuration may guard its pages by is not among them.
const NAMES: &[&str] = &[
    "ancient_browser",
    "date_gmt",
    "date_local",
    "fastcgi_path_info",
    "fastcgi_script_name",
    "grpc_internal_trailers",
    "gzip_ratio",
    "http2",
    "http3",
    "memcached_key",
    "modern_browser",
    "msie",
    "proxy_add_via",
    "slice_range",
    "ssl_alpn_protocol",
    "ssl_cipher",
    "ssl_ciphers",
    "ssl_curve",
    "ssl_curves",
    "ssl_early_data",
    "ssl_ech_outer_server_name",
    "ssl_ech_status",
    "ssl_protocol",
    "ssl_server_name",
    "ssl_session_id",
    "ssl_session_reused",
    "ssl_sigalg",
    "ssl_sigalgs",
    "uid_got",
    "uid_reset",
    "uid_set",
    "upstream_cache_etag",
    "upstream_cache_key",
    "upstream_cache_last_modified",
    "upstream_cache_status",
];

/// Whether a variable that nothing defines is one of nginx's.
pub(crate) fn is_pending(name: &str) -> bool {
    NAMES.contains(&name)
}

/// All of them, for the list of differences.
pub fn names() -> &'static [&'static str] {
    NAMES
}

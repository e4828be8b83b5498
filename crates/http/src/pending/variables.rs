//! Variables of nginx's modules that are not here yet.

/// Names that are accepted with a warning and stand for nothing. As with directives, what a
/// configuration may guard its pages by is not among them.
const NAMES: &[&str] = &[
    "fastcgi_path_info",
    "fastcgi_script_name",
    "grpc_internal_trailers",
    "http2",
    "http3",
    "proxy_add_via",
    "slice_range",
    "upstream_cache_etag",
    "upstream_cache_key",
    "upstream_cache_last_modified",
    "upstream_cache_status",
];

/// Whether a variable that nothing defines is one of nginx's.
pub(crate) fn is_pending(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Those that a configuration may not define in nginx either.
pub(crate) fn fixed() -> impl Iterator<Item = &'static str> {
    let fixed = |name: &&str| *name != "proxy_add_via";
    NAMES.iter().copied().filter(fixed)
}

/// All of them, for the list of differences.
pub fn names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_here_is_not_pending() {
        for row in crate::modules::variable_rows() {
            assert!(!super::is_pending(row.name), "{}", row.name);
        }
    }
}

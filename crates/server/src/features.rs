//! The modules of nginx that Weir has, as listed by `-V` and checked by scripts and test suites.
//!
//! A module that nginx builds by default is listed only if Weir lacks it (`--without-…`); an
//! optional one only if Weir has it (`--with-…`). To announce a module, change its row.

/// nginx's default for a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usual {
    /// Built unless `--without-NAME` is given.
    Built,
    /// Built only when `--with-NAME` is given.
    LeftOut,
}
use Usual::{Built, LeftOut};

/// Name in nginx's configure, nginx's default, and whether Weir has it.
#[rustfmt::skip]
const MODULES: &[(&str, Usual, bool)] = &[
    ("http_charset_module",              Built,   true),
    ("http_gzip_module",                 Built,   true),
    ("http_ssi_module",                  Built,   true),
    ("http_userid_module",               Built,   true),
    ("http_access_module",               Built,   true),
    ("http_auth_basic_module",           Built,   true),
    ("http_mirror_module",               Built,   true),
    ("http_autoindex_module",            Built,   true),
    ("http_geo_module",                  Built,   true),
    ("http_map_module",                  Built,   true),
    ("http_split_clients_module",        Built,   true),
    ("http_referer_module",              Built,   true),
    ("http_rewrite_module",              Built,   true),
    ("http_proxy_module",                Built,   true),
    ("http_fastcgi_module",              Built,   true),
    ("http_uwsgi_module",                Built,   true),
    ("http_scgi_module",                 Built,   true),
    ("http_grpc_module",                 Built,   true),
    ("http_tunnel_module",               Built,   true),
    ("http_memcached_module",            Built,   true),
    ("http_limit_conn_module",           Built,   true),
    ("http_limit_req_module",            Built,   true),
    ("http_empty_gif_module",            Built,   true),
    ("http_browser_module",              Built,   true),
    ("http_upstream_hash_module",        Built,   true),
    ("http_upstream_ip_hash_module",     Built,   true),
    ("http_upstream_least_conn_module",  Built,   true),
    ("http_upstream_least_time_module",  Built,   true),
    ("http_upstream_random_module",      Built,   true),
    ("http_upstream_keepalive_module",   Built,   true),
    ("http_upstream_zone_module",        Built,   true),
    ("http_upstream_sticky_module",      Built,   true),
    ("http-cache",                       Built,   true),
    ("http_ssl_module",                  LeftOut, true),
    ("http_v2_module",                   LeftOut, true),
    ("http_v3_module",                   LeftOut, false),
    ("http_realip_module",               LeftOut, true),
    ("http_addition_module",             LeftOut, true),
    ("http_sub_module",                  LeftOut, true),
    ("http_gunzip_module",               LeftOut, true),
    ("http_gzip_static_module",          LeftOut, true),
    ("http_auth_request_module",         LeftOut, true),
    ("http_random_index_module",         LeftOut, true),
    ("http_secure_link_module",          LeftOut, true),
    ("http_slice_module",                LeftOut, true),
    ("http_stub_status_module",          LeftOut, true),
    ("http_dav_module",                  LeftOut, true),
    ("http_flv_module",                  LeftOut, true),
    ("http_mp4_module",                  LeftOut, true),
    ("http_degradation_module",          LeftOut, true),
    ("threads",                          LeftOut, true),
    ("file-aio",                         LeftOut, true),
    ("http_geoip_module",                LeftOut, false),
    ("http_xslt_module",                 LeftOut, false),
    ("http_image_filter_module",         LeftOut, false),
    ("http_perl_module",                 LeftOut, false),
    ("mail",                             LeftOut, false),
    ("mail_ssl_module",                  LeftOut, false),
    ("stream",                           LeftOut, false),
    ("stream_ssl_module",                LeftOut, false),
    ("stream_realip_module",             LeftOut, false),
    ("stream_ssl_preread_module",        LeftOut, false),
    ("stream_access_module",             Built,   false),
    ("stream_geo_module",                Built,   false),
    ("stream_limit_conn_module",         Built,   false),
    ("stream_map_module",                Built,   false),
    ("stream_pass_module",               Built,   false),
    ("stream_return_module",             Built,   false),
    ("stream_set_module",                Built,   false),
    ("stream_split_clients_module",      Built,   false),
    ("stream_upstream_hash_module",      Built,   false),
    ("stream_upstream_least_conn_module", Built,  false),
    ("stream_upstream_least_time_module", Built,  false),
    ("stream_upstream_random_module",    Built,   false),
    ("stream_upstream_zone_module",      Built,   false),
];

/// Modules of others that Weir has: the names that `load_module` gives them, and the folder of
/// their source, which `-V` of an nginx with them shows. Programs look for a part of that name.
const OTHERS: &[(&str, Option<&str>)] = &[
    ("http_echo_module", Some("echo-nginx-module")),
    ("http_headers_more_filter_module", Some("headers-more-nginx-module")),
    ("http_brotli_filter_module", Some("ngx_brotli")),
    ("http_brotli_static_module", None),
    ("http_zstd_filter_module", Some("zstd-nginx-module")),
    ("http_zstd_static_module", None),
    ("otel_module", Some("nginx-otel")),
    // Its directives are accepted, but show nothing.
    ("http_vhost_traffic_status_module", None),
];

/// The configure arguments, each preceded by a space.
pub(crate) fn configure_arguments() -> String {
    let argument = |&(name, usual, has): &(&str, Usual, bool)| match (usual, has) {
        (Built, false) => Some(format!(" --without-{name}")),
        (LeftOut, true) => Some(format!(" --with-{name}")),
        _ => None,
    };
    let folders = OTHERS.iter().filter_map(|(_, folder)| *folder);
    let added = folders.map(|folder| format!(" --add-module={folder}"));
    MODULES.iter().filter_map(argument).chain(added).collect()
}

/// Whether a `load_module` file name denotes a module that is built in, or one of nginx's own,
/// whose directives have diagnostics of their own.
pub(crate) fn is_known(file_name: &str) -> bool {
    let name = file_name.rsplit('/').next().unwrap_or(file_name);
    let Some(name) = name.strip_suffix(".so").and_then(|n| n.strip_prefix("ngx_")) else {
        return false;
    };
    // The files of nginx's two largest modules differ from their configure switches.
    let name = match name {
        "stream_module" => "stream",
        "mail_module" => "mail",
        name => name,
    };
    MODULES.iter().any(|&(module, ..)| module == name)
        || OTHERS.iter().any(|&(module, _)| module == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (at, (name, ..)) in MODULES.iter().enumerate() {
            assert!(MODULES[at + 1..].iter().all(|(other, ..)| other != name), "{name}");
        }
    }

    #[test]
    fn third_party_modules_are_unknown() {
        assert!(!is_known("modules/ngx_http_lua_module.so"));
        assert!(!is_known("http_proxy_module"));
        assert!(is_known("/usr/lib/nginx/modules/ngx_stream_module.so"));
        assert!(is_known("modules/ngx_http_headers_more_filter_module.so"));
    }
}

//! Modules that many configurations of nginx use and Weir lacks, with what to use instead.

use weir_conf::{Foreign, ForeignModules};

/// The lacking modules.
pub(crate) const MODULES: ForeignModules = ForeignModules(LIST);

const fn lacking(
    name: &'static str,
    files: &'static [&'static str],
    directives: &'static [&'static str],
    instead: &'static str,
) -> Foreign {
    Foreign { name, files, directives, instead }
}

/// What takes the place of scripts.
const NO_SCRIPTS: &str = "use \"map\", \"set\", \"rewrite\" and \"auth_request\", or a program \
                          behind \"proxy_pass\"";

/// What takes the place of clients for other protocols.
const BEHIND_PROXY: &str = "ask it in a program behind \"proxy_pass\"";

#[rustfmt::skip]
const LIST: &[Foreign] = &[
    lacking("njs", &["ngx_http_js_module", "ngx_stream_js_module"], &["js_*"], NO_SCRIPTS),
    lacking("Lua", &["ngx_http_lua_module", "ngx_stream_lua_module", "ngx_http_lua_upstream_module"],
        &["*_by_lua*", "lua_*"], NO_SCRIPTS),
    lacking("perl", &["ngx_http_perl_module"], &["perl", "perl_*"], NO_SCRIPTS),
    lacking("set-misc", &["ngx_http_set_misc_module"],
        &["set_escape_uri", "set_unescape_uri", "set_quote_*", "set_if_empty", "set_hashed_upstream",
          "set_encode_*", "set_decode_*", "set_md5", "set_sha1", "set_hmac_*", "set_random",
          "set_secure_random_*", "set_rotate", "set_local_today", "set_formatted_*"],
        "use \"map\", \"split_clients\" and \"secure_link\""),
    lacking("echo's blocking sleep", &[], &["echo_blocking_sleep"], "use \"echo_sleep\""),
    lacking("echo's abort", &[], &["echo_abort_parent"],
        "delete the line, as it does nothing in the module"),
    lacking("ndk", &["ndk_http_module"], &[], "no module here needs it, so delete the line"),
    lacking("ModSecurity", &["ngx_http_modsecurity_module"], &["modsecurity", "modsecurity_*"],
        "run a web application firewall as an upstream, or behind \"auth_request\""),
    lacking("naxsi", &["ngx_http_naxsi_module"],
        &["SecRulesEnabled", "SecRulesDisabled", "LearningMode", "DeniedUrl", "CheckRule",
          "BasicRule", "MainRule", "LibInjection*"],
        "run a web application firewall as an upstream, or behind \"auth_request\""),
    lacking("geoip", &["ngx_http_geoip_module", "ngx_stream_geoip_module"],
        &["geoip_country", "geoip_city", "geoip_org", "geoip_proxy", "geoip_proxy_recursive"],
        "use \"geo\" with an included list of networks"),
    lacking("geoip2", &["ngx_http_geoip2_module", "ngx_stream_geoip2_module"],
        &["geoip2", "geoip2_*"], "use \"geo\" with an included list of networks"),
    lacking("image_filter", &["ngx_http_image_filter_module"], &["image_filter", "image_filter_*"],
        "use a service that resizes images behind \"proxy_pass\""),
    lacking("xslt", &["ngx_http_xslt_filter_module"],
        &["xslt_*", "xml_entities", "xml_external_entities"],
        "transform XML in a program behind \"proxy_pass\""),
    lacking("pagespeed", &["ngx_pagespeed"], &["pagespeed", "pagespeed*"],
        "optimise pages when they are built"),
    lacking("nchan", &["ngx_nchan_module"], &["nchan_*"],
        "use a server for messages behind \"proxy_pass\""),
    lacking("push-stream", &["ngx_http_push_stream_module"], &["push_stream_*"],
        "use a server for messages behind \"proxy_pass\""),
    lacking("rtmp", &["ngx_rtmp_module"], &["rtmp", "rtmp_*"],
        "use a media server, and \"proxy_pass\" for HLS and DASH"),
    lacking("upload", &["ngx_http_upload_module"], &["upload_*"],
        "use \"client_body_in_file_only\", or a program behind \"proxy_pass\""),
    lacking("upload progress", &["ngx_http_uploadprogress_module"],
        &["track_uploads", "report_uploads", "upload_progress*"],
        "let the page itself report the progress"),
    lacking("auth_ldap", &["ngx_http_auth_ldap_module"], &["auth_ldap*", "ldap_server"],
        "use \"auth_request\" with a service that asks LDAP"),
    lacking("auth_pam", &["ngx_http_auth_pam_module"], &["auth_pam*"],
        "use \"auth_request\" with a service that asks PAM"),
    lacking("auth_jwt", &["ngx_http_auth_jwt_module"], &["auth_jwt*"],
        "use \"auth_request\" with a service that checks tokens"),
    lacking("SPNEGO", &["ngx_http_auth_spnego_module"], &["auth_gss*"],
        "use \"auth_request\" with a service that asks Kerberos"),
    lacking("substitutions filter", &["ngx_http_subs_filter_module"], &["subs_filter*"],
        "use \"sub_filter\""),
    lacking("fancyindex", &["ngx_http_fancyindex_module"], &["fancyindex*"], "use \"autoindex\""),
    lacking("cache purge", &["ngx_http_cache_purge_module"], &[],
        "use the \"proxy_cache_purge\" that is here, whose parameters are conditions"),
    lacking("dav-ext", &["ngx_http_dav_ext_module"], &["dav_ext_*"],
        "use \"dav_methods\", or a WebDAV server behind \"proxy_pass\""),
    lacking("redis", &["ngx_http_redis_module", "ngx_http_redis2_module"],
        &["redis_*", "redis2_*"], BEHIND_PROXY),
    lacking("srcache", &["ngx_http_srcache_filter_module", "ngx_http_memc_module"],
        &["srcache_*", "memc_*"], "use \"memcached_pass\""),
    lacking("a database client",
        &["ngx_http_drizzle_module", "ngx_postgres_module", "ngx_http_rds_json_filter_module"],
        &["drizzle_*", "postgres_*", "rds_*"], BEHIND_PROXY),
    lacking("Passenger", &["ngx_http_passenger_module"], &["passenger_*"],
        "run the application's own server behind \"proxy_pass\""),
    lacking("upstream check", &["ngx_http_upstream_check_module"],
        &["check", "check_http_send", "check_http_expect_alive", "check_keepalive_requests",
          "check_shm_size", "check_status"], "use \"health_check\""),
    lacking("upstream fair", &["ngx_http_upstream_fair_module"], &["fair", "upstream_fair_*"],
        "use \"least_conn\" or \"least_time\""),
    lacking("tracing", &["ngx_http_opentracing_module", "ngx_http_opentelemetry_module"],
        &["opentracing*", "opentelemetry*"],
        "use \"otel_exporter\" and \"otel_trace\", the directives of nginx's own module"),
    lacking("testcookie", &["ngx_http_testcookie_access_module"], &["testcookie*"],
        "use \"limit_req\" and \"limit_conn\""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_module_that_is_there_is_called_lacking() {
        for table in crate::assemble::tables() {
            for (name, _) in table.rows() {
                assert!(MODULES.with_directive(&name).is_none(), "{name}");
            }
        }
    }
}

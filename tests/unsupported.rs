//! Features of nginx that Weir lacks: modules to load, and warnings about settings without effect.

use crate::harness::{Server, is_nginx};

fn said(conf: &str) -> (bool, Vec<String>) {
    let output = Server::conf(conf).check();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text.lines().map(str::to_owned).collect())
}

#[test]
fn missing_modules_are_not_fatal() {
    if is_nginx() {
        return;
    }
    let (well, lines) = said(
        "load_module modules/ngx_http_flv_module.so;
         load_module /usr/lib/nginx/modules/ngx_stream_module.so;
         load_module modules/ngx_http_brotli_filter_module.so;
         load_module modules/ngx_http_brotli_static_module.so;
         load_module modules/ngx_http_zstd_filter_module.so;
         load_module modules/ngx_http_headers_more_filter_module.so;
         load_module modules/ngx_http_vhost_traffic_status_module.so;
         load_module modules/ngx_http_image_filter_module.so;
         load_module modules/ngx_http_lua_module.so;
         load_module modules/ngx_http_nobody_knows_module.so;
         events {} http { brotli on; zstd on; more_set_headers 'A: b'; }",
    );
    assert!(well, "{lines:?}");
    let warnings: Vec<_> = lines.iter().filter(|line| line.contains("[warn]")).collect();
    assert_eq!(warnings.len(), 3, "{lines:?}");
    for (warning, module, rest) in [
        (warnings[0], "image_filter", "; instead of image_filter, use a service that resizes"),
        (warnings[1], "lua", "; instead of Lua, use \"map\", \"set\""),
        (warnings[2], "nobody_knows", ", its directives are unknown"),
    ] {
        let text = format!(
            "module \"ngx_http_{module}_module\" is not part of weir and cannot be loaded{rest}"
        );
        assert!(warning.contains(&text), "{warning}");
    }
    let (well, lines) = said("events {} load_module modules/ngx_http_js_module.so; http {}");
    assert!(!well);
    assert!(lines.iter().any(|line| line.contains("directive is specified too late")));
}

/// Without them, pages would be sent unchanged or to the wrong clients.
#[test]
fn directives_of_missing_modules_are_refused_by_name() {
    if is_nginx() {
        return;
    }
    for (directive, module, instead) in [
        ("js_import a.js;", "njs", "\"auth_request\""),
        ("server { location / { content_by_lua_block { ngx.say(1) } } }", "Lua", "\"map\""),
        ("perl_modules x;", "perl", "\"map\""),
        ("modsecurity on;", "ModSecurity", "web application firewall"),
        ("geoip_country a.dat;", "geoip", "use \"geo\""),
        ("geoip2 a.mmdb { }", "geoip2", "use \"geo\""),
        ("xslt_types a/b;", "xslt", "in a program"),
        ("image_filter_buffer 1m;", "image_filter", "\"proxy_pass\""),
        ("pagespeed on;", "pagespeed", "when they are built"),
        ("nchan_pubsub;", "nchan", "server for messages"),
        ("subs_filter a b;", "substitutions filter", "use \"sub_filter\""),
    ] {
        let (well, lines) = said(&format!("events {{}} http {{ {directive} }}"));
        assert!(!well, "{directive}");
        let name = directive.trim_start_matches("server { location / { ");
        let name = name.split([' ', ';']).next().unwrap();
        let unknown = format!("[emerg] unknown directive \"{name}\" in /");
        let lacking = format!("[warn] weir lacks {module} and its directives, ");
        assert_eq!(lines.iter().filter(|line| line.contains(&unknown)).count(), 1, "{lines:?}");
        let told = |line: &&String| line.contains(&lacking) && line.contains(instead);
        assert_eq!(lines.iter().filter(told).count(), 1, "{directive}: {lines:?}");
    }
}

#[test]
fn the_status_of_virtual_hosts_is_ignored() {
    if is_nginx() {
        return;
    }
    let (well, lines) = said(
        "events {} http { vhost_traffic_status_zone shared:x:1m;
         vhost_traffic_status_filter_by_host on;
         server { location /status { vhost_traffic_status_display;
             vhost_traffic_status_display_format html; } } }",
    );
    assert!(well, "{lines:?}");
    let warnings: Vec<_> = lines.iter().filter(|line| line.contains("[warn]")).collect();
    let expected = [
        "use \"status_zone\" in each server and \"zone\" in each upstream instead",
        "use \"status_zone\", \"prometheus\" and \"api\" instead",
        "\"vhost_traffic_status_display\" has no effect, use \"prometheus\" or \"api\" instead",
        "use \"prometheus\" or \"api\" instead",
    ];
    assert_eq!(warnings.len(), expected.len(), "{lines:?}");
    for text in expected {
        assert!(warnings.iter().any(|line| line.contains(text)), "{text}: {warnings:?}");
    }
}

/// A warning with its position for each setting that would have an effect, one per kind.
#[test]
fn settings_without_effect_are_reported_once() {
    if is_nginx() {
        return;
    }
    let (well, lines) = said(
        "events { accept_mutex on; }
         http { access_log off;
         server { listen 127.0.0.1:%port% ssl http2; ssl_reject_handshake on; }
         server { listen 127.0.0.1:%port% ssl http2; ssl_reject_handshake on; server_name b;
         quic_gso on;
         } server { listen 127.0.0.1:%port2%; server_name c; quic_gso on; }
         server { listen 127.0.0.1:%port2%; server_name d; quic_gso on; } }",
    );
    assert!(well, "{lines:?}");
    let warnings: Vec<_> = lines.iter().filter(|line| line.contains("no effect")).collect();
    for (what, line) in [
        ("\"accept_mutex\" has no effect, threads of one process accept without it in", 1),
        ("\"quic_gso\" directive is not supported yet and has no effect, 3 times, first in", 5),
    ] {
        let end = format!("nginx.conf:{line}");
        let told = |said: &&&String| said.contains(what) && said.ends_with(&end);
        assert_eq!(warnings.iter().filter(told).count(), 1, "{what}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
}

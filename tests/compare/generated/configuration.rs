//! The configuration of a generated case.

use fastrand::Rng;

use super::Places;

/// A server block and what its requests need.
#[derive(Debug)]
pub(super) struct Server {
    /// Its names, as written.
    pub(super) names: Vec<String>,
    /// Its locations: modifier and path or pattern.
    pub(super) locations: Vec<(String, String)>,
}

/// Draws the servers of a case.
pub(super) fn servers(rng: &mut Rng, places: &Places) -> Vec<Server> {
    let mut names = places.names.clone();
    rng.shuffle(&mut names);
    let count = rng.usize(1..4);
    names
        .chunks(3)
        .take(count)
        .map(|names| {
            let mut locations: Vec<(String, String)> = Vec::new();
            for _ in 0..rng.usize(4..9) {
                let drawn = places.locations[rng.usize(..places.locations.len())];
                let location = match drawn.split_once(' ') {
                    Some((modifier, path)) => (modifier.to_owned(), path.to_owned()),
                    None => (String::new(), drawn.to_owned()),
                };
                // A prefix conflicts with itself behind another modifier.
                if !locations.iter().any(|(_, path)| *path == location.1) {
                    locations.push(location);
                }
            }
            if !locations.iter().any(|(modifier, path)| path == "/" && modifier != "=") {
                locations.push((String::new(), "/".to_owned()));
            }
            if rng.u8(..3) > 0 && !locations.iter().any(|(_, path)| path == r"\.php$") {
                locations.push(("~".to_owned(), r"\.php$".to_owned()));
            }
            let names = names[..rng.usize(1..=names.len())].iter().map(|&name| name.to_owned());
            Server { names: names.collect(), locations }
        })
        .collect()
}

/// Writes the configuration inside of `http { }`.
pub(super) fn write(rng: &mut Rng, servers: &[Server], combined: bool) -> String {
    let mut out = String::from(
        "types { text/html html; text/css css; text/plain txt; image/png png;
            application/javascript js; }\n",
    );
    let is_cached = rng.bool();
    if is_cached {
        let paths = ["proxy", "fastcgi", "uwsgi"].map(|prefix| {
            format!("{prefix}_cache_path %dir%/{prefix}_cache levels=1:2 keys_zone={prefix}:1m;\n")
        });
        out += &paths.concat();
    }
    out += &some(rng, HTTP, 4);
    for server in servers {
        out += &format!(
            "server {{ listen 127.0.0.1:%port%; server_name {};\n",
            server.names.join(" ")
        );
        out += "location @named { return 200 \"named $uri $args\\n\"; }\n";
        out += &some(rng, SERVER, 2);
        if combined {
            out += AUTH;
            out += &add("", &some(rng, COMBINED, 2));
        }
        for (modifier, path) in &server.locations {
            let mut body = location(rng, modifier, path, is_cached, combined);
            if combined {
                body = add(&body, &some(rng, COMBINED, 3));
            }
            out += &format!("location {modifier} {path} {{\n{body}}}\n");
        }
        out += "}\n";
    }
    out
}

/// Up to `most` different lines of a list.
fn some(rng: &mut Rng, list: &[&str], most: usize) -> String {
    let count = rng.usize(..=most);
    let mut order: Vec<usize> = (0..list.len()).collect();
    rng.shuffle(&mut order);
    let mut chosen: Vec<&str> = Vec::new();
    for line in order.into_iter().map(|at| list[at]) {
        // Most directives may occur once.
        let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let repeats = |line: &str| REPEATED.iter().any(|name| line.contains(name));
        let is_new = chosen.iter().all(|other| name(other) != name(line)) || repeats(line);
        if chosen.len() < count && is_new {
            chosen.push(line);
        }
    }
    chosen.iter().map(|line| format!("    {line}\n")).collect()
}

/// Parts of the directives that may be repeated.
const REPEATED: &[&str] =
    &["add_header", "_param", "_set_header", "_hide_header", "_pass_header", "error_page", "if ("];

/// Adds lines to those of a block, unless one of their directives is there.
fn add(body: &str, lines: &str) -> String {
    let mut out = body.to_owned();
    for line in lines.lines() {
        let names = || line.split(';').filter_map(|part| part.split_whitespace().next());
        let repeats = |name: &str| ["add_header", "error_page", "auth_request_set"].contains(&name);
        let is_there = |name: &str| !repeats(name) && out.contains(&format!("{name} "));
        if !names().any(is_there) {
            out = format!("{line}\n{out}");
        }
    }
    out
}

fn location(rng: &mut Rng, modifier: &str, path: &str, is_cached: bool, combined: bool) -> String {
    // Neither patterns nor named locations may pass requests to another path.
    let is_pattern = modifier.starts_with('~') || path.starts_with(['@', '~']);
    let mut out = some(rng, LOCATION, 2);
    let is_php = path.contains("php") && rng.u8(..4) > 0;
    match if is_php { 6 } else { rng.u8(..12) } {
        0 => out += SIMPLE[rng.usize(..SIMPLE.len())],
        1 if !is_pattern && path.starts_with('/') => out += "alias %dir%/html/;\n",
        1 | 2 => out += FILES[rng.usize(..FILES.len())],
        3..=5 => out += &passed(rng, "proxy", is_pattern, is_cached, combined),
        6..=8 => out += &passed(rng, "fastcgi", is_pattern, is_cached, combined),
        _ => out += &passed(rng, "uwsgi", is_pattern, is_cached, combined),
    }
    out
}

/// A location that passes requests on.
fn passed(
    rng: &mut Rng,
    prefix: &str,
    is_pattern: bool,
    is_cached: bool,
    combined: bool,
) -> String {
    let mut out = some(rng, COMMON, 3);
    match prefix {
        "proxy" => {
            let uris: &[&str] = if is_pattern { &["", "$request_uri"] } else { URIS };
            out += &some(rng, PROXY, 4);
            out += &format!("proxy_pass http://%b%{};\n", uris[rng.usize(..uris.len())]);
        }
        "fastcgi" => {
            out += &some(rng, FASTCGI, 4);
            out += SCRIPTS[rng.usize(..SCRIPTS.len())];
            out += PARAMS;
            out += "fastcgi_pass %p%;\n";
        }
        _ => {
            out += &some(rng, UWSGI, 3);
            out += PARAMS;
            out += "uwsgi_param PATH_INFO $document_uri; uwsgi_pass %u%;\n";
        }
    }
    if is_cached && rng.u8(..4) > 0 {
        out += &some(rng, CACHE, 5);
        out += "@_cache @; add_header X-Cache $upstream_cache_status always;\n";
        if combined && prefix == "proxy" && !out.contains("_set_header Range") && rng.bool() {
            out = out.replace("@_cache_key", "set $key");
            out += "slice 100; proxy_set_header Range $slice_range;\n";
            out += "@_cache_key $uri$is_args$args$slice_range; proxy_cache_valid 200 206 1h;\n";
        }
        if !out.contains("@_cache_key") {
            out += "@_cache_key $request_method$host$request_uri;\n";
        }
        if !out.contains("@_cache_valid") {
            out += "@_cache_valid 200 302 404 1h;\n";
        }
    }
    out.replace('@', prefix)
}

/// What [`COMBINED`] asks. A reply of the upstream is chosen by the query.
const AUTH: &str = "
    location /auth/ { internal; proxy_pass http://%b%/auth?do=; proxy_pass_request_body off;
      proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URI $request_uri; }
    location = /own/401 { internal; add_header WWW-Authenticate \"Own x\" always; return 401; }
    location = /own/302 { internal; return 302 /page.html; }
    location = /own/204 { internal; set $who own; return 204; }\n";

/// Filters and subrequests that meet in a location.
const COMBINED: &[&str] = &[
    "auth_request /auth/length;",
    "auth_request /auth/cookie; auth_request_set $who $upstream_http_set_cookie; add_header X-Who $who always;",
    "auth_request /auth/denied;",
    "auth_request /auth/denied; error_page 401 = @named;",
    "auth_request /auth/forbidden; error_page 403 =200 /ssi.html;",
    "auth_request /auth/status;",
    "auth_request /auth/redirect;",
    "auth_request /own/401;",
    "auth_request /own/302;",
    "auth_request /own/204; auth_request_set $seen $who; add_header X-Seen $seen;",
    "auth_request off;",
    "satisfy any; deny all; auth_request /auth/length;",
    "ssi on; ssi_types *;",
    "ssi on; ssi_last_modified on;",
    "ssi on; ssi_silent_errors on; ssi_types *;",
    "addition_types *; add_after_body /ssi.html;",
    "addition_types *; add_before_body /ssi.html; add_after_body /page.html;",
    "error_page 404 /ssi.html;",
    "error_page 500 502 503 504 =200 /ssi.html;",
    "error_page 401 = @named;",
    "limit_rate 500k; limit_rate_after 1k;",
    "gunzip on;",
    "gzip on; gzip_types *; gzip_min_length 10; gzip_proxied any;",
    "gzip on; gzip_types *; gzip_min_length 10; sub_filter p P; sub_filter_types *; sub_filter_once off;",
    "sub_filter upstream '<!--# echo var=\"uri\" -->'; sub_filter_types *;",
    "expires 1h; add_trailer X-End $status;",
    "try_files $uri /ssi.html;",
];

const HTTP: &[&str] = &[
    "gzip on; gzip_min_length 100; gzip_types text/plain application/json;",
    "gzip on; gzip_proxied any; gzip_http_version 1.0; gzip_vary on;",
    "underscores_in_headers on;",
    "ignore_invalid_headers off;",
    "merge_slashes off;",
    "server_tokens off;",
    "etag off;",
    "large_client_header_buffers 2 1k; client_header_buffer_size 512;",
    "client_max_body_size 100;",
    "client_body_buffer_size 16;",
    "client_body_in_file_only clean;",
    "chunked_transfer_encoding off;",
    "max_ranges 1;",
    "if_modified_since before;",
    "port_in_redirect off;",
    "absolute_redirect off;",
    "server_name_in_redirect on;",
    "recursive_error_pages on;",
    "keepalive_requests 2;",
    "charset utf-8;",
    "index index.php index.html;",
    "sendfile on; tcp_nopush on;",
    "output_buffers 1 1k;",
    "log_not_found off;",
    "keepalive_disable none;",
    "postpone_output 0;",
    "open_file_cache max=10;",
    "add_header X-Server $server_name;",
    "error_page 404 /404.html;",
    "error_page 500 502 503 504 /50x.html;",
    "expires 1h;",
];

const SERVER: &[&str] = &[
    "error_page 404 = @named;",
    "error_page 400 403 405 =200 /404.html;",
    "error_page 502 504 =302 http://localhost/gone;",
    "error_page 401 403 /page.html;",
    "rewrite ^/old/(.*)$ /new/$1 permanent;",
    "rewrite ^(/a+)/(.*)$ /$2?from=$1 last;",
    "if ($request_method = PUT) { return 405; }",
    "if ($arg_b) { rewrite ^ /dir/; }",
    "if (!-e $request_filename) { set $x none; }",
    "add_header X-Server $host always;",
    "index index.php;",
    "index missing index.html;",
    "autoindex on;",
    "satisfy any;",
    "root %dir%/html/dir;",
    "limit_rate 100m;",
    "client_max_body_size 1k;",
];

const LOCATION: &[&str] = &[
    "expires max;",
    "expires -1;",
    "add_header X-Place $uri always;",
    "add_header Cache-Control no-transform;",
    "default_type text/html;",
    "limit_except GET POST { deny all; }",
    "if ($request_method = POST) { add_header X-Post 1; }",
    "if ($http_x_a) { set $y 1; add_header X-If $y; }",
    "if ($arg_q) { return 403; }",
    "error_page 404 =200 /page.html;",
    "error_page 403 = @named;",
    "error_page 500 501 502 @named;",
    "charset koi8-r;",
    "gzip on; gzip_min_length 0;",
    "sub_filter a A; sub_filter_once off;",
    "etag off;",
    "add_trailer X-End $status;",
    "set $z $1; add_header X-Capture $z;",
    "auth_basic closed; auth_basic_user_file %dir%/html/users;",
    "deny 10.0.0.0/8;",
    "internal;",
    "addition_types *; add_before_body /page.html;",
    "client_max_body_size 10;",
];

/// Locations without an upstream.
const SIMPLE: &[&str] = &[
    "return 204;\n",
    "return 301 $scheme://$host$request_uri;\n",
    "return 302 /page.html;\n",
    "return 200 \"$uri $args $request_method $host\\n\";\n",
    "return 444;\n",
    "return 410 gone;\n",
    "empty_gif;\n",
    "deny all;\n",
    "rewrite ^/(.*)$ /index.php?q=$1 last;\n",
    "rewrite ^/([^/]*)(.*)$ /dir$2 break;\n",
    "rewrite ^ /page.html redirect;\n",
    "try_files $uri $uri/ /index.php?q=$uri&$args;\n",
    "try_files $uri =404;\n",
    "try_files /none @named;\n",
];

/// Locations of files.
const FILES: &[&str] = &[
    "",
    "root %dir%/html;\n",
    "root %dir%/html; index index.html; autoindex on;\n",
    "root %dir%/html; try_files $uri $uri/index.html /page.html;\n",
    "root %dir%/none;\n",
    "root %dir%/html; gzip_static on;\n",
    "root %dir%/html; try_files $uri $uri/ =404; disable_symlinks on;\n",
    "root %dir%/html; add_header Accept-Ranges none;\n",
];

/// Settings of all that pass requests on; `@` is the prefix.
const COMMON: &[&str] = &[
    "@_intercept_errors on;",
    "@_buffering off;",
    "@_request_buffering off;",
    "@_hide_header X-A;",
    "@_hide_header Cache-Control;",
    "@_pass_header Server;",
    "@_pass_header Date;",
    "@_pass_header X-Accel-Redirect;",
    "@_ignore_headers X-Accel-Redirect Cache-Control;",
    "@_ignore_headers X-Accel-Expires Vary X-Accel-Buffering;",
    "@_ignore_headers Expires Cache-Control Set-Cookie;",
    "@_pass_request_headers off;",
    "@_force_ranges on;",
    "@_buffer_size 4k; @_buffers 4 4k; @_busy_buffers_size 8k; @_temp_file_write_size 8k;",
    "@_max_temp_file_size 0;",
    "@_next_upstream off;",
    "@_ignore_client_abort on;",
    "@_limit_rate 100m;",
];

const URIS: &[&str] =
    &["", "", "/", "/sub/", "/sub", "/index.php?x=y", "$request_uri", "/$host$request_uri"];

const PROXY: &[&str] = &[
    "proxy_set_header Host $host;",
    "proxy_set_header Host $http_host;",
    "proxy_set_header X-Real-IP $remote_addr;",
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_set_header Connection \"\";",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Accept-Encoding \"\";",
    "proxy_set_header Range $http_range;",
    "proxy_http_version 1.1;",
    "proxy_http_version 1.0;",
    "proxy_redirect off;",
    "proxy_redirect http://localhost/ /x/;",
    "proxy_redirect ~^/(.*)$ /y/$1;",
    "proxy_cookie_domain localhost a.example;",
    "proxy_cookie_path / /p/;",
    "proxy_cookie_flags ~ httponly samesite=lax;",
    "proxy_method GET;",
    "proxy_method POST;",
    "proxy_set_body \"own $uri\";",
];

const FASTCGI: &[&str] = &[
    "fastcgi_keep_conn on;",
    "fastcgi_pass_request_body off;",
    "fastcgi_catch_stderr \"said so\";",
    "fastcgi_param HTTPS $https if_not_empty;",
    "fastcgi_param HTTP_X_A own;",
    "fastcgi_param EMPTY \"\";",
    "fastcgi_param HTTP_PROXY \"\";",
    "fastcgi_param REDIRECT_STATUS 200;",
];

/// Where PHP finds its script.
const SCRIPTS: &[&str] = &[
    "fastcgi_param SCRIPT_FILENAME %dir%/html/index.php;\n",
    "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_index index.php;\n",
    "fastcgi_split_path_info ^(.+?\\.php)(/.*)?$; fastcgi_index index.php;
     fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
     fastcgi_param PATH_INFO $fastcgi_path_info;\n",
    "fastcgi_split_path_info ^(.+\\.php)(/.+)$; try_files $fastcgi_script_name =404;
     set $path_info $fastcgi_path_info; fastcgi_param PATH_INFO $path_info;
     fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n",
];

const UWSGI: &[&str] = &[
    "uwsgi_param HTTP_X_A own;",
    "uwsgi_param HTTPS $https if_not_empty;",
    "uwsgi_param EMPTY \"\";",
    "uwsgi_param UWSGI_SCHEME $scheme;",
    "uwsgi_modifier1 0;",
];

/// nginx's own files of parameters, in one.
const PARAMS: &str = "
    @_param QUERY_STRING $query_string;
    @_param REQUEST_METHOD $request_method;
    @_param CONTENT_TYPE $content_type;
    @_param CONTENT_LENGTH $content_length;
    @_param SCRIPT_NAME $fastcgi_script_name;
    @_param REQUEST_URI $request_uri;
    @_param DOCUMENT_URI $document_uri;
    @_param DOCUMENT_ROOT $document_root;
    @_param SERVER_PROTOCOL $server_protocol;
    @_param REQUEST_SCHEME $scheme;
    @_param GATEWAY_INTERFACE CGI/1.1;
    @_param REMOTE_ADDR $remote_addr;
    @_param REMOTE_PORT $remote_port;
    @_param SERVER_ADDR $server_addr;
    @_param SERVER_PORT $server_port;
    @_param SERVER_NAME $server_name;\n";

const CACHE: &[&str] = &[
    "@_cache_key $uri;",
    "@_cache_key $scheme$host$uri$is_args$args;",
    "@_cache_valid any 1h;",
    "@_cache_valid 1h; @_cache_valid 500 1h;",
    "@_cache_methods GET HEAD POST;",
    "@_cache_bypass $http_pragma $arg_b;",
    "@_no_cache $http_pragma $cookie_a;",
    "@_cache_min_uses 2;",
    "@_cache_use_stale error timeout invalid_header http_500;",
    "@_cache_lock on;",
    "@_cache_revalidate on;",
    "@_cache_background_update on; @_cache_use_stale updating;",
    "@_cache_max_range_offset 10;",
    "@_store off;",
];

//! Lines of the configuration of a generated case, of which it has some.

/// What [`COMBINED`] asks. A reply of the upstream is chosen by the query.
pub(super) const AUTH: &str = "
    location /auth/ { internal; proxy_pass http://%b%/auth?do=; proxy_pass_request_body off;
      proxy_set_header Content-Length \"\"; proxy_set_header X-Original-URI $request_uri; }
    location = /own/401 { internal; add_header WWW-Authenticate \"Own x\" always; return 401; }
    location = /own/302 { internal; return 302 /page.html; }
    location = /own/204 { internal; set $who own; return 204; }\n";

/// Filters and subrequests that meet in a location.
pub(super) const COMBINED: &[&str] = &[
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

/// Variables, zones and groups that the other lines use.
pub(super) const COMPUTED: &str = "
    map $uri $mapped { volatile; ~^/(?<part>[^/]*)/(.*)$ $2; ~*\\.php$ script; default none; }
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    map $sent_http_content_type $lifetime { default off; text/html epoch; ~image/ max; ~*json 1h; }
    map $args:$http_x_a $choice { hostnames; ~one$ 1; ~*^do=ET a$1; volatile; default ''; }
    split_clients $request_uri $variant { 30% a; 50% b; * ''; }
    geo $http_x_real_ip $near { default 0; 10.0.0.0/8 1; 127.0.0.1 2; }
    limit_req_zone $arg_do zone=requests:1m rate=1r/m;
    limit_conn_zone $server_name zone=connections:1m;
    upstream kept { server %b%; keepalive 2; }
    upstream retried { server 127.0.0.1:1 max_fails=0; server %b% max_fails=0; }
    upstream spare { server 127.0.0.1:1 max_fails=0; server %b% max_fails=0 backup; }\n";

pub(super) const HTTP: &[&str] = &[
    "limit_req_status 429; limit_conn_status 418; limit_conn connections 5;",
    "variables_hash_max_size 2048; server_names_hash_bucket_size 128;",
    "proxy_intercept_errors on; fastcgi_intercept_errors on;",
    "real_ip_header X-Forwarded-For; set_real_ip_from 127.0.0.0/8; real_ip_recursive on;",
    "client_header_buffer_size 1k; large_client_header_buffers 4 2k;",
    "gzip on; gzip_vary on; gzip_min_length 1; gzip_types *; gzip_comp_level 9;",
    "gzip on; gzip_disable msie6; gzip_proxied no-cache no-store private expired auth;",
    "expires $lifetime;",
    "add_header X-Frame-Options SAMEORIGIN; add_header X-Variant $variant always;",
    "ignore_invalid_headers off; underscores_in_headers on;",
    "keepalive_timeout 65 60;",
    "lingering_close off;",
    "reset_timedout_connection on;",
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

pub(super) const SERVER: &[&str] = &[
    "error_page 404 500 502 = @back;",
    "error_page 403 404 500 501 502 /page.html?of=$status;",
    "error_page 404 /$arg_q;",
    "real_ip_header X-Forwarded-For; set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8;",
    "real_ip_header X-Real-IP; set_real_ip_from 127.0.0.1;",
    "limit_req zone=requests burst=1 nodelay;",
    "if ($http_user_agent ~* (msie|curl)) { return 403; }",
    "if ($host != $server_name) { rewrite ^ http://$server_name$request_uri? permanent; }",
    "if ($http_cookie ~* \"session=([^;]+)\") { set $id $1; }",
    "if ($request_uri ~ ^/(.*)index\\.(html|php)) { return 301 /$1; }",
    "rewrite ^/(.*)\\.css$ /style.css?v=$1 last;",
    "rewrite_log on;",
    "allow 127.0.0.1; deny all;",
    "expires $lifetime;",
    "set $mobile $near;",
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

pub(super) const LOCATION: &[&str] = &[
    "satisfy any; allow 10.0.0.0/8; deny all; auth_basic closed; auth_basic_user_file %dir%/html/users;",
    "satisfy any; allow 127.0.0.1; deny all; auth_basic closed; auth_basic_user_file %dir%/html/users;",
    "satisfy all; allow all; auth_basic $variant; auth_basic_user_file %dir%/html/users;",
    "limit_req zone=requests;",
    "limit_req zone=requests burst=2 nodelay; limit_req_status 429;",
    "limit_req zone=requests; limit_req_dry_run on; add_header X-Limit $limit_req_status always;",
    "if ($arg_b) { proxy_pass http://%b%; }",
    "if ($choice) { add_header X-Choice $choice; expires 2h; }",
    "if (-d $request_filename) { return 403; }",
    "if (!-f $request_filename) { rewrite ^(.*)$ /index.php?q=$1 last; }",
    "if ($request_method !~ ^(GET|POST|HEAD)$) { return 405; }",
    "if ($mapped = none) { return 307 /page.html?m=$mapped; }",
    "if ($uri ~ ^/(.+)/x) { rewrite ^ /$1? last; }",
    "error_page 404 = @back;",
    "error_page 400 401 403 404 405 500 502 =200 @back;",
    "error_page 403 404 =410 /404.html;",
    "error_page 404 =301 /page.html;",
    "error_page 404 502 /index.php?error=$status&from=$uri;",
    "add_header X-Mapped $mapped; add_header X-Part $part; add_header X-Near $near always;",
    "add_header Vary Origin; add_header Access-Control-Allow-Origin $http_origin always;",
    "add_header ETag own; add_header Last-Modified '';",
    "add_header Last-Modified \"\"; expires modified 1h;",
    "expires $lifetime;",
    "rewrite ^/(.*)/(.*)$ /$2/$1 break;",
    "rewrite ^ $uri?x=$mapped& break;",
    "sub_filter http://localhost https://$host; sub_filter_types *; sub_filter_last_modified on;",
    "sub_filter upstream $variant; sub_filter o 0; sub_filter_once off; sub_filter_types *;",
    "client_body_in_single_buffer on; client_body_in_file_only on;",
    "default_type text/x-own; types { }",
    "override_charset on; charset utf-8; charset_types *;",
    "keepalive_timeout 0;",
    "max_ranges 0;",
    "if_modified_since off;",
    "chunked_transfer_encoding off;",
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
pub(super) const SIMPLE: &[&str] = &[
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
    "try_files $uri @back;\n",
    "try_files $uri $uri.html $uri/ @back;\n",
    "return 308 /page.html$is_args$args;\n",
    "return 301 https://$server_name:8443$request_uri;\n",
    "return 418 $variant;\n",
    "rewrite ^ $uri?rewritten=$choice permanent;\n",
    "rewrite ^ http://$http_host$uri? redirect;\n",
];

/// Locations of files.
pub(super) const FILES: &[&str] = &[
    "",
    "root %dir%/html;\n",
    "root %dir%/html; index index.html; autoindex on;\n",
    "root %dir%/html; try_files $uri $uri/index.html /page.html;\n",
    "root %dir%/none;\n",
    "root %dir%/html/$variant;\n",
    "root %dir%/html; gzip_static on;\n",
    "root %dir%/html; try_files $uri $uri/ =404; disable_symlinks on;\n",
    "root %dir%/html; add_header Accept-Ranges none;\n",
];

/// Stands for the location `@back` where a `@` is the prefix.
pub(super) const BACK: &str = "BACK";

/// Settings of all that pass requests on; `@` is the prefix.
pub(super) const COMMON: &[&str] = &[
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
    "@_intercept_errors on; recursive_error_pages on; error_page 404 500 = BACK;",
    "@_intercept_errors on; error_page 301 302 = BACK;",
    "@_next_upstream error timeout http_500 http_404 non_idempotent; @_next_upstream_tries 2;",
    "@_hide_header Set-Cookie; @_ignore_headers Set-Cookie;",
    "@_ignore_headers X-Accel-Limit-Rate X-Accel-Charset;",
    "@_buffering off; @_request_buffering off;",
    "@_buffer_size 2k; @_buffers 4 2k; @_busy_buffers_size 2k; @_temp_file_write_size 4k;",
];

pub(super) const URIS: &[&str] = &[
    "",
    "",
    "/",
    "/sub/",
    "/sub",
    "/index.php?x=y",
    "$request_uri",
    "/$host$request_uri",
    "/$mapped$is_args$args",
    "/v/$variant",
    "$uri$is_args$args",
];

/// Where a location of `proxy` passes to.
pub(super) const GROUPS: &[&str] = &["%b%", "%b%", "%b%", "kept", "retried", "spare"];

pub(super) const PROXY: &[&str] = &[
    "proxy_set_header Connection $connection_upgrade;",
    "proxy_set_header X-Variant $variant;",
    "proxy_set_header X-Mapped $mapped;",
    "proxy_set_header X-Original-URI $request_uri;",
    "proxy_pass_request_body off; proxy_set_header Content-Length \"\";",
    "proxy_redirect ~*^(https?://[^/]+)(/.*)$ http://$host$2;",
    "proxy_redirect / /z/;",
    "proxy_redirect http://$host/ /w/;",
    "proxy_cookie_domain ~(.*)host b$1.example;",
    "proxy_cookie_path ~^/(.*)$ /q/$1;",
    "proxy_cookie_flags a secure samesite=strict;",
    "proxy_cookie_flags ~. nosecure nohttponly;",
    "proxy_headers_hash_max_size 1024;",
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

pub(super) const FASTCGI: &[&str] = &[
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
pub(super) const SCRIPTS: &[&str] = &[
    "fastcgi_param SCRIPT_FILENAME %dir%/html/index.php;\n",
    "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_index index.php;\n",
    "fastcgi_split_path_info ^(.+?\\.php)(/.*)?$; fastcgi_index index.php;
     fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
     fastcgi_param PATH_INFO $fastcgi_path_info;\n",
    "fastcgi_split_path_info ^(.+\\.php)(/.+)$; try_files $fastcgi_script_name =404;
     set $path_info $fastcgi_path_info; fastcgi_param PATH_INFO $path_info;
     fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n",
];

pub(super) const UWSGI: &[&str] = &[
    "uwsgi_param HTTP_X_A own;",
    "uwsgi_param HTTPS $https if_not_empty;",
    "uwsgi_param EMPTY \"\";",
    "uwsgi_param UWSGI_SCHEME $scheme;",
    "uwsgi_modifier1 0;",
];

/// nginx's own files of parameters, in one.
pub(super) const PARAMS: &str = "
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

pub(super) const CACHE: &[&str] = &[
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

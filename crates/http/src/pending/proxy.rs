//! Proxying over HTTP, its cache, and what groups of servers can do.

use weir_conf::pending;

pending! {
    /// The proxy module.
    pub static PROXY = {
        // proxy
        "proxy_redirect" in [http, server, location] [1, 2];
        "proxy_cookie_domain" in [http, server, location] [1, 2];
        "proxy_cookie_path" in [http, server, location] [1, 2];
        "proxy_cookie_flags" in [http, server, location] [1, 2, 3, 4];
        "proxy_store" in [http, server, location] [1];
        "proxy_store_access" in [http, server, location] [1, 2, 3];
        "proxy_buffering" in [http, server, location] [1];
        "proxy_request_buffering" in [http, server, location] [1];
        "proxy_ignore_client_abort" in [http, server, location] [1];
        "proxy_bind" in [http, server, location] [1, 2];
        "proxy_socket_keepalive" in [http, server, location] [1];
        "proxy_socket_rcvbuf" in [http, server, location] [1];
        "proxy_socket_sndbuf" in [http, server, location] [1];
        "proxy_connect_timeout" in [http, server, location] [1];
        "proxy_send_timeout" in [http, server, location] [1];
        "proxy_send_lowat" in [http, server, location] [1];
        "proxy_intercept_errors" in [http, server, location] [1];
        "proxy_set_header" in [http, server, location] [2];
        "proxy_headers_hash_max_size" in [http, server, location] [1];
        "proxy_headers_hash_bucket_size" in [http, server, location] [1];
        "proxy_set_body" in [http, server, location] [1];
        "proxy_method" in [http, server, location] [1];
        "proxy_pass_request_headers" in [http, server, location] [1];
        "proxy_pass_request_body" in [http, server, location] [1];
        "proxy_pass_trailers" in [http, server, location] [1];
        "proxy_buffer_size" in [http, server, location] [1];
        "proxy_read_timeout" in [http, server, location] [1];
        "proxy_buffers" in [http, server, location] [2];
        "proxy_busy_buffers_size" in [http, server, location] [1];
        "proxy_force_ranges" in [http, server, location] [1];
        "proxy_limit_rate" in [http, server, location] [1];
        "proxy_cache" in [http, server, location] [1];
        "proxy_cache_key" in [http, server, location] [1];
        "proxy_cache_path" in [http] [2+];
        "proxy_cache_bypass" in [http, server, location] [1+];
        "proxy_no_cache" in [http, server, location] [1+];
        "proxy_cache_valid" in [http, server, location] [1+];
        "proxy_cache_min_uses" in [http, server, location] [1];
        "proxy_cache_max_range_offset" in [http, server, location] [1];
        "proxy_cache_use_stale" in [http, server, location] [1+];
        "proxy_cache_methods" in [http, server, location] [1+];
        "proxy_cache_lock" in [http, server, location] [1];
        "proxy_cache_lock_timeout" in [http, server, location] [1];
        "proxy_cache_lock_age" in [http, server, location] [1];
        "proxy_cache_revalidate" in [http, server, location] [1];
        "proxy_cache_convert_head" in [http, server, location] [1];
        "proxy_cache_background_update" in [http, server, location] [1];
        "proxy_temp_path" in [http, server, location] [1, 2, 3, 4];
        "proxy_max_temp_file_size" in [http, server, location] [1];
        "proxy_temp_file_write_size" in [http, server, location] [1];
        "proxy_next_upstream" in [http, server, location] [1+];
        "proxy_next_upstream_tries" in [http, server, location] [1];
        "proxy_next_upstream_timeout" in [http, server, location] [1];
        "proxy_pass_header" in [http, server, location] [1];
        "proxy_hide_header" in [http, server, location] [1];
        "proxy_ignore_headers" in [http, server, location] [1+];
        "proxy_http_version" in [http, server, location] [1];
        "proxy_ssl_session_reuse" in [http, server, location] [1];
        "proxy_ssl_protocols" in [http, server, location] [1+];
        "proxy_ssl_ciphers" in [http, server, location] [1];
        "proxy_ssl_name" in [http, server, location] [1];
        "proxy_ssl_server_name" in [http, server, location] [1];
        "proxy_ssl_verify_depth" in [http, server, location] [1];
        "proxy_ssl_trusted_certificate" in [http, server, location] [1];
        "proxy_ssl_crl" in [http, server, location] [1];
        "proxy_ssl_certificate" in [http, server, location] [1];
        "proxy_ssl_certificate_key" in [http, server, location] [1];
        "proxy_ssl_certificate_cache" in [http, server, location] [1, 2, 3];
        "proxy_ssl_password_file" in [http, server, location] [1];
        "proxy_ssl_conf_command" in [http, server, location] [2];
    }
}

pending! {
    /// What stands in `upstream {}`.
    pub static UPSTREAM = {
        // upstream_hash
        "hash" in [upstream] [1, 2];
        // upstream_ip_hash
        "ip_hash" in [upstream] [0];
        // upstream_keepalive
        "keepalive" in [upstream] [1, 2];
        "keepalive_time" in [upstream] [1];
        "keepalive_timeout" in [upstream] [1];
        "keepalive_requests" in [upstream] [1];
        // upstream_least_conn
        "least_conn" in [upstream] [0];
        // upstream_least_time
        "least_time" in [upstream] [1, 2];
        // upstream_random
        "random" in [upstream] [0, 1, 2];
        // upstream_sticky
        "sticky" in [upstream] [2+];
        // upstream_zone
        "zone" in [upstream] [1, 2];
    }
}

//! Upstreams that speak something else than HTTP/1.

use weir_conf::pending;

pending! {
    /// FastCGI.
    pub static FASTCGI = {
        // fastcgi
        "fastcgi_index" in [http, server, location] [1];
        "fastcgi_split_path_info" in [http, server, location] [1];
        "fastcgi_store" in [http, server, location] [1];
        "fastcgi_store_access" in [http, server, location] [1, 2, 3];
        "fastcgi_buffering" in [http, server, location] [1];
        "fastcgi_request_buffering" in [http, server, location] [1];
        "fastcgi_ignore_client_abort" in [http, server, location] [1];
        "fastcgi_bind" in [http, server, location] [1, 2];
        "fastcgi_socket_keepalive" in [http, server, location] [1];
        "fastcgi_socket_rcvbuf" in [http, server, location] [1];
        "fastcgi_socket_sndbuf" in [http, server, location] [1];
        "fastcgi_connect_timeout" in [http, server, location] [1];
        "fastcgi_send_timeout" in [http, server, location] [1];
        "fastcgi_send_lowat" in [http, server, location] [1];
        "fastcgi_buffer_size" in [http, server, location] [1];
        "fastcgi_pass_request_headers" in [http, server, location] [1];
        "fastcgi_pass_request_body" in [http, server, location] [1];
        "fastcgi_intercept_errors" in [http, server, location] [1];
        "fastcgi_read_timeout" in [http, server, location] [1];
        "fastcgi_buffers" in [http, server, location] [2];
        "fastcgi_busy_buffers_size" in [http, server, location] [1];
        "fastcgi_force_ranges" in [http, server, location] [1];
        "fastcgi_limit_rate" in [http, server, location] [1];
        "fastcgi_cache" in [http, server, location] [1];
        "fastcgi_cache_key" in [http, server, location] [1];
        "fastcgi_cache_path" in [http] [2+];
        "fastcgi_cache_bypass" in [http, server, location] [1+];
        "fastcgi_no_cache" in [http, server, location] [1+];
        "fastcgi_cache_valid" in [http, server, location] [1+];
        "fastcgi_cache_min_uses" in [http, server, location] [1];
        "fastcgi_cache_max_range_offset" in [http, server, location] [1];
        "fastcgi_cache_use_stale" in [http, server, location] [1+];
        "fastcgi_cache_methods" in [http, server, location] [1+];
        "fastcgi_cache_lock" in [http, server, location] [1];
        "fastcgi_cache_lock_timeout" in [http, server, location] [1];
        "fastcgi_cache_lock_age" in [http, server, location] [1];
        "fastcgi_cache_revalidate" in [http, server, location] [1];
        "fastcgi_cache_background_update" in [http, server, location] [1];
        "fastcgi_temp_path" in [http, server, location] [1, 2, 3, 4];
        "fastcgi_max_temp_file_size" in [http, server, location] [1];
        "fastcgi_temp_file_write_size" in [http, server, location] [1];
        "fastcgi_next_upstream" in [http, server, location] [1+];
        "fastcgi_next_upstream_tries" in [http, server, location] [1];
        "fastcgi_next_upstream_timeout" in [http, server, location] [1];
        "fastcgi_param" in [http, server, location] [2, 3];
        "fastcgi_pass_header" in [http, server, location] [1];
        "fastcgi_hide_header" in [http, server, location] [1];
        "fastcgi_ignore_headers" in [http, server, location] [1+];
        "fastcgi_catch_stderr" in [http, server, location] [1];
        "fastcgi_keep_conn" in [http, server, location] [1];
    }
}

pending! {
    /// uwsgi.
    pub static UWSGI = {
        // uwsgi
        "uwsgi_modifier1" in [http, server, location] [1];
        "uwsgi_modifier2" in [http, server, location] [1];
        "uwsgi_store" in [http, server, location] [1];
        "uwsgi_store_access" in [http, server, location] [1, 2, 3];
        "uwsgi_buffering" in [http, server, location] [1];
        "uwsgi_request_buffering" in [http, server, location] [1];
        "uwsgi_ignore_client_abort" in [http, server, location] [1];
        "uwsgi_bind" in [http, server, location] [1, 2];
        "uwsgi_socket_keepalive" in [http, server, location] [1];
        "uwsgi_socket_rcvbuf" in [http, server, location] [1];
        "uwsgi_socket_sndbuf" in [http, server, location] [1];
        "uwsgi_connect_timeout" in [http, server, location] [1];
        "uwsgi_send_timeout" in [http, server, location] [1];
        "uwsgi_buffer_size" in [http, server, location] [1];
        "uwsgi_pass_request_headers" in [http, server, location] [1];
        "uwsgi_pass_request_body" in [http, server, location] [1];
        "uwsgi_intercept_errors" in [http, server, location] [1];
        "uwsgi_read_timeout" in [http, server, location] [1];
        "uwsgi_buffers" in [http, server, location] [2];
        "uwsgi_busy_buffers_size" in [http, server, location] [1];
        "uwsgi_force_ranges" in [http, server, location] [1];
        "uwsgi_limit_rate" in [http, server, location] [1];
        "uwsgi_cache" in [http, server, location] [1];
        "uwsgi_cache_key" in [http, server, location] [1];
        "uwsgi_cache_path" in [http] [2+];
        "uwsgi_cache_bypass" in [http, server, location] [1+];
        "uwsgi_no_cache" in [http, server, location] [1+];
        "uwsgi_cache_valid" in [http, server, location] [1+];
        "uwsgi_cache_min_uses" in [http, server, location] [1];
        "uwsgi_cache_max_range_offset" in [http, server, location] [1];
        "uwsgi_cache_use_stale" in [http, server, location] [1+];
        "uwsgi_cache_methods" in [http, server, location] [1+];
        "uwsgi_cache_lock" in [http, server, location] [1];
        "uwsgi_cache_lock_timeout" in [http, server, location] [1];
        "uwsgi_cache_lock_age" in [http, server, location] [1];
        "uwsgi_cache_revalidate" in [http, server, location] [1];
        "uwsgi_cache_background_update" in [http, server, location] [1];
        "uwsgi_temp_path" in [http, server, location] [1, 2, 3, 4];
        "uwsgi_max_temp_file_size" in [http, server, location] [1];
        "uwsgi_temp_file_write_size" in [http, server, location] [1];
        "uwsgi_next_upstream" in [http, server, location] [1+];
        "uwsgi_next_upstream_tries" in [http, server, location] [1];
        "uwsgi_next_upstream_timeout" in [http, server, location] [1];
        "uwsgi_param" in [http, server, location] [2, 3];
        "uwsgi_string" in [http, server, location] [1];
        "uwsgi_pass_header" in [http, server, location] [1];
        "uwsgi_hide_header" in [http, server, location] [1];
        "uwsgi_ignore_headers" in [http, server, location] [1+];
        "uwsgi_ssl_session_reuse" in [http, server, location] [1];
        "uwsgi_ssl_protocols" in [http, server, location] [1+];
        "uwsgi_ssl_ciphers" in [http, server, location] [1];
        "uwsgi_ssl_name" in [http, server, location] [1];
        "uwsgi_ssl_server_name" in [http, server, location] [1];
        "uwsgi_ssl_verify" in [http, server, location] [1];
        "uwsgi_ssl_verify_depth" in [http, server, location] [1];
        "uwsgi_ssl_trusted_certificate" in [http, server, location] [1];
        "uwsgi_ssl_crl" in [http, server, location] [1];
        "uwsgi_ssl_certificate" in [http, server, location] [1];
        "uwsgi_ssl_certificate_key" in [http, server, location] [1];
        "uwsgi_ssl_certificate_cache" in [http, server, location] [1, 2, 3];
        "uwsgi_ssl_password_file" in [http, server, location] [1];
        "uwsgi_ssl_conf_command" in [http, server, location] [2];
    }
}

pending! {
    /// SCGI.
    pub static SCGI = {
        // scgi
        "scgi_store" in [http, server, location] [1];
        "scgi_store_access" in [http, server, location] [1, 2, 3];
        "scgi_buffering" in [http, server, location] [1];
        "scgi_request_buffering" in [http, server, location] [1];
        "scgi_ignore_client_abort" in [http, server, location] [1];
        "scgi_bind" in [http, server, location] [1, 2];
        "scgi_socket_keepalive" in [http, server, location] [1];
        "scgi_socket_rcvbuf" in [http, server, location] [1];
        "scgi_socket_sndbuf" in [http, server, location] [1];
        "scgi_connect_timeout" in [http, server, location] [1];
        "scgi_send_timeout" in [http, server, location] [1];
        "scgi_buffer_size" in [http, server, location] [1];
        "scgi_pass_request_headers" in [http, server, location] [1];
        "scgi_pass_request_body" in [http, server, location] [1];
        "scgi_intercept_errors" in [http, server, location] [1];
        "scgi_read_timeout" in [http, server, location] [1];
        "scgi_buffers" in [http, server, location] [2];
        "scgi_busy_buffers_size" in [http, server, location] [1];
        "scgi_force_ranges" in [http, server, location] [1];
        "scgi_limit_rate" in [http, server, location] [1];
        "scgi_cache" in [http, server, location] [1];
        "scgi_cache_key" in [http, server, location] [1];
        "scgi_cache_path" in [http] [2+];
        "scgi_cache_bypass" in [http, server, location] [1+];
        "scgi_no_cache" in [http, server, location] [1+];
        "scgi_cache_valid" in [http, server, location] [1+];
        "scgi_cache_min_uses" in [http, server, location] [1];
        "scgi_cache_max_range_offset" in [http, server, location] [1];
        "scgi_cache_use_stale" in [http, server, location] [1+];
        "scgi_cache_methods" in [http, server, location] [1+];
        "scgi_cache_lock" in [http, server, location] [1];
        "scgi_cache_lock_timeout" in [http, server, location] [1];
        "scgi_cache_lock_age" in [http, server, location] [1];
        "scgi_cache_revalidate" in [http, server, location] [1];
        "scgi_cache_background_update" in [http, server, location] [1];
        "scgi_temp_path" in [http, server, location] [1, 2, 3, 4];
        "scgi_max_temp_file_size" in [http, server, location] [1];
        "scgi_temp_file_write_size" in [http, server, location] [1];
        "scgi_next_upstream" in [http, server, location] [1+];
        "scgi_next_upstream_tries" in [http, server, location] [1];
        "scgi_next_upstream_timeout" in [http, server, location] [1];
        "scgi_param" in [http, server, location] [2, 3];
        "scgi_pass_header" in [http, server, location] [1];
        "scgi_hide_header" in [http, server, location] [1];
        "scgi_ignore_headers" in [http, server, location] [1+];
    }
}

pending! {
    /// gRPC.
    pub static GRPC = {
        // grpc
        "grpc_bind" in [http, server, location] [1, 2];
        "grpc_socket_keepalive" in [http, server, location] [1];
        "grpc_socket_rcvbuf" in [http, server, location] [1];
        "grpc_socket_sndbuf" in [http, server, location] [1];
        "grpc_connect_timeout" in [http, server, location] [1];
        "grpc_send_timeout" in [http, server, location] [1];
        "grpc_intercept_errors" in [http, server, location] [1];
        "grpc_buffer_size" in [http, server, location] [1];
        "grpc_read_timeout" in [http, server, location] [1];
        "grpc_next_upstream" in [http, server, location] [1+];
        "grpc_next_upstream_tries" in [http, server, location] [1];
        "grpc_next_upstream_timeout" in [http, server, location] [1];
        "grpc_set_header" in [http, server, location] [2];
        "grpc_pass_header" in [http, server, location] [1];
        "grpc_hide_header" in [http, server, location] [1];
        "grpc_ignore_headers" in [http, server, location] [1+];
        "grpc_ssl_session_reuse" in [http, server, location] [1];
        "grpc_ssl_protocols" in [http, server, location] [1+];
        "grpc_ssl_ciphers" in [http, server, location] [1];
        "grpc_ssl_name" in [http, server, location] [1];
        "grpc_ssl_server_name" in [http, server, location] [1];
        "grpc_ssl_verify" in [http, server, location] [1];
        "grpc_ssl_verify_depth" in [http, server, location] [1];
        "grpc_ssl_trusted_certificate" in [http, server, location] [1];
        "grpc_ssl_crl" in [http, server, location] [1];
        "grpc_ssl_certificate" in [http, server, location] [1];
        "grpc_ssl_certificate_key" in [http, server, location] [1];
        "grpc_ssl_certificate_cache" in [http, server, location] [1, 2, 3];
        "grpc_ssl_password_file" in [http, server, location] [1];
        "grpc_ssl_conf_command" in [http, server, location] [2];
    }
}

pending! {
    /// memcached, and CONNECT tunnels.
    pub static OTHERS = {
        // memcached
        "memcached_bind" in [http, server, location] [1, 2];
        "memcached_socket_keepalive" in [http, server, location] [1];
        "memcached_connect_timeout" in [http, server, location] [1];
        "memcached_send_timeout" in [http, server, location] [1];
        "memcached_buffer_size" in [http, server, location] [1];
        "memcached_read_timeout" in [http, server, location] [1];
        "memcached_next_upstream" in [http, server, location] [1+];
        "memcached_next_upstream_tries" in [http, server, location] [1];
        "memcached_next_upstream_timeout" in [http, server, location] [1];
        "memcached_gzip_flag" in [http, server, location] [1];
    }
}

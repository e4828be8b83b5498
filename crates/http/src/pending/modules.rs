//! Modules of http that are neither filters nor upstreams.

use weir_conf::pending;

pending! {
    /// Handlers, variables, limits and logs.
    pub static MODULES = {
        // dav
        "dav_methods" in [http, server, location] [1+];
        "create_full_put_path" in [http, server, location] [1];
        "min_delete_depth" in [http, server, location] [1];
        "dav_access" in [http, server, location] [1, 2, 3];
        // degradation
        "degradation" in [http] [1];
        "degrade" in [http, server, location] [1];
        // geoip
        "geoip_country" in [http] [1, 2];
        "geoip_org" in [http] [1, 2];
        "geoip_city" in [http] [1, 2];
        "geoip_proxy" in [http] [1];
        "geoip_proxy_recursive" in [http] [1];
        // mp4
        "mp4_buffer_size" in [http, server, location] [1];
        "mp4_max_buffer_size" in [http, server, location] [1];
        "mp4_start_key_frame" in [http, server, location] [1];
        // perl
        "perl_modules" in [http] [1];
        "perl_require" in [http] [1];
        "perl_set" in [http] [2];
    }
}

pending! {
    /// HTTP/2 and HTTP/3.
    pub static VERSIONS = {
        // v2
        "http2" in [http, server] [1];
        "http2_recv_buffer_size" in [http] [1];
        "http2_pool_size" in [http, server] [1];
        "http2_max_concurrent_streams" in [http, server] [1];
        "http2_max_concurrent_pushes" in [http, server] [1];
        "http2_max_requests" in [http, server] [1];
        "http2_max_field_size" in [http, server] [1];
        "http2_max_header_size" in [http, server] [1];
        "http2_body_preread_size" in [http, server] [1];
        "http2_streams_index_size" in [http, server] [1];
        "http2_recv_timeout" in [http, server] [1];
        "http2_idle_timeout" in [http, server] [1];
        "http2_chunk_size" in [http, server, location] [1];
        "http2_push_preload" in [http, server, location] [1];
        "http2_push" in [http, server, location] [1];
        // v3
        "http3" in [http, server] [1];
        "http3_hq" in [http, server] [1];
        "http3_max_concurrent_streams" in [http, server] [1];
        "http3_stream_buffer_size" in [http, server] [1];
        "quic_retry" in [http, server] [1];
        "quic_gso" in [http, server] [1];
        "quic_host_key" in [http, server] [1];
        "quic_active_connection_id_limit" in [http, server] [1];
    }
}

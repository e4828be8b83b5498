//! `stream {}`: its directives are checked for name, place and number of arguments, no more.

use weir_conf::{Cx, Fault, Node, Slot, directives};

/// Proxying of TCP and UDP.
pub(super) static STREAM: Slot<Stream> = Slot::new();

directives! {
    /// Proxying of TCP and UDP.
    pub(super) struct Stream as StreamWritten in [stream] {
        "stream" in [main] opens stream [0]: "{ … }" => warn,
        // stream
        // stream_access
        "allow" in [stream, stream_server] [1]: "" => inert,
        "deny" in [stream, stream_server] [1]: "" => inert,
        // stream_core
        "variables_hash_max_size" in [stream] [1]: "" => inert,
        "variables_hash_bucket_size" in [stream] [1]: "" => inert,
        "server_names_hash_max_size" in [stream] [1]: "" => inert,
        "server_names_hash_bucket_size" in [stream] [1]: "" => inert,
        "server" in [stream] opens stream_server [0]: "{ … }",
        "listen" in [stream_server] [1+]: "" => inert,
        "server_name" in [stream_server] [1+]: "" => inert,
        "error_log" in [stream, stream_server] [1+]: "" => inert,
        "resolver" in [stream, stream_server] [1+]: "" => inert,
        "resolver_timeout" in [stream, stream_server] [1]: "" => inert,
        "proxy_protocol_timeout" in [stream, stream_server] [1]: "" => inert,
        "tcp_nodelay" in [stream, stream_server] [1]: "" => inert,
        "preread_buffer_size" in [stream, stream_server] [1]: "" => inert,
        "preread_timeout" in [stream, stream_server] [1]: "" => inert,
        // stream_geo
        "geo" in [stream] block [1, 2]: "" => inert,
        // stream_geoip
        "geoip_country" in [stream] [1, 2]: "" => inert,
        "geoip_org" in [stream] [1, 2]: "" => inert,
        "geoip_city" in [stream] [1, 2]: "" => inert,
        // stream_limit_conn
        "limit_conn_zone" in [stream] [2]: "" => inert,
        "limit_conn" in [stream, stream_server] [2]: "" => inert,
        "limit_conn_log_level" in [stream, stream_server] [1]: "" => inert,
        "limit_conn_dry_run" in [stream, stream_server] [1]: "" => inert,
        // stream_log
        "log_format" in [stream] [2+]: "" => inert,
        "access_log" in [stream, stream_server] [1+]: "" => inert,
        "open_log_file_cache" in [stream, stream_server] [1, 2, 3, 4]: "" => inert,
        // stream_map
        "map" in [stream] block [2]: "" => inert,
        "map_hash_max_size" in [stream] [1]: "" => inert,
        "map_hash_bucket_size" in [stream] [1]: "" => inert,
        // stream_pass
        "pass" in [stream_server] [1]: "" => inert,
        // stream_proxy
        "proxy_pass" in [stream_server] [1]: "" => inert,
        "proxy_bind" in [stream, stream_server] [1, 2]: "" => inert,
        "proxy_socket_keepalive" in [stream, stream_server] [1]: "" => inert,
        "proxy_socket_rcvbuf" in [stream, stream_server] [1]: "" => inert,
        "proxy_socket_sndbuf" in [stream, stream_server] [1]: "" => inert,
        "proxy_connect_timeout" in [stream, stream_server] [1]: "" => inert,
        "proxy_timeout" in [stream, stream_server] [1]: "" => inert,
        "proxy_buffer_size" in [stream, stream_server] [1]: "" => inert,
        "proxy_downstream_buffer" in [stream, stream_server] [1]: "" => inert,
        "proxy_upstream_buffer" in [stream, stream_server] [1]: "" => inert,
        "proxy_upload_rate" in [stream, stream_server] [1]: "" => inert,
        "proxy_download_rate" in [stream, stream_server] [1]: "" => inert,
        "proxy_requests" in [stream, stream_server] [1]: "" => inert,
        "proxy_responses" in [stream, stream_server] [1]: "" => inert,
        "proxy_next_upstream" in [stream, stream_server] [1]: "" => inert,
        "proxy_next_upstream_tries" in [stream, stream_server] [1]: "" => inert,
        "proxy_next_upstream_timeout" in [stream, stream_server] [1]: "" => inert,
        "proxy_protocol" in [stream, stream_server] [1]: "" => inert,
        "proxy_half_close" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_session_reuse" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_protocols" in [stream, stream_server] [1+]: "" => inert,
        "proxy_ssl_ciphers" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_name" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_server_name" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_alpn" in [stream, stream_server] [1+]: "" => inert,
        "proxy_ssl_verify" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_verify_depth" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_trusted_certificate" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_crl" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_certificate" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_certificate_key" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_certificate_cache" in [stream, stream_server] [1, 2, 3]: "" => inert,
        "proxy_ssl_password_file" in [stream, stream_server] [1]: "" => inert,
        "proxy_ssl_conf_command" in [stream, stream_server] [2]: "" => inert,
        // stream_realip
        "set_real_ip_from" in [stream, stream_server] [1]: "" => inert,
        // stream_return
        "return" in [stream_server] [1]: "" => inert,
        // stream_set
        "set" in [stream_server] [2]: "" => inert,
        // stream_split_clients
        "split_clients" in [stream] block [2]: "" => inert,
        // stream_ssl
        "ssl_handshake_timeout" in [stream, stream_server] [1]: "" => inert,
        "ssl_certificate" in [stream, stream_server] [1]: "" => inert,
        "ssl_certificate_key" in [stream, stream_server] [1]: "" => inert,
        "ssl_certificate_cache" in [stream, stream_server] [1, 2, 3]: "" => inert,
        "ssl_ech_file" in [stream, stream_server] [1]: "" => inert,
        "ssl_password_file" in [stream, stream_server] [1]: "" => inert,
        "ssl_certificate_compression" in [stream, stream_server] [1]: "" => inert,
        "ssl_dhparam" in [stream, stream_server] [1]: "" => inert,
        "ssl_ecdh_curve" in [stream, stream_server] [1]: "" => inert,
        "ssl_protocols" in [stream, stream_server] [1+]: "" => inert,
        "ssl_ciphers" in [stream, stream_server] [1]: "" => inert,
        "ssl_verify_client" in [stream, stream_server] [1]: "" => inert,
        "ssl_verify_depth" in [stream, stream_server] [1]: "" => inert,
        "ssl_client_certificate" in [stream, stream_server] [1]: "" => inert,
        "ssl_trusted_certificate" in [stream, stream_server] [1]: "" => inert,
        "ssl_prefer_server_ciphers" in [stream, stream_server] [1]: "" => inert,
        "ssl_session_cache" in [stream, stream_server] [1, 2]: "" => inert,
        "ssl_session_tickets" in [stream, stream_server] [1]: "" => inert,
        "ssl_session_ticket_key" in [stream, stream_server] [1]: "" => inert,
        "ssl_session_timeout" in [stream, stream_server] [1]: "" => inert,
        "ssl_crl" in [stream, stream_server] [1]: "" => inert,
        "ssl_ocsp" in [stream, stream_server] [1]: "" => inert,
        "ssl_ocsp_responder" in [stream, stream_server] [1]: "" => inert,
        "ssl_ocsp_cache" in [stream, stream_server] [1]: "" => inert,
        "ssl_stapling" in [stream, stream_server] [1]: "" => inert,
        "ssl_stapling_file" in [stream, stream_server] [1]: "" => inert,
        "ssl_stapling_responder" in [stream, stream_server] [1]: "" => inert,
        "ssl_stapling_verify" in [stream, stream_server] [1]: "" => inert,
        "ssl_conf_command" in [stream, stream_server] [2]: "" => inert,
        "ssl_reject_handshake" in [stream, stream_server] [1]: "" => inert,
        "ssl_alpn" in [stream, stream_server] [1+]: "" => inert,
        // stream_ssl_preread
        "ssl_preread" in [stream, stream_server] [1]: "" => inert,
        // stream_upstream
        "upstream" in [stream] opens stream_upstream [1]: "{ … }",
        "server" in [stream_upstream] [1+]: "" => inert,
        "resolver" in [stream_upstream] [1+]: "" => inert,
        "resolver_timeout" in [stream_upstream] [1]: "" => inert,
        // stream_upstream_hash
        "hash" in [stream_upstream] [1, 2]: "" => inert,
        // stream_upstream_least_conn
        "least_conn" in [stream_upstream] [0]: "" => inert,
        // stream_upstream_least_time
        "least_time" in [stream_upstream] [1, 2]: "" => inert,
        // stream_upstream_random
        "random" in [stream_upstream] [0, 1, 2]: "" => inert,
        // stream_upstream_zone
        "zone" in [stream_upstream] [1, 2]: "" => inert,
    }
}

fn warn(_: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    cx.warn(format!("\"{}\" directive is not supported yet and has no effect", node.text()));
    Ok(())
}

fn inert(_: &mut StreamWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    Ok(())
}

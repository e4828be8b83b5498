//! The variables of the core
//! (<https://nginx.org/en/docs/http/ngx_http_core_module.html#variables>).

use super::VariableRow as Row;
use super::{connection, head, request_line, response};
use crate::module::Module;

/// The core as a module, for its variables.
pub(crate) const MODULE: Module = Module { name: "core", variables: ROWS, ..Module::NONE };

const ROWS: &[Row] = &[
    Row::prefix(
        "http_",
        "The field of this name in the request, in lower case with underscores for dashes.",
        head::http,
    ),
    Row::prefix("cookie_", "The request's cookie of this name.", head::cookie),
    Row::prefix(
        "arg_",
        "The argument of this name in the query string; names are compared without regard to case.",
        request_line::arg,
    ),
    Row::prefix(
        "sent_http_",
        "The field of this name in the response, in lower case with underscores for dashes.",
        response::sent_http,
    ),
    Row::prefix(
        "sent_trailer_",
        "The trailer field of this name in the response.",
        response::sent_trailer,
    ),
    Row::prefix(
        "proxy_protocol_tlv_",
        "A value of the PROXY protocol's header, by number (`0x01`) or name (`alpn`, `authority`, \
         `unique_id`, `netns`, `ssl_version`, `ssl_cn`, …).",
        connection::proxy_protocol_tlv,
    ),
    Row::new(
        "http_cookie",
        "The request's `Cookie` fields, joined with semicolons.",
        head::http_cookie,
    ),
    Row::new(
        "http_x_forwarded_for",
        "The request's `X-Forwarded-For` fields, joined with commas.",
        head::x_forwarded_for,
    ),
    Row::new("content_length", "The `Content-Length` of the request.", head::content_length),
    Row::new("content_type", "The `Content-Type` of the request.", head::content_type),
    Row::new(
        "host",
        "The host of the request line, or of `Host`, or the server's name; in lower case, without \
         the port.",
        head::host,
    ),
    Row::new(
        "request_port",
        "The port of the request line or of `Host`; empty if there is none.",
        head::request_port,
    ),
    Row::new(
        "is_request_port",
        "`:` if `$request_port` is not empty, otherwise empty.",
        head::is_request_port,
    ),
    Row::new("remote_user", "The user name of Basic authentication.", head::remote_user),
    Row::new("request_method", "The method, for example `GET`.", request_line::method),
    Row::new("request", "The whole request line as it was received.", request_line::request),
    Row::new(
        "request_uri",
        "The URI with its query string as it was received.",
        request_line::request_uri,
    ),
    Row::new(
        "uri",
        "The path of the request at hand: decoded, normalised, and as internal redirects have \
         changed it.",
        request_line::uri,
    ),
    Row::new("document_uri", "The same as `$uri`.", request_line::uri),
    Row::new("args", "The query string. `set $args` replaces it.", request_line::args)
        .settable(request_line::set_args),
    Row::new("query_string", "The same as `$args`.", request_line::args),
    Row::new("is_args", "`?` if there is a query string, otherwise empty.", request_line::is_args),
    Row::new("scheme", "`http` or `https`.", request_line::scheme),
    Row::new("https", "`on` over TLS, otherwise empty.", request_line::https),
    Row::new(
        "server_protocol",
        "The protocol of the request, for example `HTTP/1.1` or `HTTP/2.0`.",
        request_line::protocol,
    ),
    Row::new(
        "document_root",
        "The `root` or `alias` of the location.",
        request_line::document_root,
    ),
    Row::new(
        "realpath_root",
        "The folder of `root` or `alias` without symbolic links.",
        request_line::realpath_root,
    ),
    Row::new(
        "request_filename",
        "The path of the requested file, from `root` or `alias` and the URI.",
        request_line::filename,
    ),
    Row::new(
        "request_body",
        "The request body, while it lies in one piece of memory.",
        request_line::body,
    ),
    Row::new("request_body_file", "The file that holds the request body.", request_line::body_file),
    Row::new("request_length", "Bytes of the request: line, head and body.", request_line::length),
    Row::new(
        "request_id",
        "An identifier of the request, 32 random hexadecimal digits.",
        request_line::id,
    )
    .cached(),
    Row::new(
        "binary_remote_addr",
        "The client's address in bytes: 4 of IPv4, 16 of IPv6. The usual key of limits.",
        connection::binary_remote_addr,
    ),
    Row::new("remote_addr", "The client's address.", connection::remote_addr),
    Row::new("remote_port", "The client's port.", connection::remote_port),
    Row::new(
        "proxy_protocol_addr",
        "The client's address in the PROXY protocol's header.",
        connection::proxy_protocol_addr,
    ),
    Row::new(
        "proxy_protocol_port",
        "The client's port in the PROXY protocol's header.",
        connection::proxy_protocol_port,
    ),
    Row::new(
        "proxy_protocol_server_addr",
        "The server's address in the PROXY protocol's header.",
        connection::proxy_protocol_server_addr,
    ),
    Row::new(
        "proxy_protocol_server_port",
        "The server's port in the PROXY protocol's header.",
        connection::proxy_protocol_server_port,
    ),
    Row::new("server_addr", "The address that accepted the request.", connection::server_addr),
    Row::new("server_port", "The port that accepted the request.", connection::server_port),
    Row::new(
        "server_name",
        "The name of the server block that serves the request.",
        connection::server_name,
    ),
    Row::new("connection", "The connection's number.", connection::number),
    Row::new(
        "connection_requests",
        "The number of requests on this connection so far.",
        connection::requests,
    ),
    Row::new(
        "connection_time",
        "Seconds since the connection was accepted, with milliseconds.",
        connection::time,
    ),
    Row::new(
        "tcpinfo_rtt",
        "The round-trip time of the client's connection, in microseconds.",
        connection::tcpinfo_rtt,
    ),
    Row::new(
        "tcpinfo_rttvar",
        "The variation of the round-trip time, in microseconds.",
        connection::tcpinfo_rttvar,
    ),
    Row::new(
        "tcpinfo_snd_cwnd",
        "The congestion window of the client's connection, in packets.",
        connection::tcpinfo_snd_cwnd,
    ),
    Row::new(
        "tcpinfo_rcv_space",
        "The receive window that the kernel has for the client's connection, in bytes.",
        connection::tcpinfo_rcv_space,
    ),
    Row::new("hostname", "The name of the machine.", connection::hostname),
    Row::new(
        "nginx_version",
        "The version of nginx whose behaviour Weir follows.",
        connection::nginx_version,
    ),
    Row::new("pid", "The number of the worker process.", connection::pid),
    Row::new("status", "The status of the response.", response::status),
    Row::new("bytes_sent", "Bytes sent to the client, with the head.", response::bytes_sent),
    Row::new(
        "body_bytes_sent",
        "Bytes sent to the client, without the head.",
        response::body_bytes_sent,
    ),
    Row::new(
        "request_time",
        "Seconds since the first bytes of the request, with milliseconds.",
        response::request_time,
    ),
    Row::new(
        "request_completion",
        "`OK` if the request was completed, otherwise empty.",
        response::request_completion,
    ),
    Row::new("pipe", "`p` if the request was pipelined, otherwise `.`.", response::pipe),
    Row::new(
        "limit_rate",
        "The speed limit of the response in bytes a second. `set $limit_rate` changes it.",
        response::limit_rate,
    )
    .settable(response::set_limit_rate),
    Row::new("msec", "The time in seconds since 1970, with milliseconds.", response::msec),
    Row::new(
        "time_local",
        "The local time as the access logs of web servers write it.",
        response::time_local,
    ),
    Row::new("time_iso8601", "The local time as ISO 8601 writes it.", response::time_iso8601),
    Row::new(
        "weir_time",
        "The local time with milliseconds, as RFC 3339 writes it.",
        response::weir_time,
    ),
    Row::new(
        "weir_trace_id",
        "The identifier of the request's trace: `$otel_trace_id` if it is in use, or else the one \
         that the client's `traceparent` names.",
        request_line::trace_id,
    ),
];

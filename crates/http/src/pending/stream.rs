//! `stream {}`: checked as in nginx, but not served yet.

use weir_conf::value::{Msec, Off, Pair, Size};
use weir_conf::{Block, Contexts, Cx, Fault, Local, Many, Node, Slot, Table, directives};
use weir_edge::access::Rules;
use weir_edge::access_log::Logging;
use weir_edge::limit_conn::{self, Limit};
use weir_edge::value::{LimitLevel, SizeTemplate};
use weir_engine::url::{UrlOptions, parse_url};
use weir_script::variables::StreamVariables;
use weir_script::{GeoBlock, MapBlock, SplitClientsBlock, Template, variables::variables};
use weir_upstream::{ResolverConfig, Side, Upstreams};

use super::servers::{ComputedAlpn, Kind, ProxyProtocol, ServerPorts, TrustedNetwork, no_listen};
use super::transport::StreamTls;
use crate::core::types::table_sizes;
use crate::pass::transfer::Bind;
use weir_edge::tls::values::{CertificateCache, Passwords, ProtocolSet};

static STREAM: Slot<Stream> = Slot::new();
static PROXY: Slot<StreamProxy> = Slot::new();
static TLS: Slot<StreamTls> = Slot::new();
static LOG: Slot<Logging> = Slot::new();

/// The tables of the directives in `stream {}`.
pub(super) const TABLES: &[&Table] =
    &[&Stream::table(&STREAM), &StreamProxy::table(&PROXY), &StreamTls::table(&TLS), &LOGGING];

/// The contexts of http and their equivalents in stream.
const LEVELS: &[(Contexts, Contexts)] =
    &[(Contexts::HTTP, Contexts::STREAM), (Contexts::SERVER, Contexts::STREAM_SERVER)];

const LOGGING: Table = Logging::table(&LOG).moved(LEVELS);

directives! {
    /// Proxying of TCP and UDP.
    pub(super) struct Stream as StreamWritten in [stream, stream_server] {
        "stream" in [main] opens stream [0]: "{ … }" then close_stream => open_stream,
        "server" in [stream] opens stream_server [0]: "{ … }" then close_server,
        "listen" in [stream_server] [1+]: "" => add_listen,
        "server_name" in [stream_server] [1+]: "" => add_names,
        "allow" [1]: "" => add_rule,
        "deny" [1]: "" => add_rule,
        "limit_conn_zone" in [stream] [2, 3]: "" => define_zone,
        "limit_conn" [2]: "" => add_limit,
        "set_real_ip_from" => real_ip: Many<TrustedNetwork>,
        "set" in [stream_server] [2]: "" => set_variable,
        "map" in [stream] => maps: Many<MapBlock>,
        "geo" in [stream] => geos: Many<GeoBlock>,
        "split_clients" in [stream] => split_clients: Many<SplitClientsBlock>,
        "pass" in [stream_server] [1]: "" => set_pass,
        "variables_hash_max_size" in [stream] => variables_hash_max_size: u64 = 1024,
        "variables_hash_bucket_size" in [stream] => variables_hash_bucket_size: u64 = 64,
        "server_names_hash_max_size" in [stream] => server_names_hash_max_size: u64,
        "server_names_hash_bucket_size" in [stream] => server_names_hash_bucket_size: u64,
        "resolver" => resolver: Option<ResolverConfig>,
        "resolver_timeout" => resolver_timeout: Msec = Msec::seconds(60),
        "proxy_protocol_timeout" => proxy_protocol_timeout: Msec = Msec::seconds(60),
        "tcp_nodelay" => tcp_nodelay: bool,
        "preread_buffer_size" => preread_buffer_size: Size,
        "preread_timeout" => preread_timeout: Msec = Msec::seconds(60),
        "limit_conn_log_level" => limit_conn_log_level: LimitLevel = LimitLevel::Error,
        "limit_conn_dry_run" => limit_conn_dry_run: bool,
        "map_hash_max_size" in [stream] => map_hash_max_size: u64,
        "map_hash_bucket_size" in [stream] => map_hash_bucket_size: u64,
        "return" in [stream_server] => answer: Option<Template>,
        "ssl_preread" => ssl_preread: bool,
        field opened: Local<bool>,
        field listens: Local<bool>,
        field passes: Local<bool>,
        field limits: Local<Vec<Limit>>,
    }
    finish = Stream::finish;
}

directives! {
    /// The upstreams of connections.
    pub(super) struct StreamProxy as StreamProxyWritten in [stream, stream_server] {
        "proxy_pass" in [stream_server] [1]: "" => set_proxy_pass,
        "proxy_bind" => proxy_bind: Option<Off<Bind>>,
        "proxy_socket_keepalive" => proxy_socket_keepalive: bool,
        "proxy_socket_rcvbuf" => proxy_socket_rcvbuf: Size,
        "proxy_socket_sndbuf" => proxy_socket_sndbuf: Size,
        "proxy_connect_timeout" => proxy_connect_timeout: Msec = Msec::seconds(60),
        "proxy_timeout" => proxy_timeout: Msec = Msec::seconds(60),
        "proxy_buffer_size" => proxy_buffer_size: Size,
        "proxy_downstream_buffer" => proxy_downstream_buffer: Size,
        "proxy_upstream_buffer" => proxy_upstream_buffer: Size,
        "proxy_upload_rate" => proxy_upload_rate: Option<SizeTemplate>,
        "proxy_download_rate" => proxy_download_rate: Option<SizeTemplate>,
        "proxy_requests" => proxy_requests: u64,
        "proxy_responses" => proxy_responses: u64,
        "proxy_next_upstream" => proxy_next_upstream: bool,
        "proxy_next_upstream_tries" => proxy_next_upstream_tries: u64,
        "proxy_next_upstream_timeout" => proxy_next_upstream_timeout: Msec = Msec::seconds(60),
        "proxy_protocol" => proxy_protocol: ProxyProtocol = ProxyProtocol::Off,
        "proxy_half_close" => proxy_half_close: bool,
        "proxy_ssl" => proxy_ssl: bool,
        "proxy_ssl_session_reuse" => proxy_ssl_session_reuse: bool,
        "proxy_ssl_protocols" => proxy_ssl_protocols: ProtocolSet,
        "proxy_ssl_ciphers" => proxy_ssl_ciphers: String,
        "proxy_ssl_name" => proxy_ssl_name: Option<Template>,
        "proxy_ssl_server_name" => proxy_ssl_server_name: bool,
        "proxy_ssl_alpn" => proxy_ssl_alpn: Option<ComputedAlpn>,
        "proxy_ssl_verify" => proxy_ssl_verify: bool,
        "proxy_ssl_verify_depth" => proxy_ssl_verify_depth: u64,
        "proxy_ssl_trusted_certificate" => proxy_ssl_trusted_certificate: String,
        "proxy_ssl_crl" => proxy_ssl_crl: String,
        "proxy_ssl_certificate" => proxy_ssl_certificate: Option<Template>,
        "proxy_ssl_certificate_key" => proxy_ssl_certificate_key: Option<Template>,
        "proxy_ssl_certificate_cache" => proxy_ssl_certificate_cache: CertificateCache,
        "proxy_ssl_password_file" => proxy_ssl_password_file: Passwords,
        "proxy_ssl_conf_command" => proxy_ssl_conf_command: Many<Pair>,
        field destination: Local<bool>,
    }
}

impl Stream {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let cut = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        let (max, bucket) = (self.variables_hash_max_size, self.variables_hash_bucket_size);
        match cx.context() == Contexts::STREAM {
            true => table_sizes("variables", cut(max), cut(bucket)),
            false => Ok(()),
        }
    }
}

fn open_stream(own: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.opened.replace(true).is_some() {
        return Err(Fault::duplicate());
    }
    cx.no_effect(format!("\"{}\" directive is not supported yet and has no effect", node.text()));
    Ok(())
}

/// Reports unknown variables, as nginx does at the end of the block.
fn close_stream(_: &mut StreamWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let StreamVariables(used) = cx.registry();
    let unknown = used.names().find(|&(id, name)| !used.is_defined(id) && !is_known(name));
    match unknown {
        Some((_, name)) => Err(Fault::new(format!("unknown \"{name}\" variable")).nowhere()),
        None => Ok(()),
    }
}

fn close_server(own: &mut StreamWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    match own.listens {
        Some(_) => Ok(()),
        None => Err(no_listen(cx)),
    }
}

fn add_listen(own: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    own.listens = Some(true);
    ServerPorts::add(Kind::Stream, node, cx).map(|_| ())
}

fn add_names(_: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    crate::core::server_name::check(node, cx)
}

fn add_rule(_: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    Rules::default().add(node, cx)
}

fn define_zone(_: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    limit_conn::define_zone(node, cx)
}

fn add_limit(own: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    Limit::add(own.limits.get_or_insert_default(), node, cx)
}

fn set_variable(_: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let vars = variables(cx);
    vars.define_word(&node.args[0].value)?;
    Template::compile(&node.args[1].value, vars)?;
    Ok(())
}

const URL: UrlOptions<'static> = UrlOptions { default_port: 0, uri_part: false, lookup: None };

fn set_pass(own: &mut StreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.passes.replace(true).is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    if Template::compile(&word.value, variables(cx))?.literal().is_none() {
        return Ok(());
    }
    let text = word.text();
    let url = parse_url(&text, URL)
        .map_err(|why| Fault::new(format!("{why} in \"{text}\" of the \"pass\" directive")))?;
    if url.addresses.is_empty() {
        return Err(Fault::directive("has no addresses"));
    }
    match url.has_port || url.is_unix() {
        true => Ok(()),
        false => Err(Fault::directive("has no port")),
    }
}

fn set_proxy_pass(own: &mut StreamProxyWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.destination.replace(true).is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    if Template::compile(&word.value, variables(cx))?.literal().is_none() {
        return Ok(());
    }
    let text = word.text();
    let url = parse_url(&text, URL)
        .map_err(|why| Fault::new(format!("{why} in upstream \"{text}\"")).at(word))?;
    let place = cx.span();
    cx.registry::<Upstreams>().refer(Side::Stream, &url, place)?;
    Ok(())
}

/// The `resolver` of `stream {}`, with its timeout in milliseconds.
pub(crate) fn resolver(root: &Block) -> Option<(ResolverConfig, u64)> {
    let stream = root.blocks.iter().find(|block| block.context == Contexts::STREAM)?;
    let own = stream.settings.get(&STREAM);
    Some((own.resolver.clone()?, own.resolver_timeout.0.as_millis() as u64))
}

/// Whether nginx's stream modules define a variable.
fn is_known(name: &str) -> bool {
    const PREFIXES: &[&str] = &["proxy_protocol_tlv_"];
    BUILT_IN.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[rustfmt::skip]
const BUILT_IN: &[&str] = &[
    "limit_conn_status", "realip_remote_addr", "realip_remote_port", "ssl_protocol",
    "ssl_cipher", "ssl_ciphers", "ssl_curve", "ssl_curves", "ssl_sigalg", "ssl_sigalgs",
    "ssl_session_id", "ssl_session_reused", "ssl_server_name", "ssl_alpn_protocol",
    "ssl_ech_status", "ssl_ech_outer_server_name", "ssl_client_cert", "ssl_client_raw_cert",
    "ssl_client_escaped_cert", "ssl_client_s_dn", "ssl_client_i_dn", "ssl_client_serial",
    "ssl_client_fingerprint", "ssl_client_verify", "ssl_client_v_start", "ssl_client_v_end",
    "ssl_client_v_remain", "ssl_client_sigalg", "ssl_preread_protocol",
    "ssl_preread_server_name", "ssl_preread_alpn_protocols", "upstream_addr",
    "upstream_bytes_sent", "upstream_connect_time", "upstream_first_byte_time",
    "upstream_session_time", "upstream_bytes_received", "binary_remote_addr", "remote_addr",
    "remote_port", "proxy_protocol_addr", "proxy_protocol_port", "proxy_protocol_server_addr",
    "proxy_protocol_server_port", "server_addr", "server_port", "server_name", "bytes_sent",
    "bytes_received", "session_time", "status", "connection", "nginx_version", "hostname",
    "pid", "msec", "time_iso8601", "time_local", "protocol",
];

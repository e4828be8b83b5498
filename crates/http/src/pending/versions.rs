//! HTTP/2 and HTTP/3 to clients.

use weir_conf::value::Size;
use weir_conf::{Arity, Cx, Fault, Many, Node, Slot, Table, Value, directives};
use weir_edge::tls::values::read_file;

static HTTP2: Slot<Http2> = Slot::new();
static HTTP3: Slot<Http3> = Slot::new();

/// The tables of the protocol versions.
pub(super) const TABLES: &[&Table] =
    &[&Http2::table(&HTTP2).unsupported(), &Http3::table(&HTTP3).unsupported()];

directives! {
    /// HTTP/2.
    pub(super) struct Http2 in [http, server] {
        "http2" => on: bool = false,
        "http2_recv_buffer_size" in [http] => recv_buffer_size: RecvBuffer,
        "http2_pool_size" => pool_size: Http2PoolSize,
        "http2_max_concurrent_streams" => max_concurrent_streams: u64 = 128,
        "http2_max_concurrent_pushes" => max_concurrent_pushes: Many<Obsolete>,
        "http2_max_requests" => max_requests: Many<Obsolete>,
        "http2_max_field_size" => max_field_size: Many<Obsolete>,
        "http2_max_header_size" => max_header_size: Many<Obsolete>,
        "http2_body_preread_size" => body_preread_size: PrereadSize,
        "http2_streams_index_size" => streams_index_size: PowerOfTwo,
        "http2_recv_timeout" => recv_timeout: Many<Obsolete>,
        "http2_idle_timeout" => idle_timeout: Many<Obsolete>,
        "http2_chunk_size" in [http, server, location] => chunk_size: ChunkSize,
        "http2_push_preload" in [http, server, location] => push_preload: Many<Obsolete>,
        "http2_push" in [http, server, location] => push: Many<Obsolete>,
    }
}

directives! {
    /// HTTP/3.
    pub(super) struct Http3 in [http, server] {
        "http3" => on: bool = false,
        "http3_hq" => hq: bool = false,
        "http3_max_concurrent_streams" => max_concurrent_streams: u64 = 128,
        "http3_stream_buffer_size" => stream_buffer_size: Size = Size::k(64),
        "quic_retry" => retry: bool = false,
        "quic_gso" => gso: bool = false,
        "quic_host_key" => host_key: Option<HostKey>,
        "quic_active_connection_id_limit" => active_connection_id_limit: u64 = 2,
    }
}

/// A directive that nginx itself ignores, with a warning that it is obsolete.
#[derive(Clone, Debug)]
pub(super) struct Obsolete;

/// The replacements of obsolete directives.
const INSTEAD: &[(&str, &str)] = &[
    ("http2_max_requests", "keepalive_requests"),
    ("http2_max_field_size", "large_client_header_buffers"),
    ("http2_max_header_size", "large_client_header_buffers"),
    ("http2_recv_timeout", "client_header_timeout"),
    ("http2_idle_timeout", "keepalive_timeout"),
];

impl Value for Obsolete {
    const SYNTAX: &'static str = "value";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let name = node.text();
        match INSTEAD.iter().find(|(old, _)| *old == name) {
            Some((_, new)) => cx.warn(format!(
                "the \"{name}\" directive is obsolete, use the \"{new}\" directive instead"
            )),
            None => cx.warn(format!("the \"{name}\" directive is obsolete, ignored")),
        }
        Ok(Self)
    }
}

/// `http2_recv_buffer_size`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecvBuffer;

impl Value for RecvBuffer {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        /// The number of bytes that nginx reserves for an incomplete frame.
        const RESERVED: u64 = 16;
        match Size::parse(node, cx)?.0 {
            0..=RESERVED => Err(Fault::directive("value is too small")),
            _ => Ok(Self),
        }
    }
}

/// `http2_pool_size`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Http2PoolSize;

impl Value for Http2PoolSize {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        crate::core::limits::PoolSize::parse(node, cx).map(|_| Self)
    }
}

/// `http2_body_preread_size`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PrereadSize;

impl Value for PrereadSize {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        /// The largest window (RFC 9113, section 6.9.1).
        const LARGEST: u64 = (1 << 31) - 1;
        if Size::parse(node, cx)?.0 > LARGEST {
            let message = format!("the maximum body preread buffer size is {LARGEST}");
            return Err(Fault::new(message));
        }
        Ok(Self)
    }
}

/// `http2_streams_index_size`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PowerOfTwo;

impl Value for PowerOfTwo {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        match u64::parse(node, cx)?.is_power_of_two() {
            true => Ok(Self),
            false => Err(Fault::directive("must be a power of two")),
        }
    }
}

/// `http2_chunk_size`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkSize;

impl Value for ChunkSize {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        match Size::parse(node, cx)?.0 {
            0 => Err(Fault::new("the http2 chunk size cannot be zero")),
            _ => Ok(Self),
        }
    }
}

/// `quic_host_key`: a file that is read with the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostKey;

impl Value for HostKey {
    const SYNTAX: &'static str = "file";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (path, text) = read_file(node, cx)?;
        match text.is_empty() {
            true => Err(Fault::new(format!("\"{}\" zero key size", path.display()))),
            false => Ok(Self),
        }
    }
}

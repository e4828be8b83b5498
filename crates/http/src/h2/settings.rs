//! The directives of nginx's `ngx_http_v2_module`.
//! <https://nginx.org/en/docs/http/ngx_http_v2_module.html>

use weir_conf::value::Size;
use weir_conf::{Arity, Cx, Fault, Many, Node, Slot, Table, Value, directives};

use crate::core::limits::PoolSize;

/// The `http2` settings.
pub(crate) static HTTP2: Slot<Http2> = Slot::new();

/// Their table.
pub(crate) const TABLE: &Table = &Http2::table(&HTTP2);

directives! {
    /// HTTP/2 with clients.
    pub(crate) struct Http2 in [http, server] {
        /// Enables HTTP/2: by ALPN on TLS listeners, by prior knowledge on others.
        "http2" => on: bool = false,
        /// The maximum number of requests that a connection may have under way.
        "http2_max_concurrent_streams" => max_concurrent_streams: u64 = 128,
        /// The number of bytes of a request's body that a client may send before they are read: the
        /// window that new streams have.
        "http2_body_preread_size" => body_preread_size: PrereadSize = PrereadSize(64 * 1024),
        /// The maximum size of the pieces that a response's body is divided into.
        "http2_chunk_size" in [http, server, location] => chunk_size: ChunkSize
            = ChunkSize(8 * 1024),
        /// Has no effect: all connections of a thread share buffers.
        "http2_recv_buffer_size" in [http] => recv_buffer_size: RecvBuffer
            = RecvBuffer(256 * 1024),
        /// Has no effect: there are no memory pools.
        "http2_pool_size" => pool_size: PoolSize = PoolSize(4096),
        /// Has no effect: the table of streams grows as needed.
        "http2_streams_index_size" => streams_index_size: PowerOfTwo = PowerOfTwo(32),
        /// Has no effect, as in nginx: `keepalive_requests` is the limit.
        "http2_max_requests" => max_requests: Many<Obsolete>,
        /// Has no effect, as in nginx: `large_client_header_buffers` is the limit.
        "http2_max_field_size" => max_field_size: Many<Obsolete>,
        /// Has no effect, as in nginx: `large_client_header_buffers` is the limit.
        "http2_max_header_size" => max_header_size: Many<Obsolete>,
        /// Has no effect, as in nginx: `client_header_timeout` is the limit.
        "http2_recv_timeout" => recv_timeout: Many<Obsolete>,
        /// Has no effect, as in nginx: `keepalive_timeout` is the limit.
        "http2_idle_timeout" => idle_timeout: Many<Obsolete>,
        /// Has no effect, as in nginx: browsers have abandoned server push.
        "http2_max_concurrent_pushes" => max_concurrent_pushes: Many<Obsolete>,
        /// Has no effect, as in nginx: browsers have abandoned server push.
        "http2_push_preload" in [http, server, location] => push_preload: Many<Obsolete>,
        /// Has no effect, as in nginx: browsers have abandoned server push.
        "http2_push" in [http, server, location] => push: Many<Obsolete>,
    }
}

/// A directive that nginx itself ignores, with a warning that it is obsolete.
#[derive(Clone, Debug)]
pub(crate) struct Obsolete;

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

/// `http2_recv_buffer_size`. Only nginx's check applies to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecvBuffer(u64);

impl Value for RecvBuffer {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        /// The number of bytes that nginx reserves for an incomplete frame.
        const RESERVED: u64 = 16;
        match Size::parse(node, cx)?.0 {
            0..=RESERVED => Err(Fault::directive("value is too small")),
            bytes => Ok(Self(bytes)),
        }
    }

    fn show(&self) -> Option<String> {
        Size(self.0).show()
    }
}

/// `http2_body_preread_size`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrereadSize(pub u32);

impl Value for PrereadSize {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        /// The largest window (RFC 9113, section 6.9.1).
        const LARGEST: u32 = (1 << 31) - 1;
        match u32::try_from(Size::parse(node, cx)?.0) {
            Ok(bytes @ ..=LARGEST) => Ok(Self(bytes)),
            _ => Err(Fault::new(format!("the maximum body preread buffer size is {LARGEST}"))),
        }
    }

    fn show(&self) -> Option<String> {
        Size(self.0.into()).show()
    }
}

/// `http2_streams_index_size`. Only nginx's check applies to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PowerOfTwo(u64);

impl Value for PowerOfTwo {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        match u64::parse(node, cx)? {
            number if number.is_power_of_two() => Ok(Self(number)),
            _ => Err(Fault::directive("must be a power of two")),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// `http2_chunk_size`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkSize(pub u32);

impl Value for ChunkSize {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        /// The largest frame (RFC 9113, section 4.2).
        const LARGEST: u64 = (1 << 24) - 1;
        match Size::parse(node, cx)?.0 {
            0 => Err(Fault::new("the http2 chunk size cannot be zero")),
            bytes => Ok(Self(bytes.min(LARGEST) as u32)),
        }
    }

    fn show(&self) -> Option<String> {
        Size(self.0.into()).show()
    }
}

//! HTTP/3 to clients.

use weir_conf::value::Size;
use weir_conf::{Arity, Cx, Fault, Node, Slot, Table, Value, directives};
use weir_edge::tls::values::read_file;

static HTTP3: Slot<Http3> = Slot::new();

/// The tables of the protocol versions.
pub(super) const TABLES: &[&Table] = &[&Http3::table(&HTTP3).unsupported()];

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

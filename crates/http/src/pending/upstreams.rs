//! gRPC: its own directives, and those shared with `proxy_`. They are only checked.

use weir_conf::value::Pair;
use weir_conf::{Contexts, Cx, Fault, Many, Slot, Table, directives};
use weir_script::{Template, Variables};

use crate::pass::tls::UpstreamTls;
use crate::pass::transfer::Transfer;

static GRPC: Slot<Grpc> = Slot::new();
static GRPC_TRANSFER: Slot<Transfer> = Slot::new();
static GRPC_TLS: Slot<UpstreamTls> = Slot::new();

/// The `Transfer` rows that gRPC lacks: it has no buffers, files and bodies for them. Rows that
/// Weir adds come with the protocol.
const NOT_GRPC: &[&str] = &[
    "buffering",
    "request_buffering",
    "ignore_client_abort",
    "send_lowat",
    "pass_request_headers",
    "pass_request_body",
    "pass_trailers",
    "buffers",
    "busy_buffers_size",
    "force_ranges",
    "limit_rate",
    "temp_path",
    "max_temp_file_size",
    "temp_file_write_size",
    "store",
    "store_access",
    "count_broken",
    "next_upstream_try_timeout",
    "next_upstream_budget",
];

/// The tables of the protocol.
pub(super) const TABLES: &[&Table] = &[
    &Grpc::table(&GRPC).unsupported(),
    &Transfer::table(&GRPC_TRANSFER).prefix("grpc_").except(NOT_GRPC).unsupported(),
    &UpstreamTls::table(&GRPC_TLS).prefix("grpc_ssl_").unsupported(),
];

directives! {
    /// gRPC.
    pub(super) struct Grpc in [http, server, location] {
        "grpc_set_header" => set_header: Many<Pair>,
    }
    finish = Grpc::finish;
}

impl Grpc {
    /// Compiles the values to report their faults. Those of `http {}` are compiled in the servers
    /// that inherit them.
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if cx.context() == Contexts::HTTP {
            return Ok(());
        }
        let vars = cx.registry::<Variables>();
        for pair in &self.set_header {
            Template::compile(&pair.value.value, vars)?;
        }
        Ok(())
    }
}

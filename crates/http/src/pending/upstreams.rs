//! Upstream protocols other than HTTP/1: their own directives, and those shared with `proxy_`. They
//! are only checked.

use std::sync::Arc;

use weir_conf::value::Pair;
use weir_conf::{Arity, Contexts, Cx, Fault, Many, Node, Slot, Table, Value, directives};
use weir_script::{Template, Variables};

use crate::pass::tls::UpstreamTls;
use crate::pass::transfer::Transfer;

static UWSGI: Slot<Uwsgi> = Slot::new();
static UWSGI_TRANSFER: Slot<Transfer> = Slot::new();
static UWSGI_TLS: Slot<UpstreamTls> = Slot::new();
static GRPC: Slot<Grpc> = Slot::new();
static GRPC_TRANSFER: Slot<Transfer> = Slot::new();
static GRPC_TLS: Slot<UpstreamTls> = Slot::new();

/// The `Transfer` rows that gRPC lacks: it has no buffers, files and bodies for them.
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

/// The `Transfer` rows that uwsgi lacks. Rows that Weir adds come with the protocols.
const NOT_CGI: &[&str] = &[
    "pass_trailers",
    "send_lowat",
    "count_broken",
    "next_upstream_try_timeout",
    "next_upstream_budget",
];

/// The tables of the protocols.
pub(super) const TABLES: &[&Table] = &[
    &Uwsgi::table(&UWSGI).unsupported(),
    &Transfer::table(&UWSGI_TRANSFER).prefix("uwsgi_").except(NOT_CGI).unsupported(),
    &UpstreamTls::table(&UWSGI_TLS).prefix("uwsgi_ssl_").unsupported(),
    &Grpc::table(&GRPC).unsupported(),
    &Transfer::table(&GRPC_TRANSFER).prefix("grpc_").except(NOT_GRPC).unsupported(),
    &UpstreamTls::table(&GRPC_TLS).prefix("grpc_ssl_").unsupported(),
];

directives! {
    /// uwsgi.
    pub(super) struct Uwsgi in [http, server, location] {
        "uwsgi_modifier1" => modifier1: Byte,
        "uwsgi_modifier2" => modifier2: Byte,
        "uwsgi_param" => params: Many<Param>,
        "uwsgi_string" => string: String,
    }
    finish = Uwsgi::finish;
}

directives! {
    /// gRPC.
    pub(super) struct Grpc in [http, server, location] {
        "grpc_set_header" => set_header: Many<Pair>,
    }
    finish = Grpc::finish;
}

/// `uwsgi_param`: a name, a value with variables, `if_not_empty`.
#[derive(Clone, Debug)]
pub(super) struct Param(Arc<[u8]>);

impl Value for Param {
    const SYNTAX: &'static str = "parameter value [if_not_empty]";
    const ARITY: Arity = Arity::exactly(2).or(Arity::exactly(3));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        match node.args.get(2) {
            Some(word) if !word.is("if_not_empty") => Err(Fault::parameter(word)),
            _ => Ok(Self(node.args[1].value.as_slice().into())),
        }
    }
}

/// Compiles the values to report their faults. Those of `http {}` are compiled in the servers that
/// inherit them.
fn compile(values: impl Iterator<Item = impl AsRef<[u8]>>, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if cx.context() == Contexts::HTTP {
        return Ok(());
    }
    let vars = cx.registry::<Variables>();
    for value in values {
        Template::compile(value.as_ref(), vars)?;
    }
    Ok(())
}

impl Uwsgi {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        compile(self.params.iter().map(|param| &param.0), cx)
    }
}

impl Grpc {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        compile(self.set_header.iter().map(|pair| &pair.value.value), cx)
    }
}

/// A number from 0 to 255.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Byte;

impl Value for Byte {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let number = u64::parse(node, cx)?;
        if number > 255 {
            return Err(Fault::new("value must be between 0 and 255").at(&node.args[0]));
        }
        Ok(Self)
    }
}

//! `set_real_ip_from` (<https://nginx.org/en/docs/http/ngx_http_realip_module.html>).

use std::net::SocketAddr;
use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Node, Slot, Value, directives};
use weir_edge::realip::Trusted;
use weir_engine::Addr;
use weir_wire::header::Known;

use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::{Request, State};
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "realip",
    tables: &[&RealIp::table(&REAL_IP)],
    variables: &[
        VariableRow::new(
            "realip_remote_addr",
            "The address of the connection's peer, before `realip` replaced it.",
            remote_addr,
        ),
        VariableRow::new(
            "realip_remote_port",
            "The port of the connection's peer, before `realip` replaced it.",
            remote_port,
        ),
    ],
    handlers: &[handler(Phase::PostRead), handler(Phase::PreAccess)],
    ..Module::NONE
};

/// The settings of a server apply from the start, those of a location once it has been found.
const fn handler(phase: Phase) -> PhaseHandler {
    PhaseHandler {
        phase,
        enabled: |settings| settings.get(&REAL_IP).from.is_some(),
        handler: Handler::Sync(handle),
    }
}

static REAL_IP: Slot<RealIp> = Slot::new();
/// Whether the address has been determined.
static SETTLED: State<bool> = State::new(|| false);

directives! {
    /// Client addresses sent by proxies.
    pub(crate) struct RealIp as RealIpWritten in [http, server, location] {
        /// Trusts proxies with this address or in this network.
        "set_real_ip_from" [1]: "address | CIDR | unix: | name" => add_from,
        /// The source of the client's address.
        "real_ip_header" => header: AddressSource = AddressSource::RealIp,
        /// Searches a list of addresses backwards for the first one that is not trusted.
        "real_ip_recursive" => recursive: bool,
        field from: Inherit<Option<Arc<Trusted>>>,
    }
}

/// The source of the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AddressSource {
    /// `X-Real-IP`.
    RealIp,
    /// All lines of `X-Forwarded-For`.
    ForwardedFor,
    /// The header of the PROXY protocol.
    ProxyProtocol,
    /// The first line of another field.
    Field(Arc<[u8]>),
}

impl Value for AddressSource {
    const SYNTAX: &'static str = "field | X-Real-IP | X-Forwarded-For | proxy_protocol";
    const ARITY: weir_conf::Arity = weir_conf::Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        Ok(match &*node.args[0].value {
            b"X-Real-IP" => Self::RealIp,
            b"X-Forwarded-For" => Self::ForwardedFor,
            b"proxy_protocol" => Self::ProxyProtocol,
            other => Self::Field(other.into()),
        })
    }

    fn show(&self) -> Option<String> {
        (*self == Self::RealIp).then(|| "X-Real-IP".to_owned())
    }
}

fn add_from(own: &mut RealIpWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let from = own.from.get_or_insert_default().get_or_insert_default();
    Arc::make_mut(from).add(&node.args[0], cx)
}

fn handle(request: &mut Request) -> Verdict {
    if request.with_main(&SETTLED, |settled| *settled) {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let own = location.settings.get(&REAL_IP);
    let Some(from) = &own.from else { return Verdict::Next };
    if let Some(address) = told(request, own, from) {
        request.remote = Addr::Inet(address);
        request.with_main(&SETTLED, |settled| *settled = true);
    }
    Verdict::Next
}

/// The client's address from its source, if the peer is trusted.
fn told(request: &Request, own: &RealIp, from: &Trusted) -> Option<SocketAddr> {
    let (peer, head) = (&request.remote, &request.head);
    match &own.header {
        AddressSource::RealIp => from.forwarded(peer, head.get(Known::XRealIp), own.recursive),
        AddressSource::Field(name) => from.forwarded(peer, head.get_name(name), own.recursive),
        AddressSource::ForwardedFor => {
            let lines: Vec<&[u8]> = head
                .iter()
                .filter(|(name, ..)| name.eq_ignore_ascii_case(b"x-forwarded-for"))
                .map(|(_, value, _)| value)
                .collect();
            from.forwarded(peer, lines.into_iter().rev(), own.recursive)
        }
        AddressSource::ProxyProtocol => {
            from.proxied(peer, request.info.proxy_protocol.as_ref()?, own.recursive)
        }
    }
}

/// `$realip_remote_addr`: the original address.
fn remote_addr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    request.info.peer.write_ip(out);
    true
}

/// `$realip_remote_port`: the original port.
fn remote_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    if let Some(port @ 1..) = request.info.peer.port() {
        out.extend_from_slice(port.to_string().as_bytes());
    }
    true
}

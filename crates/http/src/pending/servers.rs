//! The code shared by the servers of `stream {}`, `mail {}` and http.

use std::collections::{HashMap, HashSet};

use weir_conf::{Arity, BlockId, Cx, Fault, Node, Span, Value, keywords};
use weir_edge::listen::{self, Options, Protocols};
use weir_edge::realip::Trusted;
use weir_engine::Addr;
use weir_script::Template;
use weir_script::variables::variables;

/// The kind of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Mail,
}

/// The addresses of the servers so far. A registry of the assembly.
#[derive(Default)]
pub(super) struct ServerPorts {
    /// The addresses of `stream {}`.
    known: listen::Ports<u32>,
    /// The addresses of `mail {}`, which two servers cannot share.
    taken: HashSet<Addr>,
    /// Addresses with a default server.
    led: HashSet<(Addr, bool)>,
    /// Servers with TLS, each with the position that nginx names.
    with_tls: HashMap<BlockId, Span>,
}

/// The parameters of `listen` for each kind of server.
fn parameters(kind: Kind) -> &'static [&'static str] {
    const MAIL: &[&str] = &[
        "bind",
        "backlog",
        "rcvbuf",
        "sndbuf",
        "ipv6only",
        "multipath",
        "ssl",
        "so_keepalive",
        "proxy_protocol",
    ];
    const STREAM: &[&str] = &[
        "default_server",
        "udp",
        "bind",
        "fastopen",
        "backlog",
        "rcvbuf",
        "sndbuf",
        "accept_filter",
        "deferred",
        "ipv6only",
        "reuseport",
        "multipath",
        "ssl",
        "so_keepalive",
        "proxy_protocol",
    ];
    match kind {
        Kind::Mail => MAIL,
        Kind::Stream => STREAM,
    }
}

impl ServerPorts {
    /// Adds the addresses of a `listen`. Returns the protocol of its port, if it is a mail
    /// protocol.
    pub(super) fn add(
        kind: Kind,
        node: &Node,
        cx: &mut Cx<'_>,
    ) -> Result<Option<&'static str>, Fault> {
        let addresses = listen::addresses(&node.args[0], 0, cx)?;
        let options = read(kind, node, cx)?;
        let (server, place) = (cx.block_id(), cx.span());
        let block = cx.block_span();
        let ports = cx.registry::<Self>();
        if options.protocols.has(Protocols::SSL) && kind == Kind::Mail {
            ports.with_tls.insert(server, place);
        }
        let mut warnings = Vec::new();
        for address in &addresses {
            if kind == Kind::Mail {
                if !ports.taken.insert(address.clone()) {
                    let message = format!("duplicate \"{address}\" address and port pair");
                    return Err(Fault::new(message));
                }
                continue;
            }
            let first = ports.led.insert((address.clone(), options.is_datagram()))
                || options.default_server;
            if first && options.protocols.has(Protocols::SSL) {
                ports.with_tls.insert(server, block);
            }
            warnings.extend(ports.known.add(server.0, address, &options)?);
        }
        warnings.into_iter().for_each(|warning| cx.warn(warning));
        Ok(addresses.first().and_then(|address| protocol(address.port()?)))
    }

    /// The position for messages, ` in FILE:LINE`, if the server of the current block uses TLS.
    pub(super) fn with_tls(cx: &mut Cx<'_>) -> Option<String> {
        let server = cx.block_id();
        let place = cx.registry::<Self>().with_tls.get(&server).copied()?;
        Some(cx.sources().place(place))
    }
}

fn read(kind: Kind, node: &Node, cx: &mut Cx<'_>) -> Result<Options, Fault> {
    let mut options = Options::default();
    let mut udp = false;
    let mut warnings = Vec::new();
    for word in &node.args[1..] {
        let text = word.text();
        let name = text.split('=').next().unwrap_or_default();
        if !parameters(kind).contains(&name) {
            return Err(Fault::parameter(word));
        }
        if text == "udp" {
            udp = true;
            continue;
        }
        if !options.parameter(word, &mut |warning| warnings.push(warning))? {
            return Err(Fault::parameter(word));
        }
    }
    warnings.into_iter().for_each(|warning| cx.warn(warning));
    if udp {
        options.set_datagram("udp", &node.args[1..])?;
    }
    Ok(options)
}

/// The mail protocol of a port.
fn protocol(port: u16) -> Option<&'static str> {
    match port {
        143 | 993 => Some("imap"),
        110 | 995 => Some("pop3"),
        25 | 465 | 587 => Some("smtp"),
        _ => None,
    }
}

/// The fault of a server block without a `listen`.
pub(super) fn no_listen(cx: &Cx<'_>) -> Fault {
    let place = cx.sources().place(cx.block_span());
    Fault::new(format!("no \"listen\" is defined for server{place}")).nowhere()
}

keywords! {
    /// The PROXY protocol header for upstreams, if one is sent.
    pub(super) enum ProxyProtocol {
        "off" => Off,
        "on" => On,
        "v2" => V2,
    }
}

/// `ssl_alpn`: protocol names.
#[derive(Clone, Debug)]
pub(super) struct Alpn;

impl Value for Alpn {
    const SYNTAX: &'static str = "protocol ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        /// The length is encoded in one byte (RFC 7301, section 3.1).
        const LONGEST: usize = 255;
        match node.args.iter().find(|word| word.value.len() > LONGEST) {
            Some(word) => Err(Fault::directive("protocol too long").at(word)),
            None => Ok(Self),
        }
    }
}

/// `proxy_ssl_alpn`: protocol names, which may have variables.
#[derive(Clone, Debug)]
pub(super) struct ComputedAlpn;

impl Value for ComputedAlpn {
    const SYNTAX: &'static str = "protocol ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        for word in &node.args {
            Template::compile(&word.value, variables(cx))?;
        }
        Alpn::parse(node, cx).map(|_| Self)
    }
}

/// `set_real_ip_from`: a network, or a name that resolves to addresses.
#[derive(Clone, Debug)]
pub(super) struct TrustedNetwork;

impl Value for TrustedNetwork {
    const SYNTAX: &'static str = "address | CIDR | unix:";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        Trusted::default().add(&node.args[0], cx).map(|()| Self)
    }
}

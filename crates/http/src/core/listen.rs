//! `listen`: the addresses of a server and the options of their sockets.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#listen>

use weir_conf::{Cx, Fault, Local, Node, Slot, Span, Word, directives};
use weir_edge::listen::{self, Options, Ports, Protocols};
use weir_engine::Addr;

/// The addresses of a server.
pub(crate) static LISTEN: Slot<Listens> = Slot::new();

directives! {
    /// The addresses of a server.
    pub struct Listens as ListensWritten in [server] {
        /// An address and port, a port or a unix socket, with the options of its socket:
        /// `default_server`, `ssl`, `http2`, `quic`, `proxy_protocol`, `backlog`, `rcvbuf`,
        /// `sndbuf`, `fastopen`, `deferred`, `bind`, `ipv6only`, `reuseport`, `multipath`,
        /// `so_keepalive`. Linux has no `accept_filter`.
        "listen" [1+]: "address[:port] | port | unix:path [parameter ...]" => add_listen,
        field listens: Local<Vec<Listen>>,
    }
}

fn add_listen(own: &mut ListensWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let mut warnings = Vec::new();
    let listen = Listen::parse(&node.args, cx, &mut |warning| warnings.push(warning));
    for warning in warnings {
        match warning.ends_with("has no effect") {
            true => cx.no_effect(warning),
            false => cx.warn(warning),
        }
    }
    let listens = own.listens.get_or_insert_default();
    let listen = listen.inspect_err(|_| listens.push(Listen::implicit()))?;
    let added = register(&listen, cx);
    listens.push(listen);
    added
}

/// The addresses of all servers so far, by the server's block.
#[derive(Default)]
struct Known(Ports<u32>);

/// Adds the addresses of a `listen` in the open block.
fn register(listen: &Listen, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let server = cx.block_id().0;
    for address in &listen.addresses {
        let known = &mut cx.registry::<Known>().0;
        if let Some(warning) = known.add(server, address, &listen.options)? {
            cx.warn(warning);
        }
    }
    Ok(())
}

/// Ends a server: one without a `listen` listens on `*:80`.
pub(super) fn close_server(cx: &mut Cx<'_>) -> Result<(), Fault> {
    if cx.written(&LISTEN).listens.is_some() {
        return Ok(());
    }
    register(&Listen::implicit(), cx)
}

/// The port of a `listen` without one.
pub(crate) const DEFAULT_PORT: u16 = 80;

/// One `listen` directive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listen {
    /// Its addresses: several for a range of ports, or a name that resolves to several.
    pub addresses: Vec<Addr>,
    /// Its options.
    pub options: Options,
    /// Its position; `None` for the implicit address of a server without a `listen`.
    pub span: Option<Span>,
}

/// The deprecated parameter `http2`.
pub(crate) const HTTP2: Protocols = Protocols::OWN;

impl Listen {
    /// The implicit address of a server without a `listen`: `*:80`.
    pub(crate) fn implicit() -> Self {
        let any = std::net::Ipv4Addr::UNSPECIFIED;
        let mut options = Options::default();
        options.socket.ipv6only = false;
        Self { addresses: vec![Addr::Inet((any, DEFAULT_PORT).into())], options, span: None }
    }

    /// Parses the arguments of a `listen`. `warn` gets warnings about parameters without effect.
    fn parse(args: &[Word], cx: &Cx<'_>, warn: &mut dyn FnMut(String)) -> Result<Self, Fault> {
        let addresses = listen::addresses(&args[0], DEFAULT_PORT, cx)?;
        let (mut options, mut quic) = (Options::default(), false);
        for word in &args[1..] {
            match &*word.text() {
                "default" => options.default_server = true,
                "quic" => quic = true,
                "http2" => {
                    warn(
                        "the \"listen ... http2\" directive is deprecated, \
                         use the \"http2\" directive instead"
                            .into(),
                    );
                    options.protocols.add(HTTP2);
                }
                text => {
                    if !options.parameter(word, warn)? {
                        let unknown = format!("invalid parameter \"{text}\"");
                        return Err(Fault::new(unknown).at(word));
                    }
                }
            }
        }
        if quic {
            options.set_datagram("quic", &args[1..])?;
            warn("\"listen ... quic\" is not supported yet and has no effect".into());
        }
        Ok(Self { addresses, options, span: Some(cx.span()) })
    }
}

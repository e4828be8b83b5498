//! `listen`: the addresses of a server and the options of their sockets.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#listen>

use std::time::Duration;

use weir_conf::value::{parse_number, parse_sec, parse_size};
use weir_conf::{Cx, Environment, Fault, Local, Node, Slot, Span, Word, directives};
use weir_engine::Addr;
use weir_engine::url::parse_listen;

use crate::route::listen::Ports;

/// The addresses of a server.
pub static LISTEN: Slot<Listens> = Slot::new();

directives! {
    /// The addresses of a server.
    pub struct Listens as ListensWritten in [server] {
        /// An address and port, a port or a unix socket, with the options of its socket:
        /// `default_server`, `ssl`, `http2`, `quic`, `proxy_protocol`, `backlog`, `rcvbuf`,
        /// `sndbuf`, `fastopen`, `deferred`, `bind`, `ipv6only`, `reuseport`, `multipath`,
        /// `so_keepalive`.
        "listen" [1+]: "address[:port] | port | unix:path [parameter ...]" => add_listen,
        field listens: Local<Vec<Listen>>,
    }
}

fn add_listen(own: &mut ListensWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let mut warnings = Vec::new();
    let listen =
        Listen::parse(&node.args, cx.span(), cx.env(), &mut |warning| warnings.push(warning));
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

/// The default length of a socket's accept queue (nginx: NGX_LISTEN_BACKLOG).
const BACKLOG: u32 = 511;
/// The port of a `listen` without one.
pub(crate) const DEFAULT_PORT: u16 = 80;

/// One `listen` directive.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Its addresses: several for a range of ports, or a name that resolves to several.
    pub addresses: Vec<Addr>,
    /// Its options.
    pub options: Options,
    /// Its position; `None` for the implicit address of a server without a `listen`.
    pub span: Option<Span>,
}

/// The options of a `listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether the server answers requests for unknown hosts.
    pub default_server: bool,
    /// Whether connections start with a TLS handshake.
    pub ssl: bool,
    /// The deprecated `http2` parameter.
    pub http2: bool,
    /// Whether the address takes QUIC packets.
    pub quic: bool,
    /// Whether connections start with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The options of its socket.
    pub socket: SocketOptions,
    /// Whether an option of the socket is given, which only one `listen` of an address may do.
    pub set: bool,
    /// Whether the address needs a socket of its own even beside a wildcard of the same port.
    pub bind: bool,
}

/// The options of a listening socket; `None` leaves the kernel's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// The length of the accept queue.
    pub backlog: u32,
    /// `SO_RCVBUF`, bytes.
    pub rcvbuf: Option<u64>,
    /// `SO_SNDBUF`, bytes.
    pub sndbuf: Option<u64>,
    /// `TCP_FASTOPEN`: the length of its queue.
    pub fastopen: Option<u32>,
    /// `TCP_DEFER_ACCEPT`.
    pub deferred: bool,
    /// `IPV6_V6ONLY`.
    pub ipv6only: bool,
    /// `SO_REUSEPORT`: a socket for each thread.
    pub reuseport: bool,
    /// Multipath TCP.
    pub multipath: bool,
    /// `SO_KEEPALIVE` of the accepted connections.
    pub keepalive: Option<Keepalive>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            rcvbuf: None,
            sndbuf: None,
            fastopen: None,
            deferred: false,
            ipv6only: true,
            reuseport: false,
            multipath: false,
            keepalive: None,
        }
    }
}

/// `so_keepalive=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// Off.
    Off,
    /// On. Missing parameters are left to the kernel.
    On {
        /// `TCP_KEEPIDLE`.
        idle: Option<Duration>,
        /// `TCP_KEEPINTVL`.
        interval: Option<Duration>,
        /// `TCP_KEEPCNT`.
        count: Option<u32>,
    },
}

impl Listen {
    /// The implicit address of a server without a `listen`: `*:80`.
    pub(crate) fn implicit() -> Self {
        let any = std::net::Ipv4Addr::UNSPECIFIED;
        let mut options = Options::default();
        options.socket.ipv6only = false;
        Self { addresses: vec![Addr::Inet((any, DEFAULT_PORT).into())], options, span: None }
    }

    /// Parses the arguments of a `listen`. `warn` gets warnings about parameters without effect.
    pub(crate) fn parse(
        args: &[Word],
        span: Span,
        env: &dyn Environment,
        warn: &mut dyn FnMut(String),
    ) -> Result<Self, Fault> {
        let text = args[0].text();
        let mut addresses = parse_listen(&text, DEFAULT_PORT, env).map_err(|why| {
            fault(format!("{why} in \"{text}\" of the \"listen\" directive"), &args[0])
        })?;
        let mut seen = Vec::with_capacity(addresses.len());
        addresses.retain(|address| {
            let fresh = !seen.contains(address);
            seen.push(address.clone());
            fresh
        });
        let mut options = Options::default();
        for word in &args[1..] {
            options.parameter(word, warn).map_err(|message| fault(message, word))?;
        }
        if options.quic {
            options.check_quic(&args[1..])?;
            warn("\"listen ... quic\" is not supported yet and has no effect".into());
        }
        Ok(Self { addresses, options, span: Some(span) })
    }
}

fn fault(message: String, word: &Word) -> Fault {
    Fault::new(message).at(word)
}

impl Options {
    /// Parses a parameter. `warn` gets warnings about parameters without effect.
    pub(crate) fn parameter(
        &mut self,
        word: &Word,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), String> {
        let text = word.text();
        match &*text {
            "default_server" | "default" => self.default_server = true,
            "ssl" => self.ssl = true,
            "http2" => {
                warn(
                    "the \"listen ... http2\" directive is deprecated, \
                     use the \"http2\" directive instead"
                        .into(),
                );
                warn("\"listen ... http2\" is not supported yet and has no effect".into());
                self.http2 = true;
            }
            "quic" => self.quic = true,
            "proxy_protocol" => self.proxy_protocol = true,
            _ if text.starts_with("accept_filter=") => warn(format!(
                "accept filters \"{text}\" are not supported on this platform, ignored"
            )),
            _ => {
                if !self.socket.parameter(&text)? {
                    return Err(format!("invalid parameter \"{text}\""));
                }
                self.set = true;
                self.bind = true;
            }
        }
        Ok(())
    }

    /// Refuses parameters that conflict with `quic`, in nginx's order.
    fn check_quic(&self, args: &[Word]) -> Result<(), Fault> {
        Self::no_tcp("quic", args)
    }

    /// Refuses parameters that conflict with `udp` in `stream {}`.
    pub(crate) fn check_udp(&self, args: &[Word]) -> Result<(), Fault> {
        Self::no_tcp("udp", args)
    }

    fn no_tcp(what: &str, args: &[Word]) -> Result<(), Fault> {
        let given =
            |name: &str| args.iter().any(|word| word.text().split('=').next() == Some(name));
        let clash = ["fastopen", "backlog", "deferred", "multipath", "ssl", "http2"]
            .into_iter()
            .chain(["so_keepalive", "proxy_protocol"])
            .find(|name| given(name));
        match clash {
            Some(name) => Err(Fault::directive(format!(
                "\"{name}\" parameter is incompatible with \"{what}\""
            ))),
            None => Ok(()),
        }
    }
}

impl SocketOptions {
    /// Parses an option of the socket. Returns whether it is one; `Err` if its value is invalid.
    fn parameter(&mut self, text: &str) -> Result<bool, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let invalid = |what: &str| format!("invalid {what} \"{text}\"");
        match (name, value) {
            ("bind", None) => {}
            ("deferred", None) => self.deferred = true,
            ("reuseport", None) => self.reuseport = true,
            ("multipath", None) => self.multipath = true,
            ("fastopen", Some(value)) => {
                self.fastopen = Some(number(value).ok_or_else(|| invalid(name))?);
            }
            ("backlog", Some(value)) => {
                self.backlog = number(value).filter(|&n| n > 0).ok_or_else(|| invalid(name))?;
            }
            ("rcvbuf", Some(value)) => {
                self.rcvbuf = Some(parse_size(value.as_bytes()).ok_or_else(|| invalid(name))?);
            }
            ("sndbuf", Some(value)) => {
                self.sndbuf = Some(parse_size(value.as_bytes()).ok_or_else(|| invalid(name))?);
            }
            ("ipv6only", Some(value)) if value.starts_with('o') => {
                self.ipv6only = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(format!("invalid ipv6only flags \"{value}\"")),
                };
            }
            ("so_keepalive", Some(value)) => {
                self.keepalive = Some(
                    Keepalive::parse(value)
                        .ok_or_else(|| format!("invalid so_keepalive value: \"{value}\""))?,
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Keepalive {
    /// `on`, `off` or `[idle]:[interval]:[count]` with at least one of the three.
    fn parse(text: &str) -> Option<Self> {
        match text {
            "on" => return Some(Self::On { idle: None, interval: None, count: None }),
            "off" => return Some(Self::Off),
            _ => {}
        }
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let idle = part().map(|text| parse_sec(text.as_bytes()).ok_or(())).transpose().ok()?;
        let interval = part().map(|text| parse_sec(text.as_bytes()).ok_or(())).transpose().ok()?;
        let count = part().map(|text| number(text).ok_or(())).transpose().ok()?.unwrap_or(0);
        let given = |time: Option<Duration>| time.filter(|time| !time.is_zero());
        let (idle, interval) = (given(idle), given(interval));
        if idle.is_none() && interval.is_none() && count == 0 {
            return None;
        }
        Some(Self::On { idle, interval, count: (count > 0).then_some(count) })
    }
}

fn number(text: &str) -> Option<u32> {
    parse_number(text.as_bytes())?.try_into().ok()
}

//! `listen`: addresses with their options, and the sockets for them.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#listen>

use weir_conf::{Cx, Fault, Word};
use weir_engine::Addr;
use weir_engine::listen::{ListenOptions, Transport};
use weir_engine::url::parse_listen;

mod ports;
mod socket;

pub use ports::{Bound, ListenSpec, Ports, Shared};

/// The options of a `listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether the server answers for unknown hosts.
    pub default_server: bool,
    /// The protocols of its connections below the server's own.
    pub protocols: Protocols,
    /// The options of its socket.
    pub socket: ListenOptions,
    /// Whether an option of the socket is given, which only one `listen` of an address may do.
    pub set: bool,
    /// Whether the address needs a socket of its own even beside a wildcard of the same port.
    pub bind: bool,
}

/// A set of protocols. Different sets in two `listen` directives of an address cause a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols(u8);

impl Protocols {
    /// A PROXY protocol header at the start of connections.
    pub const PROXY: Self = Self(1);
    /// TLS: a handshake at the start of connections.
    pub const SSL: Self = Self(1 << 1);
    /// A protocol that only the host has: `http2` in http.
    pub const OWN: Self = Self(1 << 2);

    /// Adds others.
    pub fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Whether the set contains all others.
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// Parses the first word of a `listen` into its distinct addresses.
///
/// # Errors
/// nginx's messages.
pub fn addresses(word: &Word, default_port: u16, cx: &Cx<'_>) -> Result<Vec<Addr>, Fault> {
    let text = word.text();
    let mut addresses = parse_listen(&text, default_port, cx.env()).map_err(|why| {
        Fault::new(format!("{why} in \"{text}\" of the \"listen\" directive")).at(word)
    })?;
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    Ok(addresses)
}

/// The name of a socket, the same in every configuration with its address: `tcp 127.0.0.1:80`,
/// `udp [::]:53`, `tcp unix:/run/x`.
pub fn socket_name(address: &Addr, transport: Transport) -> String {
    match transport {
        Transport::Stream => format!("tcp {address}"),
        Transport::Datagram => format!("udp {address}"),
    }
}

/// The address in the name of a socket, which is what log lines show.
pub fn named_address(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(_, address)| address)
}

/// The transport and the port in the name of a socket; `None` for a unix socket.
pub fn named_port(name: &str) -> Option<(&str, u16)> {
    let (transport, _) = name.split_once(' ')?;
    let (_, port) = name.rsplit_once(':')?;
    Some((transport, port.parse().ok()?))
}

impl Options {
    /// Parses a parameter. Returns whether it is one of those shared by all hosts. `warn` gets
    /// warnings about parameters without effect.
    ///
    /// # Errors
    /// nginx's message, for an invalid value.
    pub fn parameter(&mut self, word: &Word, warn: &mut dyn FnMut(String)) -> Result<bool, Fault> {
        let text = word.text();
        match &*text {
            "default_server" => self.default_server = true,
            "ssl" => self.protocols.add(Protocols::SSL),
            "proxy_protocol" => self.protocols.add(Protocols::PROXY),
            _ if text.starts_with("accept_filter=") => warn(format!(
                "accept filters \"{text}\" are not supported on this platform, ignored"
            )),
            _ => {
                let known = socket::parameter(&mut self.socket, &text);
                if !known.map_err(|fault| fault.at(word))? {
                    return Ok(false);
                }
                self.set = true;
                self.bind = true;
            }
        }
        Ok(true)
    }

    /// Makes the address take datagrams, for the parameter `what`.
    ///
    /// # Errors
    /// nginx's message, for the first parameter in nginx's order that conflicts with `what`.
    pub fn set_datagram(&mut self, what: &str, args: &[Word]) -> Result<(), Fault> {
        self.socket.transport = Transport::Datagram;
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

    /// Whether the address takes datagrams.
    pub fn is_datagram(&self) -> bool {
        self.socket.transport == Transport::Datagram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_tcp_from_udp() {
        let address = Addr::Inet("127.0.0.1:53".parse().unwrap());
        let (tcp, udp) = (Transport::Stream, Transport::Datagram);
        assert_eq!(socket_name(&address, tcp), "tcp 127.0.0.1:53");
        assert_eq!(named_port(&socket_name(&address, udp)), Some(("udp", 53)));
        assert_eq!(named_address(&socket_name(&address, udp)), "127.0.0.1:53");
        assert_eq!(named_port(&socket_name(&Addr::unix("/run/x"), tcp)), None);
    }
}

//! Listening addresses: the servers that share one, and the sockets to bind.
//!
//! A wildcard address also takes the connections to the other addresses of its port, unless those
//! have a socket of their own; the local address of a connection then tells them apart. See
//! <https://nginx.org/en/docs/http/request_processing.html>.

use std::net::{IpAddr, SocketAddr};

use weir_conf::Fault;
use weir_engine::Addr;
use weir_engine::listen::{ListenOptions, Transport};

use super::{Options, Protocols, socket_name};

/// A socket to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// The address.
    pub address: Addr,
    /// The options.
    pub options: ListenOptions,
}

impl ListenSpec {
    /// The name of the socket, the same in every configuration with this address.
    pub fn name(&self) -> String {
        socket_name(&self.address, self.options.transport)
    }

    /// Whether the socket gets connections to an address: with `alone` if it is bound to that
    /// address, otherwise if it is bound to a wildcard.
    pub fn gets(&self, ip: IpAddr, port: u16, alone: bool) -> bool {
        let Addr::Inet(listens) = self.address else { return false };
        // A socket of both families shows IPv4 addresses as mapped IPv6 ones.
        let ip = ip.to_canonical();
        let gets = match alone {
            true => listens.ip() == ip,
            false => self.address.is_wildcard() && (listens.is_ipv6() || ip.is_ipv4()),
        };
        gets && listens.port() == port
    }
}

/// An address with the servers that listen on it; `S` is the handle of a server.
#[derive(Clone, Debug)]
pub struct Shared<S> {
    /// The address.
    pub address: Addr,
    /// The combined options of its `listen` directives.
    pub options: Options,
    /// The server for unknown hosts.
    pub default: S,
    /// All its servers, in the order of the file.
    pub servers: Vec<S>,
    seen: Seen,
}

/// The protocols in earlier `listen` directives of an address, to warn about changes.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    protocols: Protocols,
    set: bool,
    changed: bool,
}

/// All addresses, by family, kind and port.
#[derive(Clone, Debug)]
pub struct Ports<S> {
    ports: Vec<Port<S>>,
}

#[derive(Clone, Debug)]
struct Port<S> {
    family: Family,
    transport: Transport,
    port: Option<u16>,
    addresses: Vec<Shared<S>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Unix,
}

fn family(address: &Addr) -> Family {
    match address {
        Addr::Inet(SocketAddr::V4(_)) => Family::V4,
        Addr::Inet(SocketAddr::V6(_)) => Family::V6,
        Addr::Unix(_) => Family::Unix,
    }
}

/// A socket to bind, with the addresses whose connections it accepts. The last one takes
/// connections to any other local address.
#[derive(Clone, Debug)]
pub struct Bound<S> {
    /// The socket.
    pub spec: ListenSpec,
    /// Its addresses.
    pub addresses: Vec<Shared<S>>,
}

impl<S> Default for Ports<S> {
    fn default() -> Self {
        Self { ports: Vec::new() }
    }
}

impl<S: Copy + PartialEq> Ports<S> {
    /// Adds an address of a server. `Ok` holds a warning or nothing, `Err` nginx's message.
    pub fn add(
        &mut self,
        server: S,
        address: &Addr,
        options: &Options,
    ) -> Result<Option<String>, Fault> {
        let key = (family(address), options.socket.transport, address.port());
        let port = self.ports.iter().position(|p| (p.family, p.transport, p.port) == key);
        let port = port.unwrap_or_else(|| {
            self.ports.push(Port {
                family: key.0,
                transport: key.1,
                port: key.2,
                addresses: Vec::new(),
            });
            self.ports.len() - 1
        });
        let addresses = &mut self.ports[port].addresses;
        if let Some(known) = addresses.iter_mut().find(|shared| shared.address == *address) {
            return known.join(server, options);
        }
        addresses.push(Shared {
            address: address.clone(),
            options: options.clone(),
            default: server,
            servers: vec![server],
            seen: Seen::default(),
        });
        Ok(None)
    }

    /// The addresses in the order in which nginx completes them.
    pub fn addresses(&self) -> impl Iterator<Item = &Shared<S>> {
        self.ports.iter().flat_map(Port::sorted)
    }

    /// The sockets of a transport to bind.
    pub fn bound(&self, transport: Transport) -> Vec<Bound<S>> {
        let ports = self.ports.iter().filter(|port| port.transport == transport);
        ports.flat_map(Port::bound).collect()
    }
}

impl<S: Copy + PartialEq> Shared<S> {
    /// Adds another `listen` of the address.
    fn join(&mut self, server: S, options: &Options) -> Result<Option<String>, Fault> {
        // A server's addresses are added before those of the next.
        if self.servers.last() == Some(&server) {
            return Err(Fault::new(format!("a duplicate listen {}", self.address)));
        }
        self.servers.push(server);
        let before = self.options.clone();
        if options.set {
            if before.set {
                return Err(Fault::new(format!("duplicate listen options for {}", self.address)));
            }
            self.options = options.clone();
        }
        if options.default_server {
            if before.default_server {
                return Err(Fault::new(format!("a duplicate default server for {}", self.address)));
            }
            self.default = server;
        }
        let warning = self.redefined(before.protocols, options);
        self.options.default_server = before.default_server || options.default_server;
        self.options.protocols = before.protocols;
        self.options.protocols.add(options.protocols);
        Ok(warning.then(|| format!("protocol options redefined for {}", self.address)))
    }

    /// Whether the protocols of another `listen` deserve a warning. Records them.
    fn redefined(&mut self, before: Protocols, options: &Options) -> bool {
        let now = options.protocols;
        let known = self.seen;
        let moved = known.set && now != known.protocols;
        if !before.has(now) {
            let warning = (self.options.set && !options.set) || known.changed || !now.has(before);
            self.seen = Seen { protocols: before, set: true, changed: true };
            warning
        } else if !now.has(before) {
            self.seen = Seen { protocols: now, set: true, changed: true };
            options.set || moved
        } else {
            self.seen = Seen { protocols: now, set: true, ..known };
            (options.set && known.changed) || moved
        }
    }
}

impl<S: Copy + PartialEq> Port<S> {
    /// Explicitly bound addresses first, the wildcard last.
    fn sorted(&self) -> Vec<&Shared<S>> {
        let mut sorted: Vec<_> = self.addresses.iter().collect();
        sorted.sort_by_key(|shared| (shared.address.is_wildcard(), !shared.options.bind));
        sorted
    }

    fn bound(&self) -> Vec<Bound<S>> {
        let sorted = self.sorted();
        let wildcard = sorted.last().is_some_and(|last| last.address.is_wildcard());
        let mut bound = Vec::new();
        let mut behind = Vec::new();
        for (at, shared) in sorted.iter().enumerate() {
            let last = at + 1 == sorted.len();
            behind.push((*shared).clone());
            if wildcard && !last && !shared.options.bind {
                continue;
            }
            bound.push(Bound {
                spec: ListenSpec {
                    address: shared.address.clone(),
                    options: ListenOptions {
                        wildcard: shared.address.is_wildcard(),
                        ..shared.options.socket.clone()
                    },
                },
                addresses: std::mem::take(&mut behind),
            });
        }
        bound
    }
}

impl<S> Bound<S> {
    /// The index of the address that a connection came to, by its local address.
    pub fn index(&self, local: Option<IpAddr>) -> usize {
        let same = |shared: &Shared<S>| match &shared.address {
            Addr::Inet(address) => Some(address.ip()) == local,
            _ => false,
        };
        self.addresses.iter().position(same).unwrap_or(self.addresses.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str) -> Addr {
        Addr::Inet(text.parse().unwrap())
    }

    fn options(edit: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options::default();
        edit(&mut options);
        options
    }

    fn bound(ports: &Ports<u32>) -> Vec<(String, Vec<String>)> {
        let names = |b: &Bound<u32>| b.addresses.iter().map(|s| s.address.to_string()).collect();
        ports
            .bound(Transport::Stream)
            .iter()
            .map(|b| (b.spec.address.to_string(), names(b)))
            .collect()
    }

    #[test]
    fn a_wildcard_accepts_for_others_unless_they_bind() {
        let mut ports = Ports::default();
        ports.add(1, &inet("0.0.0.0:80"), &Options::default()).unwrap();
        ports.add(2, &inet("127.0.0.1:80"), &Options::default()).unwrap();
        ports.add(3, &inet("127.0.0.2:80"), &options(|o| o.bind = true)).unwrap();
        ports.add(4, &inet("127.0.0.1:81"), &Options::default()).unwrap();
        ports.add(4, &inet("[::]:80"), &Options::default()).unwrap();
        let one = |text: &str| (text.to_owned(), vec![text.to_owned()]);
        assert_eq!(
            bound(&ports),
            vec![
                one("127.0.0.2:80"),
                ("0.0.0.0:80".into(), vec!["127.0.0.1:80".into(), "0.0.0.0:80".into()]),
                one("127.0.0.1:81"),
                one("[::]:80"),
            ]
        );
        let shared = &ports.bound(Transport::Stream)[1];
        assert_eq!(shared.index("127.0.0.1".parse().ok()), 0);
        assert_eq!(shared.index("10.0.0.1".parse().ok()), 1);
        assert_eq!(shared.index(None), 1);
    }

    #[test]
    fn duplicates_are_refused_with_nginxs_messages() {
        let mut ports = Ports::default();
        let default = options(|o| o.default_server = true);
        let set = options(|o| o.set = true);
        let address = inet("0.0.0.0:80");
        ports.add(1, &address, &default).unwrap();
        let fault = |ports: &mut Ports<u32>, server, options| {
            ports.add(server, &inet("0.0.0.0:80"), options).unwrap_err().to_string()
        };
        assert_eq!(fault(&mut ports, 1, &set), "a duplicate listen 0.0.0.0:80");
        assert_eq!(fault(&mut ports, 2, &default), "a duplicate default server for 0.0.0.0:80");
        ports.add(3, &address, &set).unwrap();
        assert_eq!(fault(&mut ports, 4, &set), "duplicate listen options for 0.0.0.0:80");
    }

    #[test]
    fn changed_protocols_warn() {
        let mut ports = Ports::default();
        let address = inet("0.0.0.0:443");
        let ssl = options(|o| o.protocols = Protocols::SSL);
        let proxied = options(|o| o.protocols = Protocols::PROXY);
        assert_eq!(ports.add(1, &address, &ssl), Ok(None));
        assert_eq!(ports.add(2, &address, &ssl), Ok(None));
        let warning = Some("protocol options redefined for 0.0.0.0:443".to_owned());
        assert_eq!(ports.add(3, &address, &proxied), Ok(warning));
        let shared = ports.addresses().next().unwrap();
        assert!(shared.options.protocols.has(Protocols::SSL));
        assert!(shared.options.protocols.has(Protocols::PROXY));
        assert_eq!((shared.default, shared.servers.len()), (1, 3));
    }

    #[test]
    fn tcp_and_udp_share_a_port() {
        let mut ports = Ports::default();
        let udp = options(|o| o.socket.transport = Transport::Datagram);
        ports.add(1, &inet("0.0.0.0:53"), &Options::default()).unwrap();
        assert_eq!(ports.add(1, &inet("0.0.0.0:53"), &udp), Ok(None));
        let name = |transport| ports.bound(transport)[0].spec.name();
        assert_eq!(name(Transport::Stream), "tcp 0.0.0.0:53");
        assert_eq!(name(Transport::Datagram), "udp 0.0.0.0:53");
    }
}

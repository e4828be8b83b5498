//! `resolver`: which name servers are asked at run time.

use std::net::SocketAddr;
use std::time::Duration;

use weir_conf::value::{Msec, parse_sec};
use weir_conf::{Arity, Cx, Fault, Node, Slot, Value, directives};

use super::address::{self, Address, Use};

/// Which name servers are asked at run time.
pub static RESOLVER: Slot<Resolving> = Slot::new();

/// The port of name servers.
const PORT: u16 = 53;

directives! {
    /// Which name servers are asked at run time.
    pub struct Resolving in [http, server, location] {
        /// The addresses of name servers.
        "resolver" => resolver: Option<Resolver>,
        /// How long an answer may take.
        "resolver_timeout" => timeout: Msec = Msec::seconds(30),
    }
}

/// The arguments of a `resolver`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resolver {
    /// The name servers, asked in turn.
    pub servers: Vec<SocketAddr>,
    /// How long answers are kept, in place of what they say themselves.
    pub valid: Option<Duration>,
    /// Whether IPv4 addresses are asked for.
    pub ipv4: bool,
    /// Whether IPv6 addresses are asked for.
    pub ipv6: bool,
}

impl Value for Resolver {
    const SYNTAX: &'static str = "address ... [valid=time] [ipv4=on|off] [ipv6=on|off]";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut resolver = Self { servers: Vec::new(), valid: None, ipv4: true, ipv6: true };
        for word in &node.args {
            let text = word.text();
            let wrong = || Fault::new(format!("invalid parameter: {text}")).at(word);
            let switch = |value: &[u8]| match value {
                b"on" => Ok(true),
                b"off" => Ok(false),
                _ => Err(wrong()),
            };
            if let Some(time) = word.after("valid=") {
                resolver.valid = Some(parse_sec(time).ok_or_else(wrong)?);
            } else if let Some(value) = word.after("ipv4=") {
                resolver.ipv4 = switch(value)?;
            } else if let Some(value) = word.after("ipv6=") {
                resolver.ipv6 = switch(value)?;
            } else {
                let found = address::parse(&text, PORT, Use::Connect, cx.env())
                    .map_err(|why| Fault::new(format!("{why} in resolver \"{text}\"")).at(word))?;
                resolver.servers.extend(found.into_iter().filter_map(|address| match address {
                    Address::Inet(address) => Some(address),
                    Address::Unix(_) => None,
                }));
            }
        }
        if !resolver.ipv4 && !resolver.ipv6 {
            return Err("\"ipv4\" and \"ipv6\" cannot both be \"off\"".into());
        }
        if resolver.servers.is_empty() {
            return Err("no name servers defined".into());
        }
        Ok(resolver)
    }
}

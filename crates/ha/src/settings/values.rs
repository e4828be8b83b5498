//! The arguments of the block's directives.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_conf::value::{parse_ip, parse_msec, parse_number, parse_port};
use weir_conf::{Arity, Cx, Fault, Node, Span, Value, Word};

/// The longest name of an interface (`IFNAMSIZ` with its final zero is 16).
const LONGEST_INTERFACE: usize = 15;

/// The longest name of a node.
const LONGEST_NAME: usize = 63;

/// `node NAME ADDRESS [ADDRESS] [interface=NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaNode {
    /// Its name.
    pub name: String,
    /// Its own addresses: one, or one of each family.
    pub addresses: Vec<IpAddr>,
    /// The interface of adverts and virtual addresses; `None` for that of the address.
    pub interface: Option<String>,
}

impl HaNode {
    /// Its own address of a family.
    pub fn of_family(&self, is_v6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv6() == is_v6)
    }
}

impl Value for HaNode {
    const SYNTAX: &'static str = "name address [address] [interface=name]";
    const ARITY: Arity = Arity::exactly(2).or(Arity::exactly(3)).or(Arity::exactly(4));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut words = node.args.iter();
        let name = words.next().ok_or_else(|| Fault::bad_count(&node.name))?;
        let mut parsed = Self { name: node_name(name)?, addresses: Vec::new(), interface: None };
        for word in words {
            if let Some(text) = word.after("interface=") {
                set_once(&mut parsed.interface, word, interface(word, text)?)?;
                continue;
            }
            // A loopback address is judged with the whole block.
            let address = match parse_ip(&word.value) {
                Some(address) if address.is_loopback() => address,
                _ => host_address(word, &word.value)?,
            };
            if parsed.of_family(address.is_ipv6()).is_some() {
                let message = "a node has at most one IPv4 and one IPv6 address";
                return Err(Fault::new(message).at(word));
            }
            parsed.addresses.push(address);
        }
        if parsed.addresses.is_empty() {
            return Err(Fault::new(format!("node \"{}\" has no address", parsed.name)));
        }
        Ok(parsed)
    }
}

/// `address ADDRESS[/LENGTH] [interface=NAME] [prefer=NODE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Its interface; `None` for the node's.
    pub interface: Option<String>,
    /// The node that should hold it.
    pub prefer: Option<String>,
}

impl Value for VirtualAddress {
    const SYNTAX: &'static str = "address[/length] [interface=name] [prefer=node]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2)).or(Arity::exactly(3));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let (word, rest) = node.args.split_first().ok_or_else(|| Fault::bad_count(&node.name))?;
        let slash = word.value.iter().position(|&byte| byte == b'/');
        let (text, length) = match slash {
            Some(at) => (&word.value[..at], Some(&word.value[at + 1..])),
            None => (&word.value[..], None),
        };
        let address = host_address(word, text)?;
        let longest = if address.is_ipv6() { 128 } else { 32 };
        let prefix = match length {
            None => longest,
            Some(digits) => {
                let number = parse_number(digits).and_then(|number| u8::try_from(number).ok());
                let fits = number.filter(|number| (1..=longest).contains(number));
                fits.ok_or_else(|| {
                    let message = format!("the prefix length of {address} is 1 to {longest}");
                    Fault::new(message).at(word)
                })?
            }
        };
        let mut parsed = Self { address, prefix, interface: None, prefer: None };
        for word in rest {
            if let Some(text) = word.after("interface=") {
                set_once(&mut parsed.interface, word, interface(word, text)?)?;
            } else if let Some(text) = word.after("prefer=") {
                let name = String::from_utf8_lossy(text).into_owned();
                set_once(&mut parsed.prefer, word, name)?;
            } else {
                return Err(Fault::parameter(word));
            }
        }
        Ok(parsed)
    }
}

fn set_once(slot: &mut Option<String>, word: &Word, value: String) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::new(format!("duplicate parameter \"{}\"", word.shown())).at(word)),
    }
}

/// An address that a host can have in a network.
fn host_address(word: &Word, text: &[u8]) -> Result<IpAddr, Fault> {
    let address = parse_ip(text)
        .ok_or_else(|| Fault::new(format!("\"{}\" is not an IP address", word.shown())).at(word))?;
    let reason = match address {
        _ if address.is_unspecified() => "stands for every address",
        _ if address.is_loopback() => "is a loopback address",
        _ if address.is_multicast() => "is a multicast address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            "is a link-local address, which every interface has a network of"
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "is an IPv4 address written as IPv6",
        _ => return Ok(address),
    };
    Err(Fault::new(format!("{address} {reason}: it cannot be used here")).at(word))
}

/// The name of a node: a part of file names and of keepalived's configuration.
fn node_name(word: &Word) -> Result<String, Fault> {
    let name = word.text();
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if fits {
        return Ok(name.into_owned());
    }
    let message = format!(
        "\"{}\" is no name for a node: use letters, digits, \"-\", \"_\" and \".\", at most \
         {LONGEST_NAME}",
        word.shown()
    );
    Err(Fault::new(message).at(word))
}

/// The name of an interface, as the kernel allows it and keepalived's configuration can say it.
fn interface(word: &Word, text: &[u8]) -> Result<String, Fault> {
    let fits = (1..=LONGEST_INTERFACE).contains(&text.len())
        && text != b"."
        && text != b".."
        && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._@:+".contains(&byte));
    match fits {
        true => Ok(String::from_utf8_lossy(text).into_owned()),
        false => Err(Fault::new(format!("\"{}\" names no interface", word.shown())).at(word)),
    }
}

/// The interval of adverts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert(pub Duration);

impl Value for Advert {
    const SYNTAX: &'static str = "time";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        /// VRRPv3 counts hundredths of a second in 12 bits (RFC 9568, 5.2.7). Below 20 ms, any
        /// delay of the system would look like a dead node.
        const RANGE: [u128; 2] = [20, 40_950];
        let word = &node.args[0];
        let time = parse_msec(&word.value).ok_or_else(|| Fault::invalid(word))?;
        let millis = time.as_millis();
        if millis < RANGE[0] || millis > RANGE[1] || millis % 10 != 0 {
            let message = "\"advert\" must be a multiple of 10ms between 20ms and 40950ms";
            return Err(Fault::new(message).at(word));
        }
        Ok(Self(time))
    }

    fn show(&self) -> Option<String> {
        Some(format!("{}ms", self.0.as_millis()))
    }
}

/// A required upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Require {
    /// Its name.
    pub name: String,
    /// The place of the name.
    pub span: Span,
}

impl Value for Require {
    const SYNTAX: &'static str = "upstream";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        Ok(Self { name: word.text().into_owned(), span: word.span })
    }
}

/// A file that each node has its own version of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The path as written.
    pub written: String,
    /// The path on this node.
    pub path: PathBuf,
}

impl Value for Local {
    const SYNTAX: &'static str = "file";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let written = node.args[0].text().into_owned();
        let path = cx.conf_path(&written);
        Ok(Self { written, path })
    }
}

/// A VRRP identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterId(pub u8);

impl Value for RouterId {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let number = parse_number(&word.value).and_then(|number| u8::try_from(number).ok());
        number
            .filter(|&number| number > 0)
            .map(Self)
            .ok_or_else(|| Fault::new("\"virtual_router_id\" must be between 1 and 255").at(word))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// A port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkPort(pub u16);

impl Value for LinkPort {
    const SYNTAX: &'static str = "port";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let invalid = || Fault::new(format!("invalid port \"{}\"", word.shown())).at(word);
        parse_port(&word.value).map(Self).ok_or_else(invalid)
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

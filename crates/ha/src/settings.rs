//! The `ha` block: the nodes, the addresses that they share, and when a node is fit to hold them.
//! The block is the same on every node.

use std::net::IpAddr;
use std::time::Duration;

use weir_conf::value::Msec;
use weir_conf::{Cx, Fault, Many, Node, Slot, Table, directives};

use crate::Refusal;
use weir_upstream::shared_zone::HasNodes;

use crate::link::Block;
pub use values::{Advert, HaNode, LinkPort, Local, Require, RouterId, VirtualAddress};

mod values;

/// The limit of nodes: each sends its adverts to every other.
pub const MOST_NODES: usize = 16;

/// The limit of virtual addresses.
pub const MOST_ADDRESSES: usize = 256;

/// The shortest and the longest time after which a thread counts as stalled. Below, a busy machine
/// would give its addresses up for nothing.
const STALL: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// The slot of the block.
pub static BLOCK: Slot<HaBlock> = Slot::new();
/// The table with the block's directive.
pub const BLOCK_TABLE: Table = HaBlock::table(&BLOCK);

directives! {
    /// High availability: several nodes that take over each other's addresses.
    pub struct HaBlock as HaBlockWritten in [main] {
        /// Makes this server a node of a pair, or of a larger group, whose nodes take over each
        /// other's addresses. It needs keepalived, which Weir configures, runs and watches itself.
        /// The block is the same on every node: a node knows itself by its address.
        "ha" opens ha [0]: "{ ... }" => open_ha,
        // Whether the block is present.
        field present: bool,
    }
}

fn open_ha(block: &mut HaBlockWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    *cx.registry::<HasNodes>() = HasNodes(true);
    match block.present.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

/// The slot of the block's content.
pub static HA: Slot<Ha> = Slot::new();
/// The table of the block's content.
pub const TABLE: Table = Ha::table(&HA);

directives! {
    /// The nodes and their shared addresses.
    pub struct Ha as HaWritten in [ha] {
        /// A node: its name, and its own address, from which it sends adverts to the other nodes. A
        /// second address, of the other family, is needed if some virtual addresses have no
        /// companion of the first family. `interface=` is the interface for the adverts and the
        /// virtual addresses; by default the one that has the node's address. The order counts: of
        /// several nodes that could hold an address, the first written does.
        "node" => nodes: Many<HaNode>,
        /// A virtual address, which exactly one node holds. `listen` may name it on every node.
        /// Without a prefix length it is a single address. `interface=` puts it on another
        /// interface than the node's. `prefer=` names the node that should hold it, so that several
        /// nodes can serve at once; the addresses of one node move together.
        "address" => addresses: Many<VirtualAddress>,
        /// The interval of adverts, in steps of 10 ms. A dead node is noticed after three
        /// intervals.
        "advert" => advert: Advert = Advert(Duration::from_millis(100)),
        /// Whether a node that comes back takes its addresses from the node that has taken over.
        /// Without it, they stay where they are until that node fails.
        "preempt" => preempt: bool = false,
        /// The time after which a thread of the worker that has not turned its loop counts as
        /// stalled; the node then gives its addresses up.
        "stall" => stall: Msec = Msec(Duration::from_millis(250)),
        /// An upstream that must have at least one healthy server, or the node gives its addresses
        /// up. If no node has one, no node holds an address.
        "require" => require: Many<Require>,
        /// The VRRP identifier, 1 to 255. It must differ from those of other routers and balancers
        /// in the network. Addresses with another `prefer=` use the next ones.
        "virtual_router_id" => router_id: RouterId = RouterId(94),
        /// The TCP port for the links between nodes.
        "link_port" => link_port: LinkPort = LinkPort(7946),
        /// Whether all nodes have the same configuration: a reload on one of them puts the
        /// configuration in force on all, after each has checked it, or on none. It covers every
        /// file that the configuration reads, certificates and keys included.
        "mirror" => mirror: bool = true,
        /// A file of the configuration that each node has its own version of. It must be read by
        /// its path, not by a pattern.
        "local" => local: Many<Local>,
    }
    finish = Ha::finish;
}

impl Ha {
    /// The place of a node in the order of the block.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The part that concerns the links between nodes, which is the same for equal blocks however
    /// they are written.
    pub fn link_block(&self) -> Block {
        let nodes = self.nodes.iter().map(|node| (node.name.clone(), node.addresses.clone()));
        Block { nodes: nodes.collect(), port: self.link_port.0, text: self.to_text() }
    }

    /// The block as text.
    pub fn to_text(&self) -> String {
        let mut out = "ha {\n".to_owned();
        let mut line = |words: Vec<String>| {
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            out.push_str(&format!("    {};\n", words.join(" ")));
        };
        let named = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={value}")).unwrap_or_default()
        };
        for node in self.nodes.iter() {
            let mut words = vec!["node".to_owned(), node.name.clone()];
            words.extend(node.addresses.iter().map(ToString::to_string));
            words.push(named("interface", &node.interface));
            line(words);
        }
        for address in self.addresses.iter() {
            let place = format!("{}/{}", address.address, address.prefix);
            let (on, prefer) = (&address.interface, &address.prefer);
            let rest = [named("interface", on), named("prefer", prefer)];
            line([vec!["address".to_owned(), place], rest.to_vec()].concat());
        }
        for required in self.require.iter() {
            line(vec!["require".to_owned(), required.name.clone()]);
        }
        line(vec![format!("advert {}ms", self.advert.0.as_millis())]);
        line(vec![format!("preempt {}", if self.preempt { "on" } else { "off" })]);
        line(vec![format!("stall {}ms", self.stall.0.as_millis())]);
        line(vec![format!("virtual_router_id {}", self.router_id.0)]);
        line(vec![format!("link_port {}", self.link_port.0)]);
        for local in self.local.iter() {
            line(vec!["local".to_owned(), format!("\"{}\"", local.written)]);
        }
        line(vec![format!("mirror {}", if self.mirror { "on" } else { "off" })]);
        out + "}\n"
    }

    /// Whether an address is one of the virtual ones.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|known| known.address == address)
    }

    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let blamed = |field: &str, message: String| {
            let fault = Fault::new(message);
            match cx.origin(field) {
                Some(place) => fault.in_place(place).caret(place),
                None => fault,
            }
        };
        if self.nodes.len() < 2 {
            let message = "\"ha\" needs a \"node\" line for each of at least two nodes";
            return Err(blamed("nodes", message.to_owned()));
        }
        if self.nodes.len() > MOST_NODES {
            return Err(blamed("nodes", format!("\"ha\" has more than {MOST_NODES} nodes")));
        }
        if self.addresses.len() > MOST_ADDRESSES {
            let message = format!("\"ha\" has more than {MOST_ADDRESSES} addresses");
            return Err(blamed("addresses", message));
        }
        let mut own = self.nodes.iter().flat_map(|node| &node.addresses);
        if let Some(address) = own.find(|own| own.is_loopback())
            && !self.addresses.is_empty()
        {
            let message = format!(
                "{address} is a loopback address: nodes that share addresses need addresses that \
                 other hosts reach"
            );
            return Err(blamed("nodes", message));
        }
        if let Some(message) = self.conflict() {
            return Err(blamed("addresses", message));
        }
        let [least, most] = STALL;
        if self.stall.0 < least || self.stall.0 > most {
            let message = "\"stall\" must be between 100ms and 60s".to_owned();
            return Err(blamed("stall", message));
        }
        Ok(())
    }

    /// The first contradiction between lines.
    fn conflict(&self) -> Option<String> {
        for (at, node) in self.nodes.iter().enumerate() {
            if self.nodes[..at].iter().any(|other| other.name == node.name) {
                return Some(format!("two nodes have the name \"{}\"", node.name));
            }
            for address in &node.addresses {
                let mut others = self.nodes[..at].iter();
                if let Some(other) = others.find(|other| other.addresses.contains(address)) {
                    let (one, two) = (&other.name, &node.name);
                    return Some(format!(
                        "nodes \"{one}\" and \"{two}\" have the address {address}"
                    ));
                }
                if self.has_address(*address) {
                    return Some(format!(
                        "{address} is the address of node \"{}\" and cannot move to another node: \
                         choose a virtual address that no host has",
                        node.name
                    ));
                }
            }
        }
        for (at, address) in self.addresses.iter().enumerate() {
            if self.addresses[..at].iter().any(|other| other.address == address.address) {
                return Some(format!("address {} is written twice", address.address));
            }
            if let Some(name) = &address.prefer
                && self.position(name).is_none()
            {
                return Some(format!("\"prefer={name}\" names no node of this block"));
            }
        }
        let groups = self.groups();
        if usize::from(self.router_id.0) + groups.len() > 256 {
            return Some(format!(
                "\"virtual_router_id {}\" leaves no room for {} groups of addresses below 256",
                self.router_id.0,
                groups.len()
            ));
        }
        groups.iter().find_map(|group| Some(self.family(group).err()?.to_string()))
    }

    /// The addresses that move together: those of one preferred node, in the order of the block.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for address in &self.addresses {
            let prefer = address.prefer.as_deref();
            match groups.iter_mut().find(|group| group.prefer == prefer) {
                Some(group) => group.addresses.push(address),
                None => groups.push(Group { prefer, addresses: vec![address] }),
            }
        }
        groups
    }

    /// Whether the adverts of a group are IPv6: those of the first family that all nodes and one
    /// of the group's addresses have.
    ///
    /// # Errors
    /// There is none, in words for the administrator.
    pub fn family(&self, group: &Group<'_>) -> Result<bool, Refusal> {
        let first_is_v6 = self.nodes.first().is_some_and(|node| node.addresses[0].is_ipv6());
        let mut missing = String::new();
        for is_v6 in [first_is_v6, !first_is_v6] {
            let mut addresses = group.addresses.iter();
            let Some(address) = addresses.find(|known| known.address.is_ipv6() == is_v6) else {
                continue;
            };
            let lacks = self.nodes.iter().find(|node| node.of_family(is_v6).is_none());
            let Some(node) = lacks else { return Ok(is_v6) };
            let family = if is_v6 { "IPv6" } else { "IPv4" };
            missing = format!(
                "address {} needs adverts over {family}: add an {family} address to the line of \
                 node \"{}\"",
                address.address, node.name
            );
        }
        Err(missing.into())
    }
}

/// Addresses that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The node that should hold them; `None` for the first of the block.
    pub prefer: Option<&'a str>,
    /// The addresses, at least one.
    pub addresses: Vec<&'a VirtualAddress>,
}

#[cfg(test)]
mod tests;

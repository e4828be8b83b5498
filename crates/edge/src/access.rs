//! `allow` and `deny`: rules about the addresses of clients.
//! <https://nginx.org/en/docs/http/ngx_http_access_module.html>

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Node, directives};
use weir_engine::Addr;
use weir_script::cidr::Cidr;

use crate::network;

directives! {
    /// Access control by client address.
    pub struct AccessRules as RulesWritten in [http, server, location, limit_except] {
        /// Allows an address or a network. The first matching rule decides.
        "allow" [1]: "address | CIDR | unix: | all" => add_rule,
        /// Denies an address or a network.
        "deny" [1]: "address | CIDR | unix: | all" => add_rule,
        // A level with a rule of its own does not inherit its parent's.
        field rules: Inherit<Option<Arc<Rules>>>,
    }
}

/// The rules of a level, by family; the flag means deny. A client is checked against the rules of
/// its own family only.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    v4: Vec<(Cidr, bool)>,
    v6: Vec<(Cidr, bool)>,
    unix: Vec<bool>,
}

fn add_rule(own: &mut RulesWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let rules = own.rules.get_or_insert_default().get_or_insert_default();
    Arc::make_mut(rules).add(node, cx)
}

impl Rules {
    /// Adds an `allow` or a `deny`.
    ///
    /// # Errors
    /// nginx's message, for an invalid address.
    pub fn add(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let word = &node.args[0];
        let deny = node.name.is("deny");
        if word.is("unix:") {
            self.unix.push(deny);
        } else if word.is("all") {
            let everyone = |text: &[u8]| Cidr::parse(text).map(|parsed| (parsed.cidr, deny));
            self.v4.extend(everyone(b"0.0.0.0/0"));
            self.v6.extend(everyone(b"::/0"));
            self.unix.push(deny);
        } else {
            let net = network::read(word, cx).ok_or_else(|| Fault::parameter(word))?;
            let family = if net.address().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
            family.push((net, deny));
        }
        Ok(())
    }

    /// The first matching rule: whether it denies.
    pub fn find(&self, client: &Addr) -> Option<bool> {
        match client.ip() {
            None => self.unix.first().copied(),
            Some(IpAddr::V4(address)) => first(&self.v4, address.into()),
            Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(mapped) if !self.v4.is_empty() => first(&self.v4, mapped.into()),
                _ => self.v6.iter().find(|(net, _)| has(net, address)).map(|&(_, deny)| deny),
            },
        }
    }
}

fn first(rules: &[(Cidr, bool)], address: IpAddr) -> Option<bool> {
    rules.iter().find(|(net, _)| net.contains(address)).map(|&(_, deny)| deny)
}

/// Whether an IPv6 network has an address, even a mapped one.
fn has(net: &Cidr, address: Ipv6Addr) -> bool {
    let IpAddr::V6(base) = net.address() else { return false };
    let differing = u128::from(base) ^ u128::from(address);
    differing.leading_zeros() >= u32::from(net.prefix())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(&str, bool)]) -> Rules {
        let mut rules = Rules::default();
        for (text, deny) in list {
            let cidr = Cidr::parse(text.as_bytes()).unwrap().cidr;
            let family = if cidr.address().is_ipv4() { &mut rules.v4 } else { &mut rules.v6 };
            family.push((cidr, *deny));
        }
        rules
    }

    fn client(address: &str) -> Addr {
        Addr::Inet((address.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn the_first_rule_of_the_family_decides() {
        let rules = rules(&[("10.0.0.1", false), ("10.0.0.0/8", true), ("2001:db8::/32", true)]);
        assert_eq!(rules.find(&client("10.0.0.1")), Some(false));
        assert_eq!(rules.find(&client("10.0.0.2")), Some(true));
        assert_eq!(rules.find(&client("11.0.0.2")), None);
        assert_eq!(rules.find(&client("2001:db8::1")), Some(true));
        assert_eq!(rules.find(&client("2001:db9::1")), None);
        assert_eq!(rules.find(&client("::ffff:10.0.0.2")), Some(true));
        assert_eq!(rules.find(&Addr::Unix(None)), None);
    }

    #[test]
    fn a_mapped_address_meets_ipv6_rules_where_there_are_no_others() {
        let rules = rules(&[("::ffff:0:0/96", true)]);
        assert_eq!(rules.find(&client("::ffff:10.0.0.2")), Some(true));
        assert_eq!(rules.find(&client("10.0.0.2")), None);
    }
}

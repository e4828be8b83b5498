//! The configuration of keepalived, which follows from the block and the node that reads it.
//! <https://www.keepalived.org/manpage.html>
//!
//! Addresses that move together are one VRRP instance, over one family, with one address in its
//! adverts. The others move with it (`virtual_ipaddress_excluded`), so that a node that has another
//! address already, in the middle of a reload of the pair, is still understood: keepalived drops
//! adverts whose number of addresses differs from its own.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::Refusal;
use crate::settings::{Group, Ha, VirtualAddress};

/// The file in the guard's folder that is `0` while this node may hold addresses.
pub const READY_FILE: &str = "ready";

/// The pipe in the guard's folder for keepalived's changes of state.
pub const EVENTS_FILE: &str = "events";

/// The configuration in the guard's folder.
pub const CONF_FILE: &str = "keepalived.conf";

/// The priority of the node that should hold an address.
const FIRST_PRIORITY: usize = 250;

/// The largest difference between two nodes' priorities: 8 ms of an advert's 100, so that the
/// better of two nodes is the first to take over.
const PRIORITY_STEP: usize = 20;

/// The difference between the first and the last node's priorities.
const PRIORITY_RANGE: usize = 200;

/// Above all other priorities: the node takes its addresses back.
const URGENT_PRIORITY: usize = 254;

/// The node that reads the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// Its place in the order of the block.
    pub node: usize,
    /// Its interface.
    pub interface: String,
}

/// What keepalived is to do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As configured.
    Usual,
    /// To take the addresses of this group back, whoever holds them.
    Urgent(usize),
}

/// The name of the VRRP instance of a group, by its number from 0.
pub fn instance(group: usize) -> String {
    format!("weir_{}", group + 1)
}

/// The configuration of a node, whose files lie in `folder`.
///
/// # Errors
/// A group has no family that all nodes have; the settings have been checked for it.
pub fn configuration(ha: &Ha, here: &Here, folder: &Path, mode: Mode) -> Result<String, Refusal> {
    let mut text = globals(ha, here, folder);
    for (number, group) in ha.groups().iter().enumerate() {
        text.push_str(&vrrp_instance(ha, here, (number, group), mode)?);
    }
    Ok(text)
}

fn globals(ha: &Ha, here: &Here, folder: &Path) -> String {
    let node = &ha.nodes[here.node].name;
    let events = folder.join(EVENTS_FILE);
    let ready = folder.join(READY_FILE);
    format!(
        "global_defs {{
    router_id {node}
    vrrp_version 3
    vrrp_notify_fifo {events}
    vrrp_no_swap
    vrrp_garp_master_repeat 3
    vrrp_garp_master_delay 1
    vrrp_garp_master_refresh 10
    vrrp_garp_master_refresh_repeat 1
    vrrp_garp_lower_prio_repeat 1
    vrrp_garp_lower_prio_delay 1
    vrrp_higher_prio_send_advert true
}}

track_file weir_ready {{
    file {ready}
    weight 0
}}
",
        events = events.display(),
        ready = ready.display(),
    )
}

fn vrrp_instance(
    ha: &Ha,
    here: &Here,
    (number, group): (usize, &Group<'_>),
    mode: Mode,
) -> Result<String, Refusal> {
    let is_v6 = ha.family(group)?;
    let own = ha.nodes[here.node].of_family(is_v6).ok_or("the node has no such address")?;
    let urgent = mode == Mode::Urgent(number);
    let priority = if urgent { URGENT_PRIORITY } else { priority(ha, here.node, group.prefer) };
    let mut text = format!("\nvrrp_instance {} {{\n    state BACKUP\n", instance(number));
    if !ha.preempt && !urgent {
        text.push_str("    nopreempt\n");
    }
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "    interface {}
    virtual_router_id {}
    priority {priority}
    advert_int {}
    unicast_src_ip {own}
    check_unicast_src
    unicast_peer {{
",
        here.interface,
        usize::from(ha.router_id.0) + number,
        seconds(ha.advert.0),
    );
    for (at, node) in ha.nodes.iter().enumerate() {
        if let Some(address) = node.of_family(is_v6).filter(|_| at != here.node) {
            let _ = writeln!(text, "        {address}");
        }
    }
    text.push_str("    }\n");
    text.push_str(&addresses(group, here, is_v6));
    // Or the node's own address, if it came later, would go with a virtual one of its network.
    text.push_str("    promote_secondaries\n");
    text.push_str("    track_file {\n        weir_ready\n    }\n}\n");
    Ok(text)
}

/// The virtual addresses, and the further interfaces that must be up.
fn addresses(group: &Group<'_>, here: &Here, is_v6: bool) -> String {
    let mut text = String::new();
    let is_told = |known: &&&VirtualAddress| known.address.is_ipv6() == is_v6;
    let told = group.addresses.iter().find(is_told);
    let line = |known: &VirtualAddress| {
        let interface = known.interface.as_deref().unwrap_or(&here.interface);
        format!("        {}/{} dev {interface}\n", known.address, known.prefix)
    };
    let mut block = |name: &str, lines: &str| {
        if !lines.is_empty() {
            let _ = write!(text, "    {name} {{\n{lines}    }}\n");
        }
    };
    block("virtual_ipaddress", &told.map_or_else(String::new, |known| line(known)));
    let others = group.addresses.iter().filter(|known| Some(*known) != told);
    block("virtual_ipaddress_excluded", &others.map(|known| line(known)).collect::<String>());
    let mut further: Vec<&str> =
        group.addresses.iter().filter_map(|known| known.interface.as_deref()).collect();
    further.retain(|name| *name != here.interface);
    further.sort_unstable();
    further.dedup();
    let further = further.iter().map(|name| format!("        {name}\n"));
    block("track_interface", &further.collect::<String>());
    text
}

/// The priority of a node for a group: the preferred node has the first place, and those after it
/// in the block follow, round the end, so that the addresses of a dead node spread.
fn priority(ha: &Ha, node: usize, prefer: Option<&str>) -> usize {
    let nodes = ha.nodes.len();
    let first = prefer.and_then(|name| ha.position(name)).unwrap_or(0);
    let place = (node + nodes - first) % nodes;
    let step = PRIORITY_STEP.min(PRIORITY_RANGE / (nodes - 1).max(1));
    FIRST_PRIORITY - place * step
}

/// A time in seconds with two decimals.
fn seconds(time: Duration) -> String {
    format!("{}.{:02}", time.as_secs(), time.subsec_millis() / 10)
}

/// The node of this host: the one with the `name` that it was given, else the one that has an
/// address of this host.
///
/// # Errors
/// In words for the administrator: what to do.
pub fn find_here(ha: &Ha, name: Option<&str>, own: &[(String, IpAddr)]) -> Result<Here, Refusal> {
    let has = |address: &IpAddr| own.iter().find(|(_, known)| known == address);
    let node = match name {
        Some(name) => ha.position(name).ok_or_else(|| {
            format!("this node is \"{name}\", which \"ha\" has no \"node\" line for: add it")
        })?,
        None => {
            let is_own =
                |at: &usize| ha.nodes[*at].addresses.iter().any(|known| has(known).is_some());
            let mut found = (0..ha.nodes.len()).filter(is_own);
            let first = found.next();
            if let (Some(one), Some(two)) = (first, found.next()) {
                let (one, two) = (&ha.nodes[one].name, &ha.nodes[two].name);
                let message =
                    format!("this host has the addresses of both nodes \"{one}\" and \"{two}\"");
                return Err(message.into());
            }
            first.ok_or_else(|| {
                let nodes =
                    ha.nodes.iter().map(|node| format!("{} ({})", node.name, node.addresses[0]));
                let nodes = nodes.collect::<Vec<_>>().join(", ");
                format!(
                    "this host is none of the nodes of \"ha\": {nodes}. Give it one of these \
                     addresses, or correct the \"node\" lines"
                )
            })?
        }
    };
    let named = &ha.nodes[node];
    let of_address = named.addresses.iter().find_map(has).map(|(interface, _)| interface.clone());
    let interface = named.interface.clone().or(of_address).ok_or_else(|| {
        let (name, address) = (&named.name, named.addresses[0]);
        format!("node \"{name}\" is this one, but no interface has its address {address}")
    })?;
    Ok(Here { node, interface })
}

#[cfg(test)]
mod tests;

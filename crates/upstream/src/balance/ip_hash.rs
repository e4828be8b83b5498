//! `ip_hash`: clients with the same address, or in the same IPv4 /24, stay with one peer.

use std::net::IpAddr;

use weir_conf::{Cx, Fault, Node, Slot, Table, directives};

use crate::{
    balance::method::{Balance, Choice, MAX_REHASHES, Request, Turn, Walk},
    set::Set,
    settings::{begin_method, choose},
};

static IP_HASH: Slot<IpHashRow> = Slot::new();

directives! {
    /// Balancing by the client's address.
    struct IpHashRow as IpHashWritten in [upstream] {
        /// Passes requests of the same client to the same server. The key is the first three octets
        /// of an IPv4 address, or a whole IPv6 address.
        "ip_hash" [0]: "" => set_ip_hash,
    }
}

pub(super) static TABLE: Table = IpHashRow::table(&IP_HASH);

fn set_ip_hash(_: &mut IpHashWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    begin_method(cx);
    choose(cx, IpHash, None);
    Ok(())
}

/// The initial value of the hash.
const SEED: u32 = 89;

/// Balancing by the client's address.
#[derive(Debug)]
pub(crate) struct IpHash;

impl Balance for IpHash {
    fn name(&self) -> &'static str {
        "ip_hash"
    }

    fn knows_backup(&self) -> bool {
        false
    }

    fn key(&self, request: &Request<'_>) -> Vec<u8> {
        key(request.client)
    }

    fn start(&self, _: &Set, walk: &mut Walk) {
        walk.hash = SEED;
    }

    fn takes_turns(&self) -> bool {
        false
    }

    fn choose(&self, turn: &mut Turn<'_>) -> Choice {
        let Turn { set, walk, now, .. } = turn;
        if walk.tries > MAX_REHASHES || set.peers.len() < 2 {
            return Choice::RoundRobin;
        }
        if let Some(place) = walk.hinted(set, *now) {
            return Choice::Peer(place);
        }
        let mut hash = walk.hash;
        loop {
            for &byte in &walk.key {
                hash = (hash * 113 + u32::from(byte)) % 6271;
            }
            let place = set.at_weight(i64::from(hash) % set.total_weight);
            if walk.may_take(&set.peers[place], *now) {
                walk.hash = hash;
                return Choice::Peer(place);
            }
            walk.tries += 1;
            if walk.tries > MAX_REHASHES {
                return Choice::RoundRobin;
            }
        }
    }
}

/// The significant bytes of a client's address: three of IPv4, all of IPv6, and zeroes for a client
/// without an IP address.
fn key(client: Option<IpAddr>) -> Vec<u8> {
    match client {
        Some(IpAddr::V4(address)) => address.octets()[..3].to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => vec![0; 3],
    }
}

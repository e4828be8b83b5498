//! Whose turn it is to do what is done once for all nodes, such as ordering certificates.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_engine::timer;
use weir_upstream::shared_turn;

use crate::mirror::Name;
use crate::readiness::{self, Slot};

/// The time after a start in which it is nobody's turn: what other nodes have comes first.
const SETTLING: Duration = Duration::from_secs(3);

pub(super) use shared_turn::expect;

/// It is this node's turn if it holds the first group of addresses, or in a block without addresses
/// if it is the first by name of the nodes that see each other. `now` is the time since the start.
pub(super) fn decide(now: Duration, me: &Name, connected: &BTreeSet<Name>, has_addresses: bool) {
    let leads = match has_addresses {
        true => holds_first(),
        false => connected.iter().all(|node| me < node),
    };
    shared_turn::set(now >= SETTLING && leads);
}

/// Whether the guard says that this node holds the first group.
fn holds_first() -> bool {
    let said = readiness::own().and_then(Slot::guard_says);
    said.and_then(|said| said.groups.first().map(|group| group.holds)).unwrap_or(false)
}

/// A node that has no links does everything itself. Its identity may be on its way at first.
pub(super) async fn alone(is_unlinked: bool) {
    timer::sleep(SETTLING).await;
    if is_unlinked {
        shared_turn::set(true);
    }
    std::future::pending().await
}

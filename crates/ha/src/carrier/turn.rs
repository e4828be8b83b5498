//! Whose turn it is to do what is done once for all nodes, such as ordering certificates.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_engine::timer;
use weir_upstream::shared_turn;

use crate::mirror::Name;
use crate::readiness::said::Said;
use crate::readiness::{self, Slot};

/// The time after a start in which it is nobody's turn: what other nodes have comes first.
const SETTLING: Duration = Duration::from_secs(3);

pub(super) use shared_turn::expect;

/// It is this node's turn if it holds the first group of addresses, or in a block without addresses
/// if it is the first by name of the nodes that see each other. `now` is the time since the start.
pub(super) fn decide(now: Duration, me: &Name, connected: &BTreeSet<Name>, has_addresses: bool) {
    let leads = match has_addresses {
        true => holds_first(readiness::own().and_then(Slot::guard_says).as_ref()),
        false => connected.iter().all(|node| me < node),
    };
    shared_turn::set(now >= SETTLING && leads);
}

/// Whether the guard says that this node holds the first group. One that says nothing may have
/// ended, and the addresses with it.
fn holds_first(said: Option<&Said>) -> bool {
    said.and_then(|said| said.groups.first()).is_some_and(|group| group.holds)
}

/// A node that has no links does everything itself. Its identity may be on its way at first.
pub(super) async fn alone(is_unlinked: bool) {
    timer::sleep(SETTLING).await;
    if is_unlinked {
        shared_turn::set(true);
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::said::Holding;

    #[test]
    fn the_holder_of_the_first_group_leads() {
        let says = |holds: &[bool]| {
            let group = |&holds: &bool| Holding { holds, ..Holding::default() };
            let groups = holds.iter().map(group).collect();
            holds_first(Some(&Said { groups, ..Said::default() }))
        };
        assert!(says(&[true]) && says(&[true, false]) && says(&[true, true]));
        // Each of two nodes holds one group: the second one's holder does not order as well.
        assert!(!says(&[false, true]) && !says(&[false]) && !says(&[]));
        assert!(!holds_first(None));
    }

    /// The decision is one of the whole process, so the cases follow each other.
    #[test]
    fn the_first_by_name_leads_once_it_knows_what_others_have() {
        let name = |name: &str| Name::new(name).unwrap();
        let decided = |now, me: &str, seen: &[&str], has_addresses| {
            let connected = seen.iter().map(|node| name(node)).collect();
            decide(now, &name(me), &connected, has_addresses);
            shared_turn::is_ours()
        };
        let early = SETTLING - Duration::from_millis(1);
        assert!(!decided(early, "a", &[], false) && decided(SETTLING, "a", &[], false));
        assert!(decided(SETTLING, "a", &["b", "c"], false));
        assert!(!decided(SETTLING, "b", &["a", "c"], false));
        // Parted, each side has one.
        assert!(decided(SETTLING, "b", &["c"], false) && !decided(SETTLING, "c", &["b"], false));
        // Without a guard's word nobody orders where there are addresses.
        assert!(!decided(SETTLING, "a", &[], true));
    }
}

//! Which of two links between the same nodes is kept. Both nodes may dial at once, and both must
//! come to the same answer without a further message.

/// The end that opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialler {
    /// This node.
    Own,
    /// The partner.
    Partner,
}

/// A link, as far as the rule needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The end that opened it.
    pub(super) dialler: Dialler,
    /// The number that the partner's process drew at its start.
    pub(super) instance: u64,
}

/// Whether `new` takes the place of `old`.
///
/// A partner that was started anew has forgotten its old links. Else the link that the node with
/// the smaller name has opened is kept, and of two from the same node the newer one: it would not
/// have dialled again if it still had the older.
pub(super) fn replaces(own: &str, partner: &str, old: Candidate, new: Candidate) -> bool {
    if old.instance != new.instance || old.dialler == new.dialler {
        return true;
    }
    let smaller = if own < partner { Dialler::Own } else { Dialler::Partner };
    new.dialler == smaller
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seen_by_other(dialler: Dialler) -> Dialler {
        match dialler {
            Dialler::Own => Dialler::Partner,
            Dialler::Partner => Dialler::Own,
        }
    }

    #[test]
    fn both_nodes_keep_the_same_link_in_whichever_order_they_see_them() {
        let link = |dialler| Candidate { dialler, instance: 1 };
        for (own, partner) in [("a", "b"), ("b", "a")] {
            let mut kept = Vec::new();
            for first in [Dialler::Own, Dialler::Partner] {
                let second = seen_by_other(first);
                let here = match replaces(own, partner, link(first), link(second)) {
                    true => second,
                    false => first,
                };
                // The partner sees the same two links in either order.
                for (one, other) in [(first, second), (second, first)] {
                    let (one, other) = (seen_by_other(one), seen_by_other(other));
                    let there = match replaces(partner, own, link(one), link(other)) {
                        true => other,
                        false => one,
                    };
                    assert_eq!(seen_by_other(there), here);
                }
                kept.push(here);
            }
            assert_eq!(kept[0], kept[1]);
        }
    }

    #[test]
    fn a_partner_that_is_new_replaces_its_old_links() {
        let old = Candidate { dialler: Dialler::Own, instance: 1 };
        let new = Candidate { dialler: Dialler::Partner, instance: 2 };
        assert!(replaces("a", "b", old, new));
        let same = Candidate { instance: 1, ..new };
        assert!(!replaces("a", "b", old, same));
        assert!(replaces("a", "b", old, old), "the newer of two from the same node");
    }
}

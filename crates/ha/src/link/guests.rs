//! Connections that have not shown who they are: few at once, and few from one address.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::pace::Pace;

/// The most guests at once, besides those at the addresses of the block's nodes.
pub(super) const MOST: usize = 16;

/// The most guests at once from one address.
pub(super) const MOST_OF_ADDRESS: usize = 4;

/// The strangers that are let in per second, since each handshake costs the caretaker time that
/// health checks need, too.
const STRANGERS_PER_SECOND: u32 = 32;

/// The guests that are there.
#[derive(Clone, Debug)]
pub(super) struct Guests(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    counts: HashMap<IpAddr, Count>,
    pace: Pace,
}

impl Default for Guests {
    fn default() -> Self {
        let pace = Pace::new(STRANGERS_PER_SECOND, STRANGERS_PER_SECOND);
        Self(Rc::new(RefCell::new(Inner { counts: HashMap::new(), pace })))
    }
}

#[derive(Debug, Default)]
struct Count {
    guests: usize,
    /// It is the address of a node. Strangers do not use up its places.
    is_node: bool,
}

/// The place of a guest, given up on drop.
#[derive(Debug)]
pub(super) struct Place {
    guests: Guests,
    address: IpAddr,
}

impl Guests {
    /// Takes a guest in; `None` if there are too many. `now` is since any fixed point.
    pub(super) fn admit(&self, address: IpAddr, is_node: bool, now: Duration) -> Option<Place> {
        let Inner { counts, pace } = &mut *self.0.borrow_mut();
        let strangers = counts.values().filter(|count| !count.is_node);
        let strangers: usize = strangers.map(|count| count.guests).sum();
        let here = counts.get(&address).map_or(0, |count| count.guests);
        if here >= MOST_OF_ADDRESS || (!is_node && strangers >= MOST) {
            return None;
        }
        if !is_node {
            if pace.wait(now).is_some() {
                return None;
            }
            pace.count(now);
        }
        let count = counts.entry(address).or_default();
        count.guests += 1;
        count.is_node = is_node;
        Some(Place { guests: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &mut self.guests.0.borrow_mut().counts;
        if let Some(count) = counts.get_mut(&self.address) {
            count.guests -= 1;
            if count.guests == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn strangers_come_at_a_pace_and_nodes_do_not_wait_for_it() {
        let guests = Guests::default();
        let is_in = |now| guests.admit(address(1), false, now).is_some();
        let come = |now| (0..1000).filter(|_| is_in(now)).count();
        let pace = STRANGERS_PER_SECOND as usize;
        assert!((pace..=pace + 1).contains(&come(START)));
        assert!(guests.admit(address(2), true, START).is_some());
        let later = START + Duration::from_secs(1);
        assert!((pace..=pace + 1).contains(&come(later)));
    }

    fn address(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[test]
    fn strangers_take_no_place_of_a_node() {
        let guests = Guests::default();
        let mut places: Vec<_> =
            (0..200).filter_map(|number| guests.admit(address(number / 2), false, START)).collect();
        assert_eq!(places.len(), MOST);
        assert!(guests.admit(address(250), false, START).is_none());
        let node: Vec<_> =
            (0..10).filter_map(|_| guests.admit(address(251), true, START)).collect();
        assert_eq!(node.len(), MOST_OF_ADDRESS);
        places.pop();
        assert!(guests.admit(address(250), false, START).is_some(), "a place is given up");
        drop((places, node));
        assert!(guests.0.borrow().counts.is_empty());
        let one: Vec<_> = (0..10).filter_map(|_| guests.admit(address(1), false, START)).collect();
        assert_eq!(one.len(), MOST_OF_ADDRESS);
    }
}

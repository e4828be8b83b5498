//! What a connection has from its listener, so that no system call has to ask for it or set it.

use std::cell::RefCell;
use std::num::NonZeroU8;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;

use crate::addr::Addr;

/// What all connections of a listener begin with. Small, as idle connections carry it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inherited {
    /// Which of this thread's [`ADDRESSES`] is theirs, from 1. None where the kernel must be asked:
    /// a wildcard has many.
    address: Option<NonZeroU8>,
    /// Whether Nagle's algorithm is off.
    pub(crate) nodelay: bool,
}

thread_local! {
    /// The addresses of this thread's listeners, few, and kept for as long as the thread runs.
    static ADDRESSES: RefCell<Vec<Addr>> = const { RefCell::new(Vec::new()) };
}

impl Inherited {
    /// Switches Nagle's algorithm off for what the listener will accept, and learns the rest.
    pub(crate) fn from(listener: &OwnedFd) -> Self {
        let address = Addr::of_socket(listener).ok();
        let inet = matches!(address, Some(Addr::Inet(_)));
        let nodelay = inet && sockopt::set_tcp_nodelay(listener, true).is_ok();
        let fixed = address.filter(|address| address.ip().is_none_or(|ip| !ip.is_unspecified()));
        Self { address: fixed.and_then(place_of), nodelay }
    }

    /// The address of the listener, and so of this end.
    pub(crate) fn address(self) -> Option<Addr> {
        let place = usize::from(self.address?.get()) - 1;
        ADDRESSES.with_borrow(|addresses| addresses.get(place).cloned())
    }
}

/// None if there are more addresses than can be counted.
fn place_of(address: Addr) -> Option<NonZeroU8> {
    ADDRESSES.with_borrow_mut(|addresses| {
        let known = addresses.iter().position(|known| *known == address);
        let place = known.unwrap_or_else(|| {
            addresses.push(address);
            addresses.len() - 1
        });
        NonZeroU8::new(u8::try_from(place + 1).ok()?)
    })
}
